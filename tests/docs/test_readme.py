"""README: every command runs as printed, and prints what is printed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from console_blocks import PROJECT, Reader, commands, difference

pytestmark = pytest.mark.slow

README = PROJECT / "README.md"
COMMANDS = commands(README)
SERVE, TEST, *TOUR = COMMANDS


def test_readme_begins_with_the_two_commands():
    assert SERVE.text.endswith("catalogd serve")
    assert TEST.text == "./tests/run"
    assert (PROJECT / "tests" / "run").stat().st_mode & 0o111
    assert len(TOUR) > 15


def test_readme_runs_as_printed_from_an_empty_environment(tmp_path, program):
    """Where pip finds no package index, all but the making of the environment."""
    program("curl")
    reader = Reader.new(tmp_path)
    if _has_package_index(reader):
        _take_the_tour(reader, SERVE.text.replace("python3", sys.executable), patience=300)
    else:
        reader.reuse_this_interpreter()
        _take_the_tour(reader, ".venv/bin/catalogd serve", patience=30)


def _take_the_tour(reader: Reader, serve: str, *, patience: float) -> None:
    with reader.server(serve, patience=patience) as greeting:
        assert difference(SERVE, greeting) is None, difference(SERVE, greeting)
        printed = reader.run(TOUR)
    assert len(printed) == len(TOUR)
    differences = [difference(*pair) for pair in zip(TOUR, printed, strict=True)]
    assert not any(differences), "\n\n".join(filter(None, differences))


def _has_package_index(reader: Reader) -> bool:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(reader.home), "click"]
    return subprocess.run(command, env=reader.environment, capture_output=True).returncode == 0
