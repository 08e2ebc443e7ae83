"""Writers draft and commit one at a time, and nobody waits long for that."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from catalogd.store.desk import Desk


def test_one_drafts_or_commits_at_a_time():
    desk, here, most = Desk(), [], []

    def draft(number: int) -> None:
        with desk.drafting() if number % 3 else desk.seated():
            here.append(number)
            most.append(len(here))
            time.sleep(0.001)
            here.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(draft, range(60)))
    assert (len(most), max(most)) == (60, 1)


def test_who_commits_waits_for_those_who_draft():
    desk, queue = Desk(), []
    begun = threading.Event()

    def draft() -> None:
        with desk.drafting():
            begun.set()
            time.sleep(0.002)
            queue.append("a draft")

    with ThreadPoolExecutor(1) as pool:
        drafted = pool.submit(draft)
        begun.wait()
        desk.await_drafts()
        assert queue == ["a draft"]
        drafted.result()


def test_nobody_waits_long_for_one_who_stays():
    desk = Desk()
    begun, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with desk.drafting():
            begun.set()
            leave.wait()

    with ThreadPoolExecutor(1) as pool:
        stayed = pool.submit(stay)
        begun.wait()
        began = time.monotonic()
        for _ in range(20):
            desk.await_drafts()
            with desk.drafting():
                pass
        assert time.monotonic() - began < 0.5, "of 20 nobody but the first waits"
        leave.set()
        stayed.result()


def test_a_failure_leaves_the_place_to_others():
    desk = Desk()
    for _ in range(3):
        with suppress(ValueError), desk.drafting():
            raise ValueError
    began = time.monotonic()
    desk.await_drafts()
    with desk.seated():
        assert time.monotonic() - began < 0.01
