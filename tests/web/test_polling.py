"""Short reads are answered by the thread that polls; one that takes long keeps nobody waiting."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from web_site import Wire, read_reply

from catalogd.http_channel import Channel
from catalogd.polling import Polling
from catalogd.server import Server
from catalogd.settings import Settings
from catalogd.web.requests import is_short_read

QUICK, SLOW, OTHER = "/v1/repositories/acme/quick", "/v1/repositories/acme/slow", "/v1/commits"


class Threads:
    """An application that answers with the name of the thread that runs it; SLOW only when it is told to."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == SLOW:
            self.entered.release()
            self.go_on.wait(10)
        name = threading.current_thread().name.encode()
        start_response("200 OK", [("Content-Length", str(len(name)))])
        return [name]


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads()
    yield made
    made.go_on.set()


@contextmanager
def running(application: Threads, settings: Settings) -> Iterator[Wire]:
    wire = Wire(Server(application, settings))
    try:
        with wire.connect() as connection:
            # From when on another thread stands by.
            wait_for(lambda: answer(connection, QUICK).startswith("polling"))
        yield wire
    finally:
        application.go_on.set()
        wire.close()


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


def answer(connection: socket.socket, path: str, *headers: str, method: str = "GET") -> str:
    """The thread that answers."""
    connection.sendall(get(path, *headers, method=method))
    return read_reply(connection)[2].decode()


def test_a_short_read_is_answered_by_the_thread_that_polls_and_all_else_by_others(threads, settings) -> None:
    with running(threads, settings) as wire, wire.connect() as connection:
        for _ in range(3):
            assert answer(connection, QUICK).startswith("polling")
            assert answer(connection, OTHER).startswith("waitress")
            assert answer(connection, QUICK, "Content-Length: 0", method="DELETE").startswith("waitress")


def test_one_that_takes_long_keeps_nobody_waiting_and_its_connection_lives_on(threads, settings) -> None:
    with running(threads, settings) as wire, wire.connect() as slow, wire.connect() as quick:
        slow.sendall(get(SLOW))
        assert threads.entered.acquire(timeout=5)
        began = time.monotonic()
        answered_by = {answer(quick, QUICK) for _ in range(20)} | {answer(quick, OTHER)}
        assert time.monotonic() - began < 5
        # Nobody stands by to take over a second time.
        assert {name.partition("-")[0] for name in answered_by} == {"waitress"}
        threads.go_on.set()
        assert read_reply(slow)[2].startswith(b"polling")
        assert answer(slow, OTHER).startswith("waitress")
        wait_for(lambda: answer(slow, QUICK).startswith("polling"))
        wait_for(lambda: answer(quick, QUICK).startswith("polling"))


def test_many_that_take_long_are_under_way_at_once(threads, settings) -> None:
    with running(threads, settings) as wire:
        slow = [wire.connect() for _ in range(settings.threads)]
        for connection in slow:
            connection.sendall(get(SLOW))
        for _ in slow:
            assert threads.entered.acquire(timeout=5)
        with wire.connect() as quick:
            assert answer(quick, QUICK)
        threads.go_on.set()
        for connection in slow:
            assert read_reply(connection)[0] == 200
            connection.close()


def test_replies_to_what_a_client_sends_at_once_come_in_order_and_others_have_their_turn(threads, settings) -> None:
    with running(threads, settings) as wire, wire.connect() as eager, wire.connect() as other:
        eager.sendall(get(QUICK) * 200 + get(OTHER) + get(QUICK))
        assert answer(other, QUICK)
        received = b""
        while received.count(b"\r\n\r\n") < 202:
            received += eager.recv(65536)
        # What follows one that another thread has answered, that thread answers.
        assert received.count(b"polling-") == 200
        assert received.rindex(b"polling-") < received.index(b"waitress-")


def test_stopping_finishes_a_short_read_that_takes_long(threads, settings) -> None:
    with running(threads, settings) as wire, wire.connect() as connection:
        connection.sendall(get(SLOW))
        assert threads.entered.acquire(timeout=5)
        wire.server.stop()
        time.sleep(0.1)
        threads.go_on.set()
        status, headers, _ = read_reply(connection)
        assert (status, headers["connection"]) == (200, "close")


def test_an_answer_that_fails_costs_its_connection_and_no_other(threads, settings, monkeypatch) -> None:
    service = Channel.service

    def fail_once(channel: Channel) -> None:
        monkeypatch.setattr(Channel, "service", service)
        raise MemoryError

    with running(threads, settings) as wire, wire.connect() as failing, wire.connect() as other:
        assert answer(other, QUICK).startswith("polling")
        monkeypatch.setattr(Channel, "service", fail_once)
        failing.sendall(get(QUICK))
        assert failing.recv(100) == b""
        assert answer(other, QUICK)


def test_a_failure_of_polling_itself_ends_it() -> None:
    def fail() -> bool:
        raise OSError("no descriptors")

    with pytest.raises(OSError, match="no descriptors"):
        Polling({}, fail, lambda: 0).run()


@pytest.mark.parametrize(
    ("method", "path", "query", "authorization", "expected"),
    [
        ("GET", "/v1/repositories/acme/web", "", None, True),
        ("GET", "/v1/repositories/acme/web/", "", "Token t", True),
        ("GET", "/v1/repositories/acme/web", "", "Bearer t", True),
        ("GET", "/v1/repositories/acme/web", "", "Basic dTpw", False),
        ("GET", "/v1/repositories/acme/web", "", "bASIC  dTpw", False),
        ("GET", "/v1/repositories/acme/web", "at=0123456", None, False),
        ("GET", "/v1/repositories/acme/web/history", "", None, False),
        ("GET", "/v1/repositories/acme", "", None, True),
        ("GET", "/v1/repositories", "page=2&page_size=100", "Token t", True),
        ("GET", "/v1/repositories/", "ordering=-download", None, True),
        ("GET", "/v1/repositories/", "ordering=-download&label=team", None, False),
        ("GET", "/v1/repositories", "page=2", "Basic dTpw", False),
        ("GET", "/v1/repositories", "search=web", None, False),
        ("GET", "/v1/repositories", "page=2&search=web", None, False),
        ("GET", "/v1/repositories", "s%65arch=web", None, False),
        ("GET", "/v1/repositories/acme", "at=0123456", None, False),
        ("POST", "/v1/repositories/acme", "", None, False),
        ("PUT", "/v1/repositories/acme/web", "", None, False),
    ],
)
def test_what_is_short(method: str, path: str, query: str, authorization: str | None, expected: bool) -> None:
    assert is_short_read(method, path, query, authorization) is expected


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline


@pytest.mark.slow
def test_a_signal_that_does_not_wake_the_main_thread_is_handled_all_the_same() -> None:
    told = threading.Event()
    polling = Polling({}, told.is_set, lambda: 0.01)

    def tell() -> None:
        # As it is for one that comes just before the main thread begins to wait: nothing ends that wait.
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: told.set())
    # Without a bound of its own the test would never end.
    rescue = threading.Timer(5.0, told.set)
    rescue.start()
    try:
        threading.Timer(0.1, tell).start()
        polling.run()
        assert rescue.is_alive(), "the signal was handled before anything else ended the wait"
    finally:
        rescue.cancel()
        signal.signal(signal.SIGUSR1, before)
