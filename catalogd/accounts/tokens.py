"""Tokens: with scopes, perhaps confined to a namespace, perhaps with an end. Each is shown once, when it is made."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from datetime import datetime

from catalogd.accounts.account import DEFAULT_SCOPES, SCOPE_ADMIN, SCOPES, TokenInfo
from catalogd.accounts.base import OnState
from catalogd.accounts.checks import (
    check_admin_scope,
    check_expiry,
    check_token_name,
    checked_scopes,
    no_user,
    now,
    quoted,
    stamp,
)
from catalogd.credentials import digest, new_token
from catalogd.errors import Conflict, NotFound
from catalogd.names import check_name
from catalogd.state import TokenRow

# A bound against clients that make one at every start and never revoke any.
MOST_TOKENS = 1000

_ID_ALPHABET = string.digits + string.ascii_lowercase
_ID_LENGTH = 12


class Tokens(OnState):
    """What users prove with who they are."""

    def create_token(
        self,
        user: str,
        name: str = "",
        scopes: Iterable[str] = DEFAULT_SCOPES,
        namespace: str | None = None,
        expires: datetime | None = None,
    ) -> tuple[str, TokenInfo]:
        """A new token and what is known of it; the token itself is not to be had again.

        `expires` is a time with a zone, in the future; None: never. The scope admin is for admins' tokens
        that are not confined to a namespace. Raises Invalid, Malformed for the namespace, Conflict past 1,000
        tokens, NotFound for the user.
        """
        chosen = checked_scopes(scopes)
        check_token_name(name)
        if namespace is not None:
            check_name(namespace, "namespace")
        if expires is not None:
            check_expiry(expires)
        owner = self._existing(user)
        if SCOPE_ADMIN in chosen:
            check_admin_scope(owner, namespace)
        if self._state.count_tokens(user) >= MOST_TOKENS:
            raise Conflict(f"{user} has {MOST_TOKENS:,} tokens already; revoke some first.")
        token, row = new_row(user, name, chosen, namespace, expires)
        if not self._state.insert_token(row):
            raise no_user(user)
        return token, _token_info(row)

    def list_tokens(self, user: str | None = None) -> list[TokenInfo]:
        """The tokens of one user, or all, oldest first. Raises NotFound for the user."""
        if user is not None:
            self._existing(user)
        return [_token_info(row) for row in self._state.tokens(user)]

    def revoke_token(self, token_id: str, user: str | None = None) -> None:
        """The token, if it is that user's, is refused from now on, by every process. Raises NotFound."""
        if not token_id.isascii() or "\0" in token_id or not self._state.delete_token(token_id, user):
            raise NotFound(f"There is no token with the id {quoted(token_id)}.")


def new_row(
    user: str, name: str, scopes: frozenset[str], namespace: str | None, expires: datetime | None
) -> tuple[str, TokenRow]:
    """(a new token, what is kept of it)."""
    token = new_token()
    row = TokenRow(
        id="".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH)),
        user=user,
        name=name,
        digest=digest(token),
        scopes=" ".join(scope for scope in SCOPES if scope in scopes),
        namespace=namespace,
        created_at=stamp(now()),
        expires_at=None if expires is None else stamp(expires),
    )
    return token, row


def _token_info(row: TokenRow) -> TokenInfo:
    return TokenInfo(
        row.id,
        row.user,
        row.name,
        tuple(row.scopes.split()),
        row.namespace,
        row.created_at,
        row.expires_at,
        row.last_used_at,
    )
