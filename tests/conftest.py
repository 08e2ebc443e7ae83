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
from cut_off_disk import Disk
from postgresql_server import PostgresqlServer

pytest_plugins = ["served_fixtures"]
# Before they are imported, so that what they assert is told in full.
pytest.register_assert_rewrite("served_catalog", "actors", "recording", "mixture", "survival", "lane")

STRICT = os.environ.get("CATALOGD_TEST_STRICT") == "1"
EXAMPLES = os.environ.get("CATALOGD_TEST_EXAMPLES")
NOT_INSTALLED = "is not installed"
# What a machine may lack that nobody can install. No other reason for a skip is good with CATALOGD_TEST_STRICT=1.
NOT_BESIDE = "official-images.jsonl.gz is not beside the project"
NOT_ROOT = "only root can mount a file system"
NO_LOOP_DEVICE = "no loop device can be mounted here"
GOOD_REASONS = (
    NOT_BESIDE, NOT_ROOT, NO_LOOP_DEVICE, "a file system cannot be mounted here", "strace cannot inject faults here",
)  # fmt: skip
PROJECT = Path(__file__).parents[1]
OFFICIAL_IMAGES = PROJECT.parent / "shared" / "data" / "official-images.jsonl.gz"

# Who wants no compiled modules in the checkout has them beside it: compiling all anew takes a quarter of every start.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(PROJECT / ".pytest_cache" / "bytecode")
    sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    from hypothesis import settings  # here, so that its modules, too, are kept compiled where that is said above

    # So many examples each property is tried on in the fast part of the suite; in all of it, as hypothesis likes.
    settings.register_profile("fast", max_examples=25)
    if config.getoption("markexpr") == "not slow":
        settings.load_profile("fast")
    gc.disable()


def pytest_collection_finish() -> None:
    # Thousands of tests stay until the end: a collection of garbage that passes them over saves a tenth of the time.
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With CATALOGD_TEST_STRICT=1 a test that cannot run has failed, unless for a good reason."""
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """The same where all tests of a file are skipped."""
    return _judged((yield))


def _judged(report):
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith(GOOD_REASONS):
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid} could not run: {reason}"
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


@pytest.fixture(scope="session", autouse=True)
def no_environment_of_the_caller(new_home) -> Iterator[None]:
    """Neither the caller's git configuration nor their settings reach a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("GIT_", "CATALOGD_")) and name != "CATALOGD_TEST_STRICT":
                patch.delenv(name)
        patch.setenv("HOME", str(new_home()))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "Hand")
            patch.setenv(f"GIT_{who}_EMAIL", "hand@example.org")
        yield


@pytest.fixture(autouse=True)
def own_home(monkeypatch, new_home) -> None:
    """What one test leaves at home no other one finds."""
    monkeypatch.setenv("HOME", str(new_home()))


@pytest.fixture(scope="session")
def empty_catalog(tmp_path_factory) -> Path:
    """An empty catalog that has been opened and closed: to copy it takes a quarter of the time."""
    from catalogd.store import Store

    root = tmp_path_factory.mktemp("empty") / "catalog"
    Store.create(root)
    Store(root).close()
    return root


@pytest.fixture(scope="session")
def empty_state(tmp_path_factory) -> Path:
    """The file of a state without anybody, closed: to copy it takes a fifth of the time."""
    from catalogd.state import State

    file = tmp_path_factory.mktemp("empty") / "state.db"
    State(file).close()
    return file


@pytest.fixture
def official_images() -> Path:
    """144 real repositories, which are beside the project and not part of it."""
    if not OFFICIAL_IMAGES.is_file():
        pytest.skip(NOT_BESIDE)
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


@pytest.fixture
def disk(tmp_path, program) -> Iterator[Disk]:
    """A file system whose power can be cut.

    Many machines have no loop devices, containers above all. No program can be installed against that, so such a test
    is skipped by name and is no failure, not even with CATALOGD_TEST_STRICT=1.
    """
    mkfs = program("mkfs.ext4")
    if os.geteuid() != 0:
        pytest.skip(NOT_ROOT)
    disk = Disk(tmp_path, mkfs)
    try:
        disk.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"{NO_LOOP_DEVICE}: {(error.stderr or b'').decode().strip()}")
    yield disk
    disk.unmount()


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
