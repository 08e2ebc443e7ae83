"""The component schemas of accounts."""

from __future__ import annotations

from catalogd.accounts import SCOPES
from catalogd.accounts.checks import EMAIL, MAX_EMAIL, MAX_TOKEN_NAME
from catalogd.credentials import MAX_PASSWORD, MIN_PASSWORD
from catalogd.documents import schema
from catalogd.names import NAMESPACE_KIND
from catalogd.web.schemas.shared import BOOLEAN, TEXT, TEXT_OR_NULL, TIME, Schema, closed, object_of, page_of

_MOMENT: Schema = {"type": "string", "format": "date-time", "examples": ["2014-11-19T05:54:22.741Z"]}
_SCOPES: Schema = {
    "type": "array",
    "items": {"type": "string", "enum": list(SCOPES)},
    "description": "What it is good for; `write` implies `read`, and `admin` both.",
}
_TOKEN: Schema = {"type": "string", "description": "The token itself, shown only now."}
_PASSWORD: Schema = {**TEXT, "minLength": MIN_PASSWORD, "maxLength": MAX_PASSWORD, "format": "password"}
_NULLABLE_PASSWORD: Schema = {**_PASSWORD, "type": ["string", "null"]}
_EMAIL: Schema = {
    "type": ["string", "null"],
    "maxLength": MAX_EMAIL,
    "pattern": f"^{EMAIL.pattern}$",
    "description": "For the author line of their commits; null for none.",
    "examples": ["alice@example.org"],
}


def components() -> dict[str, Schema]:
    """By name."""
    name = schema.openapi_schema(NAMESPACE_KIND)["properties"]["namespace"]
    user_name: Schema = {**name, "title": "Name of a user", "description": "Also the namespace that is theirs."}
    confined: Schema = {
        **name,
        "type": ["string", "null"],
        "description": "The only namespace in which it is good for anything but reading what is public; null for all.",
    }
    return {
        **_users(user_name),
        **_tokens(confined),
        "Login": closed({"username": TEXT, "password": {**TEXT, "format": "password"}}),
        "LoginToken": object_of({"token": _TOKEN}),
        "PasswordChange": closed(
            {
                "current_password": {**TEXT_OR_NULL, "description": "Needed if there is one."},
                "password": _PASSWORD,
            },
            optional=("current_password",),
        ),
    }


def _users(name: Schema) -> dict[str, Schema]:
    admin: Schema = {**BOOLEAN, "description": "An owner everywhere, who administers with a token that has that scope."}
    active: Schema = {**BOOLEAN, "description": "false: no credentials of theirs are good for anything."}
    shown: dict[str, Schema] = {
        "name": name,
        "email": {"type": "string", "description": "In the author line of their commits."},
        "is_admin": admin,
        "is_active": active,
        "has_password": BOOLEAN,
        "created_at": _MOMENT,
    }
    roles: Schema = {
        "type": "object",
        "additionalProperties": {"enum": ["owner", "writer", "reader"]},
        "description": "By namespace: what organizations say that the user is.",
    }
    takes_over: Schema = {**BOOLEAN, "default": False, "description": "That the user gets what is there already."}
    return {
        "User": object_of(shown),
        "UserPage": page_of("User", "One page of users."),
        "NewUser": closed(
            {"name": name, "email": _EMAIL, "is_admin": admin, "password": _NULLABLE_PASSWORD, "take_over": takes_over},
            optional=("email", "is_admin", "password", "take_over"),
        ),
        "UserUpdate": closed(
            changes := {"email": _EMAIL, "is_admin": admin, "is_active": active, "password": _NULLABLE_PASSWORD},
            optional=tuple(changes),
        ),
        "Me": object_of(
            {
                **shown,
                "scopes": _SCOPES,
                "namespace": {"type": ["string", "null"], "description": "What the credentials are confined to."},
                "expires_at": {**TIME, "description": "When the credentials end; null: never."},
                "roles": roles,
            }
        ),
    }


def _tokens(confined: Schema) -> dict[str, Schema]:
    name: Schema = {**TEXT, "maxLength": MAX_TOKEN_NAME, "description": "To recognise it by; printable."}
    expires: Schema = {**TIME, "description": "When it ends; null: never."}
    shown: dict[str, Schema] = {
        "id": {"type": "string", "description": "For `DELETE`; no secret."},
        "name": name,
        "scopes": _SCOPES,
        "namespace": confined,
        "created_at": _MOMENT,
        "expires_at": expires,
        "last_used_at": {**TIME, "description": "Noted once a minute at most; null: never."},
    }
    asked: dict[str, Schema] = {
        "name": {**name, "default": ""},
        "scopes": {**_SCOPES, "minItems": 1, "default": ["read", "write"]},
        "namespace": confined,
        "expires_at": expires,
    }
    return {
        "Token": object_of(shown),
        "TokenPage": page_of("Token", "One page of tokens."),
        "NewToken": object_of({**shown, "token": _TOKEN}),
        "TokenRequest": closed(asked, optional=tuple(asked)),
    }
