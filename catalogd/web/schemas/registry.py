"""The component schemas of what a registry and its clients are told."""

from __future__ import annotations

from catalogd.web.schemas.shared import COUNT, Schema, object_of


def components() -> dict[str, Schema]:
    """By name."""
    return {**_events()}


def _events() -> dict[str, Schema]:
    told = {"type": "array", "items": {"type": "object"}}
    envelope = {**object_of({"events": told}), "description": "Notifications, in the form of Docker Distribution."}
    passed_over = {"type": "object", "description": "How many of each other kind.", "additionalProperties": COUNT}
    taken = {**COUNT, "description": "How many events told something new."}
    return {"RegistryEvents": envelope, "TakenEvents": object_of({"taken": taken, "passed_over": passed_over})}
