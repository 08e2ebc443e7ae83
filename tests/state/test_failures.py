"""A database that fails, or that somebody else holds: told in the words of the domain, without secrets."""

from __future__ import annotations

import logging
import time

import pytest
from account_tools import THEN, a_user, ago, only_postgresql, run_by_hand, sha256, used

from catalogd.errors import BadSettings, NoSpace, Unavailable
from catalogd.state import State


def test_a_database_that_cannot_be_used_is_unavailable_and_its_error_has_no_secrets(accounts, where):
    token, _ = accounts.create_token("ann")
    run_by_hand(where, "ALTER TABLE token RENAME TO elsewhere")
    with pytest.raises(Unavailable) as caught:
        accounts.authenticate_token(token)
    assert sha256(token) not in str(caught.value.__cause__)


# --- PostgreSQL


@only_postgresql
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_database_server_is_named_by_any_of_its_usual_urls(where, scheme):
    with State(where.replace("postgresql", scheme, 1)) as state:
        assert state.users() == []


@only_postgresql
def test_connections_that_were_cut_are_made_again(accounts, where, caplog):
    token, info = accounts.create_token("ann")
    accounts.authenticate_token(token)
    ours = "datname = current_database() AND application_name = 'catalogd'"
    run_by_hand(where, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
    time.sleep(0.1)
    assert accounts.authenticate_token(token).name == "ann"
    accounts.add_user("bob")
    run_by_hand(where, "UPDATE token SET last_used_at = NULL")
    accounts.authenticate_token(token)
    assert used(accounts, info.id) >= ago(60)
    assert caplog.records == []


@only_postgresql
def test_a_server_that_starts_anew_is_used_again(accounts, postgresql):
    token, _ = accounts.create_token("ann")
    with postgresql.stopped(), pytest.raises(Unavailable):
        accounts.authenticate_token(token)
    assert accounts.authenticate_token(token).name == "ann"


@only_postgresql
def test_a_full_disk_is_no_space_and_keeps_nothing(state, where):
    # What the server says when its disk is full, said by a trigger.
    run_by_hand(
        where,
        """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql
           AS $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$;
           CREATE TRIGGER full_disk BEFORE INSERT ON activity EXECUTE FUNCTION full_disk()""",
    )
    state.insert_user(a_user("ann"))
    with pytest.raises(NoSpace):
        state.star("ann", "team", "app", THEN)
    assert state.starred("ann") == []


@only_postgresql
def test_a_token_works_quickly_while_another_program_holds_its_row(accounts, where, postgresql, caplog):
    token, info = accounts.create_token("ann")
    with postgresql.connect(where) as other, other.transaction():
        other.execute("UPDATE token SET name = 'held'")
        began = time.perf_counter()
        with caplog.at_level(logging.WARNING):
            for _ in range(20):
                assert accounts.authenticate_token(token).name == "ann"
        assert time.perf_counter() - began < 2
    assert used(accounts, info.id) is None
    assert len(caplog.records) == 1


@only_postgresql
def test_no_write_waits_for_another_program_without_end(state, where, postgresql):
    state.insert_user(a_user("ann"))
    with postgresql.connect(where) as other, other.transaction():
        other.execute('LOCK TABLE "user"')
        began = time.perf_counter()
        with pytest.raises(Unavailable):
            state.insert_user(a_user("bob"))
        assert 5 < time.perf_counter() - began < 20


@pytest.mark.slow
def test_a_server_that_does_not_let_in_says_why_when_it_is_opened(postgresql):
    with pytest.raises(Unavailable, match=r'cannot be reached: .*"nowhere" does not exist'):
        State(postgresql.url("nowhere"))


@pytest.mark.slow
def test_a_database_that_does_not_take_all_text_is_a_bad_setting(postgresql):
    options = "TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'"
    with postgresql.fresh_database(options) as url, pytest.raises(BadSettings, match="LATIN1; it must be UTF8"):
        State(url)
