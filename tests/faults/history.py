"""A history checker: what clients were told of a catalog, held against the commits of its branch main.

It knows nothing of the server. `Write` and `Read` are what a client saw of one request; `Main` is what git has. What
does not fit together comes back as sentences:

- an acknowledged write is one commit of main, the one that its answer named, and that commit changes its documents;
- a refused write is no commit, one whose answer was cut off is at most one;
- what was acknowledged before another write was sent stands before it on main;
- a read shows what main had at one moment, and no earlier moment than whatever was answered before it was sent: the
  document's bytes by their blob, and the commit that the server says it has read.

Times are of one monotonic clock, in seconds.
"""

from __future__ import annotations

import bisect
import itertools
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Write:
    """A request to change `documents`, paths in the catalog. `answered` is None where no answer came.

    A commit by hand is one, too: it has no request id, and is known by its commit.
    """

    client: str
    what: str
    sent: float
    request_id: str = ""
    documents: tuple[str, ...] = ()
    answered: float | None = None
    status: int | None = None
    commit: str = ""

    @property
    def is_acknowledged(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def may_be_made(self) -> bool:
        """Whether nobody knows: it was cut off, or the server failed in a way that says nothing."""
        return self.status is None or self.status == 500

    def __str__(self) -> str:
        return f"{self.what} by {self.client} ({self.request_id or self.commit[:12]})"


@dataclass(frozen=True)
class Read:
    """An answer about a document, or about many (`document` is ""). `blob` is None where there was no document."""

    client: str
    what: str
    sent: float
    answered: float
    document: str = ""
    blob: str | None = None
    commit: str = ""

    def __str__(self) -> str:
        return f"{self.what} by {self.client}"


@dataclass(frozen=True)
class Commit:
    """One commit of main; `blobs` are the files that it changes, with None for those that it deletes."""

    id: str
    request_ids: tuple[str, ...] = ()
    blobs: dict[str, str | None] = field(default_factory=dict)


class Main:
    """The branch main from its first commit to its newest."""

    def __init__(self, commits: Sequence[Commit]):
        self.commits = commits
        self.position = {commit.id: number for number, commit in enumerate(commits)}
        self.by_request: dict[str, list[int]] = defaultdict(list)
        self._versions: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
        for number, commit in enumerate(commits):
            for request_id in commit.request_ids:
                self.by_request[request_id].append(number)
            for path, blob in commit.blobs.items():
                self._versions[path].append((number, blob))

    @classmethod
    def of(cls, root: Path) -> Main:
        """That of the catalog, along first parents."""
        out = subprocess.run(
            ["git", "log", "--first-parent", "--reverse", "-m", "--raw", "--no-abbrev", "--no-renames", "-z",
             "--format=%x01%H%x02%(trailers:key=Request-Id,valueonly,separator=%x2C)%x02", "main", "--"],
            cwd=root, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        return cls([_commit(*record.split("\x02")) for record in out.split("\x01")[1:]])

    def blob_at(self, path: str, position: int) -> str | None:
        """The file's blob in that commit; None if it was not there."""
        versions = self._versions.get(path, [])
        found = bisect.bisect_right(versions, position, key=lambda version: version[0])
        return versions[found - 1][1] if found else None

    def next_with(self, path: str, blob: str | None, position: int) -> int | None:
        """The first commit from that one on in which the file is that."""
        if self.blob_at(path, position) == blob:
            return position
        return next((at for at, new in self._versions.get(path, []) if at > position and new == blob), None)


def _commit(name: str, request_ids: str, raw: str) -> Commit:
    blobs: dict[str, str | None] = {}
    parts = iter(raw.strip("\0\n").split("\0"))
    for modes in parts:
        if modes.strip():
            new = modes.split()[3]
            blobs[next(parts)] = None if set(new) == {"0"} else new
    return Commit(name, tuple(filter(None, request_ids.strip().split(","))), blobs)


def violations(main: Main, writes: Iterable[Write], reads: Iterable[Read] = ()) -> list[str]:
    """What is wrong; empty where all fits."""
    writes = sorted(writes, key=lambda write: write.sent)
    placed = {write: at for write in writes if (at := _place(main, write)) is not None}
    found = [fault for write in writes for fault in _faults_of(main, write)]
    found += _out_of_order(placed)
    found += _going_back(main, placed, sorted(reads, key=lambda read: read.sent))
    return found


def _place(main: Main, write: Write) -> int | None:
    """Where a write stands on main, if it does."""
    if not write.request_id:
        return main.position.get(write.commit)
    made = main.by_request.get(write.request_id)
    return made[0] if made else None


def _faults_of(main: Main, write: Write) -> Iterator[str]:
    yield from _faults_by_request(main, write) if write.request_id else _faults_by_commit(main, write)
    at = _place(main, write)
    if at is not None and write.documents and set(main.commits[at].blobs) != set(write.documents):
        yield f"of something else: {write} changes {', '.join(sorted(main.commits[at].blobs))}"


def _faults_by_commit(main: Main, write: Write) -> Iterator[str]:
    if write.commit not in main.position:
        yield f"lost: {write} is not on main"


def _faults_by_request(main: Main, write: Write) -> Iterator[str]:
    made = main.by_request.get(write.request_id, [])
    if len(made) > 1:
        yield f"doubled: {write} is {len(made)} commits of main"
    if write.is_acknowledged:
        if not made:
            yield f"lost: {write} was acknowledged, and is no commit of main"
        elif main.commits[made[0]].id != write.commit:
            yield f"misnamed: {write} is {main.commits[made[0]].id}, and its answer said {write.commit}"
    elif made and not write.may_be_made:
        yield f"made though refused: {write} got {write.status}, and is {main.commits[made[0]].id}"


class _Floor:
    """What stood last on main of all that was answered before a moment; asked for moments in ascending order."""

    def __init__(self, seen: Iterable[tuple[float, int, object]]):
        self._seen = sorted(seen, key=lambda entry: entry[:2])
        self._next = 0
        self.position = -1
        self.by: object = None

    def rise(self, moment: float) -> int:
        while self._next < len(self._seen) and self._seen[self._next][0] < moment:
            _, position, by = self._seen[self._next]
            self._next += 1
            if position > self.position:
                self.position, self.by = position, by
        return self.position


def _answered(placed: dict[Write, int]) -> list[tuple[float, int, object]]:
    return [(write.answered, at, write) for write, at in placed.items() if write.is_acknowledged and write.answered]


def _out_of_order(placed: dict[Write, int]) -> Iterator[str]:
    floor = _Floor(_answered(placed))
    for write, at in placed.items():  # by the time they were sent
        if floor.rise(write.sent) > at:
            yield f"out of order: {write} stands before {floor.by}, which was answered before it was sent"


def _going_back(main: Main, placed: dict[Write, int], reads: Sequence[Read]) -> Iterator[str]:
    # A commit by hand is served within a moment, and not at once.
    seen = [entry for entry in _answered(placed) if entry[2].request_id]
    for read in reads:
        if not read.commit:
            continue
        at = main.position.get(read.commit)
        if at is None:
            yield f"of nowhere: {read} says it has read {read.commit}, which is not on main"
            continue
        seen.append((read.answered, at, read))
        if read.document and main.blob_at(read.document, at) != read.blob:
            yield f"torn: {read} shows {read.blob}, and {read.commit} has {main.blob_at(read.document, at)}"
    floor, sent = _Floor(seen), _Sent(placed)
    for read in reads:
        least = floor.rise(read.sent)
        if read.commit:
            if main.position.get(read.commit, least) < least:
                yield f"back: {read} shows {read.commit}, which stands before what {floor.by} has told"
        elif read.document:
            shown = main.next_with(read.document, read.blob, max(least, 0))
            if shown is None or shown >= sent.first_after(read.answered):
                yield f"back: {read} shows {read.blob or 'no document'}, which is not of its time, after {floor.by}"


class _Sent:
    """Where the first of the writes stands on main that were sent only after a moment."""

    def __init__(self, placed: dict[Write, int]):
        self._moments = [write.sent for write in placed]  # in ascending order
        places = itertools.accumulate(reversed(placed.values()), min, initial=sys.maxsize)
        self._first = list(places)[::-1]

    def first_after(self, moment: float) -> int:
        return self._first[bisect.bisect_right(self._moments, moment)]
