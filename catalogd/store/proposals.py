"""The repository of proposals: a third one of git's, with what is proposed and what was said of it.

It borrows the catalog's objects, so a proposal is a commit on top of main; and nothing that is not merged can be had
from the catalog itself. Its branch main has one file a proposal. What happens to one is a commit there; if that
brings a revision, the revision's commit is its second parent. So whoever clones it has everything.

<catalog>/.git/catalogd/proposals.git     bare: main, and refs/proposals/<number>/head
<catalog>/.git/catalogd/proposals.lock    held by whoever writes there (flock)
"""

from __future__ import annotations

import errno
import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from catalogd.errors import NoSpace, StoreFailed
from catalogd.store.children import Children
from catalogd.store.edits import Edit
from catalogd.store.files import fsync_directory, read_or_none, replace_durably
from catalogd.store.git import Git, fsck
from catalogd.store.group import COMMITTER_EMAIL, Group
from catalogd.store.history import COMMITTER
from catalogd.store.locks import CatalogLock
from catalogd.store.maintenance import Maintenance
from catalogd.store.objects import EMPTY_TREE
from catalogd.store.pack import link_packs
from catalogd.store.refs import Branch, Unsure
from catalogd.store.serving import UploadPack
from catalogd.store.snapshot import ObjectCache, Snapshot

log = logging.getLogger(__name__)

_NAME, _LOCK = "proposals.git", "proposals.lock"
_REFS = "refs/proposals"
_CONFIGURATION = {"gc.auto": "0", "core.logAllRefUpdates": "false"}

