"""Users as they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from catalogd.state.activity import count_stars
from catalogd.state.database import Database, is_storable
from catalogd.state.shapes import Change, TokenRow, UserRow
from catalogd.state.tables import stars, tokens, users

_CHANGEABLE = frozenset({"email", "is_admin", "is_active", "password_hash"})
# Names in one query: databases take some ten thousand parameters.
_NAMES_AT_ONCE = 1000

# Built once, as requests ask it: SQLAlchemy then finds its compiled form by identity.
_USER = select(users).where(users.c.name == bindparam("name"))


class UserVerbs:
    """Reads and writes users."""

    _database: Database

    def insert_user(self, user: UserRow) -> bool:
        """False if there is a user of that name."""
        with suppress(IntegrityError), self._database.writing() as connection:
            connection.execute(insert(users), asdict(user))
            return True
        return False

    def insert_first_user(self, user: UserRow, token: TokenRow) -> bool:
        """Adds the user with the token, both or none; False if there is any user already."""
        with self._database.writing() as connection:
            self._database.lock(connection, users)
            if connection.execute(select(users.c.name).limit(1)).first() is not None:
                return False
            connection.execute(insert(users), asdict(user))
            connection.execute(insert(tokens), asdict(token))
        return True

    def user(self, name: str) -> UserRow | None:
        with self._database.reading() as connection:
            row = connection.execute(_USER, {"name": name}).first()
        return None if row is None else UserRow(*row)

    def users(self) -> list[UserRow]:
        """All users by name, in the order of code points."""
        with self._database.reading() as connection:
            rows = [UserRow(*row) for row in connection.execute(select(users))]
        # Not by the database: PostgreSQL's order depends on the locale that it was made with.
        return sorted(rows, key=lambda row: row.name)

    def user_names(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are users, active or not."""
        asked = sorted({name for name in names if is_storable(name)})
        found: set[str] = set()
        with self._database.reading() as connection:
            for start in range(0, len(asked), _NAMES_AT_ONCE):
                some = asked[start : start + _NAMES_AT_ONCE]
                found.update(connection.scalars(select(users.c.name).where(users.c.name.in_(some))))
        return found

    def update_user(self, name: str, changes: Mapping[str, object], *, keep_admin: bool) -> Change:
        """Sets some of email, is_admin, is_active and password_hash.

        With `keep_admin` it is LAST_ADMIN, and nothing is changed, where that would take the last active admin,
        whatever others do at the same time.
        """
        if not changes.keys() <= _CHANGEABLE:
            raise ValueError(f"no columns to change: {sorted(changes.keys() - _CHANGEABLE)}")
        ends_admin = not (changes.get("is_admin", True) and changes.get("is_active", True))
        with self._database.writing() as connection:
            if keep_admin and ends_admin and _is_last_admin(connection, name):
                return Change.LAST_ADMIN
            if not _lock_user(connection, name):
                return Change.NO_USER
            if changes:
                connection.execute(update(users).where(users.c.name == name).values(**changes))
        return Change.DONE

    def set_password_hash(self, name: str, password_hash: str | None) -> bool:
        """False if there is no such user."""
        return self.update_user(name, {"password_hash": password_hash}, keep_admin=False) is Change.DONE

    def delete_user(self, name: str, *, keep_admin: bool = False) -> Change:
        """Deletes the user with its tokens and stars; the stars are counted as taken back.

        `keep_admin` is as for `update_user`.
        """
        with self._database.writing() as connection:
            if keep_admin and _is_last_admin(connection, name):
                return Change.LAST_ADMIN
            if not _lock_user(connection, name):
                return Change.NO_USER
            # Those that are there: one of them may be taken back at this moment, which must not be counted twice.
            starred = delete(stars).where(stars.c.user == name).returning(stars.c.namespace, stars.c.repo_name)
            count_stars(connection, {tuple(row): -1 for row in connection.execute(starred).all()})
            connection.execute(delete(users).where(users.c.name == name))
        return Change.DONE


def _is_last_admin(connection: Connection, name: str) -> bool:
    """Whether this is the only active admin, and stays so until the end of the transaction.

    PostgreSQL locks the rows, so of two admins who end each other the second waits and is the last. Always in one
    order, and before any other row, so that nobody waits in a circle.
    """
    admins = select(users.c.name).where(users.c.is_admin, users.c.is_active).order_by(users.c.name).with_for_update()
    return connection.scalars(admins).all() == [name]


def _lock_user(connection: Connection, name: str) -> bool:
    """Whether there is such a user; no star or token of it can come until the end of the transaction."""
    return connection.execute(select(users.c.name).where(users.c.name == name).with_for_update()).first() is not None
