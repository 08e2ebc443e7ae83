"""The journal: what was acknowledged but may not be durable yet in git's own files.

To make a commit durable in git takes five fsyncs of new files and directories: pack, index, pack directory, lock, refs
directory. One fdatasync of a file whose blocks are there already takes a tenth of that. So each group of commits goes
into the journal first, and into git's files without waiting for the disk. A checkpoint syncs those, in the background,
within seconds, and empties the journal. After a power cut, opening the catalog makes the commits of the journal anew:
from its parent, a commit's content and its changed files, everything else in git follows.

    header   magic, generation, base          synced at each checkpoint; `base` is main's commit at that time
    records  magic, generation, length, crc32, parent, tip, commits

Records of another generation are left over from before the last checkpoint. Any process that holds the catalog's lock
may write. Each remembers where the records ended, and reads on from there.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from catalogd.store.files import fsync_directory

# About 3,000 commits of small documents.
SIZE = 4 << 20

_MAGIC = b"catalogd"
_NO_COMMIT = bytes(20)
_HEADER = struct.Struct(">8sQ20sI")  # magic, generation, base, crc32
_RECORD = struct.Struct(">4sQQI20s20s")  # magic, generation, length, crc32, parent, tip
_RECORD_MAGIC = b"rec1"
# Apart, so that a torn write of the one cannot touch the other.
_RECORDS_AT = 8192

_NUMBER = struct.Struct(">I")
_NO_FILE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Made:
    """A commit as the journal keeps it: the commit object's content, and each path's new content or None."""

    data: bytes
    files: dict[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Record:
    """A group of commits, oldest first, on top of `parent` (None: they are the first); `tip` is the last one's id."""

    parent: str | None
    tip: str
    commits: tuple[Made, ...]


