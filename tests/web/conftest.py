"""A real catalog in a real git working tree, real accounts, a real server on a free port; nothing is
mocked.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from web_site import MAX_BODY, SYNC_SECRET, Site, Wire

from catalogd.accounts import Accounts
from catalogd.activity import Activity
from catalogd.catalog import Catalog
from catalogd.following import Follower
from catalogd.server import Server
from catalogd.settings import Address, Settings
from catalogd.state import State
from catalogd.throttle import Throttle
from catalogd.web.admission import Admission
from catalogd.web.app import make_app
from catalogd.web.metrics import Metrics


@pytest.fixture(scope="session")
def settings() -> Settings:
    return dataclasses.replace(
        Settings(), listen=Address("127.0.0.1", 0), max_body=MAX_BODY, threads=4, sync_secret=SYNC_SECRET
    )


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    with State(tmp_path_factory.mktemp("state") / "state.db") as opened:
        yield opened


@pytest.fixture(scope="session")
def accounts(state: State) -> Accounts:
    return Accounts(state, email_domain="users.example.org")


@pytest.fixture(scope="session")
def token(accounts: Accounts) -> str:
    accounts.add_user("alice", email="alice@example.org", is_admin=True)
    return accounts.create_token("alice", scopes=("read", "write", "admin"))[0]


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    empty_catalog: Path,
    state: State,
    accounts: Accounts,
    token: str,
    settings: Settings,
) -> Iterator[Site]:
    """One for each module of tests: they keep to names of their own."""
    root = shutil.copytree(empty_catalog, tmp_path_factory.mktemp("catalog") / "catalog", symlinks=True)
    with _site(root, state, accounts, token, settings) as made:
        yield made


@pytest.fixture(scope="module")
def own_site(tmp_path_factory: pytest.TempPathFactory, empty_catalog: Path, settings: Settings) -> Iterator[Site]:
    """One with a state of its own, for a module that is about users: its admin is `admin`, and there is nobody else."""
    home = tmp_path_factory.mktemp("own")
    root = shutil.copytree(empty_catalog, home / "catalog", symlinks=True)
    with State(home / "state.db") as state:
        # So long passes between two logins that failures are forgotten: slowing down is tested by itself.
        unhurried = Throttle(clock=itertools.count(step=1000).__next__)
        accounts = Accounts(state, email_domain="users.example.org", throttle=unhurried)
        first = accounts.ensure_admin()
        assert first is not None
        with _site(root, state, accounts, first[1], settings) as made:
            yield made


@contextmanager
def _site(root: Path, state: State, accounts: Accounts, token: str, settings: Settings) -> Iterator[Site]:
    catalog = Catalog.open(root)
    activity = Activity(catalog, state)
    # It is told to look, and nobody lets it: the catalogs of these tests stay as they are.
    follower = Follower(catalog, catalog.store.remote(str(root.parent / "primary.git")), 1.0)
    app = make_app(catalog, accounts, activity, settings, Metrics(follower.health), follower)
    yield Site(app, catalog, accounts, activity, token)
    catalog.close()


@pytest.fixture(scope="module")
def wire(site: Site, settings: Settings) -> Iterator[Wire]:
    running = Wire(Server(site.app, settings, Admission(site.catalog, site.accounts)))
    yield running
    running.close()
