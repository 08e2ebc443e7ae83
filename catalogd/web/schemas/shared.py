"""What the component schemas share."""

from __future__ import annotations

from typing import Any

from catalogd.documents.positions import MAX_DEPTH

Schema = dict[str, Any]

TIME: Schema = {"type": ["string", "null"], "format": "date-time", "examples": ["2014-11-19T05:54:22.741Z"]}
COMMIT: Schema = {
    "type": "string",
    "pattern": "^[0-9a-f]{40}$",
    "description": "The id of a commit.",
    "examples": ["9fceb02d0ae598e95dc970b74767f19372d61af8"],
}
POINTER: Schema = {
    "type": "string",
    "description": "RFC 6901 JSON pointer to the field; empty for the whole.",
}
ANY: Schema = {"description": "Any JSON value; left out where the field is absent."}
# What strict JSON takes; what is sent has nothing else.
TEXT: Schema = {"type": "string", "pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f]*$"}
TEXT_OR_NULL: Schema = {**TEXT, "type": ["string", "null"]}
BOOLEAN: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
ACTION: Schema = {"type": "string", "enum": ["created", "updated", "deleted", "restored"]}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def closed(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    """An object that has no other members."""
    return {**object_of(properties, optional), "additionalProperties": False}


def any_object(*types: str) -> Schema:
    """An object of whatever is sent, or one of the other types."""
    return {
        "type": ["object", *types] if types else "object",
        "propertyNames": TEXT,
        "additionalProperties": ref("Json"),
    }


def json_schema() -> Schema:
    """The component of any value that strict JSON takes."""
    number: Schema = {"type": "number", "minimum": 1 - 2**53, "maximum": 2**53 - 1}
    nested: Schema = {**any_object("array"), "items": ref("Json")}
    return {
        "anyOf": [{"type": ["boolean", "null"]}, number, TEXT, nested],
        "description": f"Any value, {MAX_DEPTH} levels deep at most.",
    }


def page_of(name: str, description: str) -> Schema:
    link: Schema = {"type": ["string", "null"], "format": "uri"}
    return {
        **object_of(
            {
                "count": COUNT,
                "next": link,
                "previous": link,
                "results": {"type": "array", "items": ref(name)},
            }
        ),
        "description": description,
    }
