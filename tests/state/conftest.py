"""A state on each of the databases it may be kept in, and accounts on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from account_tools import DOMAIN, unhurried

from catalogd.accounts import Accounts
from catalogd.state import State


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def where(request, file):
    """Where an empty database is: what a State takes."""
    return file if request.param == "sqlite" else request.getfixturevalue("postgresql_url")


@pytest.fixture
def state(where, empty_state):
    if isinstance(where, Path):
        shutil.copy(empty_state, where)
    with State(where) as opened:
        yield opened


@pytest.fixture
def accounts(state):
    made = Accounts(state, email_domain=DOMAIN, throttle=unhurried())
    made.add_user("ann")
    return made
