"""What the policy of the catalog refuses of direct edits, on the very tree that the commit is made on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from catalogd import names
from catalogd.documents import diff
from catalogd.documents.merge import COUNTERS, UPDATED_AT
from catalogd.documents.policy import NO_POLICY, Policy, covers, parse_policy
from catalogd.errors import CatalogdError, Conflict, Fault, Protected
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


def require_direct(
    reading: Reading | Snapshot, namespace: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> None:
    """Before an edit that is no proposal's: of a document of the namespace, None where there is none.

    Raises Protected, and Conflict as policy_in().
    """
    rules = policy_in(reading).of(namespace)
    if not rules.protected:
        return
    changes = diff(None if before is None else dict(before), None if after is None else dict(after))
    refused = [c.pointer for c in changes if c.pointer not in _KEPT and not covers(rules.direct, c.pointer)]
    if refused:
        faults = [Fault(pointer, "is not to be changed directly") for pointer in refused[:_MOST_TOLD]]
        raise Protected(f"The namespace {namespace} is protected by policy.json: propose this change instead.", faults)


def require_unprotected(reading: Reading | Snapshot, namespace: str) -> None:
    """Before an edit of an organization. Raises Protected, and Conflict as policy_in()."""
    if policy_in(reading).of(namespace).protected:
        raise Protected(f"The namespace {namespace} is protected by policy.json: propose this change instead.")
