"""The component schemas of organizations."""

from __future__ import annotations

from catalogd.documents import schema
from catalogd.documents.organizations import LISTS
from catalogd.names import NAMESPACE_KIND
from catalogd.web.schemas.shared import Schema, object_of, page_of


def components() -> dict[str, Schema]:
    """By name."""
    fields: dict[str, Schema] = schema.openapi_schema(NAMESPACE_KIND)["properties"]
    settable = {name: fields[name] for name in ("description", *LISTS)}
    role: Schema = {
        "enum": ["owner", "writer", "reader", None],
        "description": "What the caller is there; null if no member. An admin is an owner everywhere.",
    }
    nullable: dict[str, Schema] = {name: {"anyOf": [value, {"type": "null"}]} for name, value in settable.items()}
    new = object_of({"namespace": fields["namespace"], **settable}, optional=tuple(settable))
    return {
        "NewNamespace": {**new, "additionalProperties": False},
        "NamespaceUpdate": {**object_of(settable, optional=tuple(settable)), "additionalProperties": False},
        "NamespacePatch": {
            **object_of(nullable, optional=tuple(nullable)),
            "additionalProperties": False,
            "description": "A merge patch (RFC 7396).",
        },
        "Namespace": {
            **object_of({"namespace": fields["namespace"], **settable, "role": role}, optional=tuple(LISTS)),
            "description": "An organization. The lists of members are there for members only.",
        },
        "NamespacePage": page_of("Namespace", "One page of organizations."),
    }
