"""A mixed load on one server, with clients that hang up; mixed_load.py is the command for it.

Reads, writes, lists, searches, clones, pushes, commits by hand, notifications of a registry and proposals at once. It
prints how many of each there were, what the server took of the machine, and what the history checker, git fsck, git
status and doctor find. The exit status is 1 where they find anything.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from actors import (
    NAMESPACE,
    Hand,
    Pusher,
    Reader,
    Stage,
    Watcher,
    Writer,
    acting,
    assert_in_order,
    begun,
)
from more_actors import IMAGE, PROPOSED, Cloner, Proposer, Registry, Rude, Searcher
from served_catalog import Served, git, wait_for
from watched_process import MIB, Sample, Watched, sample

# The server's memory and descriptors may grow by so much from the second quarter of the time to the last, and for each
# commit by so many bytes: newest blobs and trees stay in memory, up to the bounds of store/snapshot.py.
MORE_MEMORY = 1.1
MORE_DESCRIPTORS = 12
BYTES_OF_A_COMMIT = 8 << 10


@dataclass
class Outcome:
    """What there was of each kind, by outcome, and what the server took while it lasted and at rest."""

    seconds: float
    stage: Stage
    watched: Watched
    before: Sample
    after: Sample

    def table(self) -> str:
        kinds: dict[str, Counter] = defaultdict(Counter)
        for (kind, outcome), count in self.stage.record.answers.items():
            kinds[kind][outcome] += count
        lines = ["| what | requests | a second | outcomes |", "| --- | --- | --- | --- |"]
        for kind, outcomes in sorted(kinds.items()):
            count = outcomes.total()
            told = ", ".join(f"{outcome}: {many}" for outcome, many in outcomes.most_common())
            lines.append(f"| {kind} | {count} | {count / self.seconds:.1f} | {told} |")
        total = self.stage.record.answers.total()
        lines.append(f"| all | {total} | {total / self.seconds:.1f} | |")
        return "\n".join([*lines, "", *self._machine()])

    def _machine(self) -> list[str]:
        lines = [
            "| | resident MiB | descriptors | threads | children | zombies |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        parts = [(f"quarter {number + 1}", self.watched.part(number, 4)) for number in range(4)]
        for name, each in [("at rest, before", self.before), *parts, ("at rest, after", self.after)]:
            figures = each.descriptors, each.threads, each.children, each.zombies
            lines.append(f"| {name} | {each.rss / MIB:.1f} | {' | '.join(f'{figure:.0f}' for figure in figures)} |")
        return lines

    def assert_flat(self) -> None:
        second, last = self.watched.part(1, 4), self.watched.part(3, 4)
        # Times of commits are those of the wall clock.
        since, until = (round(each.at + time.time() - time.monotonic()) for each in (second, last))
        between = ("--count", f"--max-age={since}", f"--min-age={until}")
        commits = int(git(self.stage.served.root, "rev-list", *between, "main"))
        assert last.rss <= second.rss * MORE_MEMORY + commits * BYTES_OF_A_COMMIT, self.table()
        assert last.descriptors <= second.descriptors + MORE_DESCRIPTORS, self.table()
        assert self.after.descriptors <= second.descriptors, self.table()
        assert last.threads <= second.threads + 1, self.table()
        assert (self.after.zombies, self.after.children <= second.children + 1) == (0, True), self.table()


def mixed_load(served: Served, seconds: float) -> Outcome:
    """All of them at once, for so long; afterwards all that was told fits, or AssertionError says what does not."""
    stage = begun(served)
    author = served.user("sam")
    reports = served.run("token", "create", "admin", "--scope", "registry").out.strip()
    for arguments in (
        ["namespace", "add", NAMESPACE, "--owner", "admin"],
        ["namespace", "grant", NAMESPACE, "sam", "reader"],
    ):
        assert served.run(*arguments).status == 0
    client = served.client()
    for name in (*PROPOSED, IMAGE.partition("/")[2]):
        assert client.post(f"/v1/repositories/{NAMESPACE}", {"repo_name": name}).status == 201
    served.settle()
    registry = Registry(stage, "registry0", reports)
    actors = [
        *(Writer(stage, f"writer{number}") for number in range(4)),
        *(Reader(stage, f"reader{number}") for number in range(3)),
        *(Rude(stage, f"rude{number}") for number in range(2)),
        Watcher(stage, "watcher0"), Hand(stage, "hand0"), Pusher(stage, "push0"), registry,
        Proposer(stage, "proposer0", author), Searcher(stage, "searcher0"), Cloner(stage, "cloner0"),
    ]  # fmt: skip
    before = sample(served.process.pid)
    watched = Watched(served.process.pid, max(0.2, min(2.0, seconds / 100)))
    watched.start()
    try:
        with acting(actors, stage):
            stage.is_over.wait(seconds)
    finally:
        watched.stop()
    wait_for(lambda: sample(served.process.pid).zombies == 0, 10, "children that have ended are waited for")
    time.sleep(2)  # connections that were hung up are seen to be so
    outcome = Outcome(seconds, stage, watched, before, sample(served.process.pid))
    print(outcome.table(), flush=True)
    assert_in_order(stage)
    pulled = served.client().get(f"/v1/repositories/{IMAGE}").json["download"]
    assert registry.pulls > 0
    assert pulled == registry.pulls, f"{registry.pulls} pulls were told, some of them twice, and {pulled} are counted"
    return outcome


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mixed_load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mixed-load-") as home:
        served = Served(Path(home) / "catalog", Path(home), Path(home) / "server.log").start()
        try:
            mixed_load(served, asked.seconds).assert_flat()
            served.close()  # whose log must be free of tracebacks
        except AssertionError:
            traceback.print_exc()
            print(served.log_text[-5000:], file=sys.stderr)
            return 1
        finally:
            served.stop()
    print("\nNothing is wrong: the history checker, git fsck, git status and catalogd doctor agree.")
    return 0
