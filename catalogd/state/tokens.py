"""Tokens as they are kept, and the notes of their use."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import asdict

from sqlalchemy import bindparam, case, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from catalogd.state.database import Database, is_storable
from catalogd.state.shapes import TokenRow, UserRow
from catalogd.state.tables import tokens, users

_log = logging.getLogger(__name__)

# Seconds without notes after one that failed.
_NOTES_REST = 60.0
# Tokens whose rows are kept in memory: some hundred bytes each.
_MOST_KNOWN = 10_000

# Built once, as requests ask them: SQLAlchemy then finds their compiled form by identity.
_TOKEN_AND_USER = (
    select(*tokens.c, *(column.label(f"user_{column.name}") for column in users.c))
    .join_from(tokens, users)
    .where(tokens.c.digest == bindparam("digest"))
)
_TOKEN_WIDTH = len(tokens.c)
_NOTE_USE = (
    update(tokens)
    .where(tokens.c.id == bindparam("token_id"))
    .where(
        or_(
            tokens.c.last_used_at.is_(None),
            tokens.c.last_used_at < bindparam("not_since"),
            tokens.c.last_used_at > bindparam("used_at"),  # by a clock that was ahead
        )
    )
    .values(last_used_at=bindparam("used_at"))
)


class KnownTokens:
    """Tokens with their users, as read at one version of the accounts."""

    def __init__(self) -> None:
        self._at: tuple[object, dict[str, tuple[TokenRow, UserRow]]] = (None, {})

    def at(self, version: object) -> dict[str, tuple[TokenRow, UserRow]]:
        """What is known at this version: nothing, and all the rest forgotten, if it is another one."""
        known_at, known = self._at
        if known_at != version:
            known = {}
            self._at = (version, known)
        return known


class UseNotes:
    """Notes when tokens are used, unless that would hold up a request."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rest_until = 0.0

    def note(self, values: dict[str, str]) -> None:
        if time.monotonic() < self._rest_until:
            return
        try:
            with self._database.noting() as connection:
                connection.execute(_NOTE_USE, values)
        except PoolTimeout:
            pass  # another thread is noting something
        except SQLAlchemyError as error:
            self._rest_until = time.monotonic() + _NOTES_REST
            _log.warning("the use of a token could not be noted: %s", getattr(error, "orig", None) or error)


class TokenVerbs:
    """Reads and writes tokens."""

    _database: Database
    _known: KnownTokens
    _uses: UseNotes

    def insert_token(self, token: TokenRow) -> bool:
        """False if there is no such user."""
        with suppress(IntegrityError), self._database.writing() as connection:
            connection.execute(insert(tokens), asdict(token))
            return True
        return False

    def token_and_user(self, digest: str) -> tuple[TokenRow, UserRow] | None:
        """The token with this digest and the user it belongs to: one indexed query.

        With SQLite the answer is kept for as long as nobody has changed a user or a token, which is asked each time: so
        a token that is revoked stops at once, in every process.
        """
        version = self._database.accounts_version()
        known = {} if version is None else self._known.at(version)
        found = known.get(digest)
        if found is not None:
            return found
        with self._database.reading() as connection:
            row = connection.execute(_TOKEN_AND_USER, {"digest": digest}).first()
        if row is None:
            return None
        found = TokenRow(*row[:_TOKEN_WIDTH]), UserRow(*row[_TOKEN_WIDTH:])
        if len(known) < _MOST_KNOWN:
            known[digest] = found
        return found

    def tokens(self, user: str | None = None) -> list[TokenRow]:
        """The tokens of one user, or all, oldest first."""
        statement = select(tokens).order_by(tokens.c.created_at, tokens.c.id)
        if user is not None:
            statement = statement.where(tokens.c.user == user)
        with self._database.reading() as connection:
            return [TokenRow(*row) for row in connection.execute(statement)]

    def count_tokens(self, user: str) -> int:
        """How many tokens a user has, expired ones too."""
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).where(tokens.c.user == user)).scalar_one()

    def delete_token(self, token_id: str, user: str | None = None) -> bool:
        """False if there is no such token, or if it is not this user's."""
        if not is_storable(token_id):
            return False
        statement = delete(tokens).where(tokens.c.id == token_id)
        if user is not None:
            statement = statement.where(tokens.c.user == user)
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def prune_tokens(self, user: str, name: str, keep: int, now: str) -> int:
        """Of a user's tokens with one name keeps the `keep` ones used most recently; how many it deleted.

        One that was never used counts as used when it was made, and a use after `now`, by a clock that was ahead, as
        the longest ago: the next one will tell.
        """
        last_use = func.coalesce(tokens.c.last_used_at, tokens.c.created_at)
        others = (
            select(tokens.c.id)
            .where(tokens.c.user == user, tokens.c.name == name)
            .order_by(case((last_use > now, 1), else_=0), last_use.desc(), tokens.c.created_at.desc(), tokens.c.id)
            .offset(keep)
        )
        with self._database.writing() as connection:
            return connection.execute(delete(tokens).where(tokens.c.id.in_(others))).rowcount

    def note_token_used(self, token_id: str, used_at: str, not_since: str) -> None:
        """Notes the use, unless one since `not_since` is noted already, and not as of a time after this one.

        Never raises and hardly waits: a request does not depend on it, so a note may be lost.
        """
        self._uses.note({"token_id": token_id, "used_at": used_at, "not_since": not_since})
