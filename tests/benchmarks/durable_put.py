"""How long a durable PUT over HTTP takes one client, against `git add` + `git commit` of the same edit. `durable-puts`
has how many there are a second, by several clients too, and what others do.

On a clone of the catalog git runs without hooks and with its own defaults for fsync, so it does less than we do; then
with all the fsync that it offers for a commit. In the catalog itself, beside the server, the hook checks the document
as a PUT does.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.benchmarks.catalogs import file_of, make, name_of, path_of, serving, spread
from tests.benchmarks.client import Client
from tests.benchmarks.figures import ms, p95, rounds
from tests.benchmarks.large import ENDS

ROUNDS = rounds(5)
PUTS_A_ROUND = 60
COMMITS_A_ROUND = 6
CHECKED_COMMITS_A_ROUND = 2
_TRIES = 10
# Objects and main are synced before `git commit` returns; only the directories that name them are not.
SYNCED = ("-c", "core.fsync=committed,reference")


def run() -> str:
    """The table, in Markdown."""
    rows = [
        "| repositories | PUT, median (p95) | git add + git commit, median | times faster, median of rounds (least) "
        "| in the catalog, checked by its hook | git that syncs, median | times faster than that |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as directory:
        for size in ENDS:
            rows.append(_row(Path(directory), size))
    return "\n".join(rows)


def _row(directory: Path, size: int) -> str:
    root = make(directory, size)
    clone = directory / f"clone-{size}"
    subprocess.run(["git", "clone", "-q", str(root), str(clone)], check=True)
    puts: list[float] = []
    commits: list[float] = []
    synced: list[float] = []
    checked: list[float] = []
    ratios: list[float] = []
    synced_ratios: list[float] = []
    with serving(root) as served:
        client = served.connect()
        _put(client, 0, -1)
        _commit(clone, 0, "before all rounds")
        for turn in range(ROUNDS):
            mine = [_put(client, spread(i, size), turn) for i in range(PUTS_A_ROUND)]
            theirs = [_commit(clone, spread(i, size), f"round {turn}") for i in range(COMMITS_A_ROUND)]
            safe = [_commit(clone, spread(i, size), f"round {turn}, synced", SYNCED) for i in range(COMMITS_A_ROUND)]
            ratios.append(statistics.median(theirs) / statistics.median(mine))
            synced_ratios.append(statistics.median(safe) / statistics.median(mine))
            checked += [_commit(root, spread(1000 + i, size), f"round {turn}") for i in range(CHECKED_COMMITS_A_ROUND)]
            puts += mine
            commits += theirs
            synced += safe
        client.close()
    return (
        f"| {size:,} | {ms(statistics.median(puts))} ({ms(p95(puts))}) | {ms(statistics.median(commits))} "
        f"| {statistics.median(ratios):.1f} ({min(ratios):.1f}) | {ms(statistics.median(checked))} "
        f"| {ms(statistics.median(synced))} | {statistics.median(synced_ratios):.1f} |"
    )


def _put(client: Client, number: int, turn: int) -> float:
    body = json.dumps({"description": f"Edited in round {turn}"}).encode()
    path = path_of(name_of(number))
    start = time.perf_counter()
    status, answer = client.request("PUT", path, body)
    seconds = time.perf_counter() - start
    if status != 200:
        raise RuntimeError(f"{status}: {answer!r}")
    return seconds


def _commit(clone: Path, number: int, what: str, options: tuple[str, ...] = ()) -> float:
    """Seconds for an edit by hand; in the catalog itself, after the writes of a round have come to rest."""
    file = file_of(name_of(number))
    document = json.loads((clone / file).read_text())
    document["description"] = f"Edited in {what}"
    (clone / file).write_text(json.dumps(document, indent=2) + "\n")
    if (clone / ".git" / "catalogd").exists():
        time.sleep(1)
    git = ["git", "-C", str(clone), "-c", "user.name=b", "-c", "user.email=b@example.org", "-c", "gc.auto=0", *options]
    for _ in range(_TRIES):
        start = time.perf_counter()
        # In the catalog itself the server may hold the index at this moment: a hand tries again, and so does this.
        if all(
            subprocess.run([*git, *command], capture_output=True).returncode == 0
            for command in (("add", file), ("commit", "-q", "-m", "Edit"))
        ):
            return time.perf_counter() - start
        time.sleep(0.5)
    raise RuntimeError(f"git does not commit {file}")
