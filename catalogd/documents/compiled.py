"""Turns a JSON Schema into one Python function that only says yes or no.

jsonschema takes half a second for a document of 10,000 tags, and every change of a tag validates the document
anew; the function takes a tenth of that. It knows the keywords that schemas of documents mostly use; for a
schema with any other there is no function, and jsonschema decides alone. Where the function says no,
jsonschema is asked why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from catalogd.documents.fields import same

Check = Callable[[Any], bool]

# RFC 3339, section 5.6: date-time.
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
# Digits after the second that do not matter to whether a time exists, and that Python may not read.
_FRACTION = re.compile(r"\.[0-9]+")

_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int, float),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}
_LIMITS: dict[str, Callable[[Any], Check]] = {
    "minimum": lambda limit: lambda value: value >= limit,
    "maximum": lambda limit: lambda value: value <= limit,
    "exclusiveMinimum": lambda limit: lambda value: value > limit,
    "exclusiveMaximum": lambda limit: lambda value: value < limit,
}
_SAYS_NOTHING = frozenset(
    {
        "$comment",
        "$id",
        "$schema",
        "default",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
_COMPILED = frozenset(
    {
        "additionalProperties",
        "const",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "items",
        "maxItems",
    }
    | {
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
    }
    | {"properties", "propertyNames", "required", "type", "uniqueItems"}
)


class NotCompilable(Exception):
    """The schema has a keyword that is not known here."""


def compiled(schema: object) -> Check:
    """Says whether a JSON value fits `schema` (with Python's patterns). Raises NotCompilable."""
    if isinstance(schema, bool):
        return _always if schema else _never
    if not isinstance(schema, dict) or not schema.keys() <= _SAYS_NOTHING | _COMPILED:
        raise NotCompilable
    by_type = {kind: _checks_of(kind, schema) for kind in _types_of(schema)}

    def check(value: object) -> bool:
        checks = by_type.get(type(value))
        if checks is None:
            return False
        for each in checks:  # noqa: SIM110 (a generator would cost more than most of the checks)
            if not each(value):
                return False
        return True

    return check


def is_date_time(text: object) -> bool:
    """Whether `text`, where it is one, is a time of RFC 3339 that exists."""
    if not isinstance(text, str):
        return True
    if not _DATE_TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(_FRACTION.sub("", text).upper().replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


def _always(_: object) -> bool:
    return True


def _never(_: object) -> bool:
    return False


def _types_of(schema: dict[str, Any]) -> set[type]:
    names = schema.get("type", list(_TYPES))
    return {kind for name in ([names] if isinstance(names, str) else names) for kind in _TYPES[name]}


def _checks_of(kind: type, schema: dict[str, Any]) -> tuple[Check, ...]:
    """What is to be asked about a value of this Python type."""
    checks = _checks_of_any(schema)
    if kind is str:
        checks += _checks_of_string(schema)
    elif kind in (int, float):
        checks += _checks_of_number(kind, schema)
    elif kind is dict:
        checks += _checks_of_object(schema)
    elif kind is list:
        checks += _checks_of_array(schema)
    return tuple(checks)


def _checks_of_any(schema: dict[str, Any]) -> list[Check]:
    checks: list[Check] = []
    if "enum" in schema:
        allowed = list(schema["enum"])
        checks.append(lambda value: any(same(value, each) for each in allowed))
    if "const" in schema:
        only = schema["const"]
        checks.append(lambda value: same(value, only))
    return checks


def _checks_of_string(schema: dict[str, Any]) -> list[Check]:
    checks = _length_checks(schema, "minLength", "maxLength")
    if "pattern" in schema:
        search = re.compile(schema["pattern"]).search
        checks.append(lambda value: search(value) is not None)
    if schema.get("format") == "date-time":
        checks.append(is_date_time)
    return checks


def _length_checks(schema: dict[str, Any], least: str, most: str) -> list[Check]:
    checks: list[Check] = []
    if schema.get(least):
        at_least = schema[least]
        checks.append(lambda value: len(value) >= at_least)
    if most in schema:
        at_most = schema[most]
        checks.append(lambda value: len(value) <= at_most)
    return checks


def _checks_of_number(kind: type, schema: dict[str, Any]) -> list[Check]:
    checks: list[Check] = []
    names = schema.get("type", "number")
    if kind is float and "number" not in ([names] if isinstance(names, str) else names):
        checks.append(float.is_integer)
    return checks + [fits(schema[keyword]) for keyword, fits in _LIMITS.items() if keyword in schema]


def _checks_of_array(schema: dict[str, Any]) -> list[Check]:
    checks = _length_checks(schema, "minItems", "maxItems")
    if "items" in schema:
        fits = compiled(schema["items"])
        checks.append(lambda value: all(map(fits, value)))
    if schema.get("uniqueItems"):
        checks.append(_are_unique)
    return checks


def _are_unique(items: list[Any]) -> bool:
    if all(type(item) is str for item in items):
        return len(set(items)) == len(items)
    return len({json.dumps(item, sort_keys=True) for item in items}) == len(items)


def _checks_of_object(schema: dict[str, Any]) -> list[Check]:
    checks = _length_checks(schema, "minProperties", "maxProperties")
    if schema.get("required"):
        required = frozenset(schema["required"])
        checks.append(lambda value: required <= value.keys())
    if "propertyNames" in schema:
        is_name = compiled(schema["propertyNames"])
        checks.append(lambda value: all(map(is_name, value)))
    if "properties" in schema or "additionalProperties" in schema:
        checks.append(_members_check(schema))
    return checks


def _members_check(schema: dict[str, Any]) -> Check:
    members = {name: compiled(each) for name, each in schema.get("properties", {}).items()}
    others = compiled(schema.get("additionalProperties", True))

    def check(value: dict[str, Any]) -> bool:
        for name, member in value.items():  # noqa: SIM110 (as above)
            if not members.get(name, others)(member):
                return False
        return True

    return check
