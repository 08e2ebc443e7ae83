"""The policy of a catalog: what its file, policy.json, asks of edits.

    {
      "approvals": 1,
      "on_green": ["/description", "/full_description"],
      "namespaces": {
        "library": {"protected": true, "approvals": 2, "direct": ["/tags"]}
      }
    }

What stands in `namespaces` takes the place of the same member of the whole, for that namespace.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any

from catalogd.documents import strict
from catalogd.documents.positions import escape
from catalogd.documents.schema import MAX_FAULTS, builtin_faults
from catalogd.errors import Fault, Invalid
from catalogd.names import POLICY_KIND, fault_in_name


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of edits in a namespace.

    `approvals`: how many of its owners must approve a proposal. `protected`: no edit but by a proposal, except of the
    fields in `direct`. `on_green`: a proposal that changes nothing but these fields of repositories needs no approval.
    Fields are JSON pointers, each with what is below it.
    """

    approvals: int = 1
    protected: bool = False
    direct: tuple[str, ...] = ()
    on_green: tuple[str, ...] = ()


_MEMBERS = tuple(member.name for member in fields(Rules))


class Policy:
    """The rules of each namespace."""

    def __init__(self, rules: Rules | None = None, namespaces: Mapping[str, Rules] | None = None):
        self._rules = rules or Rules()
        self._namespaces = namespaces or {}

    def of(self, namespace: str) -> Rules:
        """The rules of a namespace."""
        return self._namespaces.get(namespace, self._rules)


NO_POLICY = Policy()


def parse_policy(data: bytes) -> Policy:
    """The policy in a file. Raises Malformed where it is no strict JSON, Invalid where it is no policy."""
    document = strict.loads(data, what="policy.json")
    faults = faults_in_policy(document)
    if faults:
        raise Invalid("policy.json is no policy.", faults)
    assert isinstance(document, dict)
    whole = _rules(document, Rules())
    return Policy(whole, {name: _rules(given, whole) for name, given in document.get("namespaces", {}).items()})


def faults_in_policy(document: object) -> list[Fault]:
    """What is wrong with the content of policy.json, by pointer: at most 20 faults; none if it is a policy."""
    faults = builtin_faults(POLICY_KIND, document)
    if faults:
        return faults
    assert isinstance(document, dict)
    return list(_faults_in_names(document.get("namespaces", {})))


def dumps_policy(document: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a policy: known members first, in their order, namespaces by name."""
    whole = _ordered(document)
    if isinstance(document.get("namespaces"), dict):
        of = document["namespaces"]
        whole["namespaces"] = {
            name: _ordered(of[name]) if isinstance(of[name], dict) else of[name] for name in sorted(of)
        }
    return (json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode()


def covers(pointers: Iterable[str], pointer: str) -> bool:
    """Whether a field is one of `pointers` or below one."""
    return any(pointer == allowed or pointer.startswith(f"{allowed}/") for allowed in pointers)


def _rules(given: Mapping[str, Any], base: Rules) -> Rules:
    members: dict[str, Any] = {}
    for name in _MEMBERS:
        if name in given:
            members[name] = tuple(given[name]) if isinstance(given[name], list) else given[name]
    if "approvals" in members:
        members["approvals"] = int(members["approvals"])  # to a schema 2.0 is a whole number
    return replace(base, **members)


def _ordered(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in (*_MEMBERS, *sorted(given.keys() - set(_MEMBERS))) if name in given}


def _faults_in_names(namespaces: Iterable[str]) -> Iterator[Fault]:
    """What no schema can say of them: devices of Windows, reserved endings."""
    found = ((name, fault_in_name(name)) for name in namespaces)
    for name, fault in islice(((name, fault) for name, fault in found if fault), MAX_FAULTS):
        yield Fault(f"/namespaces/{escape(name)}", f"is no name of a namespace: it {fault}")
