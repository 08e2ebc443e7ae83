"""What must be seen of a catalog, worked out from git alone: nothing here knows the read model or the rights."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from visibility_story import MARKER, OWN, ROLES, TEAM, Name

_LOG = (
    "git", "log", "--first-parent", "--reverse", "--root", "--raw", "--no-abbrev", "--no-renames",
    "--format=%x01%H%x00%cI%x00%B%x00",
)  # fmt: skip
_NO_BLOB = "0" * 40


@dataclass(frozen=True)
class Version:
    """What a commit made of a file: its text, None where it deleted it."""

    seq: int
    text: str | None
    blob: str | None

    @cached_property
    def document(self) -> dict[str, Any] | None:
        """None for a file that is gone, or broken."""
        try:
            return None if self.text is None else json.loads(self.text)
        except ValueError:
            return None

    @property
    def is_public(self) -> bool:
        return self.document is not None and self.document.get("is_public", True) is True


@dataclass(frozen=True)
class Commit:
    seq: int
    id: str
    time: str
    message: str
    paths: tuple[str, ...]

    @property
    def is_somebodys(self) -> bool:
        """Whether a hand or a proposal has worded the message."""
        return "\nCatalog-Action: " not in self.message or "\nProposal: " in self.message


@dataclass(frozen=True)
class Touched:
    """A file that a revision of a proposal changes: what it is at its base, a place in the past, and at its head."""

    path: str
    base: int
    old: Version
    new: Version


@dataclass(frozen=True)
class Proposal:
    """What is proposed last, and all that ever was."""

    number: int
    state: str
    title: str
    last: tuple[Touched, ...]
    all: tuple[Touched, ...]


@dataclass
class Past:
    """All commits of main, and every version of every file."""

    root: Path
    commits: list[Commit] = field(default_factory=list)
    files: dict[str, list[Version]] = field(default_factory=dict)
    proposals: list[Proposal] = field(default_factory=list)

    def read_on(self) -> None:
        """Reads what was committed since."""
        since = [f"{self.commits[-1].id}..main"] if self.commits else ["main"]
        log = subprocess.run([*_LOG, *since], cwd=self.root, capture_output=True, text=True, check=True).stdout
        for entry in log.split("\x01")[1:]:
            commit, time, message, raw = entry.split("\x00")
            changes = [line.split("\t") for line in raw.strip().splitlines()]
            seq = len(self.commits)
            for meta, path in changes:
                blob = meta.split()[3]
                gone = blob == _NO_BLOB
                version = Version(seq, None if gone else self._text(blob), None if gone else blob)
                self.files.setdefault(path, []).append(version)
            self.commits.append(Commit(seq, commit, time, message, tuple(path for _, path in changes)))
        self.proposals = list(self._proposals())

    def _proposals(self) -> Iterator[Proposal]:
        directory = self.root / ".git" / "catalogd" / "proposals.git"
        if not directory.exists():
            return
        places = {commit.id: commit.seq for commit in self.commits}
        # The repository is begun before the first proposal, which may be refused: then there are none.
        for path in self._git(directory, "ls-tree", "--name-only", "main", "proposals/").split():
            told = json.loads(self._git(directory, "cat-file", "blob", f"main:{path}"))
            revisions = [
                tuple(
                    Touched(change["path"], places[revision["base"]], *self._sides(directory, change))
                    for change in revision["changes"]
                )
                for revision in told["revisions"]
            ]
            everything = tuple(touched for revision in revisions for touched in revision)
            yield Proposal(told["number"], told["state"], told["title"], revisions[-1], everything)

    def _sides(self, directory: Path, change: dict[str, Any]) -> Iterator[Version]:
        for blob in (change["old"], change["new"]):
            yield Version(-1, None if blob is None else self._git(directory, "cat-file", "blob", blob), blob)

    def repositories(self) -> Iterator[tuple[Name, list[Version]]]:
        for path, versions in sorted(self.files.items()):
            name = name_in(path)
            if name is not None:
                yield name, versions

    def organization(self) -> dict[str, Any] | None:
        """The document of the team now; None if it is gone."""
        return self.files[f"namespaces/{TEAM}.json"][-1].document

    @property
    def markers(self) -> set[str]:
        """All that ever were."""
        texts = [version.text or "" for _, versions in self.repositories() for version in versions]
        texts += [touched.new.text or "" for proposal in self.proposals for touched in proposal.all]
        texts += [proposal.title for proposal in self.proposals]
        return markers_in("".join([*texts, *(commit.message for commit in self.commits)]))

    def _text(self, blob: str) -> str:
        return self._git(self.root, "cat-file", "blob", blob)

    @staticmethod
    def _git(directory: Path, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=directory, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Eyes:
    """What somebody must see who is a reader of these namespaces and of no others."""

    past: Past
    namespaces: frozenset[str]

    def floor(self, path: str) -> int | None:
        """The first commit whose version of the file is to be seen; None if none is.

        For who is no reader: since when a repository has been public without a break.
        """
        if self._is_reader(path):
            return 0
        if name_in(path) is None:
            return None
        floor = None
        for version in self.past.files.get(path, []):
            if version.text is None:
                continue  # deleted, it stays as visible as it was
            if not version.is_public:
                floor = None
            elif floor is None:
                floor = version.seq
        return floor

    def seen(self, path: str) -> list[Version]:
        """The versions that are to be seen."""
        floor = self.floor(path)
        return [] if floor is None else [v for v in self.past.files.get(path, []) if v.seq >= floor]

    def at(self, path: str, seq: int) -> Version | None:
        """The version that a commit had, if that is to be seen."""
        floor = self.floor(path)
        if floor is None or seq < floor:
            return None
        return next((v for v in reversed(self.past.files.get(path, [])) if v.seq <= seq), None)

    def documents(self, seq: int) -> dict[Name, dict[str, Any]]:
        """The documents of a commit that are to be seen."""
        versions = {name: self.at(document_path(name), seq) for name, _ in self.past.repositories()}
        return {name: version.document for name, version in versions.items() if version and version.document}

    def paths(self, commit: Commit) -> list[str]:
        """What is to be seen of what a commit changed."""
        return [path for path in commit.paths if any(version.seq == commit.seq for version in self.seen(path))]

    def sees_all_of(self, commit: Commit) -> bool:
        """Whether the message, too, is to be seen: it may name anything of what was there before and after."""
        return all(self._sees_both_sides(path, commit.seq) for path in commit.paths)

    def _sees_both_sides(self, path: str, seq: int) -> bool:
        floor, first = self.floor(path), self.past.files[path][0].seq
        return self._is_reader(path) or (floor is not None and (seq > floor or seq == floor == first))

    def _is_reader(self, path: str) -> bool:
        """Of the repository, or of the organization."""
        _, _, inside = path.partition("/")
        return inside.partition("/")[0].removesuffix(".json") in self.namespaces

    def commits(self) -> list[Commit]:
        return [commit for commit in self.past.commits if self.paths(commit)]

    def markers(self) -> set[str]:
        """Those of all versions that are to be seen, of the messages of hands, and of proposals.

        A message that names others, one made from the message of another commit say, is no reason to see those.
        """
        shown = [v.text or "" for path in self.past.files for v in self.seen(path) if v.document is not None]
        said = [commit.message for commit in self.past.commits if commit.is_somebodys and self.sees_all_of(commit)]
        for proposal in self.proposals():
            said += [proposal.title, *(touched.new.text or "" for touched in proposal.last)]
        return markers_in("".join([*shown, *said]))

    def names(self) -> set[str]:
        proposed = {name_in(touched.path) for proposal in self.proposals() for touched in proposal.last}
        return {name[1] for name, _ in self.past.repositories() if self.seen(document_path(name))} | {
            name[1] for name in proposed if name
        }

    def proposals(self) -> list[Proposal]:
        """Those of which all is to be seen that they have touched: on main now, where they began, and as proposed."""
        return [proposal for proposal in self.past.proposals if all(map(self._sees_touched, proposal.all))]

    def _sees_touched(self, touched: Touched) -> bool:
        if self._is_reader(touched.path):
            return True
        floor = self.floor(touched.path)
        was_there = floor is not None and floor <= touched.base and touched.old.is_public
        return was_there and (touched.new.text is None or touched.new.is_public)

    def changes(self, since: int) -> set[tuple[str, str]]:
        """(repo_name, action) of what is in the feed."""
        found = set()
        for name, versions in self.past.repositories():
            before = next((v for v in reversed(versions) if v.seq <= since), None)
            now = versions[-1]
            if (before and before.blob) == now.blob:
                continue
            was, is_ = self._could_see(name, before), self._could_see(name, now)
            if was or is_:
                # What a hand has broken is gone, until it is mended.
                is_shown = is_ and now.document is not None
                found.add((name[1], ("updated" if was else "created") if is_shown else "deleted"))
        return found

    def could_see_at(self, seq: int) -> set[Name]:
        """What was to be seen at a commit, as of that commit."""
        found = set()
        for name, versions in self.past.repositories():
            if self._could_see(name, next((v for v in reversed(versions) if v.seq <= seq), None)):
                found.add(name)
        return found

    def _could_see(self, name: Name, version: Version | None) -> bool:
        """As of that commit, whatever came later."""
        is_there = version is not None and version.text is not None
        return is_there and (name[0] in self.namespaces or version.is_public)


def document_path(name: Name) -> str:
    return f"data/{name[0]}/{name[1]}.json"


def name_in(path: str) -> Name | None:
    parts = path.removesuffix(".json").split("/")
    return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "data" else None


def markers_in(text: str) -> set[str]:
    return set(MARKER.findall(text))


def eyes_of(who: str | None, past: Past) -> Eyes:
    """What a user of the story must see now: by the newest version of the organization, and by their own name."""
    namespaces = {OWN} if who == OWN else set()
    team = past.organization()
    if team and any(who in team.get(role, ()) for role in ROLES):
        namespaces.add(TEAM)
    return Eyes(past, frozenset(namespaces))
