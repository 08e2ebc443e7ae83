"""The version of the database: what was read after it may be kept for as long as it stays."""

from __future__ import annotations

import threading
import time

import pytest
from account_tools import THEN, Watched, a_token, a_user, only_postgresql, only_sqlite

from catalogd.state import State


@only_sqlite
def test_the_version_stays_until_anybody_changes_anything(state, where):
    with State(where) as other:
        for change in (
            lambda: state.insert_user(a_user("ann")),
            lambda: other.insert_token(a_token("t", "ann")),
            lambda: state.note_token_used("t", THEN, THEN),
            lambda: other.star("ann", "team", "app", THEN),
            lambda: state.assign_batch(1, [("team", "app")]),
            lambda: other.delete_user("ann"),
        ):
            before = state.version()
            state.users()
            other.pending_activity()
            assert state.version() == before
            change()
            assert state.version() != before


@only_sqlite
def test_the_version_of_accounts_changes_with_users_and_tokens_only(state, where):
    with State(where) as other:
        database = state._database
        for change, is_of_accounts in (
            (lambda: state.insert_user(a_user("ann")), True),
            (lambda: other.insert_token(a_token("t", "ann")), True),
            (lambda: other.star("ann", "team", "app", THEN), False),
            (lambda: state.assign_batch(1, [("team", "app")]), False),
            (lambda: state.note_token_used("t", THEN, THEN), True),
            (lambda: other.update_user("ann", {"is_active": False}, keep_admin=False), True),
            (lambda: other.delete_token("t"), True),
            (lambda: state.delete_user("ann"), True),
        ):
            before = database.accounts_version()
            assert before is not None and database.accounts_version() == before
            change()
            assert (database.accounts_version() != before) is is_of_accounts


@only_sqlite
def test_a_token_is_known_until_a_user_or_a_token_changes_whatever_else_does(state, where):
    state.insert_user(a_user("ann"))
    state.insert_token(a_token("t", "ann"))
    row, _ = state.token_and_user(a_token("t", "ann").digest)
    with State(where) as other:
        other.star("ann", "team", "app", THEN)
        with Watched(state) as watched:
            assert state.token_and_user(row.digest)[0] == row
        assert watched.queries == 0
        other.delete_token("t")
        assert state.token_and_user(row.digest) is None


@only_sqlite
def test_the_version_costs_a_small_part_of_what_it_saves(state):
    """In time of the processor, side by side: whatever else the machine does, it does to both."""
    spent = {state.version: 0.0, state.users: 0.0}
    for _ in range(300):
        for ask in spent:
            began = time.thread_time()
            ask()
            spent[ask] += time.thread_time() - began
    assert spent[state.version] * 5 < spent[state.users]


@pytest.mark.slow
@only_sqlite
def test_what_is_kept_under_a_version_is_never_older_than_it(state, where):
    """Readers keep what they read as a cache would, while another connection counts up."""
    state.insert_user(a_user("ann"))
    kept: dict[int, int] = {}
    done = threading.Event()
    mutex = threading.Lock()
    stale: list[tuple[int, int]] = []

    def value() -> int:
        return int(state.user("ann").email or 0)

    def read() -> None:
        while not done.is_set():
            committed_before = committed[0]
            version = state.version()
            with mutex:
                known = kept.get(version)
            if known is None:
                known = value()
                with mutex:
                    kept[version] = known
            if known < committed_before:
                stale.append((known, committed_before))

    committed = [0]
    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    with State(where) as writer:
        for number in range(1, 60):
            writer.update_user("ann", {"email": str(number)}, keep_admin=False)
            committed[0] = number
    done.set()
    for reader in readers:
        reader.join()
    assert stale == [] and len(kept) > 1


@only_postgresql
def test_a_database_server_has_no_version_and_nothing_is_kept(state):
    assert state.version() is None
