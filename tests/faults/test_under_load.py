"""All who may write do at once, and read: the checker, fsck, status and doctor find nothing, also after kills."""

from __future__ import annotations

import os
import random
import time

import pytest
from actors import Actor, Hand, Pusher, Reader, Stage, Watcher, Writer, acting, assert_in_order, begun
from served_catalog import Served

pytestmark = pytest.mark.slow

# With CATALOGD_TEST_HISTORY_SECONDS=120 for longer; the kills are as many as fit.
SECONDS = float(os.environ.get("CATALOGD_TEST_HISTORY_SECONDS", "6"))
BURST_SECONDS = 1.5


def crowd(stage: Stage) -> list[Actor]:
    writers = [Writer(stage, f"writer{number}") for number in range(6)]
    readers = [Reader(stage, f"reader{number}") for number in range(3)]
    return [*writers, *readers, Watcher(stage, "watcher0"), Hand(stage, "hand0"), Pusher(stage, "push0")]


def test_what_clients_are_told_fits_the_history_while_hands_commit_and_push(served: Served, record_property) -> None:
    stage = begun(served)
    with acting(crowd(stage), stage):
        stage.is_over.wait(SECONDS)
    record_property("load", str(stage.record.answers))
    print(stage.record.answers)
    assert_in_order(stage)
    outcomes = stage.record.outcomes
    assert "cut off" not in {outcome for _, outcome in stage.record.answers}
    assert len(stage.record.acknowledged) > 2 * SECONDS
    # Each of them, and at least once as it was meant.
    for kind, outcome in (("PATCH", "200"), ("create", "201"), ("read", "200"), ("list", "200"), ("push", "taken")):
        assert outcomes(kind)[outcome], kind
    assert outcomes("DELETE") and outcomes("revert") and outcomes("commit by hand")["taken"]


def test_what_clients_are_told_fits_the_history_of_a_server_that_is_killed(served: Served, record_property) -> None:
    stage = begun(served)
    chance = random.Random(11)
    with acting(crowd(stage), stage):
        for _ in range(round(SECONDS / BURST_SECONDS)):
            time.sleep(BURST_SECONDS * chance.uniform(0.5, 1.0))
            stage.is_up.clear()
            served.kill()
            served.start()
            stage.is_up.set()
        time.sleep(BURST_SECONDS / 2)
    record_property("load", str(stage.record.answers))
    print(stage.record.answers)
    assert_in_order(stage)
    assert any(outcome == "cut off" for _, outcome in stage.record.answers)
    assert len(stage.record.acknowledged) > SECONDS
