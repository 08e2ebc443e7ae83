"""A mixed load with clients that hang up; `python -m tests.faults.mixed_load` is the same for longer."""

from __future__ import annotations

import os

import pytest
from mixture import mixed_load
from served_catalog import Served

# With CATALOGD_TEST_MIXED_SECONDS=600 as long as before a release.
SECONDS = float(os.environ.get("CATALOGD_TEST_MIXED_SECONDS", "15"))


@pytest.mark.slow
def test_a_mixed_load_with_clients_that_hang_up_leaves_nothing_behind(served: Served, record_property) -> None:
    outcome = mixed_load(served, SECONDS)
    record_property("load", outcome.table())
    outcome.assert_flat()
    answers = outcome.stage.record.answers
    # Each of them, and at least once as it was meant.
    for kind, meant in (
        *(("read", "200"), ("list", "200"), ("search", "200"), ("PATCH", "200"), ("create", "201"), ("events", "202")),
        *(("propose", "201"), ("merge", "200"), ("clone", "taken"), ("push", "taken"), ("no answer", "hung up")),
    ):
        assert answers[kind, meant], (kind, meant)
    assert outcome.stage.record.outcomes("DELETE")
    # Nobody but a clone that goes away by itself.
    assert {kind for kind, how in answers if how == "cut off"} <= {"clone"}
