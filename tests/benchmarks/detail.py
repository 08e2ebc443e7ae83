"""A GET of one repository under wrk, against bare Falcon on waitress and against Kinto.

All three have as many threads. Falcon answers with a constant as long as a reply of ours. Kinto has 1,000 records in
its memory, which are what we reply with, whatever the size of our catalog: it finds a record in a dictionary.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks import peers
from tests.benchmarks.catalogs import Served, path_of, serving
from tests.benchmarks.contents import Names, contents, identifier_of
from tests.benchmarks.figures import rounds
from tests.benchmarks.wrk import Measured, Target, measure, ratio

CONNECTIONS = (1, 8, 32)
RECORDS = 1_000
ROUNDS = rounds(7)

OURS, OURS_WITH_TOKEN = "catalogd", "catalogd, with a token"
FALCON, KINTO, KINTO_WITH_PASSWORD = "Falcon", "Kinto", "Kinto, with a password"


def run() -> str:
    """The table, in Markdown."""
    rows = [
        "| content | connections | GETs a second | with a token | to Falcon | to Kinto | both with credentials "
        "| processor time of one | to Falcon | to Kinto |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as directory:
        for what, root, names in contents(Path(directory)):
            rows += _rows(what, root, names)
    return "\n".join(rows)


def _rows(content: str, root: Path, names: Names) -> list[str]:
    with ExitStack() as stack:
        served = stack.enter_context(serving(root))
        served.rest()
        replies = {name: _reply(served, name) for name in names[:RECORDS]}
        falcon = stack.enter_context(peers.bare_falcon(_of_median_length(list(replies.values()))))
        kinto = stack.enter_context(peers.kinto())
        peers.fill(kinto, ((identifier_of(name), json.loads(reply)) for name, reply in replies.items()))
        paths = [path_of(name) for name in names]
        records = [kinto.record(identifier_of(name)) for name in replies]
        targets = {
            OURS: Target(served.host, served.port, served.pid, paths),
            FALCON: Target(falcon.host, falcon.port, falcon.pid, [falcon.path]),
            KINTO: Target(kinto.host, kinto.port, kinto.pid, records),
            OURS_WITH_TOKEN: Target(served.host, served.port, served.pid, paths, f"Token {served.token}"),
            KINTO_WITH_PASSWORD: Target(kinto.host, kinto.port, kinto.pid, records, kinto.authorization),
        }
        return [
            f"| {content} | {connections} | {_told(measure(targets, connections, rounds=ROUNDS))} |"
            for connections in CONNECTIONS
        ]


def _reply(served: Served, name: tuple[str, str]) -> bytes:
    client = served.connect(anonymous=True)
    status, body = client.request("GET", path_of(name), b"")
    client.close()
    if status != 200:
        raise RuntimeError(f"{path_of(name)}: {status}: {body!r}")
    return body


def _of_median_length(replies: list[bytes]) -> bytes:
    return sorted(replies, key=len)[len(replies) // 2]


def _told(found: dict[str, Measured]) -> str:
    ours, falcon, kinto = found[OURS], found[FALCON], found[KINTO]
    with_credentials = ratio(found[OURS_WITH_TOKEN].rates, found[KINTO_WITH_PASSWORD].rates)
    told = (
        f"{ours.rate:,.0f}",
        f"{found[OURS_WITH_TOKEN].rate:,.0f}",
        _and_least(ours.rates, falcon.rates),
        _and_least(ours.rates, kinto.rates),
        f"{with_credentials:.1f}",
        f"{ours.cost * 1e6:.0f} µs",
        f"{ratio(ours.costs, falcon.costs):.2f}",
        f"{ratio(ours.costs, kinto.costs):.2f}",
    )
    return " | ".join(told)


def _and_least(ours: list[float], theirs: list[float]) -> str:
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f})"
