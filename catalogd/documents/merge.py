"""Three-way merge of documents, field by field: two edits of different fields are both kept.

The lists of an organization's members are sets, and each member is a field, /owners/alice say. What somebody is in an
organization is one thing though it may take two lists to say it: two edits of the same member must agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalogd.documents.fields import ABSENT, flatten_alike, same, unflatten
from catalogd.documents.organizations import LISTS
from catalogd.documents.positions import escape

# What the catalog itself counts and stamps as the repository is used. Never a conflict, and no reason to
# keep a document that the other side deleted.
COUNTERS = frozenset({"/download", "/upload", "/repo_starred_count", "/pulled_at", "/pushed_at"})
UPDATED_AT = "/updated_at"
CREATED_AT = "/created_at"


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

    document: dict[str, Any] | None
    conflicts: list[Conflict]
    fields: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)

    def with_fields(self, values: Mapping[str, object]) -> dict[str, Any] | None:
        """`document` with other values for fields in conflict, by their pointers; ABSENT takes one away."""
        if "" in values:
            whole = values[""]
            return whole if isinstance(whole, dict) else None
        merged = {**self.fields, **values}
        return _put_together({pointer: value for pointer, value in merged.items() if value is not ABSENT})


def merge(base: dict[str, Any] | None, ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> Merged:
    """`ours` with what changed from `base` to `theirs`; None is a document that does not exist.

    Of `updated_at` the later one is taken, of counters that both have changed ours, and the earlier `created_at` of two
    documents that were created apart. A deletion wins over a document that is
    otherwise unchanged, and is a conflict with the pointer "" where it is not. The document is not validated:
    two edits that each fit the schema may not fit it together.
    """
    if ours is None or theirs is None:
        return _merge_deletion(base, ours, theirs)
    fields_of_base, mine, yours = _taken_apart(base or {}, ours, theirs)
    merged: dict[str, object] = {}
    conflicts = []
    for pointers in _that_belong_together(fields_of_base.keys() | mine.keys() | yours.keys()):
        sides = [[side.get(pointer, ABSENT) for pointer in pointers] for side in (fields_of_base, mine, yours)]
        values, conflicting = _merge_field(pointers[0], *sides)
        merged.update(zip(pointers, values, strict=True))
        if conflicting:
            conflicts += [Conflict(*found) for found in zip(pointers, *sides, strict=True) if not same(*found[2:])]
    merged = {pointer: value for pointer, value in merged.items() if value is not ABSENT}
    return Merged(_put_together(merged), sorted(conflicts, key=lambda conflict: conflict.pointer), merged)


def merge_on_all(
    bases: Sequence[dict[str, Any] | None], ours: dict[str, Any] | None, theirs: dict[str, Any] | None
) -> Merged:
    """As merge(), for several bases, which need not agree: a conflict as well is what comes out otherwise on one."""
    first, *others = [merge(base, ours, theirs) for base in bases]
    conflicts = {conflict.pointer: conflict for merged in (first, *others) for conflict in merged.conflicts}
    mine, yours = (merge(side, side, side).fields for side in (ours, theirs))
    for pointer in {pointer for other in others for pointer in _differing(first, other)} - conflicts.keys():
        sides = mine.get(pointer, ABSENT), yours.get(pointer, ABSENT)
        if same(*sides):  # no field by itself: it is the whole that differs
            pointer, sides = "", (ABSENT if ours is None else ours, ABSENT if theirs is None else theirs)
        conflicts.setdefault(pointer, Conflict(pointer, ABSENT, *sides))
    if "" in conflicts:
        conflicts = {"": conflicts[""]}
    return Merged(first.document, sorted(conflicts.values(), key=lambda conflict: conflict.pointer), first.fields)


def _differing(one: Merged, other: Merged) -> Iterator[str]:
    """The pointers of what came out otherwise; "" where one has no document."""
    if (one.document is None) != (other.document is None):
        yield ""
    for pointer in (one.fields.keys() | other.fields.keys()) - COUNTERS - {UPDATED_AT, CREATED_AT}:
        if not same(one.fields.get(pointer, ABSENT), other.fields.get(pointer, ABSENT)):
            yield pointer


def _taken_apart(*documents: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of each, with a field for each member in place of lists; "" is the value of an empty list."""
    flat = flatten_alike(*documents)
    if any("repo_name" in document for document in documents):
        return flat
    for name in LISTS:
        pointer = f"/{name}"
        lists = [fields[pointer] for fields in flat if pointer in fields]
        if all(map(_is_set_of_names, lists)):
            for fields in flat:
                members = fields.pop(pointer, None)
                if members is not None:
                    fields |= {f"{pointer}/": "", **{f"{pointer}/{escape(member)}": member for member in members}}
    return flat


def _put_together(fields: Mapping[str, object]) -> dict[str, Any]:
    lists: dict[str, list[Any]] = {}
    others: dict[str, Any] = {}
    for pointer, value in fields.items():
        name, slash, member = pointer[1:].partition("/")
        if slash and name in LISTS:
            lists.setdefault(f"/{name}", []).extend([value] if member else [])
        else:
            others[pointer] = value
    for members in lists.values():
        members.sort()
    return unflatten(others | lists)


def _is_set_of_names(members: object) -> bool:
    if not isinstance(members, list) or not all(isinstance(member, str) and member for member in members):
        return False
    return len(set(members)) == len(members)


def _that_belong_together(pointers: Iterable[str]) -> list[list[str]]:
    """The pointers, sorted, each alone but for those of the same member."""
    found: dict[str, list[str]] = {}
    for pointer in sorted(pointers):
        name, slash, member = pointer[1:].partition("/")
        together = f"//{member}" if slash and name in LISTS and member else pointer
        found.setdefault(together, []).append(pointer)
    return list(found.values())


def _merge_deletion(base: dict[str, Any] | None, ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> Merged:
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


def _same_but_for_use(one: dict[str, Any], other: dict[str, Any]) -> bool:
    first, second = flatten_alike(one, other)
    return all(
        same(first.get(pointer, ABSENT), second.get(pointer, ABSENT))
        for pointer in first.keys() | second.keys()
        if pointer not in COUNTERS and pointer != UPDATED_AT
    )


def _merge_field(pointer: str, base: list[Any], ours: list[Any], theirs: list[Any]) -> tuple[list[Any], bool]:
    """(the merged values, whether the sides are in conflict); of most fields there is one value a side."""
    if pointer in COUNTERS:
        return (theirs if ours == [ABSENT] or same(base, ours) else ours), False
    if pointer == UPDATED_AT:
        return [_later(*ours, *theirs)], False
    if pointer == CREATED_AT and base == [ABSENT] and all(isinstance(side, str) for side in (*ours, *theirs)):
        return [min(*ours, *theirs)], False
    if same(ours, theirs) or same(base, theirs):
        return ours, False
    if same(base, ours):
        return theirs, False
    return ours, True


def _later(ours: object, theirs: object) -> object:
    """The later of two times; in the one form that documents have, the order of the text is that of time."""
    times = [time for time in (ours, theirs) if isinstance(time, str)]
    return max(times, default=ours)
