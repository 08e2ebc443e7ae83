"""How long a server of a large catalog takes until it has answered its first GET: warm, and from nothing, that is
with its read model deleted.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.benchmarks.catalogs import name_of, path_of, serving
from tests.benchmarks.large import LARGEST, copy_of_catalog
from tests.benchmarks.wrk import processor_time

WARM, COLD = 7, 3


def run() -> str:
    """The table, in Markdown."""
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as directory:
        root = copy_of_catalog(Path(directory), LARGEST)
        with serving(root):
            pass  # has made the token
        taken = {"warm": [_start(root) for _ in range(WARM)], "from nothing": []}
        for _ in range(COLD):
            for suffix in ("-wal", "-shm", ""):
                (root / f".git/catalogd/readmodel.db{suffix}").unlink(missing_ok=True)
            taken["from nothing"].append(_start(root))
    rows = [
        f"| start with {LARGEST:,} repositories | median | most | of the server's processor |",
        "| --- | --- | --- | --- |",
    ]
    for how, starts in taken.items():
        seconds, processor = zip(*starts, strict=True)
        figures = (statistics.median(seconds), max(seconds), statistics.median(processor))
        rows.append(f"| {how} | {' | '.join(f'{figure:.2f} s' for figure in figures)} |")
    return "\n".join(rows)


def _start(root: Path) -> tuple[float, float]:
    """Seconds until the first GET is answered, and of the processor until then."""
    began = time.perf_counter()
    with serving(root, token=False) as served:
        client = served.connect(anonymous=True)
        status, answer = client.request("GET", path_of(name_of(0)), b"")
        taken = time.perf_counter() - began, processor_time(served.pid)
        if status != 200:
            raise RuntimeError(f"{status}: {answer!r}")
    return taken
