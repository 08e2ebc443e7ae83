"""What does not belong into git: users and their tokens, in SQLite or, by another URL, PostgreSQL.

The only module that knows SQLAlchemy. Its methods are verbs of storage and hold no rules; those are in
`accounts.py`. Several processes share one database, so nothing is cached: each call asks the database, and a
token revoked by one process stops in all of them at once.

    user    name, email, is_admin, password_hash, created_at, is_active
    token   id, user, name, digest, scopes, namespace, created_at, expires_at, last_used_at
    meta    key, value                    schema_version: see _MIGRATIONS

Times are text, RFC 3339 in UTC with milliseconds and Z: as wide as each other, so that they sort and compare
as they are.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import (
    URL,
    Boolean,
    Column,
    Connection,
    Engine,
    ForeignKey,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    make_url,
    or_,
    select,
    update,
)
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from catalogd import sqlitefile
from catalogd.errors import BadSettings, NoSpace, NotACatalog, Unavailable

_log = logging.getLogger(__name__)

SCHEMA_VERSION = 1

# How long a statement waits for another process's write transaction, and a request for a connection.
_PATIENCE = 10.0
# Connections one process opens at most; a query takes a fraction of a millisecond, so few threads ever wait
# for one.
_CONNECTIONS = 16
# Noting that a token was used happens inside a request, so it waits for next to nothing, and rests after a
# failure.
_NOTE_PATIENCE = 0.1
_NOTE_REST = 60.0

_TIME = String(24)
_metadata = MetaData()

_user = Table(
    "user",
    _metadata,
    Column("name", String(128), primary_key=True),
    Column("email", String(254)),
    Column("is_admin", Boolean, nullable=False),
    Column("password_hash", Text),
    Column("created_at", _TIME, nullable=False),
    Column("is_active", Boolean, nullable=False),
)

_token = Table(
    "token",
    _metadata,
    Column("id", String(32), primary_key=True),
    Column("user", ForeignKey("user.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("namespace", String(128)),
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", _TIME),
    Column("last_used_at", _TIME),
)

_meta = Table("meta", _metadata, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))


def _create(connection: Connection) -> None:
    _metadata.create_all(connection)


# What brings the database from the version before to this one, in order. Version 1 is the tables above; once
# there is a version 2, version 1 must say its tables itself, as those above will have moved on.
_MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: _create}


@dataclass(frozen=True, slots=True)
class UserRow:
    name: str
    email: str | None
    is_admin: bool
    password_hash: str | None
    created_at: str
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class TokenRow:
    """`scopes` are parted by spaces; `digest` is what the token is found by: the token itself is nowhere."""

    id: str
    user: str
    name: str
    digest: str
    scopes: str
    namespace: str | None
    created_at: str
    expires_at: str | None = None
    last_used_at: str | None = None


# Statements of the request path, built once: SQLAlchemy then finds their compiled form by identity.
_TOKEN_AND_USER = (
    select(*_token.c, *(column.label(f"user_{column.name}") for column in _user.c))
    .join_from(_token, _user)
    .where(_token.c.digest == bindparam("digest"))
)
_NOTE_USE = (
    update(_token)
    .where(_token.c.id == bindparam("token_id"))
    .where(or_(_token.c.last_used_at.is_(None), _token.c.last_used_at < bindparam("not_since")))
    .values(last_used_at=bindparam("used_at"))
)
_USER = select(_user).where(_user.c.name == bindparam("name"))
_VERSION = select(_meta.c.value).where(_meta.c.key == "schema_version")

_TOKEN_WIDTH = len(_token.c)


# Tokens whose rows are kept in memory: some hundred bytes each.
_MOST_KNOWN = 10_000


class State:
    """An open state database; use from any number of threads.

    Every method raises Unavailable when the database cannot be used now and NoSpace when its disk is full.
    """

    def __init__(self, where: Path | str):
        """Opens, and creates or migrates where needed. A Path is an SQLite file, text a database URL.

        Raises BadSettings for a URL that cannot be used, NotACatalog for a database that is none of ours or
        too new.
        """
        url = URL.create("sqlite", database=str(where)) if isinstance(where, Path) else _parse(where)
        if url.get_backend_name() == "sqlite":
            sqlitefile.prepare(_sqlite_path(url), _PATIENCE)
        self._engine = _engine(url, _CONNECTIONS, _PATIENCE, _PATIENCE)
        self._writer = self._engine.execution_options(**_WRITES)
        # One connection and no waiting for it: while a thread notes a use, the others let theirs go.
        self._noter = _engine(url, 1, 0.0, _NOTE_PATIENCE).execution_options(**_WRITES)
        self._notes_rest_until = 0.0
        self._changes: sqlitefile.Changes | None = None
        self._known: tuple[int | None, dict[str, tuple[TokenRow, UserRow]]] = (None, {})
        try:
            self._migrate()
            if url.get_backend_name() == "sqlite":
                self._changes = sqlitefile.Changes(_sqlite_path(url))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the connections that are not in use. The last one open folds SQLite's log into the file."""
        if self._changes:
            self._changes.close()
        self._noter.dispose()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def backup(self, file: Path) -> bool:
        """Copies the whole database, as it is at one moment, into a new SQLite file of the owner's alone.

        False, and nothing done, for a database server: its own tools do that.
        """
        if self._engine.dialect.name != "sqlite":
            return False
        with _told(), self._engine.connect() as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(file),))
        file.chmod(0o600)
        return True

    # --- users

    def insert_user(self, user: UserRow) -> bool:
        """False if there is a user of that name."""
        with _told(), suppress(IntegrityError), self._writer.begin() as connection:
            connection.execute(insert(_user), asdict(user))
            return True
        return False

    def insert_first_user(self, user: UserRow, token: TokenRow) -> bool:
        """Adds the user with the token, both or none; False if there is any user already."""
        with _told(), suppress(IntegrityError), self._writer.begin() as connection:
            if connection.execute(select(_user.c.name).limit(1)).first() is not None:
                return False
            connection.execute(insert(_user), asdict(user))
            connection.execute(insert(_token), asdict(token))
            return True
        return False

    def user(self, name: str) -> UserRow | None:
        with _told(), self._engine.connect() as connection:
            row = connection.execute(_USER, {"name": name}).first()
        return None if row is None else UserRow(*row)

    def users(self) -> list[UserRow]:
        """All users by name."""
        with _told(), self._engine.connect() as connection:
            return [UserRow(*row) for row in connection.execute(select(_user).order_by(_user.c.name))]

    def set_password_hash(self, name: str, password_hash: str | None) -> bool:
        """False if there is no such user."""
        with _told(), self._writer.begin() as connection:
            statement = update(_user).where(_user.c.name == name).values(password_hash=password_hash)
            return connection.execute(statement).rowcount == 1

    def delete_user(self, name: str) -> bool:
        """Deletes the user and its tokens; False if there is no such user."""
        with _told(), self._writer.begin() as connection:
            return connection.execute(delete(_user).where(_user.c.name == name)).rowcount == 1

    # --- tokens

    def insert_token(self, token: TokenRow) -> bool:
        """False if there is no such user."""
        with _told(), suppress(IntegrityError), self._writer.begin() as connection:
            connection.execute(insert(_token), asdict(token))
            return True
        return False

    def token_and_user(self, digest: str) -> tuple[TokenRow, UserRow] | None:
        """The token with this digest and the user it belongs to: one indexed query.

        With SQLite the answer is kept for as long as nobody has changed the database, which is asked each time: so a
        token that is revoked stops at once, in every process.
        """
        version = self._changes.version() if self._changes else None
        if version is not None:
            if version != self._known[0]:
                self._known = (version, {})
            known = self._known[1]
            found = known.get(digest)
            if found is not None:
                return found
        with _told(), self._engine.connect() as connection:
            row = connection.execute(_TOKEN_AND_USER, {"digest": digest}).first()
        if row is None:
            return None
        found = TokenRow(*row[:_TOKEN_WIDTH]), UserRow(*row[_TOKEN_WIDTH:])
        if version is not None and len(known) < _MOST_KNOWN:
            known[digest] = found
        return found

    def tokens(self, user: str | None = None) -> list[TokenRow]:
        """The tokens of one user, or all, oldest first."""
        statement = select(_token).order_by(_token.c.created_at, _token.c.id)
        if user is not None:
            statement = statement.where(_token.c.user == user)
        with _told(), self._engine.connect() as connection:
            return [TokenRow(*row) for row in connection.execute(statement)]

    def delete_token(self, token_id: str) -> bool:
        """False if there is no such token."""
        with _told(), self._writer.begin() as connection:
            return connection.execute(delete(_token).where(_token.c.id == token_id)).rowcount == 1

    def note_token_used(self, token_id: str, used_at: str, not_since: str) -> None:
        """Notes the use, unless one since `not_since` is noted already.

        Never raises and hardly waits: a request does not depend on it, so a note may be lost.
        """
        if time.monotonic() < self._notes_rest_until:
            return
        values = {"token_id": token_id, "used_at": used_at, "not_since": not_since}
        try:
            with self._noter.begin() as connection:
                connection.execute(_NOTE_USE, values)
        except PoolTimeout:
            pass  # another thread is noting something
        except SQLAlchemyError as error:
            self._notes_rest_until = time.monotonic() + _NOTE_REST
            _log.warning("the use of a token could not be noted: %s", getattr(error, "orig", None) or error)

    # --- schema

    def _migrate(self) -> None:
        if self._version() == SCHEMA_VERSION:
            return
        try:
            with _told(), self._writer.begin() as connection:
                self._apply_migrations(connection)
        except (ProgrammingError, IntegrityError):
            # Where the database does not serialize this (PostgreSQL), another process may have been faster.
            if self._version() != SCHEMA_VERSION:
                raise

    def _version(self) -> int:
        with _told(), self._engine.connect() as connection:
            return _schema_version(connection)

    def _apply_migrations(self, connection: Connection) -> None:
        version = _schema_version(connection)
        for step in range(version + 1, SCHEMA_VERSION + 1):
            _MIGRATIONS[step](connection)
        connection.execute(delete(_meta).where(_meta.c.key == "schema_version"))
        connection.execute(insert(_meta), {"key": "schema_version", "value": str(SCHEMA_VERSION)})


