"""What a commit did: the dataclasses of history, and their reader from `git log`."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

# Whoever commits for the authors of edits.
COMMITTER = "catalogd"

_NO_OBJECT = "0" * 40
_SUBMODULE = "160000"
# The last second of the year 9999: git can write later ones than a calendar can.
_LAST_SECOND = 253_402_300_799

# Of the merge of a proposal: its number, which head was merged, and a line for each who approved.
PROPOSAL_TRAILER, HEAD_TRAILER, REVIEWED_TRAILER = "Proposal", "Proposal-Head", "Reviewed-by"
_NUMBER, _ID = re.compile(r"[1-9][0-9]{0,17}"), re.compile(r"[0-9a-f]{40}")

# One commit: a marker byte, its fields each ended by NUL, then git's own raw lines (`-z`: also ended by NUL).
_LOG_FORMAT = "--format=%x01%H%x00%P%x00%an%x00%ae%x00%cn%x00%ct%x00%B%x00"
# Of a merge what it has otherwise than all its parents (-c): the rest came with their own commits.
LOG_OPTIONS = (
    "--topo-order", "--reverse", "--root", "--raw", "-c", "--no-abbrev", "--no-renames", "-z", _LOG_FORMAT,
)  # fmt: skip
# The same of merges only, without what they changed.
MERGES_OPTIONS = ("--topo-order", "--reverse", "--merges", "-z", _LOG_FORMAT)


@dataclass(frozen=True, slots=True)
class Change:
    """One path that a commit changed. `old` and `new` are blob ids of 40 hex digits, None where there was no file.

    `others` are what the further parents of a merge have there.
    """

    path: str
    old: str | None
    new: str | None
    others: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of main and what it changed against its parent; `committer` is a name.

    A merge has changed what it has otherwise than each of its parents, here against the first one. `committed_at` is
    RFC 3339 in UTC with milliseconds; git keeps whole seconds, so these are always 000. `came_at` is when main got it,
    as far as git tells: of a commit of a merged line when that was merged. `proposal` is the number of the proposal
    that brought it, `reviewed_by` are the names of who approved that; `proposal_head`, which head was merged, has the
    merge only.
    """

    id: str
    author: str
    email: str
    committer: str
    committed_at: str
    message: str
    changes: tuple[Change, ...]
    parents: tuple[str, ...]
    came_at: str
    proposal: int | None = None
    proposal_head: str | None = None
    reviewed_by: tuple[str, ...] = ()

    @property
    def is_merge(self) -> bool:
        return len(self.parents) > 1


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC with milliseconds: 2014-11-19T05:54:22.741Z."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def read_log(stream: BinaryIO) -> Iterator[Commit]:
    """The commits in the output of `git log` with LOG_OPTIONS or MERGES_OPTIONS."""
    tokens = _tokens(stream)
    head: list[str] | None = None
    changes: list[Change] = []
    for token in tokens:
        token = token.lstrip("\n")
        if token.startswith("\x01"):
            if head is not None:
                yield _commit(head, changes)
            head = [token[1:], *(next(tokens) for _ in range(6))]
            changes = []
        elif token.startswith(":"):
            changes += _change(token, next(tokens))
    if head is not None:
        yield _commit(head, changes)


def read_raw_diff(raw: bytes) -> list[Change]:
    """The changes in the output of `git diff-tree -r --raw --no-abbrev --no-renames -z`."""
    return list(read_raw_stream(io.BytesIO(raw)))


def read_raw_stream(stream: BinaryIO) -> Iterator[Change]:
    """The same from such an output as it comes."""
    tokens = _tokens(stream, "surrogateescape")
    for status in tokens:
        yield from _change(status, next(tokens))


def read_modes(raw: bytes) -> list[tuple[str, str]]:
    """(path, mode) of what is there after the changes in such an output; modes are git's, of six octal digits."""
    fields = raw.decode("utf-8", "surrogateescape").split("\0")
    modes = ((path, status.split(" ")[1]) for status, path in zip(fields[0:-1:2], fields[1::2], strict=True))
    return [(path, mode) for path, mode in modes if mode != "000000"]


def _tokens(stream: BinaryIO, errors: str = "replace") -> Iterator[str]:
    rest = b""
    while block := stream.read(1 << 16):
        *whole, rest = (rest + block).split(b"\0")
        for token in whole:
            yield token.decode("utf-8", errors)
    if rest.strip():
        yield rest.decode("utf-8", errors)


def _commit(head: list[str], changes: list[Change]) -> Commit:
    commit_id, parents, author, email, committer, seconds, message = head
    committed_at = rfc3339(min(int(seconds), _LAST_SECOND))
    made, message = tuple(changes), message.rstrip("\n")
    ids = tuple(parents.split())
    merged = proposal_in(message) if committer == COMMITTER else ()
    return Commit(commit_id, author, email, committer, committed_at, message, made, ids, committed_at, *merged)


def proposal_in(message: str) -> tuple[int, str, tuple[str, ...]] | tuple[()]:
    """(number, head, who approved) of the proposal that a commit of ours has merged, by its trailers; () if none.

    All trailers are in the last paragraph: what a description says, which stands before, is nobody's word.
    """
    trailers = message.rpartition("\n\n")[2].splitlines()
    values: dict[str, list[str]] = {}
    for line in trailers:
        key, _, value = line.partition(": ")
        values.setdefault(key, []).append(value)
    numbers, heads = values.get(PROPOSAL_TRAILER, []), values.get(HEAD_TRAILER, [])
    if len(numbers) != 1 or len(heads) != 1 or not _NUMBER.fullmatch(numbers[0]) or not _ID.fullmatch(heads[0]):
        return ()
    return int(numbers[0]), heads[0], tuple(values.get(REVIEWED_TRAILER, []))


def _change(status: str, path: str) -> list[Change]:
    """The change in a raw line of git's, ":<old mode> <new mode> <old id> <new id> <letter>"; [] if of no file.

    A merge's line has a colon, a mode and an id for each parent.
    """
    parents = len(status) - len(status.lstrip(":"))
    words = status.lstrip(":").split(" ")
    *olds, new = map(_blob_or_none, words[: parents + 1], words[parents + 1 : 2 * parents + 2])
    return [] if not any((*olds, new)) else [Change(path, olds[0], new, tuple(olds[1:]))]


def _blob_or_none(mode: str, object_id: str) -> str | None:
    # A submodule's entry names a commit of another repository.
    return None if object_id == _NO_OBJECT or mode == _SUBMODULE else object_id
