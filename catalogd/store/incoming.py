"""What a push brings, read while none of it is in the catalog yet: git holds it in quarantine and waits for us.

The quarantine has one pack, as git makes one of every push (receive.unpackLimit=1), or nothing where the catalog has
all of the objects already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalogd.errors import Invalid
from catalogd.store.children import ClientGone, IsWanted
from catalogd.store.git import Git, GitFailed
from catalogd.store.objects import EMPTY_TREE, Entry, Tree
from catalogd.store.pack import link_packs
from catalogd.store.refs import BRANCH, FOR_REVIEW
from catalogd.store.snapshot import ObjectCache, Snapshot

# In bytes. A document is as large at most as what the interface takes by default; a tree of 64 MiB has some million
# entries.
_MOST = {"commit": 64 << 10, "tree": 64 << 20, "blob": 8 << 20}
# Of all documents of one push, in bytes, as what is sent may be smaller by far: as long as the API takes for 16 such
# bodies. A tree is read eight times as fast. And of the messages of its commits, which stay in memory.
_MOST_READ, _MOST_OF_MESSAGES = 128 << 20, 32 << 20
_QUICKER_TREES = 8
# An index of version 2 (gitformat-pack): the number of objects, which is the last of 256, and where their ids begin.
_INDEX_COUNT, _INDEX_IDS = 8 + 255 * 4, 8 + 256 * 4
_MOST_OBJECTS = 250_000

NOTHING = "0" * 40

# gitformat-commit: an author or committer is a name, an address, seconds since the epoch, and a time zone.
_PERSON = re.compile(rb"(.*?) ?<([^<>]*)> ([0-9]{1,19}) [+-][0-9]{4}")


@dataclass(frozen=True)
class Command:
    """What a push wants of one ref: ids of 40 hex digits, NOTHING where there is none. `ref` is as it was sent."""

    old: str
    new: str
    ref: str

    @property
    def is_of_main(self) -> bool:
        return self.ref == BRANCH

    @property
    def is_for_review(self) -> bool:
        return self.ref == FOR_REVIEW


@dataclass(frozen=True)
class Person:
    """The author or the committer of a commit, in the bytes that it has."""

    name: bytes
    email: bytes
    seconds: int


@dataclass(frozen=True)
class NewCommit:
    """A commit that main does not have yet. `parents` are ids, the first one first."""

    id: str
    root: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    encoding: bytes
    message: bytes


@dataclass(frozen=True)
class Difference:
    """What differs at one path, of a file or of a directory that was not looked into. Names that are no UTF-8 have
    surrogates, as Python decodes file names.
    """

    path: str
    old: Entry | None
    new: Entry | None


class TooMuch(Invalid):
    """A push is more than is checked at once."""


class Incoming:
    """The commands of a push, and its objects together with those of the catalog. `head` is main as git has seen it.

    `options` are those of `git push -o`, as they were sent. `proposed` is the head of the repository of proposals whose
    objects are there too; None if they are not.
    """

    def __init__(
        self,
        catalog: Git,
        staging: Path,
        quarantine: Path | None,
        head: str | None,
        commands: list[Command],
        is_wanted: IsWanted,
        options: Sequence[bytes] = (),
        proposed: str | None = None,
    ):
        self.commands = commands
        self.options = options
        self.head = head
        self.proposed = proposed
        self._catalog = catalog
        self._staging = staging
        self._quarantine = quarantine
        self._is_wanted = is_wanted
        self._opened: tuple[Git, ObjectCache] | None = None
        self._seen: set[str] = set()
        self._read = 0

    def close(self) -> None:
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None

    def commits(self, new: str, most: int) -> list[NewCommit]:
        """The commits up to `new` that main does not have, parents first.

        Raises TooMuch, ClientGone, and Invalid where git finds no such commit or not all that it stands on.
        """
        git, _ = self._open()
        if sum(map(_count, self._files(".idx"))) > _MOST_OBJECTS:
            raise TooMuch(f"The push has more than {_MOST_OBJECTS:,} objects.")
        if self._kind(new) != "commit":
            raise Invalid(f"{new} is no commit.")
        since = ["--not", self.head] if self.head else []
        try:
            listed = git.run("rev-list", "--topo-order", "--reverse", f"--max-count={most + 1}", new, *since, "--")
        except GitFailed as error:
            raise Invalid(f"git cannot read these commits: {error.detail}") from error
        ids = listed.decode().split()
        if len(ids) > most:
            raise TooMuch(f"The push has more than {most:,} commits.")
        commits, size = [], 0
        for commit in ids:
            commits.append(self.commit(commit))
            self._seen.add(commit)
            size += len(commits[-1].message)
            if size > _MOST_OF_MESSAGES:
                raise TooMuch(f"The messages of the push have more than {_MOST_OF_MESSAGES:,} bytes.")
        return commits

    def unproposed(self, new: str) -> frozenset[str]:
        """Those of commits() that no proposal has either."""
        known = [commit for commit in (self.head, self.proposed) if commit]
        return frozenset(self._open()[0].run("rev-list", new, "--not", *known, "--").decode().split())

    def bases(self, new: str) -> list[str]:
        """The newest commits that `new` and main have in common: one, unless they have met in a criss-cross."""
        try:
            return self._open()[0].run("merge-base", "--all", self.head or new, new).decode().split()
        except GitFailed:
            return []

    def snapshot(self, commit: str | None) -> Snapshot:
        """The files at a commit, of the push or of the catalog; None is the empty tree."""
        _, objects = self._open()
        return Snapshot(objects, commit, objects.tree(objects.root_of(commit)) if commit else EMPTY_TREE)

    def differences(self, old: Snapshot, new: Snapshot, is_directory: Callable[[str], bool]) -> Iterator[Difference]:
        """What differs between two trees, by path; a directory is looked into only where there should be one.

        Raises KeyError where something is missing, ObjectTooLarge, TooMuch, ClientGone.
        """
        yield from self._differences("", old.root, new.root, is_directory)

    def blob(self, blob_id: str) -> bytes:
        """The content of a file. Raises KeyError, ObjectTooLarge, TooMuch, ClientGone."""
        self._seen.add(blob_id)
        data = self._open()[1].blob(blob_id)
        self._spend(len(data))
        return data

    def strangers(self) -> int:
        """How many objects it has that neither its commits nor the catalog know, once all of its changes were read."""
        unknown = set()
        for index in self._files(".idx"):
            data, end = index.read_bytes(), _INDEX_IDS + 20 * _count(index)
            unknown |= {data[at : at + 20].hex() for at in range(_INDEX_IDS, end, 20)} - self._seen
        if not unknown:
            return 0
        asked = "\n".join(sorted(unknown)).encode() + b"\n"
        return self._catalog.run("cat-file", "--batch-check", stdin=asked).count(b" missing\n")

    def bring(self, packs: Path | None = None) -> None:
        """Put its objects where a repository has its packs, by default the catalog, durably.

        Raises OSError; what was begun is removed then.
        """
        there = packs or self._catalog.git_dir / "objects" / "pack"
        link_packs([*self._files(".pack"), *self._files(".idx")], there)

    def _open(self) -> tuple[Git, ObjectCache]:
        if self._opened is None:
            if self._quarantine is not None:
                with (self._staging / "objects" / "info" / "alternates").open("a") as alternates:
                    alternates.write(f"{self._quarantine}\n")
            git = Git(self._staging, bare=True, most=_MOST)
            self._opened = git, ObjectCache(git)
        return self._opened

    def _files(self, ending: str) -> list[Path]:
        return sorted((self._quarantine / "pack").glob(f"pack-*{ending}")) if self._quarantine else []

    def _kind(self, object_id: str) -> str | None:
        asked = self._open()[0].run("cat-file", "--batch-check=%(objecttype)", stdin=object_id.encode() + b"\n")
        return asked.decode().split()[-1]

    def commit(self, commit: str) -> NewCommit:
        """A commit of the push or of the catalog. Raises KeyError, ObjectTooLarge, Invalid, ClientGone."""
        self._spend(0)
        header, _, message = self._open()[0].read_object(commit)[1].partition(b"\n\n")
        lines = [line.partition(b" ")[::2] for line in header.split(b"\n") if line[:1] != b" "]
        first = dict(reversed(lines))
        try:
            return NewCommit(
                commit,
                first[b"tree"].decode("ascii"),
                tuple(value.decode("ascii") for name, value in lines if name == b"parent"),
                _person(first[b"author"]),
                _person(first[b"committer"]),
                first.get(b"encoding", b""),
                message,
            )
        except (KeyError, ValueError) as error:
            raise Invalid(f"The commit {commit} is malformed.") from error

    def _spend(self, size: int) -> None:
        """So much more was read. Raises TooMuch, ClientGone."""
        self._read += size
        if self._read > _MOST_READ:
            raise TooMuch("The push changes more than is checked at once; push fewer commits, one after the other.")
        if not self._is_wanted():
            raise ClientGone

    def _differences(
        self, directory: str, old: Tree, new: Tree, is_directory: Callable[[str], bool]
    ) -> Iterator[Difference]:
        self._seen.add(new.id)
        for name, before, after in old.differences(new):
            path = f"{directory}{name}"
            sides = [entry for entry in (before, after) if entry is not None]
            if not all(entry.is_tree for entry in sides) or not is_directory(path):
                yield Difference(path, before, after)
                continue
            was, is_now = (self._open()[1].tree(entry.id) if entry else EMPTY_TREE for entry in (before, after))
            self._spend(is_now.size // _QUICKER_TREES)
            if after is not None and not len(is_now):
                yield Difference(path, before, after)  # git never makes an empty directory
            yield from self._differences(f"{path}/", was, is_now, is_directory)


def _count(index: Path) -> int:
    """How many objects the pack of an index has."""
    with index.open("rb") as file:
        file.seek(_INDEX_COUNT)
        return int.from_bytes(file.read(4), "big")


def _person(value: bytes) -> Person:
    found = _PERSON.fullmatch(value)
    if found is None:
        raise ValueError(value)
    return Person(found[1], found[2], int(found[3]))
