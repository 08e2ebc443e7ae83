"""Edits of one caller that are committed together: a commit each, in their order, and alone in their failures."""

from __future__ import annotations

import threading

import pytest
from store_tools import draft_of, packs_of, run_git

from catalogd.errors import AlreadyExists, EditedByHand, NotFound, ReadOnly
from catalogd.store import Draft, Edit, Outcome, Store

COUNTER = "data/a/counter.json"


def counting() -> Edit:
    """Counts one up in a file: an edit that is lost shows in the number."""

    def draft(reading) -> Draft:
        found = reading.read(COUNTER)
        return Draft("Count", {COUNTER: b"%d" % (int(found[1] if found else 0) + 1)})

    return Edit("alice", "", draft)


def subjects(root) -> list[str]:
    return run_git(root, "log", "--reverse", "--format=%s", "main").stdout.splitlines()


@pytest.mark.parametrize("number", [0, 1, 64, 130])
def test_edits_of_one_file_are_a_commit_each_in_few_groups(root, store: Store, number: int) -> None:
    outcomes = store.submit_all([counting() for _ in range(number)])
    assert len({outcome.commit for outcome in outcomes}) == number
    assert all(outcome.changed for outcome in outcomes)
    assert len(packs_of(root)) == -(-number // 64)
    if number:
        assert int((root / COUNTER).read_text()) == number
        newest_first = run_git(root, "rev-list", "main").stdout.split()
        assert newest_first[::-1][-number:] == [outcome.commit for outcome in outcomes]


def test_one_that_fails_does_so_alone_and_one_may_build_on_another(root, store: Store) -> None:
    def create(path: str, needs: str | None = None):
        def draft(reading) -> Draft:
            if needs and reading.id_of(needs) is None:
                raise NotFound(f"There is no {needs}.")
            if reading.id_of(path) is not None:
                raise AlreadyExists(f"{path} is there.")
            return Draft(f"Create {path}", {path: b"1"})

        return Edit("alice", "", draft)

    def broken(reading) -> Draft:
        raise ZeroDivisionError

    edits = [
        create("data/a/a.json"), create("data/a/a.json"), create("data/a/b.json", "data/a/a.json"),
        create("data/a/c.json", "data/a/d.json"), Edit("alice", "", broken), create("data/a/d.json"),
        Edit("alice", "", lambda reading: None),
    ]  # fmt: skip
    outcomes = store.submit_all(edits)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Outcome, AlreadyExists, Outcome, NotFound, ZeroDivisionError, Outcome, Outcome]
    assert not outcomes[-1].changed
    assert subjects(root)[-3:] == ["Create data/a/a.json", "Create data/a/b.json", "Create data/a/d.json"]


def test_a_file_that_a_hand_has_edited_fails_alone_each_time(root, store: Store) -> None:
    store.submit(counting())
    (root / COUNTER).write_bytes(b"99")
    other = Edit("alice", "", draft_of({"data/a/other.json": b"1"}))
    first, second, third = store.submit_all([counting(), other, counting()])
    assert (type(first), type(second), type(third)) == (EditedByHand, Outcome, EditedByHand)
    assert (root / COUNTER).read_bytes() == b"99"
    assert (root / "data/a/other.json").read_bytes() == b"1"


def test_callers_at_once_lose_nothing(root, store: Store) -> None:
    results: list[list] = []
    threads = [
        threading.Thread(target=lambda: results.append(store.submit_all([counting() for _ in range(40)])))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = [outcome for result in results for outcome in result]
    assert len({outcome.commit for outcome in outcomes}) == 120
    assert int((root / COUNTER).read_text()) == 120


def test_a_replica_refuses_each(store: Store) -> None:
    store.be_replica_of("https://primary.example")
    assert [type(outcome) for outcome in store.submit_all([counting(), counting()])] == [ReadOnly, ReadOnly]
