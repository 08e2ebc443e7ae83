"""How many durable PUTs 1 and 16 clients make in a second, each its own commit, in catalogs of any size, against what
others do of it.

Kinto's PUT in memory, which keeps nothing; Kinto's in PostgreSQL with its history plugin, synced as a PUT here is;
GitPython's `index.commit` in a clone, which syncs nothing. All take turns in one run. The clients are one process of
wrk. `durable-put` has how long one takes beside `git add` + `git commit`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import git as gitpython

from tests.benchmarks import peers
from tests.benchmarks.catalogs import file_of, name_of, path_of, serving, spread
from tests.benchmarks.figures import ms, rounds
from tests.benchmarks.large import ENDS, LARGEST, SIZES, copy_of_catalog
from tests.benchmarks.write_load import Writes, put, put_so_many
from tests.postgresql_server import PostgresqlServer, programs

CLIENTS = (1, 16)
ROUNDS = rounds(3)
SECONDS = 5
GITPYTHON_COMMITS = 5
# What Kinto is asked about: as many as the smallest of ours.
KINTO_RECORDS = SIZES[0]
_TEXT = "A few words about what it is for.\n" * 5
# As an installation of Debian has it, but for more connections: all that is committed is synced.
_POSTGRESQL = {"max_connections": "200"}

Load = Callable[[int, str], Writes]


def run() -> str:
    """The table, in Markdown."""
    catalogs = [(size, 10) for size in SIZES] + [(LARGEST, LARGEST)]
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        loads: dict[str, Load] = {}
        roots: dict[str, Path] = {}
        for size, per_namespace in catalogs:
            what = f"catalogd, {size:,} repositories" + (" in one namespace" if per_namespace == size else "")
            roots[what] = copy_of_catalog(directory, size, per_namespace)
            loads[what] = stack.enter_context(_ours(roots[what], size, per_namespace))
        loads["Kinto in memory"] = stack.enter_context(_kinto())
        if programs() is not None:
            loads["Kinto on PostgreSQL, with history"] = stack.enter_context(_kinto_on_postgresql())
        taken = _rounds(loads)
        commits = [_gitpython(directory, size) for size in ENDS]
    return "\n".join([*_table(taken, next(iter(loads))), "", *_table_of_gitpython(commits)])


def _rounds(loads: dict[str, Load]) -> dict[tuple[str, int], list[Writes]]:
    taken: dict[tuple[str, int], list[Writes]] = {}
    for turn in range(ROUNDS):
        for clients in CLIENTS:
            for what, load in loads.items():
                taken.setdefault((what, clients), []).append(load(clients, f"Round {turn} {clients}"))
                time.sleep(1)  # so that none pays for what another has left to the disk
    return taken


def _table(taken: dict[tuple[str, int], list[Writes]], smallest: str) -> list[str]:
    rows = [
        "| PUT | clients | a second, median of rounds | failed | median | p99 | processor a PUT | times Kinto in memory"
        f" | times {smallest} |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (what, clients), writes in taken.items():
        ratios = (_ratio(writes, taken[other, clients]) for other in ("Kinto in memory", smallest))
        processor = statistics.median(each.processor / each.requests for each in writes)
        rows.append(
            f"| {what} | {clients} | {statistics.median(each.rate for each in writes):,.0f} "
            f"| {sum(each.failed for each in writes) or ''} "
            f"| {ms(statistics.median(each.median for each in writes))} "
            f"| {ms(statistics.median(each.p99 for each in writes))} | {ms(processor)} "
            f"| {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |"
        )
    return rows


def _ratio(ours: list[Writes], theirs: list[Writes]) -> float:
    """The median over the rounds."""
    return statistics.median(one.rate / other.rate for one, other in zip(ours, theirs, strict=True))


@contextmanager
def _ours(root: Path, size: int, per_namespace: int) -> Iterator[Load]:
    paths = [path_of(name_of(spread(i, size), per_namespace)) for i in range(size)]
    with serving(root) as served:

        def load(clients: int, words: str) -> Writes:
            before = _commits(root)
            token = f"Token {served.token}"
            server = (served.host, served.port, served.pid)
            writes = put(server, paths, token, words, clients=clients, seconds=SECONDS)
            # wrk counts no request that is under way when it ends.
            if not writes.requests <= _commits(root) - before <= writes.requests + clients:
                raise RuntimeError(f"{writes.requests} PUTs are {_commits(root) - before} commits")
            return writes

        load(16, "Before all rounds")
        yield load


def _commits(root: Path) -> int:
    counted = subprocess.run(["git", "-C", str(root), "rev-list", "--count", "main"], check=True, capture_output=True)
    return int(counted.stdout)


@contextmanager
def _kinto(backend: str = peers.MEMORY, database: str = "") -> Iterator[Load]:
    with peers.kinto(backend, database=database) as peer:
        names = ["-".join(name_of(number)) for number in range(KINTO_RECORDS)]
        paths = [peer.record(names[spread(number, len(names))]) for number in range(len(names))]

        def load(clients: int, words: str) -> Writes:
            server = (peer.host, peer.port, peer.pid)
            body = '{"data": {"description": "%s"}}'
            return put(
                server, paths, peer.authorization, words, clients=clients, seconds=SECONDS, body=body, lenient=True
            )

        server = (peer.host, peer.port, peer.pid)
        body = json.dumps({"data": {"description": "%s", "full_description": _TEXT}}).replace("\\n", "\\\\n")
        put_so_many(len(paths), server, paths, peer.authorization, "New", clients=1, body=body)
        yield load


@contextmanager
def _kinto_on_postgresql() -> Iterator[Load]:
    found = programs()
    assert found is not None
    server = PostgresqlServer(found, _POSTGRESQL)
    try:
        with server.fresh_database() as url, _kinto(peers.POSTGRESQL, url) as load:
            yield load
    finally:
        server.stop()


def _gitpython(directory: Path, size: int) -> tuple[int, float]:
    """(size, seconds of the median) of a commit in a clone; commits of a hundred thousand are few."""
    (directory / "gitpython").mkdir(exist_ok=True)
    root = copy_of_catalog(directory / "gitpython", size)
    clone = directory / f"gitpython-clone-{size}"
    subprocess.run(["git", "clone", "-q", str(root), str(clone)], check=True)
    seconds = []
    with gitpython.Repo(clone) as repository:
        author = gitpython.Actor("bench", "bench@example.org")
        for number in range(GITPYTHON_COMMITS):
            file = clone / file_of(name_of(spread(number, size)))
            document = json.loads(file.read_text())
            document["description"] = f"Edited {number}"
            start = time.perf_counter()
            file.write_text(json.dumps(document, indent=2) + "\n")
            repository.index.add([str(file)])
            repository.index.commit("Edit", author=author, committer=author)
            seconds.append(time.perf_counter() - start)
    return size, statistics.median(seconds)


def _table_of_gitpython(commits: list[tuple[int, float]]) -> list[str]:
    rows = ["| GitPython, `index.add` + `index.commit` | median | a second |", "| --- | --- | --- |"]
    return [*rows, *(f"| {size:,} repositories | {ms(each)} | {1 / each:,.1f} |" for size, each in commits)]
