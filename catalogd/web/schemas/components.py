"""The component schemas of the OpenAPI description."""

from __future__ import annotations

from catalogd.web.errors import KINDS
from catalogd.web.schemas import accounts, documents, namespaces, proposals, registry, search, server
from catalogd.web.schemas.shared import POINTER, Schema, json_schema, object_of


def components() -> dict[str, Schema]:
    """All component schemas by name."""
    return {
        **documents.components(),
        **namespaces.components(),
        **proposals.components(),
        **accounts.components(),
        **registry.components(),
        **search.components(),
        **server.components(),
        "Json": json_schema(),
        "Problem": _problem(),
    }


def _problem() -> Schema:
    fault = object_of({"pointer": POINTER, "detail": {"type": "string", "description": "What would be right."}})
    return {
        **object_of(
            {
                "type": {"type": "string", "enum": [kind.type for kind in KINDS]},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "request_id": {
                    "type": "string",
                    "description": "As in X-Request-Id, and in the server's log.",
                },
                "errors": {"type": "array", "items": fault},
                "why_not": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "What keeps a proposal from being merged, in sentences.",
                },
                "conflicts": {
                    "type": "array",
                    "items": proposals.conflict_schema(),
                    "description": "The fields that a proposal and main have both changed.",
                },
            },
            optional=("request_id", "errors", "why_not", "conflicts"),
        ),
        "description": "RFC 9457.",
    }
