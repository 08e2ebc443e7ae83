"""Servers that are real processes; whatever a test does to one, its log must be free of tracebacks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from served_catalog import Client, Served

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One catalog for all tests of a module, each of which keeps to a namespace of its own."""
    home = tmp_path_factory.mktemp("shared")
    served = Served(home / "catalog", home, home / "catalog.log").start()
    yield served
    served.close()


@pytest.fixture
def admin(shared: Served) -> Client:
    return shared.client()


@pytest.fixture
def anonymous(shared: Served) -> Client:
    return shared.anonymous()


@pytest.fixture
def name() -> str:
    """A namespace of the test's own."""
    return f"n{next(_NUMBERS)}"


@pytest.fixture
def one(admin: Client, name: str) -> str:
    """The path of a repository that was just created."""
    made = admin.post(f"/v1/repositories/{name}", {"repo_name": "one", "description": "first"})
    assert made.status == 201
    return f"/v1/repositories/{name}/one"
