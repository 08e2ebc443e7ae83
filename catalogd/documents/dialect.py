"""Reads a JSON Schema that somebody else may have written, and makes it safe to use.

Of Draft 2020-12, less what reaches outside of the file: a `$ref` must lead to a schema in the same file,
and only the top may have an `$id`. Patterns are ECMA 262's, as JSON Schema wants them; they are translated
to Python's once, here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator, FormatChecker, SchemaError

from catalogd.documents import strict
from catalogd.documents.backtracking import backtracks
from catalogd.documents.positions import escape, unescape
from catalogd.errors import BrokenSchema, NotJson

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_SCHEMA_BYTES = 1_000_000
# Of what others say about a schema: enough to find the place.
_MAX_QUOTED = 200

# Keywords that hold a schema, a list of them, or an object of them.
_ONE = (
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_LIST = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")

_PATTERN_TOKEN = re.compile(r"\\.|\[\^?\]?|.", re.DOTALL)
_OUTSIDE_CLASS = {"$": r"\Z", r"\d": "[0-9]", r"\D": "[^0-9]", r"\w": "[A-Za-z0-9_]", r"\W": "[^A-Za-z0-9_]"}
_INSIDE_CLASS = {"[": r"\[", r"\d": "0-9", r"\w": "A-Za-z0-9_"}


def read(data: bytes, name: str) -> dict[str, Any]:
    """The schema in `data`, its patterns translated; `name` is its path. Raises BrokenSchema."""
    if len(data) > MAX_SCHEMA_BYTES:
        raise BrokenSchema(f"{name} is larger than {MAX_SCHEMA_BYTES:,} bytes.")
    try:
        schema = strict.loads(data, what=name)
    except NotJson as error:
        raise BrokenSchema(error.detail) from error
    if not isinstance(schema, dict):
        raise BrokenSchema(f"{name} is not a JSON object, as a schema must be.")
    if schema.get("$schema", DIALECT) != DIALECT:
        raise BrokenSchema(f'{name} must be a schema of Draft 2020-12: "$schema" must be "{DIALECT}" or absent.')
    _check_against_metaschema(schema, name)
    schemas = dict(_schemas_in(schema))
    _check_references(schema, schemas, name)
    for pointer, each in schemas.items():
        _translate_patterns(each, f"{name}, {pointer or 'at its top'}")
    return schema


def to_python(pattern: str) -> str:
    r"""The Python form of an ECMA 262 pattern: its `$` never matches before a trailing newline, its `\d`
    and `\w` are ASCII. Raises ValueError for what Python reads differently or not at all.
    """
    parts = []
    inside = False
    for found in _PATTERN_TOKEN.finditer(pattern):
        token = found[0]
        if not inside and token in ("[]", "[^]"):
            raise ValueError(f"the class {token} at character {found.start()} is not supported")
        if inside and len(token) > 1 and token[0] == "[":
            # A bracket, then what may end the class: within one, "[" is a character like any other.
            parts.append(r"\[" + token[1:])
            inside = not token.endswith("]")
            continue
        parts.append((_INSIDE_CLASS if inside else _OUTSIDE_CLASS).get(token, token))
        inside = token != "]" if inside else token in ("[", "[^")
    translated = "".join(parts)
    try:
        re.compile(translated)
    except re.error as error:
        raise ValueError(f"it cannot be compiled: {error}") from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if backtracks(translated):
        raise ValueError("what it repeats is a repetition itself, so that a long text could take for ever")
    return translated


def _check_against_metaschema(schema: dict[str, Any], name: str) -> None:
    try:
        # Patterns are compiled later, in their translated form.
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        pointer = "".join(f"/{escape(str(part))}" for part in error.absolute_path)
        raise BrokenSchema(f'{name} is not a valid schema, at "{pointer}": {error.message[:_MAX_QUOTED]}') from error
    except RecursionError:
        raise BrokenSchema(f"{name} is nested too deeply for a schema.") from None


def _schemas_in(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(JSON pointer, schema) of `schema` and of every schema within it that is an object."""
    waiting: list[tuple[str, object]] = [("", schema)]
    while waiting:
        pointer, each = waiting.pop()
        if not isinstance(each, dict):
            continue
        yield pointer, each
        waiting += [(f"{pointer}/{key}", each[key]) for key in _ONE if key in each]
        for key in _LIST:
            waiting += [(f"{pointer}/{key}/{index}", item) for index, item in enumerate(each.get(key, ()))]
        for key in _NAMED:
            waiting += [(f"{pointer}/{key}/{escape(name)}", item) for name, item in each.get(key, {}).items()]


def _check_references(root: dict[str, Any], schemas: dict[str, dict[str, Any]], name: str) -> None:
    """Raises BrokenSchema if one of `schemas` refers to what is not in the file."""
    anchors = {each[key] for each in schemas.values() for key in ("$anchor", "$dynamicAnchor") if key in each}
    for pointer, each in schemas.items():
        if pointer and "$id" in each:
            raise BrokenSchema(f'{name}, {pointer}: only the top of a schema may have an "$id" here.')
        for keyword in ("$ref", "$dynamicRef"):
            reference = each.get(keyword)
            if reference is not None and not _leads_to_a_schema(reference, root, schemas, anchors):
                raise BrokenSchema(
                    f"{name}, {pointer}/{keyword}: {json.dumps(reference)[:_MAX_QUOTED]} does not lead to "
                    "a schema in the same file; nothing is ever fetched from elsewhere."
                )


def _leads_to_a_schema(
    reference: str, root: dict[str, Any], schemas: dict[str, dict[str, Any]], anchors: set[str]
) -> bool:
    base, _, fragment = reference.partition("#")
    if base and base != str(root.get("$id", "")).rstrip("#"):
        return False
    target = unquote(fragment)
    if target in anchors:
        return True
    # Through the keys, so that pointers with another escaping of the same name are the same.
    normal = "".join(f"/{escape(unescape(part))}" for part in target.split("/")[1:])
    return target[:1] in ("", "/") and (normal in schemas or isinstance(_at(root, target), bool))


def _at(value: object, pointer: str) -> object:
    for part in pointer.split("/")[1:]:
        if isinstance(value, dict):
            value = value.get(unescape(part))
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _translate_patterns(schema: dict[str, Any], place: str) -> None:
    try:
        if "pattern" in schema:
            schema["pattern"] = to_python(schema["pattern"])
        if "patternProperties" in schema:
            schema["patternProperties"] = {
                to_python(pattern): each for pattern, each in schema["patternProperties"].items()
            }
    except ValueError as error:
        raise BrokenSchema(f"{place}: a pattern cannot be used: {error}.") from error
