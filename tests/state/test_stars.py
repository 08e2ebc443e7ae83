"""Stars: set and taken back once each, and counted with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from account_tools import THEN, a_user

from catalogd.state import Change, PendingRow, StarRow, State

LATER = "2020-01-01T00:00:00.001Z"


@pytest.fixture
def state(state):
    for name in ("ann", "bob"):
        state.insert_user(a_user(name))
    return state


def counted(state: State) -> dict[tuple[str, str], int]:
    return {(row.namespace, row.repo_name): row.stars for row in state.pending_activity()}


def test_a_star_is_set_once_and_counted_once(state):
    assert state.star("ann", "team", "app", THEN)
    assert not state.star("ann", "team", "app", LATER)
    assert state.starred("ann") == [StarRow("team", "app", THEN)]
    assert counted(state) == {("team", "app"): 1}


def test_a_star_is_taken_back_once_and_may_be_set_again(state):
    state.star("ann", "team", "app", THEN)
    assert state.unstar("ann", "team", "app")
    assert not state.unstar("ann", "team", "app")
    assert (state.starred("ann"), counted(state)) == ([], {("team", "app"): 0})
    assert state.star("ann", "team", "app", LATER)
    assert (state.starred("ann"), counted(state)) == ([StarRow("team", "app", LATER)], {("team", "app"): 1})


def test_a_user_that_does_not_exist_has_no_stars_and_sets_none(state):
    assert not state.star("nobody", "team", "app", THEN)
    assert not state.unstar("nobody", "team", "app")
    assert (state.starred("nobody"), state.pending_activity()) == ([], [])


def test_a_star_is_that_users_on_that_repository_alone(state):
    state.star("ann", "team", "app", THEN)
    asked = [("ann", "team", "app"), ("bob", "team", "app"), ("ann", "team", "ap"), ("ann", "tea", "app")]
    assert [state.is_starred(*question) for question in asked] == [True, False, False, False]


def test_what_a_user_has_starred_comes_newest_first(state):
    for number in (2, 0, 3, 1):
        state.star("ann", "team", f"app{number}", f"2020-01-01T00:00:00.00{number}Z")
    assert [row.repo_name for row in state.starred("ann")] == ["app3", "app2", "app1", "app0"]


def test_the_stars_of_a_deleted_user_are_counted_as_taken_back(state):
    for user, repo_name in (("ann", "one"), ("ann", "two"), ("bob", "two")):
        state.star(user, "team", repo_name, THEN)
    assert state.delete_user("ann") is Change.DONE
    assert counted(state) == {("team", "one"): 0, ("team", "two"): 1}
    state.insert_user(a_user("ann"))
    assert state.starred("ann") == []


def test_of_many_stars_of_one_user_at_once_one_counts(state, where):
    with State(where) as second, ThreadPoolExecutor(8) as pool:
        both = (state, second)
        set_now = list(pool.map(lambda n: both[n % 2].star("ann", "team", "app", THEN), range(16)))
        assert (sum(set_now), counted(state)) == (1, {("team", "app"): 1})
        taken_back = list(pool.map(lambda n: both[n % 2].unstar("ann", "team", "app"), range(16)))
        assert (sum(taken_back), counted(state)) == (1, {("team", "app"): 0})


def test_a_user_who_stars_while_they_are_deleted_leaves_no_star_counted(state, where):
    with State(where) as second, ThreadPoolExecutor(8) as pool:
        for round_ in range(5):
            user = f"user{round_}"
            state.insert_user(a_user(user))
            for number in range(4):
                state.star(user, "team", f"app{number}", THEN)
            acts = [
                *(partial(state.star, user, "team", f"app{number}", THEN) for number in range(4, 8)),
                partial(second.delete_user, user),
                *(partial(state.unstar, user, "team", f"app{number}") for number in range(4)),
            ]
            for running in [pool.submit(act) for act in acts]:
                running.result()
            assert set(counted(state).values()) <= {0}


def test_a_change_is_counted_once_whatever_rows_a_repository_has(state):
    state.star("ann", "team", "app", THEN)
    state.assign_batch(1, [("team", "app")])
    state.star("bob", "team", "app", THEN)
    state.release_batch(1)
    state.unstar("ann", "team", "app")
    assert state.pending_activity() == [PendingRow("team", "app", None, 1)]


def test_what_is_pending_can_be_asked_of_some_repositories(state):
    for repo_name in ("app", "lib", "tool"):
        state.star("ann", "team", repo_name, THEN)
    names = [("team", "app"), ("team", "none"), *((f"n{number}", "x") for number in range(2_500)), ("team", "tool")]
    assert {row.repo_name for row in state.pending_of(names)} == {"app", "tool"}
    assert state.pending_of([]) == []


def test_a_name_that_begins_anew_has_pending_what_stars_there_are(state):
    state.star("ann", "team", "app", THEN)
    state.star("bob", "team", "app", THEN)
    state.assign_batch(1, [("team", "app")])
    state.star("ann", "team", "lib", THEN)
    state.unstar("bob", "team", "app")
    state.begin_anew("team", "app")
    assert sorted(state.pending_activity(), key=lambda row: row.repo_name) == [
        PendingRow("team", "app", None, 1), PendingRow("team", "lib", None, 1),
    ]  # fmt: skip
    state.begin_anew("team", "nothing")
    assert (state.count_stars("ann"), state.is_starred("ann", "team", "app")) == (2, True)


def test_stars_and_new_beginnings_at_once_never_lose_a_star(state, where):
    with State(where) as second, ThreadPoolExecutor(8) as pool:
        for number in range(20):
            name = ("team", f"app{number}")
            users = [f"user{number}-{index}" for index in range(4)]
            for user in users:
                state.insert_user(a_user(user))
            acts = [partial(state.star, user, *name, THEN) for user in users]
            acts.insert(2, partial(second.begin_anew, *name))
            for running in [pool.submit(act) for act in acts]:
                running.result()
            assert counted(state)[name] == 4
