"""What ends exchanges with a registry that take too long."""

from __future__ import annotations

import socket
import threading

import pytest

from catalogd.registry.wire import _Watch


def test_a_watch_that_could_not_begin_begins_with_the_next_exchange(monkeypatch) -> None:
    watch, start = _Watch(), threading.Thread.start

    def fail_once(_thread: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        raise RuntimeError("can't start new thread")

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        monkeypatch.setattr(threading.Thread, "start", fail_once)
        with pytest.raises(RuntimeError), watch.over(ours, 0.1):
            pass
        with watch.over(ours, 0.1):
            assert ours.recv(1) == b"", "it was shut"
