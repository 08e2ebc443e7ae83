"""A document as a flat set of fields, which is how people think of a change: this label, that tag, the
description.

A field is named by a JSON pointer. Labels and the parts of `build_config` are fields of their own, and so
is each tag, by its name rather than by its place in the list:

    /description                  "A web server"
    /labels/example.com~1tier     "front"
    /build_config/tag_configs     whatever it holds, as one
    /tags/latest                  {"image_id": "…"}
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any

from catalogd.documents.canonical import FIELDS, is_left_out, sorted_tags
from catalogd.documents.positions import escape, unescape


class Absence(Enum):
    """The type of ABSENT, a value unlike any of JSON (null is a value)."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT = Absence.ABSENT

_KEYED = ("labels", "build_config")
_SPLIT = frozenset({*_KEYED, "tags"})


@dataclass(frozen=True)
class FieldChange:
    """What became of one field. ABSENT stands on the side that does not have it."""

    pointer: str
    before: object
    after: object


def flatten(document: dict[str, Any], whole: Collection[str] = ()) -> dict[str, Any]:
    """JSON pointer -> value of each field of `document`; a tag's value is its object without "tag".

    Fields that canonical form leaves out are left out here. What `whole` names, and what cannot be split
    (tags without or with the same names, labels that are no object), is one field.
    """
    fields: dict[str, Any] = {}
    for key, value in document.items():
        if is_left_out(key, value):
            continue
        parts = _parts(key, value) if key in _SPLIT and key not in whole else None
        if parts is None:
            fields[f"/{escape(key)}"] = value
        else:
            fields.update({f"/{key}/{escape(name)}": part for name, part in parts.items()})
    return fields


def unflatten(fields: dict[str, Any]) -> dict[str, Any]:
    """The document that flattens to `fields`; of a repository always with `tags`, sorted."""
    document: dict[str, Any] = {}
    split: dict[str, dict[str, Any]] = {}
    for pointer, value in fields.items():
        key, slash, name = pointer[1:].partition("/")
        if slash:
            split.setdefault(key, {})[unescape(name)] = value
        else:
            document[unescape(key)] = value
    tags = split.pop("tags", {})
    if "tags" not in document and ("repo_name" in document or tags):
        document["tags"] = sorted_tags({"tag": name, **tag} for name, tag in tags.items())
    document.update(split)
    return {key: document[key] for key in (*FIELDS, *sorted(set(document) - set(FIELDS))) if key in document}


def diff(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[FieldChange]:
    """What changed from `before` to `after`, sorted by pointer; None is a document that does not exist.

    A document that appears or goes away is one change, with the pointer "".
    """
    if before is None or after is None:
        if before is after:
            return []
        return [FieldChange("", ABSENT if before is None else before, ABSENT if after is None else after)]
    # Most of a document stays the same in an edit: only what differs is taken apart.
    differ = [key for key in before.keys() | after.keys() if not same(before.get(key, ABSENT), after.get(key, ABSENT))]
    old, new = flatten_alike(*({key: side[key] for key in differ if key in side} for side in (before, after)))
    return [
        FieldChange(pointer, old.get(pointer, ABSENT), new.get(pointer, ABSENT))
        for pointer in sorted(old.keys() | new.keys())
        if not same(old.get(pointer, ABSENT), new.get(pointer, ABSENT))
    ]


def flatten_alike(*documents: dict[str, Any]) -> list[dict[str, Any]]:
    """Each of `documents` flattened; what cannot be split in one of them is split in none."""
    whole = {
        key
        for document in documents
        for key in _SPLIT
        if key in document and not is_left_out(key, document[key]) and _parts(key, document[key]) is None
    }
    return [flatten(document, whole) for document in documents]


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same; unlike in Python, true is not 1."""
    if one is other:
        return True
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(map(same, one, other))
    return True


def _parts(key: str, value: object) -> dict[str, Any] | None:
    """Name -> value of the parts of a field that is split; None if it cannot be."""
    if key in _KEYED:
        return value if isinstance(value, dict) else None
    if not isinstance(value, list):
        return None
    parts: dict[str, Any] = {}
    for tag in value:
        if not isinstance(tag, dict) or not isinstance(tag.get("tag"), str) or tag["tag"] in parts:
            return None
        parts[tag["tag"]] = {name: part for name, part in tag.items() if name != "tag"}
    return parts
