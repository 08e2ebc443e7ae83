"""Servers keep together with one upstream, and all are written to: nothing is lost or settled in silence."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_catalog import Client, Served, git, run, wait_for

pytestmark = pytest.mark.slow

# With CATALOGD_TEST_UPSTREAM_SECONDS=60 for longer.
SECONDS = float(os.environ.get("CATALOGD_TEST_UPSTREAM_SECONDS", "10"))
REPOSITORIES = 12


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "upstream.git")
    return tmp_path / "upstream.git"


def serve(new_catalog, name: str, bare: Path) -> Served:
    return new_catalog(name, "--upstream", str(bare))


def upstream(served: Served) -> dict:
    return served.anonymous().get("/healthz").json["upstream"]


def together(bare: Path, *servers: Served) -> bool:
    heads = {git(server.root, "rev-parse", "main").strip() for server in servers}
    return heads == {git(bare, "rev-parse", "main", check=False).strip()}


class Writer(threading.Thread):
    """Somebody who writes to one server, and keeps what was acknowledged: request id and commit."""

    def __init__(self, client: Client, seed: str, until: float):
        super().__init__()
        self.client = client
        self.random = random.Random(seed)
        self.seed = seed
        self.until = until
        self.acknowledged: dict[str, str] = {}
        self.labels: dict[tuple[str, str], str] = {}
        self.failed: list[str] = []

    def run(self) -> None:
        number = 0
        while time.monotonic() < self.until:
            number += 1
            repository = f"r{self.random.randrange(REPOSITORIES)}"
            # Nobody else writes these labels; a description is everybody's, so now and then two meet in one.
            label = f"{self.seed}.{number % 7}"
            body: dict = {"labels": {label: str(number)}}
            if self.random.random() < 0.04:
                body["full_description"] = f"{self.seed} {number}"
            reply = self.client.patch(f"/v1/repositories/shared/{repository}", body)
            if reply.status == 200:
                self.acknowledged[reply.headers["x-request-id"]] = reply.commit
                self.labels[repository, label] = str(number)
            else:
                self.failed.append(f"{reply.status} {reply.body.decode()}")
            time.sleep(self.random.uniform(0.01, 0.08))


class Solver(threading.Thread):
    """Settles what the server of one side reports as in conflict, and keeps what was reported."""

    def __init__(self, served: Served):
        super().__init__()
        self.served = served
        self.is_over = threading.Event()
        self.client = served.anonymous()
        self.reported: set[tuple[str, str]] = set()

    def run(self) -> None:
        while not self.is_over.wait(0.3):
            self.settle()

    def settle(self) -> None:
        status = self.client.get("/healthz").json["upstream"]
        assert status["conflicts"] == len(status["conflicting"])  # all are public here
        conflicting = [(conflict["path"], conflict["pointer"]) for conflict in status["conflicting"]]
        self.reported.update(conflicting)
        chosen = [part for path, _ in conflicting for part in ("--ours", path)]
        if chosen:
            self.served.run("sync", "--upstream", self.served.arguments[-1], *chosen)


def test_two_servers_that_are_written_to_end_equal_with_every_write_in_the_history(new_catalog, bare):
    first = serve(new_catalog, "first", bare)
    client = first.client()
    for number in range(REPOSITORIES):
        assert client.post("/v1/repositories/shared", {"repo_name": f"r{number}"}).status == 201
    wait_for(lambda: together(bare, first), 20, "the upstream has what the first has")
    second = serve(new_catalog, "second", bare)
    assert "Cloning" in second.greeting
    until = time.monotonic() + SECONDS
    writers = [Writer(server.client(), f"{server.root.name}{n}", until) for server in (first, second) for n in range(2)]
    solvers = [Solver(server) for server in (first, second)]
    for thread in (*writers, *solvers):
        thread.start()
    for writer in writers:
        writer.join()
    assert [writer.failed for writer in writers] == [[]] * len(writers)
    wait_for(lambda: together(bare, first, second), 120, "all are at one commit")
    for solver in solvers:
        solver.is_over.set()
        solver.join()
    commits = set(git(bare, "rev-list", "main").split())
    requests = Counter(git(bare, "log", "--format=%(trailers:key=Request-Id,valueonly)", "main").split())
    acknowledged = {request: commit for writer in writers for request, commit in writer.acknowledged.items()}
    assert len(acknowledged) > 15 * SECONDS
    assert set(acknowledged.values()) <= commits
    assert {request for request in acknowledged if requests[request] != 1} == set()
    reported = set().union(*(solver.reported for solver in solvers))
    assert reported, "the two never met in one field, so nothing was shown"
    assert {pointer for _, pointer in reported} == {"/full_description"}
    assert set(settled_in(bare)) <= {path for path, _ in reported}
    for server in (first, second):
        server.settle()
        assert "WRONG" not in server.run("doctor").out
        for commit in random.sample(sorted(acknowledged.values()), 20):
            assert server.client().get(f"/v1/commits/{commit}").status == 200
    written = {key: value for writer in writers for key, value in writer.labels.items()}
    assert labels(first) == labels(second) == written


def settled_in(bare: Path) -> Iterator[str]:
    """The documents whose description both sides of a merge had changed, each in its own way."""
    for line in git(bare, "rev-list", "--merges", "--parents", "main").splitlines():
        _, *sides = line.split()
        base = git(bare, "merge-base", *sides).strip()
        changed = [set(git(bare, "diff-tree", "-r", "--name-only", base, side).split()) for side in sides]
        for path in set.intersection(*changed):
            texts = {json.loads(git(bare, "show", f"{at}:{path}"))["full_description"] for at in (base, *sides)}
            if len(texts) == 3:
                yield path


def labels(served: Served) -> dict[tuple[str, str], str]:
    client = served.client()
    return {
        (f"r{number}", label): value
        for number in range(REPOSITORIES)
        for label, value in client.get(f"/v1/repositories/shared/r{number}").json["labels"].items()
    }


def test_a_webhook_lets_a_merge_on_the_forge_come_in_at_once(new_catalog, bare, tmp_path):
    served = new_catalog("catalog", "--upstream", str(bare), "--config", str(slow(tmp_path)))
    client = served.client()
    client.post("/v1/repositories/acme", {"repo_name": "web", "description": "one"})
    wait_for(lambda: together(bare, served), 20, "the upstream has it")
    git(tmp_path, "clone", "-q", str(bare), "clone")
    file = tmp_path / "clone/data/acme/web.json"
    file.write_text(file.read_text().replace('"one"', '"two"'))
    git(tmp_path / "clone", "commit", "-qam", "On the forge")
    git(tmp_path / "clone", "push", "-q", "origin", "main")
    assert served.anonymous()("POST", "/v1/sync", b"{}", X_Gitlab_Token="a wrong one, say").status == 401
    assert served.anonymous()("POST", "/v1/sync", b"{}", X_Gitlab_Token="0123456789abcdef").status == 202
    wait_for(lambda: client.get("/v1/repositories/acme/web").json["description"] == "two", 10, "the merge has come in")
    assert served.anonymous().get("/metrics").body.count(b"catalogd_upstream_behind 0.0") == 1


def slow(directory: Path) -> Path:
    file = directory / "settings.toml"
    file.write_text('upstream_interval = 3600\nsync_secret = "0123456789abcdef"\n')
    return file


def test_sync_names_a_conflict_with_its_values_and_settles_it(new_catalog, bare, tmp_path):
    served = serve(new_catalog, "catalog", bare)
    client = served.client()
    client.post("/v1/repositories/acme", {"repo_name": "web", "description": "one", "is_public": False})
    wait_for(lambda: together(bare, served), 20, "the upstream has it")
    served.stop()
    git(tmp_path, "clone", "-q", str(bare), "clone")
    file = tmp_path / "clone/data/acme/web.json"
    file.write_text(file.read_text().replace('"one"', '"theirs"'))
    git(tmp_path / "clone", "commit", "-qam", "On the forge")
    git(tmp_path / "clone", "push", "-q", "origin", "main")
    away = bare.rename(bare.with_name("away.git"))  # or what was merged there may come in before the write
    served.start()
    client = served.client()
    assert client.patch("/v1/repositories/acme/web", {"description": "ours"}).status == 200
    away.rename(bare)
    assert client.post("/v1/sync").status == 202
    status = wait_for(lambda: (s := upstream(served))["conflicts"] and s, 20, "the conflict is reported")
    assert (status["conflicts"], status["conflicting"]) == (1, [])
    assert served.anonymous().get("/healthz").json["status"] == "degraded"
    assert "data/acme/web.json /description" in served.log_text
    said = served.run("sync", "--upstream", str(bare))
    assert said.status == 1
    assert '/description: base "one", ours "ours", theirs "theirs"' in said.err
    assert served.run("sync", "--upstream", str(bare), "--theirs", "data/acme/web.json").status == 0
    assert client.get("/v1/repositories/acme/web").json["description"] == "theirs"
    assert client.post("/v1/sync").status == 202  # or it looks after the pause that follows a failure
    wait_for(lambda: served.anonymous().get("/healthz").json["status"] == "ok", 20, "all is well again")


def test_sync_without_an_upstream_says_what_is_missing(tmp_path):
    assert run(tmp_path, "init", str(tmp_path / "catalog")).status == 0
    said = run(tmp_path, "sync", CATALOGD_CATALOG=str(tmp_path / "catalog"))
    assert (said.status, "--upstream" in said.err) == (1, True)
