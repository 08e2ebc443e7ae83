"""A write of a real server meets a fault at each of its steps in turn: a kill, an I/O error, a full disk.

A step is a system call that changes a file, or makes a change durable, by the thread that answers the request. Each
step is tried that there is: of each call the first, the second and so on, until a write has no further one.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from changes import KINDS
from injection import KILL, Fault
from lane import Lane

pytestmark = pytest.mark.slow

# So many servers meet faults at the same time, each those of every other number.
LANES = 3
# With CATALOGD_TEST_FAULTS=all each kind of write is tried; it takes three times as long.
TRIED = list(KINDS) if os.environ.get("CATALOGD_TEST_FAULTS") == "all" else ["put"]


@pytest.mark.parametrize("kind", TRIED)
@pytest.mark.parametrize("what", [KILL, "error=EIO", "error=ENOSPC"])
def test_a_write_may_meet_a_fault_at_every_step(prepared, strace, tmp_path, kind, what):
    def sweep(number: int) -> list[str]:
        tried = []
        with closing(Lane(prepared, tmp_path / f"{number}", strace, KINDS[kind])) as lane:
            for call in lane.calls():
                for fault in (Fault(what, call, n) for n in itertools.count(1 + number, LANES)):
                    try:
                        if not lane.step(fault):
                            break
                    except AssertionError as error:
                        raise AssertionError(f"{fault}: {error}\n{lane.traced()}") from error
                    tried.append(str(fault))
        return tried

    with ThreadPoolExecutor(LANES) as pool:
        tried = [fault for lane in pool.map(sweep, range(LANES)) for fault in lane]
    print(f"{len(tried)} steps")
    # With fewer a write has not been looked at; docs/operations.md says as much.
    assert len(tried) > 40
    assert f"{what} at fdatasync 1" in tried
