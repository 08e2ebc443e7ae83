"""Users: the first admin, their names and addresses; and as they are kept."""

from __future__ import annotations

import dataclasses
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest
from account_tools import DOMAIN, PASSWORD, THEN, a_token, a_user, only_sqlite, refused

from catalogd.accounts import Accounts
from catalogd.errors import AlreadyExists, Invalid, Malformed, NotFound
from catalogd.state import Change, State, UserRow


def test_an_empty_state_gets_an_admin_with_a_token_once(state):
    accounts = Accounts(state, email_domain=DOMAIN)
    name, token = accounts.ensure_admin()
    account = accounts.authenticate_token(token)
    assert (name, account.name, account.is_admin) == ("admin", "admin", True)
    assert account.scopes == {"read", "write", "admin"}
    assert accounts.ensure_admin() is None
    assert len(accounts.list_tokens()) == 1


def test_where_there_is_any_user_no_admin_is_made(accounts):
    assert accounts.ensure_admin() is None
    assert [user.name for user in accounts.list_users()] == ["ann"]


def make_admin(where, start, made) -> None:
    start.wait()
    with State(where) as state:
        made.put(Accounts(state, email_domain=DOMAIN).ensure_admin())


@pytest.mark.slow
def test_of_several_processes_that_start_on_no_database_one_makes_the_admin(where):
    context = multiprocessing.get_context("spawn")
    start, made = context.Barrier(6), context.Queue()
    processes = [context.Process(target=make_admin, args=(where, start, made)) for _ in range(6)]
    for process in processes:
        process.start()
    results = [made.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sum(result is not None for result in results) == 1


def test_of_many_first_users_at_once_one_is_made(state, where):
    def make(number: int) -> bool:
        name = f"user{number}"
        return (state, second)[number % 2].insert_first_user(a_user(name, is_admin=True), a_token(name, name))

    with State(where) as second, ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(make, range(16))) == 1
        assert len(state.users()) == len(state.tokens()) == 1
        assert not make(17)


def test_users_are_listed_by_name_with_an_address_even_where_none_was_given(accounts):
    accounts.add_user("zoe", email="zoe@example.org", is_admin=True)
    accounts.add_user("bob")
    shown = [(user.name, user.email, user.is_admin, user.has_password) for user in accounts.list_users()]
    assert shown == [
        ("ann", f"ann@{DOMAIN}", False, False),
        ("bob", f"bob@{DOMAIN}", False, False),
        ("zoe", "zoe@example.org", True, False),
    ]


def test_a_user_is_added_once(accounts):
    with pytest.raises(AlreadyExists, match="There is a user ann already"):
        accounts.add_user("ann")


@only_sqlite
@pytest.mark.parametrize("name", ["", "Ann", "a b", "../x", "ann\n", "con", "x.lock", "a" * 129, "änn", "\udc80"])
def test_the_name_of_a_user_has_the_grammar_of_a_namespace(accounts, name):
    with pytest.raises(Malformed, match="The user is not a valid name"):
        accounts.add_user(name)


@only_sqlite
@pytest.mark.parametrize(
    "email",
    ["", "ann", "@x", "a@", "a@x>", "a b@x", "a@x\n", "a@x.org\0", "a@b@c", "\ud800@x", "a@" + "x" * 260],
)
def test_what_git_could_not_write_as_an_address_is_refused(accounts, email):
    with pytest.raises(Invalid, match="e-mail"):
        accounts.add_user("eve", email=email)


def test_removing_a_user_revokes_its_tokens(accounts):
    token, _ = accounts.create_token("ann")
    accounts.remove_user("ann")
    refused(accounts.authenticate_token, token)
    assert accounts.list_tokens() == []
    accounts.add_user("ann")
    refused(accounts.authenticate_token, token)