def _schema_version(connection: Connection) -> int:
    """0 for an empty database. Raises NotACatalog for one of a newer catalogd."""
    if not inspect(connection).has_table(_meta.name):
        return 0
    version = int(connection.execute(_VERSION).scalar_one_or_none() or 0)
    if version > SCHEMA_VERSION:
        raise NotACatalog(
            f"The state database has version {version}; this catalogd knows versions up to {SCHEMA_VERSION}."
            " It was written by a newer catalogd: use that one."
        )
    return version


# --- engines

# A transaction that will write says so from its start. Otherwise SQLite would let it read first and then, if
# another process has written meanwhile, fail it at once without waiting. Reads are single statements and need
# no transaction of SQLite's.
_WRITES = {"catalogd_writes": True}


def _parse(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise BadSettings("The setting state_url is no database URL.") from None
    if url.get_backend_name() == "sqlite":
        _sqlite_path(url)
    return url


def _sqlite_path(url: URL) -> Path:
    database = url.database
    if not database or database == ":memory:" or database.startswith("file:"):
        raise BadSettings("The setting state_url must name a file if it is an SQLite one: sqlite:////path/to/state.db.")
    return Path(database)


def _engine(url: URL, connections: int, pool_timeout: float, lock_timeout: float) -> Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    try:
        engine = create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=pool_timeout,
            hide_parameters=True,  # digests and hashes have no place in a log
            # A database server may have closed a connection meanwhile; a file has not.
            pool_pre_ping=not is_sqlite,
            connect_args={"timeout": lock_timeout} if is_sqlite else {},
        )
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise BadSettings(
            f"The setting state_url names the database {url.drivername}, which cannot be used here: {error}."
        ) from error
    if is_sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says, not where sqlite3 guesses
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")  # an account that was reported survives a power cut


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("catalogd_writes"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


# --- errors


@contextmanager
def _told() -> Iterator[None]:
    """Tells a failing database in the words of the domain. The cause is kept for the log."""
    try:
        yield
    except (IntegrityError, ProgrammingError, DataError):
        raise
    except DBAPIError as error:
        if _is_full(error.orig):
            raise NoSpace("The disk of the state database is full.") from error
        raise Unavailable("The state database cannot be used now.") from error
    except PoolTimeout as error:
        raise Unavailable("The state database has no free connection now.") from error


def _is_full(error: BaseException | None) -> bool:
    # sqlstate 53100 is PostgreSQL's disk_full
    code = getattr(error, "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_FULL or getattr(error, "sqlstate", None) == "53100"
