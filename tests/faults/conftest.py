from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "blackbox")]

from served_catalog import Served  # noqa: E402


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
