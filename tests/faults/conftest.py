"""Served catalogs for tests of faults, and whether faults can be injected here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "blackbox")]

# Before they are imported, so that what they assert is told in full.
pytest.register_assert_rewrite("actors", "recording", "mixed_load", "survival", "lane")

from prepared import Prepared, prepare  # noqa: E402  (found by the line above)
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


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A catalog with a few documents, which was served and has been closed. Copy it."""
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def strace(program) -> str:
    """The path of strace; skips where it may not attach to a process or inject faults."""
    path = program("strace")
    sleeper = subprocess.Popen([shutil.which("sleep") or "sleep", "60"])
    try:
        command = [path, "-qq", "-o", "/dev/null", "-einject=fsync:error=EIO:when=1", "-p", str(sleeper.pid)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            _, said = tracer.communicate(timeout=0.3)
        except subprocess.TimeoutExpired:
            tracer.terminate()
            tracer.communicate()
        else:
            pytest.skip(f"strace cannot inject faults here: {said.strip()}")
    finally:
        sleeper.kill()
        sleeper.wait()
    return path
