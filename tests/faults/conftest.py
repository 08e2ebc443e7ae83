"""A catalog for tests of faults, and whether faults can be injected here."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prepared import Prepared, prepare


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
