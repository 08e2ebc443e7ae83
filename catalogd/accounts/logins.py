"""Who a request comes from: tokens and passwords to accounts."""

from __future__ import annotations

from datetime import datetime, timedelta

from catalogd.accounts.account import DEFAULT_SCOPES, SCOPE_ADMIN, SCOPES, Account
from catalogd.accounts.base import OnState
from catalogd.accounts.checks import now, stamp
from catalogd.accounts.tokens import new_row
from catalogd.credentials import TOKEN_PREFIX, check_password, digest, is_token
from catalogd.errors import Fault, Invalid, Unauthenticated
from catalogd.names import fault_in_name
from catalogd.state import TokenRow, UserRow

_USE_NOTED_EVERY = timedelta(minutes=1)

# Clients of the original service ask for a token at each login and keep it for good; so many of them stay good.
LOGIN_TOKEN = "generate-api-token"
_LOGIN_TOKENS_KEPT = 50

# One sentence for every failure, so that nobody learns which users and tokens exist.
_REFUSED = "The credentials are wrong, expired or revoked."


class Logins(OnState):
    """Authentication. `address` is where a request comes from: passwords are checked slower after failures there."""

    def authenticate_token(self, token: str) -> Account:
        """The account of a token. Raises Unauthenticated; a string that cannot be a token costs no query."""
        if not is_token(token):
            raise Unauthenticated(_REFUSED)
        found = self._state.token_and_user(digest(token))
        if found is None:
            raise Unauthenticated(_REFUSED)
        row, user = found
        moment = now()
        if not user.is_active or (row.expires_at is not None and row.expires_at <= stamp(moment)):
            raise Unauthenticated(_REFUSED)
        self._note_use(row, moment)
        return self._account(user, frozenset(row.scopes.split()), row.namespace, row.expires_at)

    def authenticate_password(self, user: str, password: str, address: str) -> Account:
        """The account of a user, with all scopes it may have. Raises Unauthenticated, TooManyAttempts, and
        Unavailable under a flood of logins.

        A user that does not exist takes as long as a wrong password.
        """
        row = self._checked(user, password, address)
        return self._account(row, frozenset(SCOPES) if row.is_admin else DEFAULT_SCOPES, None, None)

    def authenticate_basic(self, user: str, secret: str, address: str) -> Account:
        """The account of a user and either a token of that user or its password. Raises as the two above."""
        if not secret.startswith(TOKEN_PREFIX):
            return self.authenticate_password(user, secret, address)
        account = self.authenticate_token(secret)
        if account.name != user:
            raise Unauthenticated(_REFUSED)
        return account

    def log_in(self, user: str, password: str, address: str) -> str:
        """A new token with the scopes read and write. Raises as authenticate_password.

        The fifty used last of those made in this way stay good.
        """
        self._checked(user, password, address)
        token, row = new_row(user, LOGIN_TOKEN, DEFAULT_SCOPES, None, None)
        if not self._state.insert_token(row):
            raise Unauthenticated(_REFUSED)  # removed in between
        self._state.prune_tokens(user, LOGIN_TOKEN, _LOGIN_TOKENS_KEPT, row.created_at)
        return token

    def change_password(self, user: str, current: str | None, password: str, address: str) -> None:
        """Sets the user's own password; `current` must be the one there is, None if there is none.

        Raises Invalid for a password of fewer than 8 or more than 1024 characters and for a wrong current one,
        NotFound, TooManyAttempts, Unavailable.
        """
        check_password(password)
        if self._existing(user).password_hash is not None:
            try:
                self._checked(user, current or "", address)
            except Unauthenticated:
                fault = Fault("/current_password", "must be the password that is set now")
                raise Invalid("The current password is wrong.", [fault]) from None
        self._state.set_password_hash(user, self._passwords.hash(password))

    def _checked(self, user: str, password: str, address: str) -> UserRow:
        is_name = fault_in_name(user) is None
        with self._throttle.attempt(user if is_name else "", address):
            row = self._state.user(user) if is_name else None
            matches = self._passwords.verify(row.password_hash if row is not None else None, password)
            if row is None or not matches or not row.is_active:
                raise Unauthenticated(_REFUSED)
        return row

    def _account(self, user: UserRow, scopes: frozenset[str], namespace: str | None, expires_at: str | None) -> Account:
        # Never more than the user is now, nor more than the token says, whatever the user was when the token
        # was made.
        if not user.is_admin or namespace is not None:
            scopes -= {SCOPE_ADMIN}
        return Account(user.name, self._email(user), user.is_admin, scopes, namespace, expires_at)

    def _note_use(self, row: TokenRow, moment: datetime) -> None:
        not_since, used_at = stamp(moment - _USE_NOTED_EVERY), stamp(moment)
        if row.last_used_at is None or not not_since <= row.last_used_at <= used_at:
            self._state.note_token_used(row.id, used_at, not_since)
