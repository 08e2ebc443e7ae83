"""The one form in which a document is written to its file, so that a diff shows what changed and nothing
else.

Fields in a fixed order, two spaces of indentation, one label and one tag a line, UTF-8 that is not escaped,
a newline at the end:

    {
      "namespace": "acme",
      "repo_name": "web",
      "labels": {
        "tier": "front"
      },
      "tags": [
        {"tag": "latest", "image_id": "…"}
      ]
    }
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

DEFAULT_LOGO = "default-icon.jpg"

# The fields of a repository's document, then those that only an organization's has.
FIELDS = (
    "namespace",
    "repo_name",
    "description",
    "full_description",
    "is_public",
    "logo",
    "labels",
    "build_config",
    "created_at",
    "updated_at",
    "pushed_at",
    "pulled_at",
    "download",
    "upload",
    "repo_starred_count",
    "tags",
    "owners",
    "writers",
    "readers",
)
TAG_FIELDS = ("tag", "image_id", "digest", "pushed_at", "architectures", "size")
BUILD_CONFIG_FIELDS = (
    "code_repo_client",
    "code_repo_clone_url",
    "code_repo_namespace",
    "code_repo_name",
    "tag_configs",
)

_LEFT_OUT_IF_EMPTY = frozenset({"labels", "build_config", "pushed_at", "pulled_at"})

_KNOWN = frozenset(FIELDS)
_KNOWN_OF_TAG = frozenset(TAG_FIELDS)
_KNOWN_OF_BUILD_CONFIG = frozenset(BUILD_CONFIG_FIELDS)
_MEMBERS = ("owners", "writers", "readers")

# NaN and infinities cannot be read back, so they must not be written.
_on_one_line = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_on_lines = json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=2, sort_keys=True).encode


def one_line(value: object) -> str:
    """Any JSON value on one line, as canonical form writes it. Raises ValueError for NaN and infinities."""
    return _on_one_line(value)


def dumps(document: dict[str, Any]) -> bytes:
    """The canonical bytes of a repository's or an organization's document.

    Reading them back and writing them again gives the same. A repository's document always gets its `tags`;
    other defaults are not added. Fields that no schema knows follow the known ones, sorted. Raises
    ValueError for NaN and infinities.
    """
    if "repo_name" in document and "tags" not in document:
        document = {**document, "tags": []}
    parts = [
        f"  {_on_one_line(key)}: {_WRITERS.get(key, _value)(document[key])}"
        for key in _order(document, FIELDS, _KNOWN)
        if not is_left_out(key, document[key])
    ]
    return ("{\n" + ",\n".join(parts) + "\n}\n" if parts else "{}\n").encode("utf-8")


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of a repository's document with every default filled in, in canonical order, its tags sorted.

    `pushed_at` and `pulled_at` are None where absent; `build_config`, `created_at` and `updated_at` stay
    absent. The values are shared with `document`, except for `labels` and `tags`.
    """
    filled = {
        "description": "",
        "full_description": "",
        "is_public": True,
        "logo": DEFAULT_LOGO,
        "pushed_at": None,
        "pulled_at": None,
        "download": 0,
        "upload": 0,
        "repo_starred_count": 0,
        **document,
        "labels": dict(document.get("labels") or {}),
        "tags": sorted_tags(document.get("tags") or []),
    }
    if not filled.get("build_config"):
        filled.pop("build_config", None)
    return {key: filled[key] for key in _order(filled, FIELDS, _KNOWN)}


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """Any document with its defaults where it is a repository's and can have them, so that to leave one out is no
    difference; else as it is.
    """
    can_be_completed = isinstance(document.get("tags") or [], list) and isinstance(document.get("labels") or {}, dict)
    return complete(document) if "repo_name" in document and can_be_completed else document


def is_left_out(key: str, value: object) -> bool:
    """Whether canonical form does not write the field `key` where it has this value."""
    return key in _LEFT_OUT_IF_EMPTY and (value is None or value == {})


def sorted_tags(tags: Iterable[Any]) -> list[Any]:
    """The tags in the order of their names. What is no tag at all comes first, as it came."""
    return sorted(tags, key=_name_of_tag)


def _order(value: dict[str, Any], fields: tuple[str, ...], known: frozenset[str]) -> list[str]:
    """The keys of `value`: those of `fields` first, in that order, then the others, sorted."""
    ordered = [key for key in fields if key in value]
    if len(ordered) != len(value):
        ordered += sorted(key for key in value if key not in known)
    return ordered


def _name_of_tag(tag: object) -> str:
    name = tag.get("tag") if isinstance(tag, dict) else None
    return name if isinstance(name, str) else ""


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Much faster than an encoder, and four fields of every document are numbers.
        return int.__repr__(value)
    if isinstance(value, dict | list) and value:
        return _indented(_on_lines(value))
    return _on_one_line(value)


def _indented(text: str) -> str:
    # Within strings newlines are escaped, so every one here ends a line of the form.
    return text.replace("\n", "\n  ")


def _labels(labels: object) -> str:
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        return _value(labels)
    lines = [f"    {_on_one_line(key)}: {_on_one_line(labels[key])}" for key in sorted(labels)]
    return "{\n" + ",\n".join(lines) + "\n  }"


def _build_config(config: object) -> str:
    if not isinstance(config, dict):
        return _value(config)
    lines = [
        f"    {_on_one_line(key)}: {_indented(_value(config[key]))}"
        for key in _order(config, BUILD_CONFIG_FIELDS, _KNOWN_OF_BUILD_CONFIG)
    ]
    return "{\n" + ",\n".join(lines) + "\n  }"


def _tags(tags: object) -> str:
    if not isinstance(tags, list):
        return _value(tags)
    if not tags:
        return "[]"
    return "[\n" + ",\n".join([f"    {_tag(tag)}" for tag in sorted_tags(tags)]) + "\n  ]"


def _tag(tag: object) -> str:
    if not isinstance(tag, dict):
        return _on_one_line(tag)
    return _on_one_line({key: _sorted_within(tag[key]) for key in _order(tag, TAG_FIELDS, _KNOWN_OF_TAG)})


def _sorted_within(value: object) -> object:
    """`value` with the keys of its objects sorted, for the encoder that keeps their order."""
    if isinstance(value, dict):
        return {key: _sorted_within(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted_within(item) for item in value]
    return value


def _members(members: object) -> str:
    """A list of users is a set: their order says nothing."""
    if isinstance(members, list) and all(isinstance(member, str) for member in members):
        return _value(sorted(members))
    return _value(members)


_WRITERS: dict[str, Callable[[object], str]] = {
    "labels": _labels,
    "build_config": _build_config,
    "tags": _tags,
    **dict.fromkeys(_MEMBERS, _members),
}
