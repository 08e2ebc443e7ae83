"""A GET of one repository with a token against the same without: what authentication costs.

Both on a connection of their own to one server, in turns of a few requests, so that whatever else the machine does
falls on both.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.benchmarks.catalogs import make, name_of, path_of, serving, spread
from tests.benchmarks.client import Client
from tests.benchmarks.figures import p95

REPOSITORIES = 1_000
TURNS = 400
GETS_A_TURN = 25


def run() -> str:
    """The table, in Markdown."""
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as directory:
        root = make(Path(directory), REPOSITORIES)
        with serving(root) as served:
            ways = {"without credentials": served.connect(anonymous=True), "with a token": served.connect()}
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for turn in range(TURNS):
                for way, client in ways.items():
                    seconds[way] += [_get(client, turn * GETS_A_TURN + number) for number in range(GETS_A_TURN)]
    medians = {way: statistics.median(all_of_them) for way, all_of_them in seconds.items()}
    plain, authenticated = medians.values()
    rows = ["| GET of one repository | median | p95 |", "| --- | --- | --- |"]
    for way, all_of_them in seconds.items():
        rows.append(f"| {way} | {_us(medians[way])} | {_us(p95(all_of_them))} |")
    rows.append(f"| overhead of the token | {100 * (authenticated / plain - 1):.1f}% | |")
    return "\n".join(rows)


def _get(client: Client, number: int) -> float:
    path = path_of(name_of(spread(number, REPOSITORIES)))
    start = time.perf_counter()
    status, answer = client.request("GET", path, b"")
    seconds = time.perf_counter() - start
    if status != 200:
        raise RuntimeError(f"{status}: {answer!r}")
    return seconds


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs"
