"""What the component schemas share."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TIME: Schema = {"type": ["string", "null"], "format": "date-time", "examples": ["2014-11-19T05:54:22.741Z"]}
COMMIT: Schema = {
    "type": "string",
    "pattern": "^[0-9a-f]{40,64}$",
    "description": "The id of a commit.",
    "examples": ["9fceb02d0ae598e95dc970b74767f19372d61af8"],
}
POINTER: Schema = {
    "type": "string",
    "description": "RFC 6901 JSON pointer to the field; empty for the whole.",
}
ANY: Schema = {"description": "Any JSON value; left out where the field is absent."}
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
