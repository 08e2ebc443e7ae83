"""A pack of new objects: the quickest way into git for a group of commits.

Format: gitformat-pack(5). Objects are whole, or OFS_DELTA on an object earlier in the same pack.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from itertools import accumulate
from pathlib import Path

from catalogd.store.files import fsync, fsync_directory, remove, write
from catalogd.store.objects import Splice, Tree, object_id

_KINDS = {"commit": 1, "tree": 2, "blob": 3}
_OFS_DELTA = 6

# Half of a tree is digests, which do not compress: trees past this size are stored as they are, for zlib would take
# longer than all the rest of a commit, and the next fold makes deltas of them anyway.
_STORED_FROM = 512
# A smaller tree is hardly longer than its delta.
_DELTA_FROM = 256
# zlib first clears its memory, 256 KB by default, which takes longer than to compress a small object. With a window
# of 4 KB (2^12) and little memory it is six times faster, and the result hardly longer, up to that window's size.
_SMALL_WINDOW, _LITTLE_MEMORY = 12, 3
_MAX_INSERT = 127
_MAX_COPY = 0xFFFFFF
_MAX_SMALL_OFFSET = 0x7FFFFFFF

TEMPORARY_PREFIX = "tmp_pack_catalogd_"


class Pack:
    """Collects objects in memory; `write` puts them into the object store."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 12  # the header
        self._index: dict[str, tuple[int, int]] = {}  # id -> (crc32, offset)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def size(self) -> int:
        """Bytes that `write` will need, index included."""
        return self._size + 1100 + 28 * len(self._index)

    def add(self, kind: str, data: bytes) -> str:
        """Add a blob or a commit. Returns its id."""
        new_id = object_id(kind, data)
        if new_id not in self._index:
            self._append(new_id, _header(_KINDS[kind], len(data)), _deflated(data, 1))
        return new_id

    def add_tree(self, tree: Tree) -> str:
        """Add a tree, as a delta where the one it was spliced from is in this pack."""
        splice = tree.splice
        if tree.id in self._index:
            return tree.id
        size = tree.size
        if splice is None or splice.base not in self._index or size < _DELTA_FROM:
            level = 0 if size >= _STORED_FROM else 1
            self._append(tree.id, _header(_KINDS["tree"], size), _deflated(tree.raw, level))
        else:
            delta = _delta(splice, size)
            distance = self._size - self._index[splice.base][1]
            self._append(tree.id, _header(_OFS_DELTA, len(delta)) + _base_offset(distance), _deflated(delta, 1))
        return tree.id

    def write(self, directory: Path | str, *, durable: bool) -> None:
        """Write pack and index into `objects/pack`. Raises OSError; leaves no half of it."""
        header = struct.pack(">4sII", b"PACK", 2, len(self._index))
        digest = hashlib.sha1(header, usedforsecurity=False)
        for chunk in self._chunks:
            digest.update(chunk)
        checksum = digest.digest()
        temporary = f"{directory}/{TEMPORARY_PREFIX}{os.getpid()}"
        temporary_index = f"{temporary}.idx"
        final = f"{directory}/pack-{checksum.hex()}"
        # Of a process that was killed and had the same number, as in a container.
        remove(temporary)
        remove(temporary_index)
        try:
            write(temporary, [header, *self._chunks, checksum], 0o444, durable=durable)
            write(temporary_index, [self._index_bytes(checksum)], 0o444, durable=durable)
            os.rename(temporary, f"{final}.pack")  # git looks for the .idx first, so it comes last
            os.rename(temporary_index, f"{final}.idx")
            if durable:
                fsync_directory(directory)
        except BaseException:
            remove(temporary)
            remove(temporary_index)
            raise

    def _append(self, new_id: str, header: bytes, compressed: bytes) -> None:
        record = header + compressed
        self._index[new_id] = (zlib.crc32(record), self._size)
        self._chunks.append(record)
        self._size += len(record)

    def _index_bytes(self, pack_checksum: bytes) -> bytes:
        ids = sorted(self._index)
        raw_ids = [bytes.fromhex(i) for i in ids]
        counts = [0] * 256
        for raw_id in raw_ids:
            counts[raw_id[0]] += 1
        fanout = accumulate(counts)
        small: list[int] = []
        large: list[int] = []
        for i in ids:
            offset = self._index[i][1]
            small.append(offset if offset <= _MAX_SMALL_OFFSET else 0x80000000 | len(large))
            if offset > _MAX_SMALL_OFFSET:
                large.append(offset)
        body = b"".join(
            [
                b"\xfftOc",
                struct.pack(">I256I", 2, *fanout),
                *raw_ids,
                struct.pack(f">{len(ids)}I", *(self._index[i][0] for i in ids)),
                struct.pack(f">{len(ids)}I", *small),
                struct.pack(f">{len(large)}Q", *large),
                pack_checksum,
            ]
        )
        return body + hashlib.sha1(body, usedforsecurity=False).digest()


def link_packs(files: Iterable[Path], there: Path) -> None:
    """Have packs and their indexes in another directory of packs, too, durably.

    Raises OSError; what was begun is removed then.
    """
    linked: list[Path] = []
    try:
        # git looks for the .idx first, so it comes last.
        for file in sorted(files, key=lambda file: file.suffix == ".idx"):
            fsync(file)
            with suppress(FileExistsError):  # a pack is named by what is in it
                os.link(file, there / file.name)
                linked.append(there / file.name)
        fsync_directory(there)
    except BaseException:
        for link in reversed(linked):
            link.unlink(missing_ok=True)
        raise


def _deflated(data: bytes, level: int) -> bytes:
    if level and len(data) > 1 << _SMALL_WINDOW:
        return zlib.compress(data, level)
    compressor = zlib.compressobj(level, zlib.DEFLATED, _SMALL_WINDOW, _LITTLE_MEMORY)
    return compressor.compress(data) + compressor.flush()


def _header(kind: int, size: int) -> bytes:
    """Type and size: 4 bits of size in the first byte, then 7 a byte, least significant first."""
    first, size = (kind << 4) | (size & 0x0F), size >> 4
    encoded = bytearray()
    while size:
        encoded.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    encoded.append(first)
    return bytes(encoded)


def _base_offset(distance: int) -> bytes:
    """The distance back to a delta's base: big-endian base 128, with one added at each continuation."""
    encoded = [distance & 0x7F]
    while distance := distance >> 7:
        distance -= 1
        encoded.append(0x80 | (distance & 0x7F))
    return bytes(reversed(encoded))


def _delta(splice: Splice, size: int) -> bytes:
    rest = splice.offset + splice.removed
    inserted = (splice.inserted[i : i + _MAX_INSERT] for i in range(0, len(splice.inserted), _MAX_INSERT))
    return b"".join(
        [
            _varint(splice.base_size),
            _varint(size),
            _copy(0, splice.offset),
            *(bytes([len(part)]) + part for part in inserted),
            _copy(rest, splice.base_size - rest),
        ]
    )


def _copy(offset: int, length: int) -> bytes:
    instructions = bytearray()
    while length:
        part = min(length, _MAX_COPY)
        operands = bytearray()
        bits = 0x80
        for i, byte in enumerate(offset.to_bytes(4, "little") + part.to_bytes(3, "little")):
            if byte:
                bits |= 1 << i
                operands.append(byte)
        instructions += bytes([bits]) + operands
        offset, length = offset + part, length - part
    return bytes(instructions)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(0x80 | (number & 0x7F))
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
