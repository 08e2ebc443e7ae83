"""Who may do what. The one module that decides; everything else asks here.

| | public repository | private repository | write | administer |
| --- | --- | --- | --- | --- |
| anonymous | read | does not exist | credentials needed | credentials needed |
| scope read | read | read | no | no |
| scope write | read | read | yes | no |
| scope admin, an admin's token | read | read | yes | yes |
| any other scope alone (registry, catalog) | read | does not exist | no | no |

A token confined to a namespace has the rights of its scope in that namespace; elsewhere it reads what is
public and writes nothing. A login by password has the scopes that its user may have, unconfined.

Any account may write to any namespace for now: ownership (the owners, writers and readers of
`namespaces/<namespace>.json`) follows, and is to change nothing outside this module.
"""

from __future__ import annotations

from dataclasses import dataclass

from catalogd.accounts import SCOPE_ADMIN, SCOPE_READ, SCOPE_WRITE, Account
from catalogd.errors import Forbidden, Unauthenticated

_READING = frozenset({SCOPE_READ, SCOPE_WRITE, SCOPE_ADMIN})
_WRITING = frozenset({SCOPE_WRITE, SCOPE_ADMIN})


@dataclass(frozen=True)
class Visibility:
    """What an account sees: what is public; if `everything`, all; else also all of the `namespaces`."""

    everything: bool
    namespaces: frozenset[str] = frozenset()

    def covers(self, namespace: str, is_public: bool) -> bool:
        return is_public or self.everything or namespace in self.namespaces


_ONLY_PUBLIC = Visibility(everything=False)
_EVERYTHING = Visibility(everything=True)


def visibility(account: Account) -> Visibility:
    """What the account sees, in the form by which the read model filters."""
    if account.is_anonymous or not account.scopes & _READING:
        return _ONLY_PUBLIC
    if account.namespace is None:
        return _EVERYTHING
    return Visibility(everything=False, namespaces=frozenset({account.namespace}))


def may_read(account: Account, namespace: str, is_public: bool) -> bool:
    """Whether the account may know that this repository exists."""
    return visibility(account).covers(namespace, is_public)


def may_write(account: Account, namespace: str) -> bool:
    """Whether the account may create, change and delete repositories in the namespace."""
    if account.is_anonymous or not account.scopes & _WRITING:
        return False
    return account.namespace is None or account.namespace == namespace


def may_administer(account: Account) -> bool:
    """Whether the account may do what concerns the catalog as a whole and other people's accounts."""
    return account.is_admin and account.namespace is None


def require_write(account: Account, namespace: str) -> None:
    """Raises Unauthenticated for anonymous, Forbidden for an account that may not write to the namespace."""
    if may_write(account, namespace):
        return
    _require_credentials(account)
    if not account.scopes & _WRITING:
        raise Forbidden("The token must have the scope write.")
    raise Forbidden(f"The token is confined to the namespace {account.namespace}; this is {namespace}.")


def require_admin(account: Account) -> None:
    """Raises Unauthenticated for anonymous, Forbidden for any other that may not administer."""
    if may_administer(account):
        return
    _require_credentials(account)
    raise Forbidden("This needs an admin's token with the scope admin.")


def _require_credentials(account: Account) -> None:
    if account.is_anonymous:
        raise Unauthenticated("Credentials are needed for this: a token, or a user and password.")
