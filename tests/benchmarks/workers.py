"""Two workers against one: GETs of one repository, by wrk on connections that stay, and durable PUTs by 16 clients.

Each server has a catalog of its own, with the same content. Rounds alternate, so that whatever else the machine does
falls on both. wrk runs on the same cores as the servers.
"""

from __future__ import annotations

import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.benchmarks.catalogs import Served, make, name_of, path_of, serving, spread
from tests.benchmarks.figures import rounds
from tests.benchmarks.wrk import Measured, Target, measure, processor_time, ratio

REPOSITORIES = 1_000
ROUNDS = rounds(7)
SECONDS = 4
CONNECTIONS = (8, 32)
WRITERS, PUTS_EACH = 16, 25


def run() -> str:
    """The table, in Markdown."""
    rows = [
        "| | one worker, a second | CPU each | two workers, a second | CPU each | times as many (least, most) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as directory, ExitStack() as stack:
        servers = {}
        for workers in ("1", "2"):
            home = Path(directory) / workers
            home.mkdir()
            servers[workers] = stack.enter_context(serving(make(home, REPOSITORIES), "--workers", workers))
        paths = [path_of(name_of(7))]
        targets = {name: Target(each.host, each.port, each.pid, paths) for name, each in servers.items()}
        for connections in CONNECTIONS:
            found = measure(targets, connections, rounds=ROUNDS, seconds=SECONDS)
            rows.append(_row(f"GETs, {connections} connections", found))
        rows.append(_row(f"PUTs, {WRITERS} clients", _puts(servers)))
    return "\n".join(rows)


def _row(what: str, found: dict[str, Measured]) -> str:
    one, two = found["1"], found["2"]
    times = [b / a for a, b in zip(one.rates, two.rates, strict=True)]
    cells = " | ".join(f"{each.rate:,.0f} | {each.cost * 1e6:.0f} µs" for each in (one, two))
    return f"| {what} | {cells} | {ratio(two.rates, one.rates):.2f} ({min(times):.2f}, {max(times):.2f}) |"


def _puts(servers: dict[str, Served]) -> dict[str, Measured]:
    found = {name: Measured() for name in servers}
    for _ in range(ROUNDS):
        for name, served in servers.items():
            before, start = processor_time(served.pid), time.perf_counter()
            with ThreadPoolExecutor(WRITERS) as pool:
                list(pool.map(partial(_put, served), range(WRITERS)))
            found[name].rates.append(WRITERS * PUTS_EACH / (time.perf_counter() - start))
            found[name].costs.append((processor_time(served.pid) - before) / (WRITERS * PUTS_EACH))
    return found


def _put(served: Served, writer: int) -> None:
    client = served.connect()
    for number in range(PUTS_EACH):
        path = path_of(name_of(spread(writer * PUTS_EACH + number, REPOSITORIES)))
        status, body = client.request("PUT", path, json.dumps({"description": f"Edited {time.time()}"}).encode())
        if status != 200:
            raise RuntimeError(f"{status}: {body!r}")
    client.close()