@pytest.mark.parametrize("name", ["nobody", "", "No Name", "x" * 5000, "\udc80"])
def test_what_is_done_to_a_user_that_is_not_there_is_refused(accounts, name):
    for act in (
        lambda: accounts.remove_user(name),
        lambda: accounts.set_password(name, PASSWORD),
        lambda: accounts.create_token(name),
        lambda: accounts.list_tokens(name),
    ):
        with pytest.raises(NotFound, match="There is no user") as caught:
            act()
        assert len(caught.value.detail) < 1000 and caught.value.detail.isprintable()


# --- as they are kept


def test_users_come_in_one_order_whatever_the_locale_of_the_database(state):
    names = ["a-b", "a.c", "a_a", "ab", "b", "ba"]
    for name in reversed(names):
        state.insert_user(a_user(name))
    assert [user.name for user in state.users()] == names


def test_of_many_names_those_that_are_users_are_told(state):
    for name in ("ann", "bob"):
        state.insert_user(a_user(name, is_active=False))
    names = ["ann", "ann", "Bob", "", "\0", "\ud800", "x" * 5_000, *(f"user{number}" for number in range(40_000))]
    assert state.user_names(iter(names)) == {"ann"}
    assert state.user_names([]) == set()


def test_a_change_sets_what_it_names_and_nothing_else(state):
    state.insert_user(a_user("root", is_admin=True))
    state.insert_user(a_user("ann"))
    changes = {"email": "ann@example.org", "is_admin": True, "is_active": False, "password_hash": "hash"}
    for column, value in changes.items():
        before = state.user("ann")
        assert state.update_user("ann", {column: value}, keep_admin=True) is Change.DONE
        assert state.user("ann") == dataclasses.replace(before, **{column: value})
    assert state.update_user("ann", {"email": None}, keep_admin=True) is Change.DONE
    assert state.update_user("ann", {}, keep_admin=True) is Change.DONE
    assert state.user("ann") == UserRow("ann", None, True, "hash", THEN, False)


def test_a_user_that_does_not_exist_is_not_changed(state):
    for changes in ({}, {"email": "x@example.org"}, {"is_admin": False}):
        assert state.update_user("nobody", changes, keep_admin=True) is Change.NO_USER
    assert state.delete_user("nobody", keep_admin=True) is Change.NO_USER


def test_the_name_of_a_user_and_when_it_was_made_do_not_change(state):
    state.insert_user(a_user("ann"))
    for column in ("name", "created_at"):
        with pytest.raises(ValueError, match=column):
            state.update_user("ann", {column: "x"}, keep_admin=True)


ENDS = {
    "demoted": lambda state, name: state.update_user(name, {"is_admin": False}, keep_admin=True),
    "switched off": lambda state, name: state.update_user(name, {"is_active": False, "email": None}, keep_admin=True),
    "deleted": lambda state, name: state.delete_user(name, keep_admin=True),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_last_active_admin_stays(state, end):
    state.insert_user(a_user("off", is_admin=True, is_active=False))
    state.insert_user(a_user("ann", is_admin=True))
    state.insert_user(a_user("root", is_admin=True))
    state.insert_user(a_user("eve"))
    assert end(state, "ann") is Change.DONE
    before = state.users()
    assert end(state, "root") is Change.LAST_ADMIN
    assert state.users() == before
    assert end(state, "off") is end(state, "eve") is Change.DONE


def test_the_last_admin_goes_where_nobody_asks_to_keep_one(state):
    state.insert_user(a_user("root", is_admin=True))
    assert state.update_user("root", {"is_admin": False}, keep_admin=False) is Change.DONE
    assert state.update_user("root", {"is_active": False}, keep_admin=True) is Change.DONE
    assert state.delete_user("root", keep_admin=True) is Change.DONE


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_of_admins_who_end_each_other_at_once_one_stays(state, where, end):
    names = [f"admin{number}" for number in range(6)]
    with State(where) as second, ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            for name in names:
                state.delete_user(name)
                state.insert_user(a_user(name, is_admin=True))
            results = list(pool.map(lambda n: end((state, second)[n % 2], names[n]), range(6)))
            assert sorted(result.name for result in results) == ["DONE"] * 5 + ["LAST_ADMIN"]
            assert sum(user.is_admin and user.is_active for user in state.users()) == 1
