"""After 100,000 edits of a catalog of 10,000 repositories, each its own commit: the history of one repository against
`git log -- PATH`, and what the catalog takes on the disk against the same commits in a repository of git's alone.

The edits are made as clients make them, by PUT over HTTP: wrk with 64 connections, a hundredth of them of one
repository. `catalogd maintenance --full` follows. git's own is made by `git fast-export` and `git fast-import` and
repacked by `git repack -adf`.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.benchmarks.catalogs import Served, catalogd, file_of, name_of, path_of, serving, spread
from tests.benchmarks.figures import ms
from tests.benchmarks.large import LARGEST, copy_of_catalog
from tests.benchmarks.write_load import put_so_many

REPOSITORIES = min(10_000, LARGEST)
EDITS = LARGEST
CLIENTS = 64
READS = 50
GIT_LOGS = 3
_OFTEN = 0  # the number of the repository that has a hundredth of the edits
_PARTS = {
    "packs and their indexes": "objects",
    "git's index": "index",
    "read model": "catalogd/readmodel.db",
    "public repository": "catalogd/public.git",
    "journal": "catalogd/journal",
    "state": "catalogd/state.db",
}


def run() -> str:
    """The tables, in Markdown."""
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as name:
        directory = Path(name)
        root = copy_of_catalog(directory, REPOSITORIES)
        with serving(root) as served:
            seconds = _edit(served)
        catalogd("maintenance", "--full", "--catalog", str(root))
        parts = [f"The edits took {seconds:,.0f} s, {EDITS / seconds:,.0f} a second.", _histories(root)]
        parts.append(_sizes(root, directory / "git"))
    return "\n\n".join(parts)


def _edit(served: Served) -> float:
    start = time.perf_counter()
    numbers = (_OFTEN if number % 100 == 0 else spread(number, REPOSITORIES) for number in range(REPOSITORIES))
    paths = [path_of(name_of(number)) for number in numbers]
    server, token = (served.host, served.port, served.pid), f"Token {served.token}"
    put_so_many(EDITS, server, paths, token, "Edit", clients=CLIENTS)
    return time.perf_counter() - start


def _histories(root: Path) -> str:
    path = path_of(name_of(_OFTEN)) + "/history"
    rows = ["| history of a repository | median | most |", "| --- | --- | --- |"]
    with serving(root) as served:
        client = served.connect()
        _, answer = client.request("GET", path, b"")
        last = math.ceil(json.loads(answer)["count"] / 20)
        for what, page in (("the first page", 1), ("the tenth page", min(10, last))):
            taken = []
            for _ in range(READS):
                start = time.perf_counter()
                status, answer = client.request("GET", f"{path}?page={page}", b"")
                taken.append(time.perf_counter() - start)
                if status != 200:
                    raise RuntimeError(f"{status}: {answer!r}")
            rows.append(f"| {what} | {ms(statistics.median(taken))} | {ms(max(taken))} |")
    for what, number in (("this one", _OFTEN), ("one with few edits", 1)):
        file = file_of(name_of(number))
        taken = []
        for _ in range(GIT_LOGS):
            start = time.perf_counter()
            command = ["git", "-C", str(root), "log", "-n20", "--format=%H %an %ct %s", "--", file]
            subprocess.run(command, check=True, capture_output=True)
            taken.append(time.perf_counter() - start)
        rows.append(f"| `git log -n20 -- PATH` of {what} | {ms(statistics.median(taken))} | {ms(max(taken))} |")
    return "\n".join(rows)


def _sizes(root: Path, peer: Path) -> str:
    subprocess.run(["git", "init", "-q", "--bare", str(peer)], check=True)
    exported = subprocess.Popen(["git", "-C", str(root), "fast-export", "main"], stdout=subprocess.PIPE)
    subprocess.run(["git", "-C", str(peer), "fast-import", "--quiet"], stdin=exported.stdout, check=True)
    if exported.wait():
        raise RuntimeError("git fast-export has failed")
    subprocess.run(["git", "-C", str(peer), "repack", "-adfq"], check=True)
    ours, theirs = _size(root / ".git"), _size(peer)
    rows = [f"| on the disk after {EDITS:,} edits | MB | times git |", "| --- | --- | --- |"]
    rows.append(f"| git alone, repacked | {theirs / 1e6:.1f} | |")
    rows.append(f"| `.git` of the catalog, after maintenance | {ours / 1e6:.1f} | {ours / theirs:.2f} |")
    for what, part in _PARTS.items():
        size = _size(root / ".git" / part)
        rows.append(f"| of these: {what} | {size / 1e6:.1f} | {size / theirs:.2f} |")
    return "\n".join(rows)


def _size(path: Path) -> int:
    """Bytes on the disk of a file or of all below a directory."""
    if path.is_dir():
        files = (Path(directory) / name for directory, _, names in os.walk(path) for name in names)
        return sum(file.lstat().st_blocks * 512 for file in files)
    return path.stat().st_blocks * 512 if path.exists() else 0
