"""Several threads and states on one database agree at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from account_tools import ADDRESS, DOMAIN, PASSWORD, refused

from catalogd.accounts import Accounts
from catalogd.errors import AlreadyExists
from catalogd.state import State


@pytest.mark.slow
def test_what_one_state_does_holds_in_another_on_the_same_database_at_once(accounts, where):
    with State(where) as second:
        other = Accounts(second, email_domain=DOMAIN)
        token, info = accounts.create_token("ann")
        assert other.authenticate_token(token).name == "ann"
        other.revoke_token(info.id)
        refused(accounts.authenticate_token, token)

        accounts.set_password("ann", PASSWORD)
        assert other.authenticate_password("ann", PASSWORD, ADDRESS).name == "ann"
        other.remove_user("ann")
        refused(accounts.authenticate_password, "ann", PASSWORD, ADDRESS)


def test_many_threads_on_two_states_make_and_use_tokens_at_once(accounts, where):
    with State(where) as second:
        both = (accounts, Accounts(second, email_domain=DOMAIN))

        def work(number: int) -> str:
            name = f"user{number}"
            here, there = both[number % 2], both[1 - number % 2]
            here.add_user(name)
            token, info = there.create_token(name)
            assert all(here.authenticate_token(token).name == name for _ in range(20))
            if number % 3 == 0:
                here.revoke_token(info.id)
                refused(there.authenticate_token, token)
            return name

        with ThreadPoolExecutor(24) as pool:
            names = set(pool.map(work, range(48)))
        assert {user.name for user in accounts.list_users()} == names | {"ann"}
        assert len(accounts.list_tokens()) == 32


def test_of_many_who_add_the_same_user_one_succeeds(accounts):
    def add(_number: int) -> bool:
        try:
            accounts.add_user("same")
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(add, range(32))) == 1


def test_more_threads_than_connections_all_get_an_answer(accounts):
    token, _ = accounts.create_token("ann")
    with ThreadPoolExecutor(64) as pool:
        assert {account.name for account in pool.map(lambda _: accounts.authenticate_token(token), range(640))} == {
            "ann"
        }
