"""Whose value each field in conflict with an upstream gets, as somebody has chosen.

A choice is between two values of one field: where either side changes it again, it is a conflict again. It is kept in
a file, so that conflicts may be settled one after the other, until all are and the two sides are merged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from catalogd.documents import ABSENT
from catalogd.store import read_or_none, replace_durably


class Choices:
    """The choices of one catalog, in a file. `sides` are new ones, for a path or for all below a directory."""

    def __init__(self, file: Path, sides: Mapping[str, str]):
        self._file = file
        self._sides = sides
        self._kept = self._read()
        self._used: dict[str, str] = {}

    def decide(self, path: str, pointer: str, ours: object, theirs: object) -> str | None:
        """The side for a field; None if nobody has chosen."""
        field = _named(path, pointer, ours, theirs)
        side = self._new(path) or self._kept.get(field)
        if side is not None:
            self._used[field] = side
        return side

    def keep(self) -> None:
        """Remember what was chosen for fields that are in conflict. Raises OSError."""
        if self._used != self._kept:
            replace_durably(self._file, json.dumps(self._used).encode())

    def forget(self) -> None:
        """They have become part of a merge. Raises OSError."""
        self._file.unlink(missing_ok=True)

    def _new(self, path: str) -> str | None:
        while path:
            if path in self._sides:
                return self._sides[path]
            path = path.rpartition("/")[0]
        return self._sides.get(".")

    def _read(self) -> dict[str, str]:
        try:
            kept = json.loads(read_or_none(self._file) or b"{}")
        except ValueError:
            return {}
        return kept if isinstance(kept, dict) else {}


def _named(path: str, pointer: str, *values: object) -> str:
    sides = ["" if value is ABSENT else json.dumps(value, sort_keys=True) for value in values]
    return f"{path} {pointer} {hashlib.sha256(json.dumps(sides).encode()).hexdigest()}"
