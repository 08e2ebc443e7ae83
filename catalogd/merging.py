"""The merge of one file of a catalog, for git's merge driver: documents field by field, anything else by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from catalogd.check import ERROR, Finding, canonical_bytes, check
from catalogd.documents import ABSENT, Conflict, Merged, loads, merge
from catalogd.errors import Malformed
from catalogd.store import merge_texts

# What no side has at a field in conflict. As the base of a merge by line it makes both sides differ from the base in
# the same line, so that git marks the field, and no more than the field.
_NEITHER = "\0"
_NEITHER_FILE = b"neither\n"


@dataclass(frozen=True)
class MergedFile:
    """What became of a file. `content` is None where nothing could be made of it: then ours is to stay.

    `is_clean` says whether that is the merge; if not, `conflicts` or `findings` tell why. Of a merge by line only the
    markers in `content` do.
    """

    content: bytes | None
    is_clean: bool
    conflicts: list[Conflict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def merge_files(
    path: str, base: bytes, ours: bytes, theirs: bytes, site: Mapping[str, bytes] | None = None, marker_size: int = 7
) -> MergedFile:
    """The file at `path` with the changes of both sides; an empty file is one that a side does not have.

    `site` are the catalog's own schemas, as for Schemas: what fits on either side need not fit together.
    """
    try:
        documents = [_document(side) for side in (base, ours, theirs)]
    except Malformed:
        merged_text = merge_texts(base, ours, theirs, marker_size)
        return MergedFile(None, False) if merged_text is None else MergedFile(merged_text[0], not merged_text[1])
    merged = merge(*documents)
    if merged.conflicts:
        return MergedFile(_with_markers(path, merged, marker_size), False, merged.conflicts)
    content = _content(path, merged.document)
    findings = [finding for finding in check([(path, content)], site) if finding.severity == ERROR]
    return MergedFile(content, not findings, [], findings)


def _document(data: bytes) -> dict[str, Any] | None:
    """The document of a file, None for an empty one. Raises Malformed."""
    if not data:
        return None
    document = loads(data)
    if not isinstance(document, dict):
        raise Malformed("The document must be a JSON object.")
    return document


def _content(path: str, document: dict[str, Any] | None) -> bytes:
    return b"" if document is None else canonical_bytes(path, document)


def _with_markers(path: str, merged: Merged, marker_size: int) -> bytes | None:
    """The canonical form of the merge, with conflict markers around the fields in conflict and nothing else."""
    ours, theirs = (
        merged.with_fields({conflict.pointer: getattr(conflict, side) for conflict in merged.conflicts})
        for side in ("ours", "theirs")
    )
    neither = merged.with_fields({conflict.pointer: _neither(conflict) for conflict in merged.conflicts})
    base = _NEITHER_FILE if neither is None else canonical_bytes(path, neither)
    marked = merge_texts(base, _content(path, ours), _content(path, theirs), marker_size)
    return None if marked is None else marked[0]


def _neither(conflict: Conflict) -> object:
    """A value of the same kind that is on neither side, and is written where theirs would be."""
    if not conflict.pointer:
        return ABSENT
    if conflict.pointer.startswith("/tags/"):
        return {_NEITHER: ""}
    some = conflict.theirs if conflict.ours is ABSENT else conflict.ours
    return f"{some}{_NEITHER}" if isinstance(some, str) else _NEITHER
