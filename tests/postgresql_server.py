"""A real PostgreSQL of the tests' own: one server a session, a fresh database for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

# Debian keeps the programs of the server off the PATH, by version.
INSTALLED = Path("/usr/lib/postgresql")
# The oldest that takes its order of text from ICU for a whole cluster.
OLDEST = 15
PATIENCE = 30.0
USER = "postgres"
PORT = 5432  # only the name of the socket, in a directory of its own

# Nothing here outlives the session, so nothing waits for a disk.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}


def programs() -> Path | None:
    """The directory with initdb and postgres of the newest version; None where there is none."""
    versions = [int(each.name) for each in INSTALLED.glob("[0-9]*") if (each / "bin" / "postgres").is_file()]
    if versions and max(versions) >= OLDEST:
        return INSTALLED / str(max(versions)) / "bin"
    found = shutil.which("postgres")
    return None if found is None else Path(found).resolve().parent


class PostgresqlServer:
    """A running server with data and socket in a directory that only its user may enter: no port is open to others.

    It refuses to run as root, so root runs it as the user that comes with the package.
    """

    def __init__(self, bin_directory: Path, settings: dict[str, str] = SETTINGS):
        self._settings = settings
        self._bin = bin_directory
        self._made = 0
        self._directory = Path(tempfile.mkdtemp(prefix="catalogd-pg-"))
        self._process: subprocess.Popen | None = None
        self._as_user: dict[str, object] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self._directory, account.pw_uid, account.pw_gid)
            self._as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        try:
            self._initialize()
            self._process = self._start()
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the server, whoever is still connected, and removes its files."""
        if self._process is not None:
            self._end()
        shutil.rmtree(self._directory)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Connections are cut and no others are made; what is committed is there again afterwards."""
        self._end()
        try:
            yield
        finally:
            self._process = self._start()
            self._wait()

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self._directory}&port={PORT}"

    def connect(self, url: str) -> psycopg.Connection:
        """A connection of a stranger, each statement its own transaction."""
        return psycopg.connect(url, autocommit=True)

    @contextmanager
    def fresh_database(self, options: str = "") -> Iterator[str]:
        """The URL of an empty database, which is dropped when the block is left."""
        self._made += 1
        name = f"test_{self._made}"
        self._command(f"CREATE DATABASE {name} {options}")
        try:
            yield self.url(name)
        finally:
            self._command(f"DROP DATABASE {name} WITH (FORCE)")

    def _command(self, statement: str) -> None:
        with self.connect(self.url("postgres")) as connection:
            connection.execute(statement)

    def _initialize(self) -> None:
        # Ordered as a language would, not by code points: what depends on that shows here.
        self._run(
            "initdb", f"--pgdata={self._directory / 'data'}", f"--username={USER}", "--auth=trust", "--no-sync",
            "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US",
        )  # fmt: skip

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._bin / program, *arguments]
        done = subprocess.run(command, cwd=self._directory, capture_output=True, text=True, **self._as_user)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")

    def _start(self) -> subprocess.Popen:
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        where = ["-D", self._directory / "data", "-k", self._directory, f"--port={PORT}", "--listen_addresses="]
        command = [self._bin / "postgres", *where, *settings]
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=self._directory, stdout=log, stderr=log, **self._as_user)

    def _end(self) -> None:
        self._process.send_signal(signal.SIGINT)  # now, but cleanly
        self._process.wait(PATIENCE)

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self._directory / "log").read_text()
                    raise RuntimeError(f"PostgreSQL does not start: {log}") from error
                time.sleep(0.02)
