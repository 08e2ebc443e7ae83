"""Who a request comes from: the Authorization header, by three schemes, to an account."""

from __future__ import annotations

import base64
import binascii

from catalogd.accounts import Account, Accounts
from catalogd.credentials import is_token
from catalogd.errors import Unauthenticated

_UNREADABLE = 'The Authorization header must be "Token T", "Bearer T" or "Basic" with base64 of "user:secret".'

_NOBODY = base64.b64encode(b":").decode()


class Authenticator:
    """Reads Authorization headers against the accounts."""

    def __init__(self, accounts: Accounts):
        self._accounts = accounts

    def account(self, header: str, address: str) -> Account:
        """The account of an Authorization header as WSGI gives it, sent from an address.

        Raises Unauthenticated, TooManyAttempts, Unavailable.

        Wrong credentials are refused also where none are needed: whoever sends them believes to be someone.
        """
        scheme, _, credentials = header.partition(" ")
        scheme, credentials = scheme.lower(), credentials.strip(" ")
        if not credentials:
            raise Unauthenticated(_UNREADABLE)
        if scheme in ("token", "bearer"):
            return self._accounts.authenticate_token(credentials)
        if scheme == "basic":
            return self._accounts.authenticate_basic(*_user_and_secret(credentials), address)
        raise Unauthenticated(_UNREADABLE)


def is_nobody(header: str) -> bool:
    """Whether an Authorization header is Basic with neither user nor password: some clients of registries send that
    when they have no credentials.
    """
    scheme, _, credentials = header.partition(" ")
    return scheme.lower() == "basic" and credentials.strip(" ") == _NOBODY


def token_in(header: str) -> str | None:
    """The token in an Authorization header that was accepted; None where it has a password."""
    scheme, _, credentials = header.partition(" ")
    credentials = credentials.strip(" ")
    secret = _user_and_secret(credentials)[1] if scheme.lower() == "basic" else credentials
    return secret if is_token(secret) else None


def _user_and_secret(credentials: str) -> tuple[str, str]:
    """RFC 7617, with UTF-8 as its section 2.1 has it, which the challenge asks for."""
    try:
        decoded = base64.b64decode(credentials.encode("latin-1"), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeError):
        raise Unauthenticated(_UNREADABLE) from None
    user, colon, secret = decoded.partition(":")
    if not colon:
        raise Unauthenticated(_UNREADABLE)
    return user, secret
