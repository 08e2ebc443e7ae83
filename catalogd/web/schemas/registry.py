"""The component schemas of what a registry and its clients are told."""

from __future__ import annotations

from catalogd.web.schemas.shared import COUNT, Schema, object_of

_LIFETIME: Schema = {"type": "integer", "minimum": 60, "description": "For so many seconds it is good."}
_ISSUED: Schema = {"type": "string", "format": "date-time"}
_JWT: Schema = {"type": "string", "description": "A JSON Web Token, for the registry."}
_REFRESH: Schema = {"type": "string", "description": "The token of the catalog that was sent."}
_SCOPE: Schema = {"type": "string", "examples": ["repository:acme/web:pull"]}


def components() -> dict[str, Schema]:
    """By name."""
    told: dict[str, Schema] = {"access_token": _JWT, "expires_in": _LIFETIME, "issued_at": _ISSUED}
    granted: Schema = {**_SCOPE, "description": "What is granted, parted by spaces."}
    return {
        **_events(),
        "RegistryToken": object_of(
            {"token": {**_JWT, "description": "The same as `access_token`."}, **told, "refresh_token": _REFRESH},
            optional=("refresh_token",),
        ),
        "RegistryAccess": object_of(
            {"token_type": {"const": "Bearer"}, "scope": granted, **told, "refresh_token": _REFRESH},
            optional=("refresh_token",),
        ),
        "RegistryGrant": _grant(),
    }


def _grant() -> Schema:
    some: Schema = {"type": "string", "minLength": 1}
    members: dict[str, Schema] = {
        "grant_type": {"type": "string", "enum": ["password", "refresh_token"]},
        "service": {"type": "string", "description": "The registry, as in its challenge; it may be left out."},
        "scope": {**_SCOPE, "description": "What is wanted, parted by spaces."},
        "username": {**some, "description": "With `password`."},
        "password": {**some, "format": "password", "description": "Or a token of that user."},
        "refresh_token": {**some, "description": "A token of the catalog."},
        "access_type": {
            "type": "string",
            "description": "`offline` asks for a refresh token, as `offline_token` does.",
        },
        "client_id": {"type": "string", "description": "Not looked at."},
    }
    by_password = {"properties": {"grant_type": {"const": "password"}}, "required": ["username", "password"]}
    by_token = {"properties": {"grant_type": {"const": "refresh_token"}}, "required": ["refresh_token"]}
    optional = tuple(name for name in members if name != "grant_type")
    return {**object_of(members, optional), "anyOf": [by_password, by_token]}


def _events() -> dict[str, Schema]:
    told = {"type": "array", "items": {}, "description": "What is no event is passed over."}
    envelope = {**object_of({"events": told}), "description": "Notifications, in the form of Docker Distribution."}
    passed_over = {"type": "object", "description": "How many of each other kind.", "additionalProperties": COUNT}
    taken = {**COUNT, "description": "How many events told something new."}
    return {"RegistryEvents": envelope, "TakenEvents": object_of({"taken": taken, "passed_over": passed_over})}
