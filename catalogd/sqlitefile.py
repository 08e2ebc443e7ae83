"""An SQLite file for secrets that several processes share: for its owner only, and in WAL mode."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

from catalogd.errors import NoSpace, NotACatalog

_MODE = 0o600
_ADVICE = (
    "Restore it from what `catalogd backup` has made, or move it away, "
    "with the files beside it that begin with its name: then users, tokens and stars begin anew."
)


def prepare(path: Path, patience: float) -> None:
    """Makes the file where there is none, closes it to others and switches it to WAL mode.

    Waits up to `patience` seconds for other processes. Raises NoSpace, NotACatalog if it cannot be used.
    """
    try:
        _create(path)
        if path.stat().st_mode & 0o077:
            with suppress(PermissionError):
                path.chmod(_MODE)  # restored from a copy, say; SQLite gives its side files the same mode
        _switch_to_wal(path, patience)
    except OSError as error:
        kind = NoSpace if error.errno == errno.ENOSPC else NotACatalog
        raise kind(f"The database {path} cannot be opened: {error.strerror}.") from error
    except sqlite3.Error as error:
        if _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise NotACatalog(f"The database {path} is damaged: {error}. {_ADVICE}") from error
        kind = NoSpace if _code(error) == sqlite3.SQLITE_FULL else NotACatalog
        raise kind(f"The database {path} cannot be used: {error}.") from error


def _create(path: Path) -> None:
    # Only ever a new file is opened here: to close a descriptor of one in use would drop every lock that this
    # process has on it (POSIX), those of SQLite too.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, _MODE))


def _switch_to_wal(path: Path, patience: float) -> None:
    """WAL mode stays with the file. SQLite does not wait for the lock that the switch needs, so this does."""
    deadline = time.monotonic() + patience
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None)
    try:
        while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
    finally:
        connection.close()


def _code(error: sqlite3.Error) -> int:
    """The primary result code, which is the low byte (https://www.sqlite.org/rescode.html); 0 if none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


class Changes:
    """Tells whether an SQLite file was changed, by whatever connection or process, in a few microseconds."""

    def __init__(self, path: Path):
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._guard = threading.Lock()
        self._kept: tuple[object, object] = (None, None)

    def version(self) -> int | None:
        """Another number after each change by another connection; None where it cannot be told now."""
        try:
            with self._guard:
                return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return None

    def value(self, query: str) -> object | None:
        """The one value that a query gives, asked anew only after a change; None where it cannot be told or is none."""
        try:
            with self._guard:
                # The version first: a value may be newer than it, but never older.
                version = self._connection.execute("PRAGMA data_version").fetchone()[0]
                if self._kept[0] != (version, query):
                    row = self._connection.execute(query).fetchone()
                    self._kept = (version, query), row[0] if row else None
                return self._kept[1]
        except sqlite3.Error:
            return None

    def close(self) -> None:
        self._connection.close()
