"""What the tests of the state and the accounts share."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event

from catalogd.errors import Unauthenticated
from catalogd.state import State, TokenRow, UserRow
from catalogd.throttle import Throttle

DOMAIN = "users.example.invalid"
REFUSED = "The credentials are wrong, expired or revoked."
PASSWORD = "correct horse battery"
ADDRESS = "192.0.2.1"
THEN = "2020-01-01T00:00:00.000Z"

# For a test that is about the SQLite file, or that ends before any database is asked.
only_sqlite = pytest.mark.parametrize("where", ["sqlite"], indirect=True)
_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)
only_postgresql = pytest.mark.parametrize("where", [_POSTGRESQL], indirect=True)


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def refused(authenticate, *credentials) -> None:
    with pytest.raises(Unauthenticated) as caught:
        authenticate(*credentials)
    assert caught.value.detail == REFUSED


def ago(seconds: float) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def used(accounts, token_id: str) -> str | None:
    """When a token was last used, as it is shown."""
    return next(info.last_used_at for info in accounts.list_tokens() if info.id == token_id)


def a_user(name: str, *, is_admin: bool = False, is_active: bool = True) -> UserRow:
    return UserRow(name, None, is_admin, None, THEN, is_active)


def a_token(token_id: str, user: str, name: str = "", made: str = THEN, used: str | None = None) -> TokenRow:
    return TokenRow(token_id, user, name, sha256(token_id), "read", None, made, None, used)


def run_by_hand(where: Path | str, script: str) -> None:
    """Runs statements as another program would."""
    if isinstance(where, Path):
        with sqlite3.connect(where) as connection:
            connection.executescript(script)
    else:
        with psycopg.connect(where) as connection:
            connection.execute(script)


def unhurried() -> Throttle:
    """So long passes between two attempts that the failures before are forgotten: slowing down is tested by itself."""
    return Throttle(clock=itertools.count(step=1000).__next__)


class Watched:
    """Counts the statements that a state runs."""

    def __init__(self, state: State):
        self._engine = state._database._engine
        self.queries = 0

    def _count(self, *_args: object) -> None:
        self.queries += 1

    def __enter__(self):
        event.listen(self._engine, "before_cursor_execute", self._count)
        return self

    def __exit__(self, *_exc: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._count)