_README = b"""# Proposals

What is proposed for the catalog, and what was said of it: one file each in `proposals/`. `git log` has every event;
that of a revision has its commit as the second parent. The newest of each is `refs/proposals/<number>/head`.
"""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who a commit is by."""

    name: str
    email: str


class ProposalRepository:
    """The repository of proposals of one catalog. It is made by the first who writes; hold its lock to write."""

    def __init__(self, private: Path, catalog: Path, scratch: Path, children: Children, lock_timeout: float):
        """`catalog` is the git directory whose objects it borrows."""
        self.directory = private / _NAME
        self._catalog = catalog
        self._scratch = scratch
        self.lock = CatalogLock(private / _LOCK, lock_timeout)
        self.upload_pack = UploadPack(self.directory, scratch, children, [_REFS])
        self._opening = threading.Lock()
        self._opened: tuple[Git, ObjectCache, Branch] | None = None

    def close(self) -> None:
        self.upload_pack.close()
        if self._opened is not None:
            git, _, branch = self._opened
            branch.close()
            git.close()
            self._opened = None
        self.lock.close()

    # Reading

    def exists(self) -> bool:
        """Whether there ever was a proposal."""
        return (self.directory / "HEAD").is_file()

    def head(self) -> str | None:
        """The commit of the last event; None where there was none."""
        return self._open()[2].read() if self.exists() else None

    def snapshot(self, commit: str | None) -> Snapshot:
        """The files at a commit of this repository or of the catalog; None is the empty tree. Raises KeyError."""
        if commit is None:
            return Snapshot(self._open()[1], None, EMPTY_TREE)
        objects = self._open()[1]
        return Snapshot(objects, commit, objects.tree(objects.root_of(commit)))

    def blob(self, blob_id: str) -> bytes:
        """The content of a file of this repository or of the catalog. Raises KeyError."""
        return self._open()[1].blob(blob_id)

    def unified_diff(self, old: str, new: str) -> dict[str, str]:
        """The unified diff between two commits, by path."""
        options = ("--no-color", "--no-ext-diff", "--no-textconv", "--text", "--no-renames", "--src-prefix=a/")
        raw = self._open()[0].run("diff", *options, "--dst-prefix=b/", old, new, "--")
        found = {}
        for part in re.split(r"^diff --git .*\n", raw.decode("utf-8", "replace"), flags=re.MULTILINE)[1:]:
            at = part.find("--- ")
            text = part[at:] if at >= 0 else ""
            sides = re.match(r"--- (?:a/(.*)|/dev/null)\n\+\+\+ (?:b/(.*)|/dev/null)\n", text)
            if sides:
                found[sides[2] or sides[1]] = text
        return found

    def heads(self) -> dict[int, str]:
        """The newest head of each proposal by its number, as the refs have it."""
        listed = self._open()[0].run("for-each-ref", "--format=%(objectname) %(refname)", _REFS).decode()
        found = (line.split(" ") for line in listed.splitlines())
        numbers = ((ref.removeprefix(f"{_REFS}/").removesuffix("/head"), commit) for commit, ref in found)
        return {int(number): commit for number, commit in numbers if number.isdecimal()}

    def lacks(self, commits: Collection[str]) -> set[str]:
        """Those that are no commits of this repository or of the catalog."""
        asked = "".join(f"{commit}^{{commit}}\n" for commit in commits).encode()
        answers = self._open()[0].run("cat-file", "--batch-check=%(objectname)", stdin=asked).decode().splitlines()
        return {commit for commit, answer in zip(commits, answers, strict=True) if answer != commit}

    def fsck(self) -> list[str]:
        """What `git fsck --strict` finds wrong with the objects, the catalog's too; [] if nothing."""
        return fsck(self._open()[0])

    def bundle(self, file: Path, without: str | None) -> bool:
        """Write main, by which all revisions are reached, into a git bundle; False where there never was a proposal.

        What `without`, a commit of the catalog, contains is left out: a bundle of the catalog that is made later has
        it, and all else that proposals stand on is in this one.
        """
        if self.head() is None:
            return False
        self._open()[0].run("bundle", "create", "-q", str(file), "main", *([f"^{without}"] if without else []))
        return True

    # Writing

    def begin(self) -> None:
        """Make the repository if there is none. Hold the lock. Raises NoSpace, StoreFailed."""
        if self.head() is not None:
            return
        with _told():
            if not self.exists():
                self._make()
            _, objects, branch = self._open()
        # So that every event has its predecessor as the first parent.
        group = Group(objects, None, follows=False)
        group.add(Edit(COMMITTER, COMMITTER_EMAIL, lambda _: None), "Begin the proposals", {"README.md": _README})
        self._write(group)
        with _told():
            branch.move(None, group.newest or "")

    def revise(self, base: str, author: Signature, message: str, files: Mapping[str, bytes | None]) -> str:
        """A commit on top of a commit of the catalog, durable. Returns its id. Hold the lock.

        Raises Conflict where a file and a directory would take each other's place, NoSpace, StoreFailed.
        """
        group = Group(self._open()[1], base, follows=False)
        commit = group.add(Edit(author.name, author.email, lambda _: None), message, files)
        self._write(group)
        return commit

    def resolve(self, head: str, onto: str, author: Signature, message: str, files: Mapping[str, bytes | None]) -> str:
        """A commit that merges `onto`, a newer commit of the catalog, into the proposal at `head`: `files` on top of
        `onto`. As revise().
        """
        group = Group(self._open()[1], onto, follows=False)
        commit = group.add(Edit(author.name, author.email, lambda _: None, merges=head), message, files)
        self._write(group)
        return commit

    def record(
        self, number: int, path: str, data: bytes, author: Signature, message: str, revision: str | None = None
    ) -> None:
        """One event: a proposal's file as it is now. `revision` is the head of a new revision. Hold the lock.

        Durable when this returns. Raises NoSpace, StoreFailed.
        """
        _, objects, branch = self._open()
        group = Group(objects, branch.read(), follows=False)
        group.add(Edit(author.name, author.email, lambda _: None, merges=revision), message, {path: data})
        self._write(group)
        with _told():
            if revision is not None:  # before main: what main knows must be there
                self._point(number, revision)
            branch.move(group.parent, group.newest or "")

    def set_head(self, number: int, commit: str) -> None:
        """Mend the ref of a proposal. Hold the lock. Raises NoSpace, StoreFailed."""
        with _told():
            self._point(number, commit)

    def take_in(self, bring: Callable[[Path], None]) -> None:
        """What brings objects puts them where the packs are. Hold the lock. Raises NoSpace, StoreFailed."""
        with _told():
            bring(self.packs)

    @property
    def packs(self) -> Path:
        """Where its packs are."""
        return self.directory / "objects" / "pack"

    def give(self, head: str, since: str) -> None:
        """Put into the catalog what it lacks of the commits up to `head`, durably; `since` is a commit that it has.

        Raises GitFailed, NoSpace, StoreFailed.
        """
        there = self._catalog / "objects" / "pack"
        with _told(), tempfile.TemporaryDirectory(dir=self._scratch, prefix=f"{os.getpid()}-given-") as directory:
            asked = f"{head}\n^{since}\n".encode()
            base = str(Path(directory) / "pack")
            self._open()[0].run("pack-objects", "--revs", "--delta-base-offset", "-q", base, stdin=asked)
            link_packs([file for file in Path(directory).iterdir() if file.suffix in (".pack", ".idx")], there)

    def keep_house(self) -> None:
        """Fold the packs of many events. Hold the lock. Where that fails it is logged, and tried again next time."""
        Maintenance(self._open()[0], self.packs, borrows=True).fold_many()

    def _make(self) -> None:
        """All of it at once: git makes HEAD before the rest, and syncs nothing."""
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix=f"{os.getpid()}-proposals-") as scratch:
            made = Path(scratch) / _NAME
            Git.init_bare(made)
            os.sync()
            made.rename(self.directory)
        fsync_directory(self.directory.parent)

    def _write(self, group: Group) -> None:
        with _told():
            group.pack.write(self.packs, durable=True)
        group.keep()

    def _point(self, number: int, commit: str) -> None:
        ref = self.directory / _REFS / str(number) / "head"
        ref.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(ref, commit.encode() + b"\n")

    def _adopt(self, git: Git) -> None:
        """Whether it was just made, came from a backup or moved with the catalog: it borrows from the catalog here."""
        lent, alternates = f"{self._catalog / 'objects'}\n".encode(), self.directory / "objects" / "info" / "alternates"
        if read_or_none(alternates) != lent:
            replace_durably(alternates, lent)
        there = git.configuration()
        git.configure({key: value for key, value in _CONFIGURATION.items() if there.get(key.lower()) != value})

    def _open(self) -> tuple[Git, ObjectCache, Branch]:
        with self._opening:
            if self._opened is None:
                git = Git(self.directory, bare=True)
                self._adopt(git)
                self._opened = git, ObjectCache(git), Branch(self.directory, self._scratch)
            return self._opened


@contextmanager
def _told() -> Iterator[None]:
    """An error of the disk in the words of the domain."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("There is no room left on the catalog's disk.") from error
        raise StoreFailed("The disk has failed in the repository of proposals.") from error
    except Unsure as unsure:
        raise StoreFailed("The disk has failed in the repository of proposals.") from unsure
