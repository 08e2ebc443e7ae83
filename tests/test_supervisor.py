"""What starts the workers goes on where one cannot be started, and leaves nothing behind at its end."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import time

import pytest

from catalogd.workers import Place, Supervisor


def end_all(place: Place) -> None:
    """A worker's work: to have all told to end."""
    place.ready()
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(10)


def test_a_worker_that_cannot_be_started_is_started_after_a_pause(monkeypatch, caplog) -> None:
    fork, greeted, stopped = os.fork, [], []
    mask, descriptors = signal.pthread_sigmask(signal.SIG_BLOCK, []), os.listdir("/proc/self/fd")

    def fail_once() -> int:
        monkeypatch.setattr(os, "fork", fork)
        raise OSError(errno.EAGAIN, "no process more")

    monkeypatch.setattr(os, "fork", fail_once)
    try:
        with caplog.at_level(logging.ERROR):
            Supervisor(1, end_all).run(lambda: greeted.append(1), lambda: stopped.append(1))
    finally:
        gc.unfreeze()
        mask_then = signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert (greeted, bool(stopped)) == ([1], True)
    assert caplog.messages == ["worker 1 cannot be started (no process more); it is tried again in 0.25 s"]
    assert (mask_then, os.listdir("/proc/self/fd")) == (mask, descriptors)


@pytest.mark.parametrize("workers", [1, 3])
def test_no_descriptor_is_left_open(workers: int) -> None:
    before = os.listdir("/proc/self/fd")
    try:
        Supervisor(workers, end_all).run(lambda: None, lambda: None)
    finally:
        gc.unfreeze()
    assert os.listdir("/proc/self/fd") == before
