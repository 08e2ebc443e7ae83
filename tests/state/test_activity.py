"""What is counted: added up by repository and batch, and forgotten once it is in the documents."""

from __future__ import annotations

import pytest
from account_tools import THEN, a_user

USERS = ("ann", "bob", "eve")
APP, LIB = ("team", "app"), ("team", "lib")


@pytest.fixture
def state(state):
    for name in USERS:
        state.insert_user(a_user(name))
    return state


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
