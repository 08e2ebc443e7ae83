"""What of the access to a registry that a client asks for it may have: the rights of the catalog decide."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from catalogd import rights
from catalogd.accounts import Account
from catalogd.catalog import Catalog
from catalogd.errors import Malformed
from catalogd.registry.names import catalog_name

PULL, PUSH, DELETE, ALL = "pull", "push", "delete", "*"
# A push asks for what it takes blobs from besides: of so many repositories at once, actions counted once each.
MOST_SCOPES = 100
_MOST_NAME = 255

# Of the distribution specification: path components, parted by "/".
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_CATALOG = ("registry", "catalog")

# An entry of the claim `access`: type, name, actions.
Granted = dict[str, Any]


def grant(catalog: Catalog, account: Account, scopes: Iterable[str]) -> list[Granted]:
    """Of what `scopes` ask for, such as "repository:acme/web:pull,push", what the account may have, by name.

    What cannot be read, and what is for others, is left out. Raises Malformed for more than a hundred.
    """
    asked = _asked(scopes)
    granted = []
    for (kind, name), actions in asked.items():
        allowed = _allowed(catalog, account, kind, name)
        # All that is possible is told by name: the registry asks for each by its own.
        given = [action for action in allowed if action in actions or ALL in actions]
        if given:
            granted.append({"type": kind, "name": name, "actions": given})
    return granted


def in_words(granted: Iterable[Granted]) -> str:
    """What was granted as scopes, parted by spaces."""
    return " ".join(f"{each['type']}:{each['name']}:{','.join(each['actions'])}" for each in granted)


def _asked(scopes: Iterable[str]) -> dict[tuple[str, str], set[str]]:
    """(type, name) -> actions."""
    asked: dict[tuple[str, str], set[str]] = {}
    for number, scope in enumerate(each for given in scopes for each in given.split(" ") if each):
        if number >= MOST_SCOPES:
            raise Malformed(f"There are more than {MOST_SCOPES} scopes; ask for fewer at once.")
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        asked.setdefault((kind, name), set()).update(actions.split(","))
    return asked


def _allowed(catalog: Catalog, account: Account, kind: str, name: str) -> tuple[str, ...]:
    """All actions that the account may do on what is so called."""
    if (kind, name) == _CATALOG:
        # The names of all repositories, so for those who see everything.
        return (ALL,) if rights.may_beyond(account, rights.READ) else ()
    if kind != "repository" or len(name) > _MOST_NAME or not _NAME.fullmatch(name):
        return ()
    place = catalog_name(name)
    if place is None:
        reads, writes = (rights.may_beyond(account, right) for right in (rights.READ, rights.WRITE))
    else:
        reads, writes = catalog.access(account, *place)
    return ((PULL,) if reads else ()) + ((PUSH, DELETE) if writes else ())
