"""What is counted: added up by repository and batch, and forgotten once it is in the documents."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from account_tools import THEN, a_user

from catalogd.state import PendingRow, State
from catalogd.state.activity import count_pulls

USERS = ("ann", "bob", "eve")
APP, LIB = ("team", "app"), ("team", "lib")


@pytest.fixture
def state(state):
    for name in USERS:
        state.insert_user(a_user(name))
    return state


LATER = "2020-01-02T00:00:00.000Z"


def pull(state, pulls: dict[tuple[str, str], tuple[int, str]]) -> None:
    with state._database.writing() as connection:
        count_pulls(connection, pulls)


def sums(state) -> list[tuple[tuple[str, str], int | None, int]]:
    return [((row.namespace, row.repo_name), row.batch, row.stars) for row in state.pending_activity()]


def test_what_is_counted_adds_up_by_repository(state):
    for name in USERS:
        state.star(name, *APP, THEN)
    state.star("ann", *LIB, THEN)
    state.unstar("bob", *APP)
    assert sums(state) == [(APP, None, 2), (LIB, None, 1)]
    assert all(type(row.stars) is int for row in state.pending_activity())


def test_a_batch_has_what_was_there_and_not_what_is_counted_later(state):
    state.star("ann", *APP, THEN)
    state.star("ann", *LIB, THEN)
    state.assign_batch(7, [APP, APP, ("team", "unknown")])
    state.star("bob", *APP, THEN)
    state.assign_batch(8, [LIB])
    assert sums(state) == [(APP, 7, 1), (LIB, 8, 1), (APP, None, 1)]
    assert state.newest_batch() == 8


def test_a_row_stays_in_the_batch_that_it_has(state):
    state.star("ann", *APP, THEN)
    state.assign_batch(1, [APP])
    state.assign_batch(2, [APP])
    assert sums(state) == [(APP, 1, 1)]


def test_a_batch_that_is_released_is_as_if_it_had_never_been(state):
    state.star("ann", *APP, THEN)
    state.assign_batch(1, [APP])
    state.star("bob", *APP, THEN)
    state.release_batch(1)
    assert sums(state) == [(APP, None, 2)]
    assert state.newest_batch() == 0


def test_batches_are_forgotten_up_to_one_and_what_has_none_stays(state):
    for batch, name in enumerate(USERS[:2], start=1):
        state.star(name, *APP, THEN)
        state.assign_batch(batch, [APP])
    state.star("eve", *APP, THEN)
    state.forget_batches(1)
    assert sums(state) == [(APP, 2, 1), (APP, None, 1)]
    state.forget_batches(99)
    assert sums(state) == [(APP, None, 1)]


def test_where_nothing_is_counted_there_is_no_batch(state):
    state.assign_batch(5, [])
    state.assign_batch(5, [APP])
    state.release_batch(5)
    state.forget_batches(5)
    assert (state.newest_batch(), state.pending_activity()) == (0, [])


def test_a_batch_may_have_thousands_of_repositories(state):
    repositories = [("team", f"app{number}") for number in range(5_000)]
    state.star("ann", *repositories[17], THEN)
    state.star("ann", *repositories[4_711], THEN)
    state.assign_batch(2**40, (each for each in repositories))
    assert sums(state) == [(repositories[17], 2**40, 1), (repositories[4_711], 2**40, 1)]


def test_pulls_add_up_beside_stars_with_the_time_of_the_latest(state):
    pull(state, {APP: (3, LATER), LIB: (1, THEN)})
    state.star("ann", *APP, THEN)
    pull(state, {APP: (2, THEN)})
    assert state.pending_of([APP]) == [PendingRow(*APP, None, 1, 5, LATER)]
    assert state.pending_of([LIB]) == [PendingRow(*LIB, None, 0, 1, THEN)]
    pull(state, {})
    pull(state, {LIB: (2**40, LATER)})
    assert state.pending_of([LIB]) == [PendingRow(*LIB, None, 0, 2**40 + 1, LATER)]
    assert all(type(row.pulls) is int for row in state.pending_activity())


def test_pulls_that_are_not_committed_are_not_counted(state):
    with pytest.raises(RuntimeError), state._database.writing() as connection:
        count_pulls(connection, {APP: (3, LATER)})
        raise RuntimeError
    assert state.pending_activity() == []


def test_what_is_released_is_one_row_with_what_was_counted_meanwhile(state):
    pull(state, {APP: (3, LATER), LIB: (1, THEN)})
    state.assign_batch(1, [APP, LIB])
    pull(state, {APP: (4, THEN)})
    state.star("ann", *APP, THEN)
    state.release_batch(1)
    assert state.pending_and_star(None, *APP) == ([PendingRow(*APP, None, 1, 7, LATER)], False)
    assert state.pending_and_star(None, *LIB) == ([PendingRow(*LIB, None, 0, 1, THEN)], False)


def test_pending_and_star_are_read_together(state):
    assert state.pending_and_star("ann", *APP) == ([], False)
    state.star("ann", *APP, THEN)
    pull(state, {APP: (2, LATER)})
    state.assign_batch(3, [APP])
    pull(state, {APP: (1, THEN)})
    rows, is_starred = state.pending_and_star("ann", *APP)
    assert is_starred
    assert sorted(rows, key=lambda row: row.pulls) == [
        PendingRow(*APP, None, 0, 1, THEN), PendingRow(*APP, 3, 1, 2, LATER),
    ]  # fmt: skip
    assert state.pending_and_star("bob", *APP) == (rows, False)


def test_what_has_no_stars_but_pulls_is_not_forgotten(state):
    state.star("ann", *APP, THEN)
    state.unstar("ann", *APP)
    state.star("ann", *LIB, THEN)
    state.unstar("ann", *LIB)
    pull(state, {LIB: (1, THEN)})
    state.forget_zeros()
    assert [row.repo_name for row in state.pending_activity()] == ["lib"]


def test_many_who_count_at_once_lose_nothing_while_batches_come_and_go(state, where):
    names = [("team", f"app{number}") for number in range(20)]

    def counts(_worker: int) -> None:
        for _ in range(10):
            pull(state, dict.fromkeys(names, (1, THEN)))

    with State(where) as second, ThreadPoolExecutor(5) as pool:
        running = [pool.submit(counts, worker) for worker in range(4)]
        for batch in range(1, 11):
            second.assign_batch(batch, reversed(names))
            second.release_batch(batch)
        for each in running:
            each.result()
    assert {(row.namespace, row.repo_name): row.pulls for row in state.pending_activity()} == dict.fromkeys(names, 40)
