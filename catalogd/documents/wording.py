"""What jsonschema found, in words that say what would be right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from jsonschema import ValidationError

from catalogd.documents.positions import escape
from catalogd.errors import Fault

# Longer values are cut: a message is for reading.
MAX_SHOWN = 80
_MAX_CHOICES = 20

_ARTICLES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}


def faults_of(error: ValidationError) -> Iterable[Fault]:
    """The faults that one error of jsonschema stands for."""
    pointer = pointer_of(error.absolute_path)
    # An error that a validator has found has all of its parts, which its type does not say.
    wanted: Any = error.validator_value
    instance: Any = error.instance
    if _is_about_a_key(error):
        pointer = f"{pointer}/{escape(str(instance))}"
        return [Fault(pointer, f"is not a valid key: {_words(error)}")]
    if error.validator == "required":
        return [
            Fault(f"{pointer}/{escape(name)}", f"is required{_described(_member(error.schema, name))}")
            for name in wanted
            if name not in instance
        ]
    if error.validator == "additionalProperties" and wanted is False:
        return [Fault(f"{pointer}/{escape(name)}", detail) for name, detail in _unknown_members(error)]
    return [Fault(pointer, _words(error))]


def pointer_of(path: Iterable[str | int]) -> str:
    """The JSON pointer of a path of keys and indexes."""
    return "".join(f"/{escape(str(part))}" for part in path)


def shown(value: object) -> str:
    """`value` as JSON, of at most 80 characters."""
    if isinstance(value, dict | list):
        return _ARTICLES["object" if isinstance(value, dict) else "array"]
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    if isinstance(value, str) and len(value) > MAX_SHOWN:
        value = value[:MAX_SHOWN]
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _is_about_a_key(error: ValidationError) -> bool:
    # The path ends in the keyword that failed; one before it stands what holds the schema.
    path = error.absolute_schema_path
    return len(path) > 1 and path[-2] == "propertyNames" and (len(path) < 3 or path[-3] != "properties")


def _words(error: ValidationError) -> str:
    word = _WORDS.get(str(error.validator))
    if word is None or not isinstance(error.schema, dict):
        return f'does not fit the rule "{error.validator}" of the schema{_described(error.schema)}'
    return word(error.validator_value, error.instance, error.schema)


def _described(schema: object) -> str:
    description = schema.get("description") if isinstance(schema, dict) else None
    return f". What it should be: {description}" if description else ""


def _member(schema: object, name: str) -> object:
    return schema.get("properties", {}).get(name) if isinstance(schema, dict) else None


def _unknown_members(error: ValidationError) -> Iterable[tuple[str, str]]:
    schema: Any = error.schema
    instance: Any = error.instance
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    detail = "is not a known field and must be left out"
    if known:
        detail += f"; known are {', '.join(list(known)[:_MAX_CHOICES])}"
    return [
        (name, detail)
        for name in instance
        if name not in known and not any(re.search(pattern, name) for pattern in patterns)
    ]


def _type(types: Any, value: object, _: dict[str, Any]) -> str:
    names = [types] if isinstance(types, str) else list(types)
    return f"must be {' or '.join(_ARTICLES.get(name, name) for name in names)}, not {shown(value)}"


def _enum(choices: list[Any], value: object, _: dict[str, Any]) -> str:
    listed = ", ".join(shown(choice) for choice in choices[:_MAX_CHOICES])
    return f"must be one of {listed}, not {shown(value)}"


def _pattern(pattern: str, value: object, schema: dict[str, Any]) -> str:
    wanted = _described(schema) or f". It must match the pattern {shown(pattern)}"
    return f"{shown(value)} is not of the right form{wanted}"


def _format(name: str, value: object, schema: dict[str, Any]) -> str:
    return f"{shown(value)} is no {name} that exists{_described(schema)}"


def _at_least(unit: str) -> Callable[[int, Any, dict[str, Any]], str]:
    return lambda limit, value, _: f"must have at least {limit:,} {unit}, and has {len(value):,}"


def _at_most(unit: str) -> Callable[[int, Any, dict[str, Any]], str]:
    return lambda limit, value, _: f"must have at most {limit:,} {unit}, and has {len(value):,}"


def _unique(_limit: object, items: list[Any], _schema: dict[str, Any]) -> str:
    seen: set[str] = set()
    for item in items:
        text = json.dumps(item, sort_keys=True)
        if text in seen:
            return f"must not hold the same item twice, as it does {shown(item)}"
        seen.add(text)
    return "must not hold the same item twice"


_WORDS: dict[str, Callable[..., str]] = {
    "type": _type,
    "enum": _enum,
    "const": lambda only, value, _: f"must be {shown(only)}, not {shown(value)}",
    "pattern": _pattern,
    "format": _format,
    "minLength": _at_least("characters"),
    "maxLength": _at_most("characters"),
    "minItems": _at_least("items"),
    "maxItems": _at_most("items"),
    "minProperties": _at_least("members"),
    "maxProperties": _at_most("members"),
    "uniqueItems": _unique,
    "minimum": lambda limit, value, _: f"must be at least {limit}, not {shown(value)}",
    "maximum": lambda limit, value, _: f"must be at most {limit}, not {shown(value)}",
    "exclusiveMinimum": lambda limit, value, _: f"must be more than {limit}, not {shown(value)}",
    "exclusiveMaximum": lambda limit, value, _: f"must be less than {limit}, not {shown(value)}",
}
