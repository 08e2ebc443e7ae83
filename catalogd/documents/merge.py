"""Three-way merge of documents, field by field: two edits of different fields are both kept."""

from __future__ import annotations

from dataclasses import dataclass

from catalogd.documents.fields import ABSENT, flatten_alike, same, unflatten

# What the catalog itself counts and stamps as the repository is used. Never a conflict, and no reason to
# keep a document that the other side deleted.
COUNTERS = frozenset({"/download", "/upload", "/repo_starred_count", "/pulled_at", "/pushed_at"})
UPDATED_AT = "/updated_at"


@dataclass(frozen=True)
class Conflict:
    """A field that both sides changed, each in its own way; ABSENT where a side does not have it."""

    pointer: str
    base: object
    ours: object
    theirs: object


@dataclass(frozen=True)
class Merged:
    """`document` is None where the merge deletes it. Where there are conflicts it holds our side of them."""

    document: dict | None
    conflicts: list[Conflict]


def merge(base: dict | None, ours: dict | None, theirs: dict | None) -> Merged:
    """`ours` with what changed from `base` to `theirs`; None is a document that does not exist.

    Of `updated_at` the later one is taken, of the counters ours (theirs only where we have none). A
    deletion wins over a document that is otherwise unchanged, and is a conflict with the pointer "" where
    it is not. The document is not validated: two edits that each fit the schema may not fit it together.
    """
    if ours is None or theirs is None:
        return _merge_deletion(base, ours, theirs)
    fields_of_base, mine, yours = flatten_alike(base or {}, ours, theirs)
    merged: dict[str, object] = {}
    conflicts = []
    for pointer in sorted(fields_of_base.keys() | mine.keys() | yours.keys()):
        sides = [side.get(pointer, ABSENT) for side in (fields_of_base, mine, yours)]
        value, conflicting = _merge_field(pointer, *sides)
        if conflicting:
            conflicts.append(Conflict(pointer, *sides))
        if value is not ABSENT:
            merged[pointer] = value
    return Merged(unflatten(merged), conflicts)


def _merge_deletion(base: dict | None, ours: dict | None, theirs: dict | None) -> Merged:
    """The merge where at least one side has no document."""
    left = theirs if ours is None else ours
    if left is None:
        return Merged(None, [])
    if base is None:
        return Merged(left, [])
    if _same_but_for_use(base, left):
        return Merged(None, [])
    sides = (ABSENT if side is None else side for side in (base, ours, theirs))
    return Merged(ours, [Conflict("", *sides)])


def _same_but_for_use(one: dict, other: dict) -> bool:
    first, second = flatten_alike(one, other)
    return all(
        same(first.get(pointer, ABSENT), second.get(pointer, ABSENT))
        for pointer in first.keys() | second.keys()
        if pointer not in COUNTERS and pointer != UPDATED_AT
    )


def _merge_field(pointer: str, base: object, ours: object, theirs: object) -> tuple[object, bool]:
    """(the merged value, whether the sides are in conflict)."""
    if pointer in COUNTERS:
        return (theirs if ours is ABSENT else ours), False
    if pointer == UPDATED_AT:
        return _later(ours, theirs), False
    if same(ours, theirs) or same(base, theirs):
        return ours, False
    if same(base, ours):
        return theirs, False
    return ours, True


def _later(ours: object, theirs: object) -> object:
    """The later of two times; in the one form that documents have, the order of the text is that of time."""
    times = [time for time in (ours, theirs) if isinstance(time, str)]
    return max(times, default=ours)
