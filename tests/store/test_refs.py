"""The branch of one repository is never given what another one is moved to."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from catalogd.store import refs
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


def test_who_looks_again_and_again_sees_each_move_of_another_process(tmp_path: Path):
    (tmp_path / "scratch").mkdir()
    moving, looking = (Branch(tmp_path / "catalog", tmp_path / "scratch") for _ in range(2))
    at = None
    assert looking.look() is None
    for number in range(100):
        to = f"{number:040x}"
        moving.move(at, to)
        at = to
        assert looking.look() == to
    for each in (moving, looking):
        each.close()


def test_a_branch_at_rest_is_not_opened_again_until_it_is_changed_in_whatever_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(refs, "_AT_REST", 20_000_000)
    (tmp_path / "scratch").mkdir()
    branch = Branch(tmp_path / "catalog", tmp_path / "scratch")
    other = Branch(tmp_path / "catalog", tmp_path / "scratch")
    reads = []
    read = branch.read
    monkeypatch.setattr(branch, "read", lambda: reads.append(1) or read())
    file = tmp_path / "catalog" / refs.BRANCH

    def rests_at(commit: str) -> None:
        time.sleep(0.04)
        reads.clear()
        assert [branch.look() for _ in range(5)] == [commit] * 5
        assert len(reads) == 1

    other.move(None, "1" * 40)
    rests_at("1" * 40)
    other.move("1" * 40, "2" * 40)
    assert branch.look() == "2" * 40
    rests_at("2" * 40)
    file.write_text("3" * 40 + "\n")  # by hand, in place
    assert branch.look() == "3" * 40
    rests_at("3" * 40)
    (tmp_path / "catalog" / "packed-refs").write_text(f"{'4' * 40} {refs.BRANCH}\n")
    file.unlink()
    assert branch.look() == "4" * 40
    for each in (branch, other):
        each.close()
