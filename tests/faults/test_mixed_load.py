"""A mixed load with clients that hang up; `python -m tests.faults.mixed_load` is the same for longer."""

from __future__ import annotations

import os

import pytest
from mixed_load import mixed_load
from served_catalog import Served

# With CATALOGD_TEST_MIXED_SECONDS=600 as long as before a release.
SECONDS = float(os.environ.get("CATALOGD_TEST_MIXED_SECONDS", "15"))


@pytest.mark.slow
def test_a_mixed_load_with_clients_that_hang_up_leaves_nothing_behind(served: Served, record_property) -> None:
    outcome = mixed_load(served, SECONDS)
    record_property("load", outcome.table())
    outcome.assert_flat()
    kinds = {kind for kind, _ in outcome.stage.record.answers}
    assert {"read", "list", "PATCH", "DELETE", "events", "propose", "clone", "push", "no answer"} <= kinds
