"""The calls of a container registry and its clients."""

from __future__ import annotations

from catalogd import rights
from catalogd.web.bodies import FORM
from catalogd.web.operation import Body, Operation
from catalogd.web.parameters import OFFLINE_TOKEN, REGISTRY_SERVICE, SCOPE
from catalogd.web.registry_events import MEDIA_TYPES
from catalogd.web.routes.shared import REGISTRY, json_reply

_TOKEN = "/v1/registry/token"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        "/v1/registry/events",
        "takeRegistryEvents",
        rights.REPORT,
        "registry_events.take",
        REGISTRY,
        "Take the notifications of a registry",
        "As Docker Distribution sends them. A push of a tag sets it, a delete removes it, a GET of a manifest is a "
        "download; each event counts once, however often it is sent. When this is answered, what it told is durable; "
        "tags follow within a second, downloads are shown at once. What the catalog can make nothing of is counted and "
        "passed over, as a registry would send it for ever if it were refused: `passed_over` tells of what kind.",
        (json_reply(202, "The events are taken.", "TakenEvents", ()),),
        (400, 401, 403, 413, 415, 503, 507),
        body=Body("RegistryEvents", {}, media_types=MEDIA_TYPES),
        writes=True,
    ),
    Operation(
        "GET",
        _TOKEN,
        "getRegistryToken",
        rights.GRANT,
        "registry_tokens.get",
        REGISTRY,
        "Get a token for the registry",
        "The registry's `realm`. Clients send the user and password, or a token in place of the password, by Basic; or "
        "nothing. What is granted is what was asked for as far as the caller may have it: `pull` for who may read the "
        "repository, `push` and `delete` for who may write in the namespace, `registry:catalog:*` for who sees "
        "everything. All else is left out, and that is no error. Parameters that are not known are passed over.",
        (json_reply(200, "The token.", "RegistryToken", ()),),
        (400, 401, 429, 503),
        parameters=(REGISTRY_SERVICE, SCOPE, OFFLINE_TOKEN),
        is_foreign=True,
    ),
    Operation(
        "POST",
        _TOKEN,
        "postRegistryToken",
        rights.EXCHANGE,
        "registry_tokens.post",
        REGISTRY,
        "Get a token for the registry, by OAuth 2",
        "As GET, for clients that send a form. A token of the catalog is its own refresh token; a password has "
        "none.",
        (json_reply(200, "The token.", "RegistryAccess", ()),),
        (400, 401, 413, 415, 429, 503),
        body=Body(
            "RegistryGrant",
            {
                "password": {
                    "grant_type": "password", "service": "registry", "client_id": "docker", "username": "alice",
                    "password": "correct horse battery", "scope": "repository:acme/web:pull,push",
                }
            },
            (FORM,),
        ),
    ),
)  # fmt: skip
