"""A served catalog for tests of faults; whatever is done to it, its log must be free of tracebacks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "blackbox")]

# Before they are imported, so that what they assert is told in full.
pytest.register_assert_rewrite("actors", "recording", "mixed_load")

from served_catalog import Served  # noqa: E402  (found by the line above)


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
