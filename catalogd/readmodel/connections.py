"""The file of the read model: opened by several processes and threads, and begun anew when it is of no use."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from catalogd.errors import CatalogdError, NoSpace, Unavailable
from catalogd.readmodel import schema

log = logging.getLogger(__name__)

# How long to wait for another process that creates or recovers the file; readers and writer never wait for each other.
BUSY_SECONDS = 10.0
# Connections that are kept for readers; more are opened when more threads read at once, and closed afterwards.
IDLE_READERS = 8
# Pages (of 4 KiB) in the log before they are moved to the file, and what is left of the log afterwards, in bytes.
CHECKPOINT_PAGES = 4000
LOG_BYTES = 32 << 20
# Page cache of a connection, in KiB: what it lacks the kernel has.
READER_CACHE = 2 << 10
WRITER_CACHE = 8 << 10

_USELESS = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_BROKEN = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})


class Connections:
    """Connections to the file, shared by the threads of a process.

    A file that is damaged or of another format is deleted, and an empty one takes its place.
    """

    def __init__(self, path: Path):
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._mutex = threading.Lock()
        self._writer_mutex = threading.Lock()
        self._file: _OpenFile | None = None
        self.opened = 0
        self._written: tuple[_OpenFile, sqlite3.Connection] | None = None
        self._current()

    def close(self) -> None:
        """Wait for the writer and close the idle connections; readers' are closed as they come back."""
        with self._writer_mutex:
            self._close_writer()
            self._retire()

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection on which each statement is a read transaction of its own."""
        file = self._current()
        with self._watched(file):
            connection = file.take()
            try:
                yield connection
            finally:
                file.give_back(connection)

    def row(self, statement: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """The first row that a statement gives on a reader's connection, at a third of what a block costs."""
        file = self._current()
        try:
            connection = file.take()
            try:
                found: tuple[Any, ...] | None = connection.execute(statement, parameters).fetchone()
            finally:
                file.give_back(connection)
        except sqlite3.DatabaseError:
            with self._watched(file):
                raise
        return found

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection in one read transaction: all of its statements see the same state."""
        with self.reader() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def writer(self) -> Iterator[sqlite3.Connection]:
        """A connection in one write transaction, which is committed unless an exception leaves the block."""
        with self._writer_mutex:
            self._leave_replaced_file()
            file = self._current()
            with self._watched(file), _transaction(self._writer_on(file)) as connection:
                yield connection
            self._settle()

    def _settle(self) -> None:
        """After a load: move its log into the file now rather than in the next edit, and give its memory back.

        The hash table of the full-text index never shrinks, and is walked in every commit.
        """
        if self._written is not None and _size(self._log) > LOG_BYTES:
            with self._watched(self._written[0]):
                self._written[1].execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._close_writer()

    def _current(self) -> _OpenFile:
        file = self._file
        if file is not None:
            return file
        with self._mutex, _translated(self._path):
            if self._file is None:
                self._file = _OpenFile(self._path, _prepare(self._path))
            return self._file

    def _retire(self) -> None:
        """The next one who needs a connection opens the file again."""
        with self._mutex:
            self.opened += 1
            if self._file is not None:
                self._file.close()
                self._file = None

    def _writer_on(self, file: _OpenFile) -> sqlite3.Connection:
        if self._written is None or self._written[0] is not file:
            self._close_writer()
            self._written = (file, _connect_writer(self._path))
        return self._written[1]

    def _close_writer(self) -> None:
        if self._written is not None:
            self._written[1].close()
            self._written = None

    def _leave_replaced_file(self) -> None:
        """Another process may have begun anew: what this one wrote would be seen by nobody else."""
        file = self._file
        if file is not None and _inode(self._path) != file.inode:
            log.info("the read model was replaced; opening the new one")
            self._retire()

    @contextmanager
    def _watched(self, file: _OpenFile) -> Iterator[None]:
        try:
            with _translated(self._path):
                yield
        except _Useless as error:
            self._begin_anew(file, error)
            raise Unavailable("The read model was damaged and is being filled anew; try again.") from error

    def _begin_anew(self, file: _OpenFile, error: _Useless) -> None:
        self._retire()
        with _alone(self._path.parent):
            if _inode(self._path) == file.inode:
                log.warning("the read model is damaged (%s); deleting it", error)
                _delete(self._path)


class _OpenFile:
    """One file that the path stood for. A file that takes its place is another one, with connections of its own."""

    def __init__(self, path: Path, inode: int):
        self._path = path
        self.inode = inode
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False

    def take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return _connect_reader(self._path)

    def give_back(self, connection: sqlite3.Connection) -> None:
        if len(self._idle) >= IDLE_READERS:
            connection.close()
            return
        self._idle.append(connection)
        if self._closed:
            self._close_idle()

    def close(self) -> None:
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return


class _Useless(Exception):
    """The file is damaged, or no database at all."""


def _prepare(path: Path) -> int:
    """Make sure that the file is there, whole as far as a look tells, and of this format. Returns its inode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path.parent):
        why = _fault_of(path)
        if why is not None:
            log.warning("the read model %s; deleting it", why)
            _delete(path)
            _fault_of(path)
        return os.stat(path).st_ino


def _fault_of(path: Path) -> str | None:
    """What makes the file useless, in words; an empty or a missing one is made into an empty read model."""
    # SQLite gives its log and its shared memory the permissions of the file.
    # Only a new file is opened here: to close a descriptor of one in use would drop the locks that SQLite has on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    os.chmod(path, 0o600)
    try:
        with closing(_connect(path, READER_CACHE)) as connection:
            found = schema.format_of(connection)
            if found is None:
                connection.execute("PRAGMA journal_mode = WAL")
                schema.create(connection)
            elif found != schema.FORMAT:
                return f"has format {found}, this program writes {schema.FORMAT}"
    except sqlite3.DatabaseError as error:
        if _code(error) not in _USELESS:
            raise
        return f"cannot be read ({error})"
    return None


def _connect_reader(path: Path) -> sqlite3.Connection:
    connection = _connect(path, READER_CACHE)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect_writer(path: Path) -> sqlite3.Connection:
    connection = _connect(path, WRITER_CACHE)
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    return connection


def _connect(path: Path, cache: int) -> sqlite3.Connection:
    # Connections wander between threads, one at a time. Transactions are begun and ended in so many words.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{cache}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """While one process looks at the file and perhaps deletes it, no other does."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as those of the domain; an error in a statement stays what it is."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        meant = _meaning(error)
        if meant is None:
            raise
        log.warning("%s: %s", path, error)
        raise meant from error


def _meaning(error: sqlite3.DatabaseError) -> CatalogdError | _Useless | None:
    code = _code(error)
    if code in _USELESS:
        return _Useless(str(error))
    if code == sqlite3.SQLITE_FULL:
        return NoSpace("The disk is full: the read model cannot be written.")
    if code in _PASSING:
        return Unavailable("Another process keeps the read model busy; try again.")
    if code in _BROKEN:
        return Unavailable("The read model cannot be read or written.", retry_after=60)
    return None


def _code(error: sqlite3.DatabaseError) -> int:
    """The primary result code; the extended ones have it in their lowest byte. 0 for errors of Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _inode(path: Path) -> int | None:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _delete(path: Path) -> None:
    # The file goes last: a new one beside the old log would be taken for the file that the log belongs to.
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
