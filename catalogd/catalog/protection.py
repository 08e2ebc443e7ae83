"""What the policy of the catalog refuses of direct edits, on the very tree that the commit is made on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from catalogd import names
from catalogd.documents import comparable, diff, loads
from catalogd.documents.merge import COUNTERS, UPDATED_AT
from catalogd.documents.policy import NO_POLICY, Policy, covers, parse_policy
from catalogd.errors import CatalogdError, Conflict, Fault, Malformed, Protected
from catalogd.store import Reading, Snapshot

# What no hand writes, but comes with what one does.
_KEPT = COUNTERS | {UPDATED_AT}
_MOST_TOLD = 20


def policy_in(reading: Reading | Snapshot) -> Policy:
    """The policy in force. Raises Conflict where a hand has broken its file: then nobody knows what is allowed."""
    blob = reading.id_of(names.POLICY_PATH)
    if blob is None:
        return NO_POLICY
    found = reading.read(names.POLICY_PATH)
    try:
        return _parsed(found[1] if found else b"")
    except CatalogdError as error:
        raise Conflict(f"policy.json is broken ({error.detail}); mend it by hand in the catalog.") from error


_parsed = lru_cache(maxsize=4)(parse_policy)


def require_direct(before: Reading | Snapshot, files: Mapping[str, bytes | None], policy: Policy | None = None) -> None:
    """Before an edit of `before` that is no proposal's: of these files, None where one goes.

    Without `policy` it is held to the one in `before`. Raises Protected, and Conflict as policy_in().
    """
    policy = policy_in(before) if policy is None else policy
    for path, data in files.items():
        if path == names.POLICY_PATH:
            raise Protected("policy.json is reviewed itself: propose this change instead.")
        namespace = names.namespace_of(path)
        if namespace is not None and policy.of(namespace).protected:
            direct = policy.of(namespace).direct if names.parse_document_path(path) else ()
            _require_direct(namespace, direct, *_sides(before.read(path), data))


def _require_direct(
    namespace: str, direct: tuple[str, ...], before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    refused = [
        change.pointer
        for change in diff(before, after)
        if change.pointer not in _KEPT and not covers(direct, change.pointer)
    ]
    if refused:
        faults = [Fault(pointer, "is not to be changed directly") for pointer in refused[:_MOST_TOLD]]
        raise Protected(f"The namespace {namespace} is protected by policy.json: propose this change instead.", faults)


def _sides(found: tuple[str, bytes] | None, data: bytes | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    before, after = (None if side is None else _object_in(side) for side in (found and found[1], data))
    return before, after


def _object_in(data: bytes) -> dict[str, Any]:
    """What is no object counts as an empty one: whoever mends it or takes it away changes what is there."""
    try:
        document = loads(data)
    except Malformed:
        return {}
    if not isinstance(document, dict):
        return {}
    return comparable(document)
