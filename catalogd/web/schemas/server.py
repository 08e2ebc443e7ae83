"""The component schemas of what the server tells of itself."""

from __future__ import annotations

from catalogd.web.schemas.shared import ANY, COMMIT, COUNT, POINTER, TIME, Schema, object_of

_NOTHING: Schema = {"type": "null"}
_SECONDS: Schema = {"type": ["number", "null"], "minimum": 0}
_KNOWN_COUNT: Schema = {"anyOf": [COUNT, _NOTHING]}
_FIELD: dict[str, Schema] = {"path": {"type": "string", "description": "The file in the catalog."}, "pointer": POINTER}


def components() -> dict[str, Schema]:
    """Health, and what is known of a primary or an upstream."""
    return {
        "Health": object_of(
            {
                "status": {"type": "string", "enum": ["ok", "degraded", "failing"]},
                "commit": {"anyOf": [COMMIT, _NOTHING]},
                "read_model": {"type": "object"},
                "store": {"type": "object"},
                "faults": {**COUNT, "description": "How many documents have been broken by hand."},
                "following": {**_following(), "description": "Of a replica only."},
                "upstream": {**_upstream(), "description": "Where there is an upstream."},
            },
            optional=("following", "upstream"),
        ),
        "GitRequest": {
            "type": "string",
            "contentMediaType": "application/octet-stream",
            "description": "What git sends by its smart protocol; it may be compressed by gzip.",
        },
        "Sync": object_of({"status": {"type": "string", "enum": ["looking"]}}),
        "SyncReport": object_of(
            {
                "following": {**_following(), "description": "Of a replica."},
                "upstream": {**_upstream(), "description": "Where there is an upstream."},
                "conflicts": {"type": "array", "items": _conflict(), "description": "With an upstream."},
            },
            optional=("following", "upstream", "conflicts"),
        ),
    }


def _following() -> Schema:
    return object_of(
        {
            "primary": {"type": "string", "description": "Where writes go."},
            "commit": {"anyOf": [COMMIT, _NOTHING], "description": "The newest commit of the primary that is known."},
            "behind_seconds": {**_SECONDS, "description": "So long ago this server had all that the primary had."},
            "behind_commits": {**_KNOWN_COUNT, "description": "How many known commits are not here yet."},
            "checked_at": {**TIME, "description": "When the primary was reached last."},
            "failure": {"type": ["string", "null"], "description": "Why it cannot be followed now."},
        }
    )


def _upstream() -> Schema:
    conflicting = {"type": "array", "items": object_of(_FIELD)}
    return object_of(
        {
            "upstream": {"type": "string", "description": "Its address."},
            "commit": {"anyOf": [COMMIT, _NOTHING], "description": "The newest commit of the upstream that is known."},
            "ahead": {**_KNOWN_COUNT, "description": "How many commits the upstream has not."},
            "behind": {**_KNOWN_COUNT, "description": "How many known commits of the upstream are not here."},
            "together_seconds": {**_SECONDS, "description": "So long ago both sides had all."},
            "checked_at": {**TIME, "description": "When the upstream was reached last."},
            "failure": {"type": ["string", "null"], "description": "Why the two cannot be brought together now."},
            "conflicts": {**COUNT, "description": "How many fields are in conflict."},
            "conflicting": {**conflicting, "description": "Those of public repositories."},
        }
    )


def _conflict() -> Schema:
    """A field that both sides have changed."""
    return object_of({**_FIELD, "base": ANY, "ours": ANY, "theirs": ANY}, optional=("base", "ours", "theirs"))
