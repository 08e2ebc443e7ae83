"""The branch of one repository is never given what another one is moved to."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from catalogd.store.refs import Branch

MOVES = 400


def mover(branch: Branch, digit: str, wrong: list[str]) -> threading.Thread:
    def move() -> None:
        at = None
        for number in range(MOVES):
            to = digit * 20 + f"{number:020x}"
            branch.move(at, to)
            at = to
            if branch.read() != to:
                wrong.append(f"{branch.read()} instead of {to}")

    return threading.Thread(target=move)


def test_two_branches_that_share_a_scratch_directory_are_moved_apart(tmp_path: Path):
    (tmp_path / "scratch").mkdir()
    branches = [Branch(tmp_path / name, tmp_path / "scratch") for name in ("catalog", "public")]
    wrong: list[str] = []
    movers = [mover(branch, digit, wrong) for branch, digit in zip(branches, "ab", strict=True)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # each gets its turn between any two steps of the other
    for each in movers:
        each.start()
    for each in movers:
        each.join()
    sys.setswitchinterval(before)
    for branch in branches:
        branch.close()
    assert wrong == []
