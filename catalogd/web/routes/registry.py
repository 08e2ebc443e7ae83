"""The calls of a container registry and its clients."""

from __future__ import annotations

from catalogd import rights
from catalogd.web.operation import Body, Operation
from catalogd.web.registry_events import MEDIA_TYPES
from catalogd.web.routes.shared import REGISTRY, json_reply

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
)
