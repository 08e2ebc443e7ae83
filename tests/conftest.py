"""What all tests share: programs of the system, and what it means that one is missing."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import postgresql_server
import pytest
from hypothesis import settings
from postgresql_server import PostgresqlServer

STRICT = os.environ.get("CATALOGD_TEST_STRICT") == "1"
EXAMPLES = os.environ.get("CATALOGD_TEST_EXAMPLES")
NOT_INSTALLED = "is not installed"
PROJECT = Path(__file__).parents[1]
OFFICIAL_IMAGES = PROJECT.parent / "shared" / "data" / "official-images.jsonl.gz"

# Who wants no compiled modules in the checkout has them beside it: compiling all anew takes a quarter of every start.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(PROJECT / ".pytest_cache" / "bytecode")
    sys.dont_write_bytecode = False


# So many examples each property is tried on in the fast part of the suite; in all of it, as many as hypothesis likes.
settings.register_profile("fast", max_examples=25)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("markexpr") == "not slow":
        settings.load_profile("fast")


def pytest_collection_finish() -> None:
    # Thousands of tests stay until the end: a collection of garbage that passes them over saves a tenth of the time.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With CATALOGD_TEST_STRICT=1 a test whose program is missing has failed."""
    report = yield
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if STRICT and report.skipped and reason.endswith(NOT_INSTALLED):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} could not run: {reason}"
    return report


@pytest.fixture(scope="session")
def new_home(tmp_path_factory) -> Callable[[], Path]:
    """Makes empty directories. pytest's own way looks at all it has made, which thousands of tests feel."""
    homes = tmp_path_factory.mktemp("homes")
    numbers = itertools.count()

    def make() -> Path:
        home = homes / str(next(numbers))
        home.mkdir()
        return home

    return make


@pytest.fixture(autouse=True)
def no_environment_of_the_caller(monkeypatch, new_home):
    """Neither the caller's git configuration nor their settings reach a test."""
    home = new_home()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in list(os.environ):
        if name.startswith(("GIT_", "CATALOGD_")) and name not in (
            "GIT_CONFIG_NOSYSTEM",
            "CATALOGD_TEST_STRICT",
        ):
            monkeypatch.delenv(name)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Hand")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "hand@example.org")


@pytest.fixture
def official_images() -> Path:
    """144 real repositories, which are beside the project and not part of it."""
    if not OFFICIAL_IMAGES.is_file():
        pytest.skip("official-images.jsonl.gz is not beside the project")
    return OFFICIAL_IMAGES


@pytest.fixture
def program():
    """Names the path of a system program, or skips the test by its name."""

    def find(name: str) -> str:
        # Some are for administrators, whose directories a user need not have on the PATH.
        found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
        if found is None:
            pytest.skip(f"{name} {NOT_INSTALLED}")
        return found

    return find


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A running server for all tests that want one."""
    programs = postgresql_server.programs()
    if programs is None:
        pytest.skip(f"postgresql {NOT_INSTALLED}")
    server = PostgresqlServer(programs)
    yield server
    server.stop()


@pytest.fixture
def postgresql_url(postgresql: PostgresqlServer) -> Iterator[str]:
    """An empty database of the test's own."""
    with postgresql.fresh_database() as url:
        yield url


@pytest.fixture
def git():
    """Runs git in a directory; returns its output. Raises CalledProcessError, with stderr in its message."""

    def run(directory: Path, *arguments: str, check: bool = True, env: dict | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory,
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
        )
        if check and done.returncode:
            raise AssertionError(f"git {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def examples() -> int | None:
    """How many random sequences a long test is to try, from CATALOGD_TEST_EXAMPLES; None for the few that are always
    the same.
    """
    return int(EXAMPLES) if EXAMPLES else None
