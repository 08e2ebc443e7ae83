"""Organizations: who has which role in a namespace, as its document in `namespaces/<namespace>.json` says."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from catalogd.documents import strict
from catalogd.errors import Malformed

Document = dict[str, Any]


class Role(IntEnum):
    """What somebody is in a namespace. Each may do all that the ones before may."""

    NONE = 0
    READER = 1
    WRITER = 2
    OWNER = 3


# The lists of a document and the role that each gives; the highest first.
LISTS: dict[str, Role] = {"owners": Role.OWNER, "writers": Role.WRITER, "readers": Role.READER}


def complete(document: Mapping[str, Any]) -> Document:
    """A copy of a sound document with every default filled in, in canonical order, its members sorted."""
    return {
        "namespace": document["namespace"],
        "description": document.get("description", ""),
        **{name: sorted(document.get(name, ())) for name in LISTS},
    }


def parse(namespace: str, data: bytes) -> Document:
    """The complete document in a stored file. Raises Malformed where a hand has broken it."""
    document = strict.loads(data, what="the file")
    fault = fault_in(namespace, document)
    if fault is not None:
        raise Malformed(fault)
    assert isinstance(document, dict)
    return complete(document)


def roles(document: Mapping[str, Any]) -> dict[str, Role]:
    """Member -> the highest role that a complete document gives."""
    found: dict[str, Role] = {}
    for name, role in LISTS.items():
        for member in document[name]:
            found.setdefault(member, role)
    return found


def stored_roles(namespace: str, data: bytes) -> dict[str, Role]:
    """The roles in a stored file; none where it is broken: a right that cannot be read is not given."""
    try:
        return roles(parse(namespace, data))
    except Malformed:
        return {}


def fault_in(namespace: str, document: object) -> str | None:
    """Why a document cannot be taken for this organization's, in a sentence; None if it can."""
    if not isinstance(document, dict):
        return "The document must be a JSON object."
    if document.get("namespace") != namespace:
        return f'"namespace" must be "{namespace}", as in the path of the file.'
    if not isinstance(document.get("description", ""), str):
        return '"description" must be a string.'
    for name in LISTS:
        members = document.get(name, [])
        if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
            return f'"{name}" must be a list of strings.'
    return None
