"""Large catalogs, each made once in a run and copied for every question that changes it."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.benchmarks.catalogs import make

# Less is quicker, and says less: for a look at whether all runs.
LARGEST = int(os.environ.get("CATALOGD_TEST_LARGEST", "100000"))
SIZES = tuple(size for size in (1_000, 10_000, 100_000) if size <= LARGEST) or (LARGEST,)
# The smallest and the largest of them.
ENDS = tuple(dict.fromkeys((SIZES[0], LARGEST)))


def copy_of_catalog(directory: Path, size: int, per_namespace: int = 10) -> Path:
    """A catalog of so many repositories, to be changed at will."""
    root = directory / f"catalog-{size}-{per_namespace}"
    made = _made(size, per_namespace)
    subprocess.run(["cp", "-a", "--reflink=auto", str(made), str(root)], check=True)
    return root


@cache
def _made(size: int, per_namespace: int) -> Path:
    return make(_shared() / f"{size}-{per_namespace}", size, per_namespace)


@cache
def _shared() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="catalogd-bench-large-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory
