"""Servers that are real processes, for all tests that want one; see served_catalog.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served_catalog import Served


@pytest.fixture
def new_catalog(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Makes catalogs and serves them: `new_catalog()` or `new_catalog(name, *arguments)`."""
    made: list[Served] = []

    def make(name: str = "catalog", *arguments: str) -> Served:
        served = Served(tmp_path / name, tmp_path, tmp_path / f"{name}.log", arguments)
        made.append(served)
        return served.start()

    yield make
    for served in made:
        served.close()


@pytest.fixture
def served(new_catalog: Callable[..., Served]) -> Served:
    """An empty catalog, served, for one test."""
    return new_catalog()
