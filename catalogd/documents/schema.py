"""Whether a document fits: the schemas of project and catalog, and what no schema can say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators
from referencing import Registry

from catalogd.documents.compiled import NotCompilable, compiled, is_date_time
from catalogd.documents.dialect import read
from catalogd.documents.positions import MAX_DEPTH, unescape
from catalogd.documents.wording import faults_of, shown
from catalogd.errors import BrokenSchema, Fault
from catalogd.names import KINDS, REPOSITORY_KIND, fault_in_name, schema_path

MAX_FAULTS = 20
# Of build_config.tag_configs, whose inside no schema describes. With 16 levels it stays far from the 64 of
# strict.py, also where it is wrapped into something else, such as the feed of changes.
MAX_SETTINGS_DEPTH = 16
MAX_SETTINGS_BYTES = 262_144

_FORMATS = FormatChecker(formats=())
_FORMATS.checks("date-time")(is_date_time)


def builtin_schema(kind: str) -> bytes:
    """The schema of the project for "repository", "namespace" or "policy", as it stands in its file."""
    name = schema_path(kind)
    packaged = resources.files("catalogd").joinpath(name)
    if packaged.is_file():
        return packaged.read_bytes()
    # Not installed: in a checkout the schemas stand beside the package.
    return (Path(__file__).parents[2] / name).read_bytes()


def openapi_schema(kind: str) -> dict[str, Any]:
    """A copy of the built-in schema without `$schema` and `$id`, to stand within an OpenAPI description."""
    schema = json.loads(builtin_schema(kind))
    return {key: value for key, value in schema.items() if key not in ("$schema", "$id")}


def builtin_faults(kind: str, document: object) -> list[Fault]:
    """What is wrong with `document` by the built-in schema alone: at most 20 faults, none if it fits."""
    if not isinstance(document, dict):
        return [Fault("", f"must be a JSON object, not {shown(document)}")]
    return _builtin_rules(kind).faults(document)


def describe(kind: str, pointer: str) -> str | None:
    """What belongs at `pointer` of a document, in the words of the built-in schema; None if nothing does."""
    schema: object = _builtin_rules(kind).schema
    for token in pointer.split("/")[1:]:
        if not isinstance(schema, dict):
            return None
        schema = schema.get("properties", {}).get(unescape(token)) or schema.get(
            "items", schema.get("additionalProperties")
        )
    return schema.get("description") if isinstance(schema, dict) else None


class Schemas:
    """The rules of one catalog: the built-in schemas and, on top of them, its own.

    `site` maps a kind ("repository", "namespace") to the bytes of the catalog's own schema; None and {} are
    no such schemas. Raises BrokenSchema if one of them is no schema, or would need anything outside of its
    file.
    """

    def __init__(self, site: Mapping[str, bytes] | None = None):
        self._rules = {kind: [_builtin_rules(kind)] for kind in KINDS}
        for kind, data in (site or {}).items():
            if data != builtin_schema(kind):
                self._rules[kind].append(_Rules(data, schema_path(kind)))

    def check(self, kind: str, document: object, *, identity: tuple[str, ...] | None = None) -> list[Fault]:
        """What is wrong with `document`: at most 20 faults, none if it fits.

        `identity` is what its path says: (namespace, repo_name) of a repository, (namespace,) of an
        organization. Raises BrokenSchema if the catalog's own schema turns out to refer to itself without
        end.
        """
        if not isinstance(document, dict):
            return [Fault("", f"must be a JSON object, not {shown(document)}")]
        faults = list(islice(self._faults(kind, document, identity), MAX_FAULTS))
        return list(dict.fromkeys(faults))

    def _faults(self, kind: str, document: dict[str, Any], identity: tuple[str, ...] | None) -> Iterator[Fault]:
        too_large = _fault_in_settings(document)
        if too_large:
            # Nothing below is safe from its depth.
            yield too_large
            return
        fields = ("namespace", "repo_name") if kind == REPOSITORY_KIND else ("namespace",)
        seen: set[str] = set()
        for fault in (*_faults_in_names(document, fields, identity), *_repeated_tags(document)):
            seen.add(fault.pointer)
            yield fault
        for rules in self._rules[kind]:
            for fault in rules.faults(document):
                if fault.pointer not in seen:
                    yield fault


class _Rules:
    """One schema, ready for use."""

    def __init__(self, data: bytes, name: str):
        self._name = name
        self.schema = read(data, name)
        # A registry that retrieves nothing: whatever a schema says, no network and no file is touched.
        self._validator = _Validator(self.schema, registry=Registry(), format_checker=_FORMATS)
        try:
            self._fits = compiled(self.schema)
        except NotCompilable:
            self._fits = self._validator.is_valid
        # A schema that refers to itself without end mostly shows it on the emptiest document.
        self.faults({})

    def faults(self, document: dict[str, Any]) -> list[Fault]:
        """At most MAX_FAULTS. Raises BrokenSchema if the schema does not come to an end."""
        try:
            return [] if self._fits(document) else self._explained(document)
        except RecursionError:
            if _is_deeper(document, MAX_DEPTH):
                return [Fault("", f"must not be nested deeper than {MAX_DEPTH} levels")]
            raise BrokenSchema(f"{self._name} refers to itself without end.") from None

    def _explained(self, document: dict[str, Any]) -> list[Fault]:
        errors = self._validator.iter_errors(document)
        return list(islice((fault for error in errors for fault in faults_of(error)), MAX_FAULTS))


def _items(validator: Any, items: Any, instance: object, schema: dict[str, Any]) -> Iterator[ValidationError]:
    """The keyword of jsonschema, but quick over items that fit: one bad tag of 10,000 is soon found."""
    if not isinstance(instance, list):
        return
    try:
        fits = compiled(items)
    except NotCompilable:
        yield from Draft202012Validator.VALIDATORS["items"](validator, items, instance, schema)
        return
    for index in range(len(schema.get("prefixItems", ())), len(instance)):
        if not fits(instance[index]):
            yield from validator.descend(instance[index], items, path=index)


def _unless_too_many(keyword: str) -> Callable[..., Iterator[ValidationError]]:
    """The keyword of jsonschema, but of an object that has too many members that is told, and not each of them."""
    usual = Draft202012Validator.VALIDATORS[keyword]

    def check(validator: Any, value: Any, instance: object, schema: dict[str, Any]) -> Iterator[ValidationError]:
        if not isinstance(instance, dict) or len(instance) <= schema.get("maxProperties", len(instance)):
            yield from usual(validator, value, instance, schema) or ()

    return check


_OF_MEMBERS = ("propertyNames", "additionalProperties", "patternProperties", "unevaluatedProperties")
_Validator = validators.extend(
    Draft202012Validator, {"items": _items, **{keyword: _unless_too_many(keyword) for keyword in _OF_MEMBERS}}
)


@cache
def _builtin_rules(kind: str) -> _Rules:
    # The files of the program do not change while it runs.
    return _Rules(builtin_schema(kind), schema_path(kind))


def _fault_in_settings(document: dict[str, Any]) -> Fault | None:
    """What is wrong with the size of `build_config`, of which the schema sees only the surface."""
    config = document.get("build_config")
    if not isinstance(config, dict):
        return None
    if _is_deeper(config, MAX_SETTINGS_DEPTH + 1):
        return Fault("/build_config", f"the settings must not be nested deeper than {MAX_SETTINGS_DEPTH} levels")
    settings = config.get("tag_configs")
    if settings is not None and len(json.dumps(settings, ensure_ascii=False).encode()) > MAX_SETTINGS_BYTES:
        return Fault("/build_config/tag_configs", f"must have at most {MAX_SETTINGS_BYTES:,} bytes as JSON")
    return None


def _is_deeper(value: object, levels: int) -> bool:
    """Whether `value` has more than so many levels of objects and arrays."""
    containers = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        containers = [
            child
            for container in containers
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, dict | list)
        ]
    return bool(containers)


def _faults_in_names(
    document: dict[str, Any], fields: tuple[str, ...], identity: tuple[str, ...] | None
) -> Iterator[Fault]:
    """What no schema can say of the names: devices of Windows, reserved endings, and the path's own names."""
    for index, field in enumerate(fields):
        if field not in document:
            continue
        name = document[field]
        fault = fault_in_name(name)
        if fault:
            yield Fault(f"/{field}", fault)
        elif identity is not None and name != identity[index]:
            yield Fault(f"/{field}", f"must be {shown(identity[index])}, as in the document's path, not {shown(name)}")


def _repeated_tags(document: dict[str, Any]) -> Iterator[Fault]:
    tags = document.get("tags")
    if not isinstance(tags, list):
        return
    seen: set[str] = set()
    for index, tag in enumerate(tags):
        name = tag.get("tag") if isinstance(tag, dict) else None
        if not isinstance(name, str):
            continue
        if name in seen:
            yield Fault(f"/tags/{index}/tag", f"{shown(name)} is the name of another tag already; each may stand once")
        seen.add(name)
