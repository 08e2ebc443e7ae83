"""From a path or URL to an engine: connections to SQLite or PostgreSQL, set up alike."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from catalogd.errors import BadSettings

# A transaction that will write says so from its start. Otherwise SQLite would let it read first and then, if
# another process has written meanwhile, fail it at once without waiting.
WRITES = {"catalogd_writes": True}

# A server that does not answer at all is given up after some seconds, when connecting (seconds) and later.
_POSTGRESQL = {
    "application_name": "catalogd",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",  # milliseconds
}


def url_of(where: Path | str) -> URL:
    """A path is an SQLite file, text a database URL. Raises BadSettings; the URL, which may hold a password, is
    not shown.
    """
    if isinstance(where, Path):
        return URL.create("sqlite", database=str(where))
    try:
        url = make_url(where)
    except (ArgumentError, ValueError):
        raise BadSettings("The setting state_url is no database URL.") from None
    if url.get_backend_name() == "sqlite":
        file_of(url)
    elif url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        url = url.set(drivername="postgresql+psycopg")
    else:
        raise BadSettings("The setting state_url must begin with sqlite:/// or postgresql://.")
    return url


def file_of(url: URL) -> Path:
    """The file that an SQLite URL names. Raises BadSettings where it names none."""
    database = url.database
    if not database or database == ":memory:" or database.startswith("file:"):
        raise BadSettings("The setting state_url must name a file if it is an SQLite one: sqlite:////path/to/state.db.")
    return Path(database)


def make_engine(url: URL, *, connections: int, pool_timeout: float, lock_timeout: float) -> Engine:
    """An engine with so many connections at most.

    It waits `pool_timeout` seconds for one of them, and a statement `lock_timeout` seconds for the transactions of
    others. Raises BadSettings where the driver is not installed.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    given: dict[str, Any] = {"timeout": lock_timeout} if is_sqlite else _unless_in(url, _POSTGRESQL)
    try:
        engine = create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=pool_timeout,
            hide_parameters=True,  # digests and hashes have no place in a log
            # A database server may have closed a connection meanwhile; a file has not.
            pool_pre_ping=not is_sqlite,
            connect_args=given,
        )
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise BadSettings(
            f"The setting state_url names the database {url.drivername}, which cannot be used here: {error}."
        ) from error
    if is_sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _postgresql_set_up(lock_timeout))
    return engine


def _unless_in(url: URL, defaults: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in defaults.items() if key not in url.query}


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says, not where sqlite3 guesses
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")  # an account that was reported survives a power cut


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("catalogd_writes"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgresql_set_up(lock_timeout: float) -> Callable[[Any, object], None]:
    def set_up(connection: Any, _record: object) -> None:
        # By a statement: what the URL says in `options` stays, and poolers refuse `options` of ours.
        connection.execute(f"SET lock_timeout = {int(lock_timeout * 1000)}")
        connection.commit()

    return set_up
