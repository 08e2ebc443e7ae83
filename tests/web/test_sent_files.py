"""Bodies that are files: what a client gets of them, and what becomes of those that it does not take."""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from web_site import Wire

from catalogd import server as server_module
from catalogd.server import Server
from catalogd.settings import Settings

pytestmark = pytest.mark.slow

# Far more than the kernel takes for a client that reads nothing.
SIZE = 32 << 20
GET = b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n"
GET_SMALL = b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
SMALL = b"twelve bytes"


class Files:
    """An application whose replies are files."""

    def __init__(self, directory: Path):
        self.large = directory / "large"
        self.large.write_bytes(os.urandom(1 << 20) * (SIZE >> 20))
        self._small = directory / "small"
        self._small.write_bytes(SMALL)
        self.opened: list[BinaryIO] = []

    def __call__(self, environ, start_response):
        path = self.large if environ["PATH_INFO"] == "/file" else self._small
        start_response("200 OK", [("Content-Length", str(path.stat().st_size))])
        self.opened.append(path.open("rb"))
        return environ["wsgi.file_wrapper"](self.opened[-1])

    def are_closed(self) -> bool:
        return all(file.closed for file in self.opened)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def wire(files: Files, settings: Settings) -> Iterator[Wire]:
    wire = Wire(Server(files, settings))
    yield wire
    wire.close()


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def asking(wire: Wire) -> socket.socket:
    """A connection whose client has read the first of a large file."""
    connection = wire.connect()
    connection.sendall(GET)
    assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
    return connection


def body_of(connection: socket.socket) -> bytes:
    """The body of a reply with a large file."""
    with connection.makefile("rb", buffering=0) as stream:
        reader = io.BufferedReader(stream, 1)
        while reader.readline().strip():
            pass
        return reader.read(SIZE)


def rest_of(connection: socket.socket) -> bytes:
    """All that comes until the connection is closed."""
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def test_files_arrive_whole_one_after_another_on_one_connection(wire: Wire, files: Files) -> None:
    with wire.connect() as connection:
        for _ in range(2):
            connection.sendall(GET)
            assert body_of(connection) == files.large.read_bytes()
        connection.sendall(LAST)
        assert rest_of(connection).endswith(b"\r\n\r\n" + SMALL)
    wait_for(files.are_closed)


def test_a_client_that_takes_nothing_holds_up_no_other(wire: Wire, files: Files) -> None:
    with asking(wire), asking(wire):
        with asking(wire) as third:
            third.sendall(LAST)
            assert rest_of(third).endswith(SMALL)
        assert wire.send(GET_SMALL)[2] == SMALL


def test_the_file_of_a_client_that_goes_away_is_closed(wire: Wire, files: Files) -> None:
    asking(wire).close()
    wait_for(files.are_closed)
    assert wire.send(GET_SMALL)[2] == SMALL


def test_a_client_that_takes_nothing_for_long_is_cut_off(
    files: Files, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_IDLE", 1)
    monkeypatch.setattr(server_module, "_CLEANUP", 0.2)
    wire = Wire(Server(files, settings))
    try:
        with asking(wire) as connection:
            wait_for(files.are_closed)
            with pytest.raises(ConnectionError):
                while connection.recv(1 << 20):
                    pass
                raise ConnectionError("closed before the end")
    finally:
        wire.close()


def test_a_file_that_has_become_shorter_ends_the_connection(wire: Wire, files: Files) -> None:
    with asking(wire) as connection:
        os.truncate(files.large, SIZE // 2)
        assert len(rest_of(connection)) < SIZE
    wait_for(files.are_closed)


def test_stopping_finishes_what_is_being_sent(files: Files, settings: Settings) -> None:
    wire = Wire(Server(files, settings))
    with asking(wire) as connection:
        wire.server.stop()
        time.sleep(0.3)
        assert rest_of(connection).endswith(files.large.read_bytes()[-1000:])
    wire.close()
    assert files.are_closed()


def test_stopping_does_not_wait_for_ever_for_a_client_that_takes_nothing(
    files: Files, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_GRACE", 0.5)
    wire = Wire(Server(files, settings))
    with asking(wire):
        wire.close()
    assert files.are_closed()
    assert "sender" not in {thread.name for thread in threading.enumerate()}
