"""What users and tokens must be, and the times of theirs. What is not so is Invalid, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from catalogd.accounts.account import SCOPES
from catalogd.credentials import is_encodable
from catalogd.errors import Fault, Invalid, NotFound
from catalogd.state import UserRow

MAX_TOKEN_NAME = 100
MAX_EMAIL = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets

# An address as git can write it between < and >, with no more of RFC 5322 than people use.
EMAIL = re.compile(r"[^\s<>@,;:\"()\[\]\\\x00-\x1f\x7f]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


def checked_email(email: str | None) -> str | None:
    if email is None:
        return None
    if len(email) > MAX_EMAIL or not is_encodable(email) or not EMAIL.fullmatch(email):
        fault = f"must be an e-mail address of at most {MAX_EMAIL} characters"
        raise Invalid(f"The e-mail is not valid: it {fault}.", [Fault("/email", fault)])
    return email


def checked_scopes(scopes: Iterable[str]) -> frozenset[str]:
    chosen = frozenset(scopes)
    if not chosen or not chosen <= frozenset(SCOPES):
        fault = f"must be one or more of {', '.join(SCOPES)}"
        raise Invalid(f"The scopes are not valid: they {fault}.", [Fault("/scopes", fault)])
    return chosen


def check_token_name(name: str) -> None:
    # What is printable has no control characters, so that a terminal may show it, nor lone surrogates.
    if len(name) > MAX_TOKEN_NAME or not name.isprintable():
        fault = f"must have at most {MAX_TOKEN_NAME} characters, all of them printable"
        raise Invalid(f"The name of the token {fault}.", [Fault("/name", fault)])


def check_expiry(expires: datetime) -> None:
    try:
        is_fit = expires.tzinfo is not None and expires.astimezone(UTC) > now()
    except OverflowError:  # the year 10000, in UTC
        is_fit = False
    if not is_fit:
        fault = "must be a time in the future, with a time zone"
        raise Invalid(f"The expiry of the token {fault}.", [Fault("/expires_at", fault)])


def check_admin_scope(owner: UserRow, namespace: str | None) -> None:
    if not owner.is_admin:
        fault = f"must not have admin, as the user {owner.name} is no admin"
    elif namespace is not None:
        fault = "must not have admin, as the token is confined to a namespace"
    else:
        return
    raise Invalid(f"The scopes are not valid: they {fault}.", [Fault("/scopes", fault)])


def no_user(name: str) -> NotFound:
    return NotFound(f"There is no user {quoted(name)}.")


def quoted(text: str) -> str:
    """What a caller wrote, fit for a message on one line."""
    return ascii(text) if len(text) <= 140 else ascii(text[:140]) + "..."


# --- time


def now() -> datetime:
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: 2014-11-19T05:54:22.741Z"""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
