"""Accounts: users, their passwords and their tokens; and who a request comes from.

A token is shown once, when it is made, and has scopes; it may be confined to a namespace and may expire. What
an account may do is decided in `rights.py`, how secrets are kept in `credentials.py`.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from catalogd.credentials import (
    TOKEN_PREFIX,
    Passwords,
    check_password,
    digest,
    is_encodable,
    is_token,
    new_token,
)
from catalogd.errors import AlreadyExists, Fault, Malformed, NotFound, Unauthenticated
from catalogd.names import check_name, fault_in_name
from catalogd.state import Change, State, TokenRow, UserRow

SCOPE_READ, SCOPE_WRITE, SCOPE_ADMIN = "read", "write", "admin"
SCOPE_REGISTRY, SCOPE_CATALOG = "registry", "catalog"
SCOPES = (SCOPE_READ, SCOPE_WRITE, SCOPE_ADMIN, SCOPE_REGISTRY, SCOPE_CATALOG)
DEFAULT_SCOPES = frozenset({SCOPE_READ, SCOPE_WRITE})

FIRST_ADMIN = "admin"

MAX_TOKEN_NAME = 100
MAX_EMAIL = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets

_ID_ALPHABET = string.digits + string.ascii_lowercase
_ID_LENGTH = 12

# An address as git can write it between < and >, with no more of RFC 5322 than people use.
_EMAIL = re.compile(r"[^\s<>@,;:\"()\[\]\\\x00-\x1f\x7f]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")

_USE_NOTED_EVERY = timedelta(minutes=1)

# One sentence for every failure, so that nobody learns which users and tokens exist.
_REFUSED = "The credentials are wrong, expired or revoked."


@dataclass(frozen=True)
class Account:
    """Who a request comes from. `namespace` confines what it may do to that one; None does not."""

    name: str | None
    email: str | None
    is_admin: bool
    scopes: frozenset[str]
    namespace: str | None

    @property
    def is_anonymous(self) -> bool:
        return self.name is None


ANONYMOUS = Account(name=None, email=None, is_admin=False, scopes=frozenset(), namespace=None)


@dataclass(frozen=True)
class UserInfo:
    """A user as shown to an admin. Times are RFC 3339."""

    name: str
    email: str
    is_admin: bool
    has_password: bool
    created_at: str


@dataclass(frozen=True)
class TokenInfo:
    """A token as shown to people: everything but the token. Times are RFC 3339 or None."""

    id: str
    user: str
    name: str
    scopes: tuple[str, ...]
    namespace: str | None
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class Accounts:
    """Users, tokens and authentication on a state. Use from any number of threads."""

    def __init__(self, state: State, *, email_domain: str):
        self._state = state
        self._email_domain = email_domain
        self._passwords = Passwords()

    # --- users

    def add_user(self, name: str, *, email: str | None = None, is_admin: bool = False) -> UserInfo:
        """A new user without a password. Raises Malformed, AlreadyExists."""
        user = UserRow(check_name(name, "user"), _checked_email(email), is_admin, None, _stamp(_now()))
        if not self._state.insert_user(user):
            raise AlreadyExists(f"There is a user {name} already.")
        return self._user_info(user)

    def list_users(self) -> list[UserInfo]:
        """All users by name."""
        return [self._user_info(user) for user in self._state.users()]

    def remove_user(self, name: str) -> None:
        """Removes the user and all its tokens. Raises NotFound."""
        if fault_in_name(name) or self._state.delete_user(name) is not Change.DONE:
            raise _no_user(name)

    def set_password(self, name: str, password: str) -> None:
        """Raises Malformed for a password of fewer than 8 or more than 1024 characters, NotFound."""
        check_password(password)
        self._existing(name)  # asked first, so that a wrong name costs no hash
        if not self._state.set_password_hash(name, self._passwords.hash(password)):
            raise _no_user(name)

    def ensure_admin(self) -> tuple[str, str] | None:
        """Makes the user `admin` with a token if there is no user at all: (name, token); otherwise None."""
        user = UserRow(FIRST_ADMIN, None, True, None, _stamp(_now()))
        token, row = _new_token(FIRST_ADMIN, "first", DEFAULT_SCOPES | {SCOPE_ADMIN}, None, None)
        return (FIRST_ADMIN, token) if self._state.insert_first_user(user, row) else None

    # --- tokens

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
        that are not confined to a namespace. Raises Malformed, NotFound for the user.
        """
        chosen = _checked_scopes(scopes)
        _check_token_name(name)
        if namespace is not None:
            check_name(namespace, "namespace")
        if expires is not None:
            _check_expiry(expires)
        owner = self._existing(user)
        if SCOPE_ADMIN in chosen:
            _check_admin_scope(owner, namespace)
        token, row = _new_token(user, name, chosen, namespace, expires)
        if not self._state.insert_token(row):
            raise _no_user(user)
        return token, _token_info(row)

    def list_tokens(self, user: str | None = None) -> list[TokenInfo]:
        """The tokens of one user, or all, oldest first. Raises NotFound for the user."""
        if user is not None:
            self._existing(user)
        return [_token_info(row) for row in self._state.tokens(user)]

    def revoke_token(self, token_id: str) -> None:
        """The token is refused from now on, by every process. Raises NotFound."""
        if not token_id.isascii() or not self._state.delete_token(token_id):
            raise NotFound(f"There is no token with the id {_quoted(token_id)}.")

    # --- authentication

    def authenticate_token(self, token: str) -> Account:
        """The account of a token. Raises Unauthenticated; a string that cannot be a token costs no query."""
        if not is_token(token):
            raise Unauthenticated(_REFUSED)
        found = self._state.token_and_user(digest(token))
        if found is None:
            raise Unauthenticated(_REFUSED)
        row, user = found
        now = _now()
        if not user.is_active or (row.expires_at is not None and row.expires_at <= _stamp(now)):
            raise Unauthenticated(_REFUSED)
        self._note_use(row, now)
        return self._account(user, frozenset(row.scopes.split()), row.namespace)

    def authenticate_password(self, user: str, password: str) -> Account:
        """The account of a user, with all scopes it may have. Raises Unauthenticated, Unavailable under a
        flood of logins.

        A user that does not exist takes as long as a wrong password.
        """
        row = None if fault_in_name(user) else self._state.user(user)
        matches = self._passwords.verify(row.password_hash if row is not None else None, password)
        if row is None or not matches or not row.is_active:
            raise Unauthenticated(_REFUSED)
        return self._account(row, frozenset(SCOPES), None)

    def authenticate_basic(self, user: str, secret: str) -> Account:
        """The account of a user and either a token of that user or its password. Raises as the two above."""
        if not secret.startswith(TOKEN_PREFIX):
            return self.authenticate_password(user, secret)
        account = self.authenticate_token(secret)
        if account.name != user:
            raise Unauthenticated(_REFUSED)
        return account

    def _existing(self, name: str) -> UserRow:
        user = None if fault_in_name(name) else self._state.user(name)
        if user is None:
            raise _no_user(name)
        return user

    def _account(self, user: UserRow, scopes: frozenset[str], namespace: str | None) -> Account:
        # Never more than the user is now, nor more than the token says, whatever the user was when the token
        # was made.
        is_admin = user.is_admin and SCOPE_ADMIN in scopes and namespace is None
        return Account(
            name=user.name,
            email=self._email(user),
            is_admin=is_admin,
            scopes=scopes if is_admin else scopes - {SCOPE_ADMIN},
            namespace=namespace,
        )

    def _note_use(self, row: TokenRow, now: datetime) -> None:
        not_since = _stamp(now - _USE_NOTED_EVERY)
        if row.last_used_at is None or row.last_used_at < not_since:
            self._state.note_token_used(row.id, _stamp(now), not_since)

    def _email(self, user: UserRow) -> str:
        return user.email or f"{user.name}@{self._email_domain}"

    def _user_info(self, user: UserRow) -> UserInfo:
        return UserInfo(user.name, self._email(user), user.is_admin, user.password_hash is not None, user.created_at)


