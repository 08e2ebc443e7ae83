"""The memory of a server of a large catalog after the first request, after 10,000 mixed ones and after 20,000: details,
lists, searches, histories and writes. Two clients ask, so that it has some of its threads at work.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.benchmarks.catalogs import Served, name_of, path_of, serving
from tests.benchmarks.large import LARGEST, copy_of_catalog

REQUESTS = 10_000
CLIENTS = 2
# Of a hundred requests.
_SHARES = {"detail": 60, "list": 10, "search": 5, "history": 10, "write": 15}
_SECONDS_OF_REST = 5


def run() -> str:
    """The table, in Markdown."""
    rows = ["| | resident (RSS) | proportional (PSS) |", "| --- | --- | --- |"]
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as directory:
        root = copy_of_catalog(Path(directory), LARGEST)
        with serving(root) as served:
            client = served.connect()
            client.request("GET", path_of(name_of(0)), b"")
            client.close()
            served.rest()
            rows.append(_row("at rest after the start", served.pid))
            for part in range(2):
                with ThreadPoolExecutor(CLIENTS) as pool:
                    list(pool.map(partial(_ask, served), range(part * CLIENTS, (part + 1) * CLIENTS)))
                time.sleep(_SECONDS_OF_REST)
                rows.append(_row(f"after {(part + 1) * REQUESTS:,} requests", served.pid))
    return "\n".join(rows)


def _ask(served: Served, number: int) -> None:
    client = served.connect()
    drawn = random.Random(number)
    for turn in range(REQUESTS // CLIENTS):
        (what,) = drawn.choices(list(_SHARES), list(_SHARES.values()))
        path = path_of(name_of(drawn.randrange(LARGEST)))
        method, body = "GET", b""
        if what == "list":
            path = f"/v1/repositories?page_size=100&page={drawn.randrange(1, LARGEST // 100 + 1)}"
        elif what == "search":
            path = f"/v1/repositories?search={drawn.choice(('application', 'app-3', f'{drawn.randrange(9999):05d}'))}"
        elif what == "history":
            path += "/history"
        elif what == "write":
            method, body = "PUT", json.dumps({"description": f"Edit {turn} of {number}"}).encode()
        status, answer = client.request(method, path, body)
        if status != 200:
            raise RuntimeError(f"{method} {path}: {status}: {answer!r}")
    client.close()


def _row(when: str, pid: int) -> str:
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    resident, proportional = (
        int(re.search(rf"^{name}: +([0-9]+) kB", told, re.MULTILINE)[1]) * 1024 / 1e6 for name in ("Rss", "Pss")
    )
    return f"| {when} | {resident:.0f} MB | {proportional:.0f} MB |"
