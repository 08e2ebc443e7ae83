"""A GET of a page of 100 repositories under wrk, against a page of 100 records of Kinto with the same content.

Ours are pages 1 to 10 of the whole catalog. Kinto pages by where the last one ended, so it is asked for the first page,
and has no more than 1,000 records: it sorts all of them for each page.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks import peers
from tests.benchmarks.catalogs import Served, serving
from tests.benchmarks.contents import contents, identifier_of
from tests.benchmarks.detail import RECORDS, ROUNDS
from tests.benchmarks.wrk import Target, measure, ratio

CONNECTIONS = (1, 8)
PAGE = 100


def run() -> str:
    """The table, in Markdown."""
    rows = [
        "| content | connections | pages a second | Kinto | times | processor time of one | Kinto | times |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as directory:
        for what, root, _ in contents(Path(directory)):
            rows += _rows(what, root)
    return "\n".join(rows)


def _rows(content: str, root: Path) -> list[str]:
    rows = []
    with ExitStack() as stack:
        served = stack.enter_context(serving(root))
        served.rest()
        by_number = {page: _page(served, page) for page in range(1, RECORDS // PAGE + 1)}
        records = [row for page in by_number.values() for row in page]
        full = [_path(page) for page, found in by_number.items() if found]
        kinto = stack.enter_context(peers.kinto())
        peers.fill(kinto, ((identifier_of((row["namespace"], row["repo_name"])), row) for row in records))
        targets = {
            "ours": Target(served.host, served.port, served.pid, full),
            "theirs": Target(kinto.host, kinto.port, kinto.pid, [f"{kinto.path}?_limit={PAGE}"]),
        }
        for connections in CONNECTIONS:
            found = measure(targets, connections, rounds=ROUNDS)
            ours, theirs = found["ours"], found["theirs"]
            rows.append(
                f"| {content} | {connections} | {ours.rate:,.0f} | {theirs.rate:,.0f} "
                f"| {ratio(ours.rates, theirs.rates):.1f} "
                f"| {ours.cost * 1e3:.2f} ms | {theirs.cost * 1e3:.2f} ms | {ratio(theirs.costs, ours.costs):.1f} |"
            )
    return rows


def _path(page: int) -> str:
    return f"/v1/repositories?page_size={PAGE}&page={page}"


def _page(served: Served, page: int) -> list[dict]:
    """Empty past the end, and also for the last one if it is not full: all that are measured are alike."""
    client = served.connect(anonymous=True)
    status, body = client.request("GET", _path(page), b"")
    client.close()
    rows = json.loads(body)["results"] if status == 200 else []
    return rows if len(rows) == PAGE else []
