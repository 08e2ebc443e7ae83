"""A table in memory that processes share: for each key a number and a time."""

from __future__ import annotations

import hashlib
import mmap
import secrets
import struct
from collections.abc import Hashable

# A digest of the key, the time, the number. A free entry is all zeros.
_ENTRY = struct.Struct("<16sdq")
# A key has its place among so many; of these the oldest is forgotten for a new one.
_IN_A_ROW = 8
_NOTHING = bytes(16)


class Table:
    """Holds `most` entries, or some more. Whoever uses it sees to it that nobody else does at the same time."""

    def __init__(self, most: int):
        self._rows = -(-most // _IN_A_ROW)
        self._memory = mmap.mmap(-1, self._rows * _IN_A_ROW * _ENTRY.size)
        # So that nobody can choose keys of one row.
        self._secret = secrets.token_bytes(16)

    def get(self, key: Hashable) -> tuple[int, float] | None:
        """(number, time), or None where there is nothing, or it is forgotten."""
        digest, row = self._where(key)
        for at in row:
            found, time, number = _ENTRY.unpack_from(self._memory, at)
            if found == digest:
                return number, time
        return None

    def set(self, key: Hashable, number: int, time: float) -> None:
        """In the place of what there was, or of the oldest of those beside it."""
        digest, row = self._where(key)
        entries = [(at, *_ENTRY.unpack_from(self._memory, at)[:2]) for at in row]
        place = next((at for at, found, _ in entries if found == digest), None)
        if place is None:
            place = min(entries, key=lambda entry: (entry[1] != _NOTHING, entry[2]))[0]
        _ENTRY.pack_into(self._memory, place, digest, time, number)

    def drop(self, key: Hashable) -> None:
        """Forget it."""
        digest, row = self._where(key)
        for at in row:
            if self._memory[at : at + 16] == digest:
                self._memory[at : at + _ENTRY.size] = bytes(_ENTRY.size)

    def __len__(self) -> int:
        """How many entries there are."""
        return sum(found != _NOTHING for found, _, _ in _ENTRY.iter_unpack(self._memory))

    def _where(self, key: Hashable) -> tuple[bytes, range]:
        digest = hashlib.blake2b(
            repr(key).encode("utf-8", "surrogateescape"), digest_size=16, key=self._secret
        ).digest()
        row = int.from_bytes(digest[:8]) % self._rows * _IN_A_ROW * _ENTRY.size
        return digest, range(row, row + _IN_A_ROW * _ENTRY.size, _ENTRY.size)
