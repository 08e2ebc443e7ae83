"""Passwords: what they give, and what is refused in how many words and how fast."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import pytest
from account_tools import ADDRESS, PASSWORD, only_sqlite, refused

from catalogd.accounts import SCOPES
from catalogd.credentials import new_token
from catalogd.errors import Invalid

A_HASH_TAKES_LONGER = 0.02  # seconds


def best_time(attempt: Callable[[], None]) -> float:
    """Seconds of the quickest of some attempts: what it costs, whatever else the machine does."""

    def seconds() -> float:
        began = time.perf_counter()
        attempt()
        return time.perf_counter() - began

    return min(seconds() for _ in range(5))


@pytest.mark.slow
def test_a_password_gives_all_that_the_user_may(accounts):
    accounts.add_user("root", is_admin=True)
    for user in ("ann", "root"):
        accounts.set_password(user, PASSWORD)
    ann, root = (accounts.authenticate_password(user, PASSWORD, ADDRESS) for user in ("ann", "root"))
    assert not ann.is_admin and ann.scopes == {"read", "write"} and ann.namespace is None
    assert root.is_admin and root.scopes == set(SCOPES)


@pytest.mark.slow
def test_a_new_password_replaces_the_old_one(accounts):
    accounts.set_password("ann", PASSWORD)
    accounts.set_password("ann", "пароль с пробелами")
    refused(accounts.authenticate_password, "ann", PASSWORD, ADDRESS)
    assert accounts.authenticate_password("ann", "пароль с пробелами", ADDRESS).name == "ann"


@only_sqlite
@pytest.mark.parametrize(
    "password",
    ["", "7 chars", "x" * 1025, "x" * 10_000_000, "lone \ud800 surrogate", new_token()],
    ids=["empty", "short", "long", "endless", "surrogate", "token"],
)
def test_an_unfit_password_is_refused_quickly(accounts, password):
    def attempt() -> None:
        with pytest.raises(Invalid, match="The password must"):
            accounts.set_password("ann", password)

    assert best_time(attempt) < A_HASH_TAKES_LONGER


@only_sqlite
@pytest.mark.parametrize("password", ["x" * 10_000_000, "lone \ud800 surrogate"], ids=["endless", "surrogate"])
def test_what_no_password_can_be_is_refused_quickly_at_login(accounts, password):
    accounts.set_password("ann", PASSWORD)
    attempt = partial(refused, accounts.authenticate_password, "ann", password, ADDRESS)
    assert best_time(attempt) < A_HASH_TAKES_LONGER


@pytest.mark.slow
def test_every_failed_login_is_told_in_the_same_words(accounts):
    accounts.set_password("ann", PASSWORD)
    accounts.add_user("bob")
    for user, password in (
        ("ann", "wrong"),
        ("ann", ""),
        ("bob", ""),
        ("bob", PASSWORD),
        ("nobody", PASSWORD),
    ):
        refused(accounts.authenticate_password, user, password, ADDRESS)
    refused(accounts.authenticate_password, "\ud800", PASSWORD, ADDRESS)


@only_sqlite
@pytest.mark.slow
def test_a_user_that_does_not_exist_takes_as_long_as_a_wrong_password(accounts):
    accounts.set_password("ann", PASSWORD)
    accounts.add_user("bob")

    def seconds(user: str) -> float:
        began = time.perf_counter()
        refused(accounts.authenticate_password, user, "wrong password", ADDRESS)
        return time.perf_counter() - began

    rounds = [[seconds(user) for user in ("ann", "nobody", "bob")] for _ in range(7)]
    wrong, missing, without = (statistics.median(times) for times in zip(*rounds, strict=True))
    assert missing == pytest.approx(wrong, rel=0.6)
    assert without == pytest.approx(wrong, rel=0.6)


@pytest.mark.slow
def test_basic_takes_a_password_or_a_token_of_that_very_user(accounts):
    accounts.add_user("bob")
    accounts.set_password("ann", PASSWORD)
    token, _ = accounts.create_token("ann", scopes=["read"])
    assert accounts.authenticate_basic("ann", PASSWORD, ADDRESS).name == "ann"
    assert accounts.authenticate_basic("ann", token, ADDRESS).scopes == {"read"}
    for user in ("bob", "nobody", ""):
        refused(accounts.authenticate_basic, user, token, ADDRESS)
    refused(accounts.authenticate_basic, "ann", "wrong password", ADDRESS)
