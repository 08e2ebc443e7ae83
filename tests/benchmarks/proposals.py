"""200 open proposals on a catalog of 10,000 repositories: listing them with `mergeable`, and what they cost a merge.

A proposal changes one to four repositories. All are listed, in two pages of 100, by an admin, by a user without a role,
and right after main has got a commit that changes what five of them change. Then proposals are merged while 200 others
are open, and while none are, in turns on two servers.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.catalogs import Served, catalogd, make, name_of, path_of, serving
from tests.benchmarks.client import Client
from tests.benchmarks.figures import ms, p95

REPOSITORIES = 10_000
OPEN = 200
LISTINGS = 50
MERGES = 30


def run() -> str:
    """The tables, in Markdown."""
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as directory:
        many, none = Path(directory) / "many", Path(directory) / "none"
        many.mkdir(), none.mkdir()
        roots = [make(place, REPOSITORIES) for place in (many, none)]
        for root in roots:  # so that they are merged without a second person
            policy = {"approvals": 0}
            (root / "policy.json").write_text(json.dumps(policy, indent=2) + "\n")
            git = ["git", "-C", str(root), "-c", "user.name=bench", "-c", "user.email=bench@example.org"]
            subprocess.run([*git, "add", "policy.json"], check=True)
            subprocess.run([*git, "commit", "-q", "--no-verify", "-m", "Ask for no approval"], check=True)
        with serving(roots[0]) as served, serving(roots[1]) as other:
            rows = [*_listings(roots[0], served), "", *_merges(served, other)]
    return "\n".join(rows)


def _listings(root: Path, served: Served) -> list[str]:
    admin = served.connect()
    for number in range(OPEN):
        _propose(admin, [(number * 37 + offset * 11) % REPOSITORIES for offset in range(1 + number % 4)], number)
    catalogd("user", "add", "someone", "--catalog", str(root))
    token = catalogd("token", "create", "someone", "--catalog", str(root)).strip()
    someone = Served(served.host, served.port, token, served.pid).connect()
    asked: dict[str, tuple[Client, Callable[[int], object]]] = {
        "an admin": (admin, lambda _: None),
        "a user without a role": (someone, lambda _: None),
        "a user, after a commit that changes what five of them change": (someone, lambda turn: _touch(admin, turn)),
    }
    seconds: dict[str, list[float]] = {who: [] for who in asked}
    for turn in range(LISTINGS + 1):
        for who, (client, before) in asked.items():
            before(turn)
            start = time.perf_counter()
            listed = [_ask(client, "GET", f"/v1/proposals?page_size=100&page={page}", 200) for page in (1, 2)]
            if turn:  # the first one is not warm
                seconds[who].append(time.perf_counter() - start)
            if sum(len(page["results"]) for page in listed) != OPEN or "mergeable" not in listed[0]["results"][0]:
                raise RuntimeError(f"not all were listed: {listed}")
    rows = ["| all 200 listed by | median | p95 |", "| --- | --- | --- |"]
    for who, all_of_them in seconds.items():
        rows.append(f"| {who} | {ms(statistics.median(all_of_them))} | {ms(p95(all_of_them))} |")
    return rows


def _merges(served: Served, other: Served) -> list[str]:
    seconds: dict[str, list[float]] = {"200 others": [], "none": []}
    clients = {"200 others": served.connect(), "none": other.connect()}
    for turn in range(MERGES):
        for beside, client in clients.items():
            number = _propose(client, [REPOSITORIES - 1 - turn], turn)
            start = time.perf_counter()
            _ask(client, "POST", f"/v1/proposals/{number}/merge", 200, {})
            seconds[beside].append(time.perf_counter() - start)
    rows = ["| a merge, while these are open | median | p95 |", "| --- | --- | --- |"]
    for beside, all_of_them in seconds.items():
        rows.append(f"| {beside} | {ms(statistics.median(all_of_them))} | {ms(p95(all_of_them))} |")
    return rows


def _propose(client: Client, numbers: list[int], turn: int) -> int:
    changes = [
        {"namespace": namespace, "repo_name": repo_name, "document": {"description": f"Better words, {turn}"}}
        for namespace, repo_name in map(name_of, numbers)
    ]
    return _ask(client, "POST", "/v1/proposals", 201, {"title": f"Change {turn}", "changes": changes})["number"]


def _touch(client: Client, turn: int) -> None:
    for number in range(5):
        path = path_of(name_of(number * 37))
        _ask(client, "PATCH", path, 200, {"full_description": f"Other words, {turn}"})


def _ask(client: Client, method: str, path: str, wanted: int, body: object = None) -> dict:
    status, answer = client.request(method, path, b"" if body is None else json.dumps(body).encode())
    if status != wanted:
        raise RuntimeError(f"{method} {path}: {status}: {answer!r}")
    return json.loads(answer)
