"""What processes share: each sees what another has done, and nothing is left locked by one that was killed."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from catalogd.shared.board import Bell, Board
from catalogd.shared.memory import Flag, Load, Tallies, Word
from catalogd.shared.table import Table
from catalogd.shared.turns import Mutex, Turns


def in_another_process(work: Callable[[], object]) -> None:
    """Do it in a fork, and wait for its end, which must be a good one."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, ended = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(ended) == 0, "what was to be done in another process has failed"


def test_what_a_worker_has_counted_stays_when_it_is_gone_and_its_successor_goes_on() -> None:
    tallies = Tallies(2)

    def count(worker: int) -> None:
        tallies.be(worker)
        tallies.add([(tallies.place("a"), 1.0), (tallies.place(f"of {worker}"), 0.5)])

    for worker in (0, 1, 1):
        in_another_process(lambda worker=worker: count(worker))
    assert tallies.sums() == {"a": 3.0, "of 0": 0.5, "of 1": 1.0}


def test_numbers_that_find_no_place_are_lost_and_no_others() -> None:
    tallies = Tallies()
    tallies.add([(tallies.place("first"), 1.0)])
    for number in range(40_000):
        tallies.add([(tallies.place(f"{number:0200d}"), 1.0)])
    sums = tallies.sums()
    assert sums["first"] == 1.0
    assert set(sums.values()) == {1.0}
    assert 10_000 < len(sums) < 40_000


def test_the_first_word_of_any_process_is_read_by_all_and_is_cut_where_it_is_long() -> None:
    word = Word()
    assert word.get() == ""
    in_another_process(lambda: word.set("No space left on device"))
    assert word.get() == "No space left on device"
    word.set("what came of it")
    assert word.get() == "No space left on device"
    long = Word()
    long.set("ä" * 1000)
    assert long.get() == "ä" * 250


def test_a_worker_is_above_others_only_where_one_that_is_there_has_fewer() -> None:
    first, second, third = Load.of_workers(3)
    first.tell(3)
    assert not first.is_above_others(), "nobody else is there"
    second.tell(3)
    assert not first.is_above_others()
    in_another_process(lambda: third.tell(2))
    assert first.is_above_others()
    third.leave()
    assert not first.is_above_others()


def test_a_flag_is_seen_by_the_others_and_lowered_for_a_successor() -> None:
    flag = Flag(2)

    def raise_it() -> None:
        flag.be(1)
        flag.set(True)

    in_another_process(raise_it)
    assert flag.is_up_elsewhere()
    in_another_process(lambda: flag.be(1))
    assert not flag.is_up_elsewhere()


def test_a_table_keeps_what_any_process_has_written_and_forgets_the_oldest_beside_it() -> None:
    table = Table(800)
    in_another_process(lambda: table.set(("ann", "192.0.2.1"), 3, 17.5))
    assert table.get(("ann", "192.0.2.1")) == (3, 17.5)
    for number in range(5000):
        table.set(number, number, 100.0 + number)
    assert table.get(("ann", "192.0.2.1")) is None
    assert len(table) <= 800
    assert sum(table.get(number) == (number, 100.0 + number) for number in range(4900, 5000)) > 90
    table.drop(4999)
    assert table.get(4999) is None


def test_the_turn_of_a_process_that_is_killed_comes_back(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "turn", 1)
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        turns.acquire(timeout=1.0)
        os.write(writes, b"x")
        signal.pause()
        os._exit(0)
    os.read(reads, 1)
    assert not turns.acquire(timeout=0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert turns.acquire(timeout=1.0)
    assert not turns.acquire(timeout=0.0)
    turns.release()
    assert turns.acquire(timeout=0.0)
    turns.release()


def test_a_turn_that_cannot_be_had_holds_up_nobody_after_it(tmp_path: Path) -> None:
    mutex, turned = Mutex(tmp_path / "later" / "mutex"), threading.Event()

    def take() -> None:
        with mutex:
            turned.set()

    with pytest.raises(FileNotFoundError):
        take()
    (tmp_path / "later").mkdir()
    threading.Thread(target=take, daemon=True).start()
    assert turned.wait(5)


def test_no_descriptor_is_left_open_where_a_file_cannot_be_locked(tmp_path: Path, monkeypatch) -> None:
    turns, before = Turns(tmp_path / "turn", 1), os.listdir("/proc/self/fd")

    def fail(_file: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks are left")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="no locks"):
        turns.acquire(timeout=0.0)
    assert os.listdir("/proc/self/fd") == before


def test_a_board_tells_what_was_posted_last(tmp_path: Path) -> None:
    board = Board(tmp_path)
    assert board.read("l") is None
    in_another_process(lambda: board.post("l", {"a": [1, None]}))
    assert board.read("l") == {"a": [1, None]}


def test_a_bell_is_heard_once_however_often_it_was_rung_and_never_waited_for() -> None:
    bell = Bell()

    def ring() -> None:
        for _ in range(100_000):
            bell.ring("a")

    in_another_process(ring)
    reads, writes = os.pipe()
    bell.listen({"a": lambda: os.write(writes, b"a"), "b": lambda: os.write(writes, b"b")})
    heard = os.read(reads, 1)
    while b"b" not in heard:
        bell.ring("b")
        heard += os.read(reads, 100)
    assert 1 <= heard.count(b"a") < 100
