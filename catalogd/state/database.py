"""Transactions on the database, and a database that fails told in the words of the domain."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from catalogd import sqlitefile
from catalogd.errors import BadSettings, NoSpace, Unavailable
from catalogd.state.engine import WRITES, file_of, make_engine, url_of

# How long, in seconds, a statement waits for another process's write transaction, and a request for a connection.
_PATIENCE = 10.0
# Connections one process opens at most; a query takes a fraction of a millisecond, so few threads ever wait
# for one.
_CONNECTIONS = 16
# Noting that a token was used happens inside a request, so it waits for next to nothing.
_NOTE_PATIENCE = 0.1

# The name of PostgreSQL's lock for migrations: any number, as long as it stays the same.
_MIGRATION_LOCK = 0x6361_7461_6C6F_6764

# Counted by triggers: see migrations.py.
_ACCOUNTS_VERSION = "SELECT value FROM meta WHERE key = 'accounts_version'"


class Database:
    """Connections for any number of threads; raises Unavailable and NoSpace unless said otherwise.

    Within `reading` and `writing` an IntegrityError is let through: it means what the statement makes of it.
    """

    def __init__(self, where: Path | str):
        """Opens it, and makes the file where there is none.

        Raises BadSettings, NotACatalog for a file that is no database, Unavailable for a server that is out of reach.
        """
        url = url_of(where)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._changes: sqlitefile.Changes | None = None
        if self.is_sqlite:
            sqlitefile.prepare(file_of(url), _PATIENCE)
        self._engine = make_engine(url, connections=_CONNECTIONS, pool_timeout=_PATIENCE, lock_timeout=_PATIENCE)
        self._writer = self._engine.execution_options(**WRITES)
        # Reads are single statements and need no transaction: PostgreSQL is spared its begin and end.
        alone = {} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._reader = self._engine.execution_options(**alone)
        # One connection and no waiting for it: while a thread notes a use, the others let theirs go.
        noter = make_engine(url, connections=1, pool_timeout=0.0, lock_timeout=_NOTE_PATIENCE)
        self._noter = noter.execution_options(**WRITES)
        try:
            if self.is_sqlite:
                self._changes = sqlitefile.Changes(file_of(url))
            else:
                self._check_server()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the connections that are not in use. The last one open folds SQLite's log into the file."""
        if self._changes:
            self._changes.close()
        self._noter.dispose()
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on which each statement sees what is committed when it begins."""
        with _told(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in one transaction, which is committed unless an exception leaves the block.

        SQLite lets in one at a time; with PostgreSQL others may write meanwhile, and a statement sees what they have
        committed when it begins.
        """
        with _told(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def noting(self) -> Iterator[Connection]:
        """As `writing`, but it hardly waits, and SQLAlchemy's errors come through as they are."""
        with self._noter.begin() as connection:
            yield connection

    def version(self) -> int | None:
        """Another number after each change by anybody, in microseconds; None where it cannot be told."""
        return self._changes.version() if self._changes else None

    def accounts_version(self) -> object | None:
        """Another value after each change of users or tokens by anybody, in microseconds; None where it cannot be told.

        Pulls and stars change the database all the time, and leave this as it is.
        """
        return self._changes.value(_ACCOUNTS_VERSION) if self._changes else None

    def lock(self, connection: Connection, table: Table) -> None:
        """Until the end of the transaction nobody else writes to the table. With SQLite nobody does anyway."""
        if not self.is_sqlite:
            name = connection.dialect.identifier_preparer.format_table(table)
            connection.execute(text(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE"))

    def lock_out_others(self, connection: Connection) -> None:
        """Until the end of the transaction nobody else gets past this call. With SQLite nobody does anyway."""
        if not self.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))

    def faults(self) -> list[str]:
        """SQLite only: what is damaged, and the rows that refer to what is not there."""
        with self.reading() as connection:
            damage = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check") if row[0] != "ok"]
            stray = [
                f"a row of {row[0]} refers to a row of {row[2]} that is not there"
                for row in connection.exec_driver_sql("PRAGMA foreign_key_check")
            ]
        return damage + stray

    def copy_to(self, file: Path) -> None:
        """SQLite only: the whole database, as it is at one moment, as a new file."""
        with self.reading() as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(file),))

    def _check_server(self) -> None:
        """Whether it lets us in and keeps any text. Here, before anything is served, the operator is told why not."""
        try:
            with self._reader.connect() as connection:
                encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
        except DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]
            raise Unavailable(f"The state database cannot be reached: {reason}.") from error
        if encoding != "UTF8":
            raise BadSettings(f"The setting state_url names a database in the encoding {encoding}; it must be UTF8.")


def is_storable(value: str) -> bool:
    """Whether a database takes this text at all: none has lone surrogates, and PostgreSQL no NUL."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


@contextmanager
def _told() -> Iterator[None]:
    """The cause is kept for the log."""
    try:
        yield
    except (IntegrityError, DataError):
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
