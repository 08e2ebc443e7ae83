"""Users as they are kept."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from catalogd.state.database import Database
from catalogd.state.shapes import TokenRow, UserRow
from catalogd.state.tables import tokens, users

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

    def set_password_hash(self, name: str, password_hash: str | None) -> bool:
        """False if there is no such user."""
        statement = update(users).where(users.c.name == name).values(password_hash=password_hash)
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def delete_user(self, name: str) -> bool:
        """Deletes the user and its tokens; False if there is no such user."""
        with self._database.writing() as connection:
            return connection.execute(delete(users).where(users.c.name == name)).rowcount == 1
