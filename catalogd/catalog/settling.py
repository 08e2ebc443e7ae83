"""How one file that two sides have changed is settled, and whether the files that come of it fit the catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from catalogd import documents, names
from catalogd.check import ERROR, Finding, canonical_bytes, check
from catalogd.documents import ABSENT, merge_on_all, strict
from catalogd.errors import Malformed
from catalogd.store import blob_id, merge_texts, short

OURS, THEIRS = "ours", "theirs"

# (path, JSON pointer, our value, their value) → OURS, THEIRS or None for a field in conflict.
Decide = Callable[[str, str, object, object], str | None]


def undecided(path: str, pointer: str, ours: object, theirs: object) -> None:
    """Leaves every conflict as it is."""


@dataclass(frozen=True)
class FieldConflict(documents.Conflict):
    """A field of a file that both sides changed, each in its own way.

    The pointer is "" where it is the whole file: one side has deleted it, or it is no document. `is_public` tells
    whether anybody may see the document on both sides.
    """

    path: str
    is_public: bool


@dataclass(frozen=True)
class BothSides:
    """A file that both sides have changed; None where a side does not have it.

    There are several bases where the two lines have met before, with either as the one that was merged into: what each
    of these decided may be otherwise. Then only that is merged on which all of them agree.
    """

    path: str
    bases: list[bytes | None]
    ours: bytes | None
    theirs: bytes | None

    def settled(self, decide: Decide, conflicts: list[FieldConflict]) -> bytes | None:
        """The merge; fields in conflict as is decided. Those that are not are added to `conflicts`."""
        if self.path != names.POLICY_PATH and not self._is_document():
            return self._settled_as_text(decide, conflicts)
        try:
            ours, theirs, *bases = (_parsed(data) for data in (self.ours, self.theirs, *self.bases))
        except Malformed:
            return self._settled_whole(decide, conflicts)
        merged = merge_on_all(bases, ours, theirs)
        values = {}
        is_public = names.parse_document_path(self.path) is not None and all(map(_is_public, (ours, theirs, *bases)))
        for c in merged.conflicts:
            side = decide(self.path, c.pointer, c.ours, c.theirs)
            values[c.pointer] = c.theirs if side == THEIRS else c.ours
            if side is None:
                conflicts.append(FieldConflict(c.pointer, c.base, c.ours, c.theirs, self.path, is_public))
        document = merged.with_fields(values) if values else merged.document
        return None if document is None else canonical_bytes(self.path, document)

    def _is_document(self) -> bool:
        return bool(names.parse_document_path(self.path) or names.parse_namespace_path(self.path))

    def _settled_as_text(self, decide: Decide, conflicts: list[FieldConflict]) -> bytes | None:
        if self.ours is not None and self.theirs is not None:
            merged = [merge_texts(base, self.ours, self.theirs) if base is not None else None for base in self.bases]
            first = merged[0]
            if first is not None and not first[1] and all(other == first for other in merged):
                return first[0]
        return self._settled_whole(decide, conflicts)

    def _settled_whole(self, decide: Decide, conflicts: list[FieldConflict]) -> bytes | None:
        base, ours, theirs = (_digest(data) for data in (self.bases[0], self.ours, self.theirs))
        side = decide(self.path, "", ours, theirs)
        if side is None:
            conflicts.append(FieldConflict("", base, ours, theirs, self.path, is_public=False))
        return self.theirs if side == THEIRS else self.ours


def _is_public(document: dict[str, Any] | None) -> bool:
    return document is None or document.get("is_public", True) is True


def _digest(data: bytes | None) -> object:
    """What stands for a file that is no document."""
    return ABSENT if data is None else f"a file, {short(blob_id(data))}"


def _parsed(data: bytes | None) -> dict[str, Any] | None:
    if data is None:
        return None
    document = strict.loads(data)
    if not isinstance(document, dict):
        raise Malformed("The document must be a JSON object.")
    return document


def faults_in(files: Mapping[str, bytes], there: Callable[[str], bytes | None]) -> Iterator[Finding]:
    """Where a file is none that the catalog takes, by the schemas that will be in force; `there` reads what stays."""
    site = {}
    for kind in names.KINDS:
        path = names.schema_path(kind)
        schema = files[path] if path in files else there(path)
        if schema is not None:
            site[kind] = schema
    return (finding for finding in check(sorted(files.items()), site) if finding.severity == ERROR)
