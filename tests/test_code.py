"""The code as its tools see it, with the settings in pyproject.toml: ruff's rules, its one form, and mypy's types."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def require_nothing_found(tool: str, *arguments: str) -> None:
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed")
    ran = subprocess.run([sys.executable, "-m", tool, *arguments], cwd=PROJECT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_code_keeps_to_the_rules():
    require_nothing_found("ruff", "check", "--quiet", ".")


def test_the_code_is_formatted():
    require_nothing_found("ruff", "format", "--check", "--quiet", ".")


@pytest.mark.slow
def test_the_types_of_the_package_fit():
    require_nothing_found("mypy")