class Journal:
    """The journal of one catalog. All calls want the catalog's lock held."""

    def __init__(self, path: Path):
        """Raises OSError where the file cannot be made whole: every byte of it is written once, so that no later
        write needs room."""
        self._path = path
        # Of which generation this process has read the records up to where, and the last one's tip.
        self._read_up_to = 0, _RECORDS_AT, b""
        self._before_last = self._read_up_to
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(self._descriptor).st_size != SIZE:
                self._make()
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    def append(self, parent: str | None, tip: str, commits: list[Made]) -> bool:
        """Make a group durable whose last commit is `tip`. False, and nothing done, where a checkpoint must come first.

        That is where the journal is full, and where `parent` is not what the journal ends with: a commit by others,
        which nobody has synced. Raises OSError.
        """
        generation, base = self._header()
        end, last = self._end(generation, base)
        if _raw(parent) != last:
            return False
        payload = _packed(commits)
        after = end + _RECORD.size + len(payload)
        if after > SIZE:
            return False
        crc = zlib.crc32(payload, zlib.crc32(_raw(parent) + _raw(tip)))
        head = _RECORD.pack(_RECORD_MAGIC, generation, len(payload), crc, _raw(parent), _raw(tip))
        try:
            _write(self._descriptor, head + payload, end)
            os.fdatasync(self._descriptor)
        except OSError:
            # It is reported as not written, so it must not be made again either, as far as that can still be had.
            with suppress(OSError):
                _write(self._descriptor, bytes(_RECORD.size), end)
            raise
        self._before_last = generation, end, last
        self._read_up_to = generation, after, _raw(tip)
        return True

    def withdraw(self) -> None:
        """Take back, durably, what was appended last, by this object and under the same lock. Raises OSError."""
        _write(self._descriptor, bytes(_RECORD.size), self._before_last[1])
        os.fdatasync(self._descriptor)
        self._read_up_to = self._before_last

    def is_empty(self) -> bool:
        """Whether git's own files have everything."""
        generation, base = self._header()
        return self._end(generation, base)[0] == _RECORDS_AT

    def base(self) -> str | None:
        """The commit at which all was synced last; None where that is not known."""
        base = self._header()[1]
        return None if base in (b"", _NO_COMMIT) else base.hex()

    def records(self) -> Iterator[Record]:
        """What has been written since the last checkpoint, oldest first; ends where a record is torn."""
        generation, _ = self._header()
        at = _RECORDS_AT
        while found := self._read(at, generation):
            record, at = found
            yield record

    def reset(self, base: str | None) -> None:
        """git's files are synced, and main is at `base`: forget the records. Raises OSError.

        None: it is not to be known which commit the files of the working tree were synced at.
        """
        # Never one that was there before, not even if the header is torn.
        generation = max(self._header()[0] + 1, time.time_ns())
        self._write_header(generation, base)
        os.fdatasync(self._descriptor)

    def _make(self) -> None:
        os.ftruncate(self._descriptor, 0)
        _write(self._descriptor, bytes(SIZE), 0)
        self._write_header(time.time_ns(), None)
        os.fsync(self._descriptor)
        fsync_directory(self._path.parent)

    def _write_header(self, generation: int, base: str | None) -> None:
        crc = zlib.crc32(_raw(base), generation & 0xFFFFFFFF)
        _write(self._descriptor, _HEADER.pack(_MAGIC, generation, _raw(base), crc), 0)

    def _header(self) -> tuple[int, bytes]:
        """(generation, base). A header that is torn was being written by a checkpoint, so nothing is missing."""
        magic, generation, base, crc = _HEADER.unpack(os.pread(self._descriptor, _HEADER.size, 0))
        if magic != _MAGIC or crc != zlib.crc32(base, generation & 0xFFFFFFFF):
            return 0, b""
        return generation, base

    def _end(self, generation: int, base: bytes) -> tuple[int, bytes]:
        """(where the next record goes, the commit that the journal ends with)."""
        known, end, tip = self._read_up_to
        if known != generation:
            end, tip = _RECORDS_AT, base
        while found := self._read(end, generation):
            end, tip = found[1], _raw(found[0].tip)
        self._read_up_to = generation, end, tip
        return end, tip

    def _read(self, at: int, generation: int) -> tuple[Record, int] | None:
        head = os.pread(self._descriptor, _RECORD.size, at)
        if len(head) < _RECORD.size:
            return None
        magic, of, length, crc, parent, tip = _RECORD.unpack(head)
        after = at + _RECORD.size + length
        if magic != _RECORD_MAGIC or of != generation or after > SIZE:
            return None
        payload = os.pread(self._descriptor, length, at + _RECORD.size)
        if zlib.crc32(payload, zlib.crc32(parent + tip)) != crc:
            return None
        return Record(None if parent == _NO_COMMIT else parent.hex(), tip.hex(), _unpacked(payload)), after


def sync_file_system(descriptor: int) -> None:
    """Write out all that is pending on the file system of an open file. Raises OSError.

    The kernel tells an error of earlier writing once for each descriptor: use one that was open then.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:  # not on Linux
        os.sync()
    elif syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _write(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _raw(commit: str | None) -> bytes:
    return bytes.fromhex(commit) if commit else _NO_COMMIT


def _packed(commits: list[Made]) -> bytes:
    parts: list[bytes] = []
    for made in commits:
        parts += [_NUMBER.pack(len(made.data)), made.data, _NUMBER.pack(len(made.files))]
        for path, content in made.files.items():
            name = path.encode("utf-8", "surrogateescape")
            parts += [_NUMBER.pack(len(name)), name]
            parts += [_NUMBER.pack(_NO_FILE)] if content is None else [_NUMBER.pack(len(content)), content]
    return b"".join(parts)


def _unpacked(payload: bytes) -> tuple[Made, ...]:
    at = 0

    def number() -> int:
        nonlocal at
        at += _NUMBER.size
        return int(_NUMBER.unpack_from(payload, at - _NUMBER.size)[0])

    def content(length: int) -> bytes:
        nonlocal at
        at += length
        return payload[at - length : at]

    commits = []
    while at < len(payload):
        data = content(number())
        files: dict[str, bytes | None] = {}
        for _ in range(number()):
            path = content(number()).decode("utf-8", "surrogateescape")
            length = number()
            files[path] = None if length == _NO_FILE else content(length)
        commits.append(Made(data, files))
    return tuple(commits)