# --- tokens


def _new_token(
    user: str, name: str, scopes: frozenset[str], namespace: str | None, expires: datetime | None
) -> tuple[str, TokenRow]:
    token = new_token()
    row = TokenRow(
        id="".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH)),
        user=user,
        name=name,
        digest=digest(token),
        scopes=" ".join(scope for scope in SCOPES if scope in scopes),
        namespace=namespace,
        created_at=_stamp(_now()),
        expires_at=None if expires is None else _stamp(expires),
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


# --- checks


def _checked_email(email: str | None) -> str | None:
    if email is None:
        return None
    if len(email) > MAX_EMAIL or not is_encodable(email) or not _EMAIL.fullmatch(email):
        fault = f"must be an e-mail address of at most {MAX_EMAIL} characters"
        raise Malformed(f"The e-mail is not valid: it {fault}.", [Fault("email", fault)])
    return email


def _checked_scopes(scopes: Iterable[str]) -> frozenset[str]:
    chosen = frozenset(scopes)
    if not chosen or not chosen <= frozenset(SCOPES):
        fault = f"must be one or more of {', '.join(SCOPES)}"
        raise Malformed(f"The scopes are not valid: they {fault}.", [Fault("scopes", fault)])
    return chosen


def _check_token_name(name: str) -> None:
    # What is printable has no control characters, so that a terminal may show it, nor lone surrogates.
    if len(name) > MAX_TOKEN_NAME or not name.isprintable():
        fault = f"must have at most {MAX_TOKEN_NAME} characters, all of them printable"
        raise Malformed(f"The name of the token {fault}.", [Fault("name", fault)])


def _check_expiry(expires: datetime) -> None:
    if expires.tzinfo is None or expires <= _now():
        fault = "must be a time in the future, with a time zone"
        raise Malformed(f"The expiry of the token {fault}.", [Fault("expires", fault)])


def _check_admin_scope(owner: UserRow, namespace: str | None) -> None:
    if not owner.is_admin:
        fault = f"must not have admin, as the user {owner.name} is no admin"
    elif namespace is not None:
        fault = "must not have admin, as the token is confined to a namespace"
    else:
        return
    raise Malformed(f"The scopes are not valid: they {fault}.", [Fault("scopes", fault)])


def _no_user(name: str) -> NotFound:
    return NotFound(f"There is no user {_quoted(name)}.")


def _quoted(text: str) -> str:
    """What a caller wrote, fit for a message on one line."""
    return ascii(text) if len(text) <= 140 else ascii(text[:140]) + "..."


# --- time


def _now() -> datetime:
    return datetime.now(UTC)


def _stamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: 2014-11-19T05:54:22.741Z"""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
