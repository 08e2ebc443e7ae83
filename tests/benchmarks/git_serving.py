"""`git clone` over HTTP against `git clone file://` of the same catalog, and what 16 clones at once do to a reader.

The catalog has 10,000 repositories and a commit for each, made over HTTP. Clones are `--bare`, so that git receives and
indexes all, and does not write out 10,000 files, which costs the same from wherever they came.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.benchmarks.catalogs import Served, catalogd, make, name_of, path_of, serving, spread
from tests.benchmarks.client import Client
from tests.benchmarks.figures import ms, p99, rounds

REPOSITORIES = 10_000
WRITERS = 8
CLONE_ROUNDS = rounds(7)
AT_ONCE = 16
IDLE_GETS = 4_000
CROWD_SECONDS = 20

_WAYS = {"all": (), "the newest commit (`--depth=1`)": ("--depth=1",), "`--filter=blob:none`": ("--filter=blob:none",)}
# Its processes take only what nobody else wants of the cores.
_BEHIND_ALL = ("chrt", "--idle", "0")
# In a session of its own, as whoever clones on the server's own machine has one: Linux shares the cores among sessions.
_AS_URGENT = ("setsid", "--wait")


def run() -> str:
    """The tables, in Markdown."""
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as name:
        directory = Path(name)
        root = make(directory, REPOSITORIES)
        with serving(root) as served:
            _edit_all(served)
        catalogd("maintenance", "--full", "--catalog", str(root))
        # A clone from a path asks git's configuration whether a partial one is allowed; over HTTP it always is.
        subprocess.run(["git", "-C", str(root), "config", "uploadpack.allowFilter", "true"], check=True)
        with serving(root) as served:
            parts = [_clones(directory, root, served), _fetches(directory, root, served)]
            parts.append(_crowds(directory, root, served))
    return "\n\n".join(parts)


def _edit_all(served: Served) -> None:
    """A commit for each repository, by a few clients at once."""

    def edit(first: int) -> None:
        client = served.connect()
        for number in range(first, REPOSITORIES, WRITERS):
            _put(client, spread(number, REPOSITORIES), f"Edited in commit {number}")
        client.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(edit, range(WRITERS)))


def _clones(directory: Path, root: Path, served: Served) -> str:
    rows = [
        "| `git clone --bare` | from `file://`, median | over HTTP, first after a write | to `file://` (least, most) "
        "| over HTTP, again | to `file://` |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for what, options in _WAYS.items():
        local: list[float] = []
        first: list[float] = []
        again: list[float] = []
        for _ in range(CLONE_ROUNDS):
            _write(served)
            local.append(_clone(directory, f"file://{root}", *options))
            first.append(_clone(directory, _url(served), *options))
            again.append(_clone(directory, _url(served), *options))
        ratios = [theirs / mine for theirs, mine in zip(first, local, strict=True)]
        kept = [theirs / mine for theirs, mine in zip(again, local, strict=True)]
        rows.append(
            f"| {what} | {ms(statistics.median(local))} | {ms(statistics.median(first))} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f}) "
            f"| {ms(statistics.median(again))} | {statistics.median(kept):.2f} |"
        )
    return "\n".join(rows)


def _fetches(directory: Path, root: Path, served: Served) -> str:
    """A fetch of one commit more, by clones that have all before it."""
    seconds: dict[str, list[float]] = {f"file://{root}": [], _url(served): []}
    clones = {url: directory / f"fetching-{number}.git" for number, url in enumerate(seconds)}
    for url, clone in clones.items():
        subprocess.run(["git", "clone", "-q", "--bare", url, str(clone)], check=True)
    for _ in range(CLONE_ROUNDS):
        _write(served)
        for url, clone in clones.items():
            start = time.perf_counter()
            subprocess.run(["git", "-C", str(clone), "fetch", "-q", "origin", "main"], check=True)
            seconds[url].append(time.perf_counter() - start)
    local, remote = (statistics.median(each) for each in seconds.values())
    return f"`git fetch` of one commit: {ms(local)} from `file://`, {ms(remote)} over HTTP (medians)."


def _crowds(directory: Path, root: Path, served: Served) -> str:
    over_http, local = _url(served), f"file://{root}"
    crowds = {
        "clients that only take what comes": (_takers(served), False),
        "clients that only take what comes, and a write each second": (_takers(served), True),
        "`git clone` over HTTP, behind all else": (_gits(directory, _BEHIND_ALL, over_http), False),
        "`git clone` over HTTP, behind all else, and a write each second": (
            _gits(directory, _BEHIND_ALL, over_http),
            True,
        ),
        "`git clone` from `file://`, behind all else": (_gits(directory, _BEHIND_ALL, local), False),
        "`git clone` over HTTP, as urgent as the server": (_gits(directory, _AS_URGENT, over_http), False),
        "`git clone` from `file://`, as urgent as the server": (_gits(directory, _AS_URGENT, local), False),
    }
    reader = _Reader(served)
    reader.read(IDLE_GETS)
    quiet: list[float] = []
    busy: dict[str, tuple[int, list[float]]] = {}
    for what, (crowd, writes) in crowds.items():
        quiet += reader.read(IDLE_GETS)
        with _writing(served, writes):
            busy[what] = reader.read_during(crowd)
    idle = p99(quiet)
    rows = [
        f"| {AT_ONCE} at once | clones | GETs | GET of one repository, median | p99 | to that of nobody |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| nobody | | {len(quiet):,} | {ms(statistics.median(quiet))} | {ms(idle)} | |",
    ]
    for what, (clones, seconds) in busy.items():
        median, slowest = statistics.median(seconds), p99(seconds)
        rows.append(f"| {what} | {clones} | {len(seconds):,} | {ms(median)} | {ms(slowest)} | {slowest / idle:.1f} |")
    return "\n".join(rows)


class _Reader:
    """A client that reads details of repositories all over the catalog."""

    def __init__(self, served: Served):
        self._served = served
        self._numbers = count()

    def read(self, times: int) -> list[float]:
        """Seconds for each of so many."""
        client = self._served.connect()
        seconds = [self._get(client) for _ in range(times)]
        client.close()
        return seconds

    def read_during(self, crowd: _Crowd) -> tuple[int, list[float]]:
        """(what the crowd has done, seconds for each request until it has ended)"""
        over = threading.Event()
        client = self._served.connect()
        seconds: list[float] = []
        until = time.monotonic() + CROWD_SECONDS
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(crowd, over)
            try:
                while not done.done():
                    seconds.append(self._get(client))
                    if time.monotonic() > until:
                        over.set()
            finally:
                over.set()
        client.close()
        return done.result(), seconds

    def _get(self, client: Client) -> float:
        path = path_of(name_of(spread(next(self._numbers), REPOSITORIES)))
        start = time.perf_counter()
        status, answer = client.request("GET", path, b"")
        seconds = time.perf_counter() - start
        if status != 200:
            raise RuntimeError(f"{status}: {answer!r}")
        return seconds


_Crowd = Callable[[threading.Event], int]


def _takers(served: Served) -> _Crowd:
    """Clients that ask as git does and read what comes, and do nothing with it: as if on other machines."""

    def crowd(over: threading.Event) -> int:
        command = [*_BEHIND_ALL, sys.executable, "-m", "tests.benchmarks.takers"]
        arguments = [served.host, str(served.port), served.token, str(AT_ONCE)]
        takers = subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        over.wait()
        said, _ = takers.communicate("")
        return int(said)

    return crowd


def _gits(directory: Path, prefix: tuple[str, ...], url: str) -> _Crowd:
    """Real clones: all begin, all end, and again until the time is over."""

    def crowd(over: threading.Event) -> int:
        clones = [directory / f"crowd-{number}.git" for number in range(AT_ONCE)]
        done = 0
        while not over.is_set():
            gits = [subprocess.Popen([*prefix, "git", "clone", "-q", "--bare", url, str(clone)]) for clone in clones]
            statuses = [git.wait() for git in gits]
            if any(statuses):
                raise RuntimeError("a clone has failed")
            done += len(gits)
            for clone in clones:
                shutil.rmtree(clone)
        return done

    return crowd


@contextmanager
def _writing(served: Served, is_wanted: bool) -> Iterator[None]:
    """A write each second meanwhile, if it is wanted."""
    over = threading.Event()

    def write() -> None:
        while not over.wait(1.0):
            _write(served)

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write) if is_wanted else None
        try:
            yield
        finally:
            over.set()
    if written is not None:
        written.result()


def _clone(directory: Path, url: str, *options: str) -> float:
    clone = directory / "clone.git"
    start = time.perf_counter()
    subprocess.run(["git", "clone", "-q", "--bare", *options, url, str(clone)], check=True)
    seconds = time.perf_counter() - start
    shutil.rmtree(clone)
    return seconds


def _url(served: Served) -> str:
    return f"http://admin:{served.token}@{served.host}:{served.port}/catalog.git"


def _write(served: Served) -> None:
    client = served.connect()
    _put(client, 0, f"Written at {time.time()}")
    client.close()


def _put(client: Client, number: int, description: str) -> None:
    path = path_of(name_of(number))
    status, answer = client.request("PUT", path, json.dumps({"description": description}).encode())
    if status != 200:
        raise RuntimeError(f"{status}: {answer!r}")
