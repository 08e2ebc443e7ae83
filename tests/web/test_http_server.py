"""The server itself: where it listens, how it stops."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from waitress.task import WSGITask
from web_site import Wire, read_reply

from catalogd import server as server_module
from catalogd.http_channel import Channel, Task
from catalogd.http_parser import Parser
from catalogd.server import Server
from catalogd.settings import Address, Settings

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def hello(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


class Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, environ, start_response):
        self.entered.set()
        self.go_on.wait(10)
        return hello(environ, start_response)


@contextmanager
def running(application, settings: Settings) -> Iterator[Wire]:
    wire = Wire(Server(application, settings))
    try:
        yield wire
    finally:
        wire.close()


def test_the_address_is_known_before_the_server_runs(settings: Settings) -> None:
    server = Server(hello, settings)
    assert server.address.host == "127.0.0.1"
    assert server.address.port > 0
    server.stop()
    server.run()


def test_a_name_with_two_addresses_is_served_on_one_port(settings: Settings) -> None:
    with running(hello, dataclasses.replace(settings, listen=Address("localhost", 0))) as wire:
        for family, _, _, _, where in socket.getaddrinfo(
            "localhost", wire.server.address.port, type=socket.SOCK_STREAM
        ):
            connection = socket.socket(family)
            if family == socket.AF_INET6 and not _has_ipv6_loopback():
                continue
            connection.connect(where)
            connection.sendall(GET)
            assert read_reply(connection)[0] == 200
            connection.close()


def test_an_address_in_use_is_an_error(settings: Settings) -> None:
    with running(hello, settings) as wire, pytest.raises(OSError, match="in use"):
        Server(hello, dataclasses.replace(settings, listen=wire.server.address))


def test_stopping_finishes_the_request_under_way_and_closes_its_connection(settings: Settings) -> None:
    slow = Slow()
    with running(slow, settings) as wire, wire.connect() as connection:
        connection.sendall(GET)
        assert slow.entered.wait(5)
        wire.server.stop()
        time.sleep(0.2)
        slow.go_on.set()
        status, headers, body = read_reply(connection)
        assert (status, body, headers["connection"]) == (200, b"hello", "close")


def test_stopping_takes_no_new_connections(settings: Settings) -> None:
    slow = Slow()
    with running(slow, settings) as wire, wire.connect() as connection:
        connection.sendall(GET)
        assert slow.entered.wait(5)
        wire.server.stop()
        time.sleep(0.2)
        with pytest.raises(OSError):
            wire.connect().close()
        slow.go_on.set()


def test_idle_connections_do_not_delay_the_stop(settings: Settings) -> None:
    with running(hello, settings) as wire:
        idle = [wire.connect() for _ in range(5)]
        idle[0].sendall(GET)
        read_reply(idle[0])
        began = time.monotonic()
        wire.close()
        assert time.monotonic() - began < 3
        for connection in idle:
            connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("jump", [-366 * 86_400.0, 3660 * 86_400.0], ids=["back", "forward"])
def test_a_clock_that_is_set_neither_ends_a_connection_nor_keeps_one_for_ever(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    monkeypatch.setattr(server_module, "_IDLE", 1)
    monkeypatch.setattr(server_module, "_CLEANUP", 0.1)
    right = time.time
    with running(hello, settings) as wire, wire.connect() as used, wire.connect() as idle:
        for connection in (used, idle):
            connection.sendall(GET)
            assert read_reply(connection)[0] == 200
        monkeypatch.setattr(time, "time", lambda: right() + jump)
        for _ in range(4):
            time.sleep(0.4)
            used.sendall(GET)
            assert read_reply(used)[0] == 200
        idle.settimeout(2)
        assert idle.recv(1) == b""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_good_order(number: signal.Signals) -> None:
    program = (
        "import dataclasses\n"
        "from catalogd.server import Server\n"
        "from catalogd.settings import Address, Settings\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '0')])\n"
        "    return [b'']\n"
        "server = Server(app, dataclasses.replace(Settings(), listen=Address('127.0.0.1', 0)))\n"
        "print(server.address.port, flush=True)\n"
        "server.run()\n"
        "print('ended', flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(GET)
            assert read_reply(connection)[0] == 200
            process.send_signal(number)
            assert process.stdout.read() == b"ended\n"
        assert process.wait(10) == 0


def test_a_reply_goes_out_in_one_piece_with_its_headers(settings: Settings) -> None:
    def large(environ, start_response):
        start_response("200 OK", [("Content-Length", "8000")])
        return [b"x" * 8000]

    with running(large, settings) as wire, wire.connect() as connection:
        connection.sendall(GET)
        assert len(connection.recv(65536)) > 8000


@pytest.mark.parametrize("request_head", ["", "Connection: close\r\n", "Connection: Keep-Alive\r\n"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified"])
@pytest.mark.parametrize(
    "headers",
    [
        [("content-length", "5"), ("x-b", "2"), ("etag", '"x"'), ("X-A", "1"), ("x-b", "1")],
        [("x-b", "2")],
        [("content-length", "5"), ("date", "today")],
        [("content-length", "5"), ("server", "another")],
        [("content-length", "5"), ("Connection", "close")],
    ],
)
def test_headers_are_written_as_waitress_writes_them(settings, request_head, version, status, headers) -> None:
    server = Server(hello, settings)
    parser = Parser(server._listeners[0].adj)
    parser.received(f"GET / HTTP/{version}\r\nHost: a\r\n{request_head}\r\n".encode())
    written = []
    for kind in (Task, WSGITask):
        task = kind(SimpleNamespace(server=server._listeners[0]), parser)
        task.status, task.start_time, task.response_headers = status, 1_700_000_000, list(headers)
        task.content_length = 5 if headers[0][0] == "content-length" else None
        written.append((task.build_response_header(), task.close_on_finish, task.chunked_response))
    server.stop()
    server.run()
    if not status.startswith("200") and not written[0][1]:
        # waitress closes the connection where there is no body.
        written[1] = (written[1][0].replace(b"Connection: close\r\n", b""), False, False)
    assert written[0] == written[1]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_connection_stays_after_a_reply_that_has_no_body(settings: Settings, status: str) -> None:
    def bare(environ, start_response):
        start_response(status, [("etag", '"x"')])
        return []

    with running(bare, settings) as wire, wire.connect() as connection:
        for _ in range(3):
            connection.sendall(GET)
            answered, headers, body = read_reply(connection)
            assert (answered, "connection" in headers, body) == (int(status[:3]), False, b"")


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_request_may_be_taken_away_at_any_moment_while_its_channel_is_looked_at() -> None:
    """As a worker does while the loop asks which connections to read from."""
    channel = Channel.__new__(Channel)
    channel.requests = []
    request = SimpleNamespace(error=None, path="/public.git/info/refs")
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            channel.requests.append(request)
            channel.requests.pop(0)

    worker = threading.Thread(target=work)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        worker.start()
        seen = {channel.is_gits for _ in range(200_000)}
    finally:
        is_over.set()
        worker.join()
        sys.setswitchinterval(before)
    assert seen == {True, False}
