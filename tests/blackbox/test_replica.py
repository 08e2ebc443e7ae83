"""A replica, as an operator runs it: a server of its own that follows another over HTTP, with a token in the URL."""

from __future__ import annotations

import bisect
import hashlib
import hmac
import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import pytest
from forked_program import PROGRAM
from served_catalog import Client, Served, assert_problem, environment, git, is_sound, run, wait_for

pytestmark = pytest.mark.slow

WITHIN = 2.0
SECRET = "a secret of this test"
WRITERS = 4


@pytest.fixture
def primary(new_catalog: Callable[..., Served]) -> Served:
    served = new_catalog("primary")
    assert served.client().post("/v1/repositories/team", {"repo_name": "one", "description": "first"}).status == 201
    # Where it listens stays the same when it is started again.
    served.arguments = ("--listen", "{}:{}".format(*served.address))
    return served


@pytest.fixture
def replica_of(new_catalog: Callable[..., Served], tmp_path: Path) -> Callable[..., Served]:
    def make(primary: Served, name: str = "replica", **settings: object) -> Served:
        token = made(primary.run("token", "create", "admin", "--scope", "catalog"))
        follow = f"http://admin:{token}@127.0.0.1:{primary.address[1]}/catalog.git"
        config = tmp_path / f"{name}.toml"
        told = {"follow": follow, "follow_interval": 0.5, "sync_secret": SECRET, **settings}
        config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in told.items()))
        return new_catalog(name, "--config", str(config))

    return make


def made(ran) -> str:
    assert ran.status == 0, ran.err
    return ran.out.strip()


def head(served: Served) -> str:
    return git(served.root, "rev-parse", "main").strip()


def following(served: Served) -> dict:
    return served.anonymous().get("/healthz").json["following"]


def caught_up(replica: Served, primary: Served, seconds: float = WITHIN) -> None:
    there, client = head(primary), replica.anonymous()
    wait_for(lambda: client.get("/healthz").commit == there, seconds, "the replica is where its primary is")


def described(served: Served) -> str:
    return served.anonymous().get("/v1/repositories/team/one").json["description"]


def describe(served: Served, description: str) -> str:
    reply = served.client().patch("/v1/repositories/team/one", {"description": description})
    assert reply.status == 200, reply.body
    return reply.commit


def test_a_replica_begins_as_a_clone_follows_and_goes_on_after_a_restart(primary: Served, replica_of) -> None:
    replica = replica_of(primary)
    assert f"It is a replica of {primary.url}." in replica.greeting
    assert described(replica) == "first"
    commit = describe(primary, "second")
    caught_up(replica, primary)
    reply = replica.anonymous().get("/v1/repositories/team/one")
    assert (reply.commit, reply.json["description"]) == (commit, "second")
    replica.settle()
    assert replica.stop() == 0
    describe(primary, "third")
    replica.start()
    caught_up(replica, primary, 5)
    assert described(replica) == "third"


def test_a_replica_may_begin_with_a_bundle(primary: Served, replica_of, tmp_path: Path) -> None:
    git(primary.root, "bundle", "create", "-q", str(tmp_path / "catalog.bundle"), "main")
    describe(primary, "since the bundle")
    git(tmp_path, "clone", "-q", "-b", "main", "catalog.bundle", "replica")
    replica = replica_of(primary)
    assert "Cloning" not in replica.greeting
    caught_up(replica, primary, 5)
    assert described(replica) == "since the bundle"


def test_a_primary_that_is_down_at_the_first_start_leaves_nothing_behind(tmp_path: Path) -> None:
    ran = run(tmp_path, "serve", "--catalog", "replica", "--follow", "http://a:s3cr3t@127.0.0.1:9/catalog.git")
    assert ran.status != 0
    assert "127.0.0.1:9" in ran.err and "s3cr3t" not in ran.err + ran.out
    assert not list(tmp_path.glob("*replica*"))


def test_a_clone_that_is_stopped_ends_git_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/catalog.git"
        command = [*PROGRAM, "serve", "--catalog", "replica", "--follow", url]
        serving = subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.DEVNULL)
        silent.accept()
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(10) == 1
    assert not list(tmp_path.glob("*replica*"))
    assert url not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout


def test_who_may_read_what_is_private_is_the_same_there(primary: Served, replica_of, tmp_path: Path) -> None:
    primary.user("bob")
    made(primary.run("namespace", "add", "acme", "--owner", "admin"))
    made(primary.run("namespace", "grant", "acme", "bob", "reader"))
    path = "/v1/repositories/acme/hidden"
    made_private = primary.client().post("/v1/repositories/acme", {"repo_name": "hidden", "is_public": False})
    assert made_private.status == 201
    replica = replica_of(primary)
    bob, eve = replica.user("bob", "--take-over"), replica.user("eve")
    assert replica.client(bob).get(path).status == 200
    assert replica.client().get(path).status == 200
    for client in (replica.anonymous(), replica.client(eve)):
        assert client.get(path).status == 404
    git(tmp_path, "clone", "-q", f"{replica.url}/public.git", "public")
    assert (tmp_path / "public/data/team/one.json").exists()
    assert not (tmp_path / "public/data/acme").exists()
    # What is taken from bob there, he has not here.
    made(primary.run("namespace", "revoke", "acme", "bob"))
    caught_up(replica, primary)
    assert replica.client(bob).get(path).status == 404


def test_writes_are_refused_with_the_address_of_the_primary(primary: Served, replica_of, tmp_path: Path) -> None:
    first = head(primary)
    before = describe(primary, "second")
    replica = replica_of(primary)
    reply = replica.client().patch("/v1/repositories/team/one", {"description": "here"})
    problem = assert_problem(reply, 403, "replica")
    assert primary.url in problem["detail"]
    assert reply.headers["link"] == f'<{primary.url}/v1/repositories/team/one>; rel="edit"'
    assert replica.client().put("/v1/repositories/team/one/star", b"").status == 403
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"namespace": "team", "repo_name": "two"}\n')
    for command in (
        ("rollback", "team/one", first), ("import", lines), ("namespace", "add", "acme", "--owner", "admin"),
    ):  # fmt: skip
        ran = replica.run(*command)
        assert ran.status == 1
        assert primary.url in ran.err
    said = git(replica.root, "commit", "--allow-empty", "-m", "by hand", check=False)
    assert "replica" in said
    assert git(primary.root, "push", str(replica.root), "main", check=False)  # whatever it says
    assert head(replica) == before
    token = "admin:" + replica.token
    said = git(replica.root, "push", f"http://{token}@127.0.0.1:{replica.address[1]}/catalog.git", "main", check=False)
    assert "403" in said
    assert "catd_" not in replica.log_text


def test_a_replica_that_is_served_without_following_is_a_catalog_of_its_own(primary: Served, replica_of) -> None:
    first = head(primary)
    describe(primary, "second")
    replica = replica_of(primary)
    primary.stop()
    replica.stop()
    # Still one for every command, until a server says otherwise.
    assert "replica" in replica.run("rollback", "team/one", first).err
    replica.arguments = ()
    replica.start()
    describe(replica, "promoted")
    assert described(replica) == "promoted"
    assert "following" not in replica.anonymous().get("/healthz").json


def test_told_to_look_it_looks_at_once(primary: Served, replica_of) -> None:
    replica = replica_of(primary, follow_interval=3600)
    wait_for(lambda: following(replica)["checked_at"], 5, "the first look")
    describe(primary, "second")
    time.sleep(1)
    assert described(replica) == "first"
    assert_problem(replica.anonymous().post("/v1/sync"), 401)
    reply = replica.client(made(replica.run("token", "create", "admin", "--scope", "admin"))).post("/v1/sync")
    assert (reply.status, reply.json) == (202, {"status": "looking"})
    caught_up(replica, primary)
    describe(primary, "third")
    body = b'{"ref": "refs/heads/main"}'
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert replica.anonymous().post("/v1/sync", body, X_Hub_Signature_256=signature).status == 202
    caught_up(replica, primary)
    assert described(replica) == "third"


def test_a_primary_that_is_down_is_waited_for_and_reads_go_on(primary: Served, replica_of) -> None:
    replica = replica_of(primary)
    wait_for(lambda: following(replica)["behind_seconds"] is not None, 5, "the first look")
    before = following(replica)
    assert (before["behind_commits"], before["failure"], before["primary"]) == (0, None, primary.url)
    primary.stop()
    wait_for(lambda: following(replica)["failure"], 5, "the replica notices")
    time.sleep(2)
    assert following(replica)["behind_seconds"] > 2
    assert described(replica) == "first"
    metrics = replica.anonymous().get("/metrics").body.decode()
    assert "catalogd_following_failing 1.0" in metrics
    assert float(re.search(r"^catalogd_following_behind_seconds (\S+)", metrics, re.MULTILINE)[1]) > 2
    assert replica.log_text.count("Cannot fetch from") == 1
    primary.start()
    describe(primary, "again")
    caught_up(replica, primary, 20)
    wait_for(lambda: following(replica)["failure"] is None, 5, "all is well again")
    assert "catd_" not in replica.log_text


def test_a_primary_with_another_history_is_not_followed_and_reads_go_on(
    primary: Served, replica_of, new_catalog, tmp_path: Path
) -> None:
    replica = replica_of(primary)
    caught_up(replica, primary)
    before = head(replica)
    primary.stop()
    other = new_catalog("other", *primary.arguments)
    # It has other tokens, too.
    config = tmp_path / "replica.toml"
    token = made(other.run("token", "create", "admin", "--scope", "catalog"))
    config.write_text(re.sub(r"admin:[^@]+@", f"admin:{token}@", config.read_text()))
    replica.stop()
    replica.start()
    wait_for(lambda: following(replica)["failure"], 5, "the replica notices")
    health = replica.anonymous().get("/healthz")
    assert (health.status, health.json["status"]) == (200, "degraded")
    assert "commits that the primary has not" in health.json["following"]["failure"]
    assert (head(replica), described(replica)) == (before, "first")


def test_with_one_database_of_accounts_a_token_is_good_on_both(
    new_catalog, replica_of, postgresql_url: str, tmp_path: Path
) -> None:
    config = tmp_path / "primary.toml"
    config.write_text(f"state_url = {json.dumps(postgresql_url)}\n")
    primary = new_catalog("primary", "--config", str(config))
    client = primary.client()
    assert client.post("/v1/repositories/team", {"repo_name": "one", "is_public": False}).status == 201
    token = made(primary.run("token", "create", "admin", "--scope", "catalog", "--config", config))
    follow = f"http://admin:{token}@127.0.0.1:{primary.address[1]}/catalog.git"
    config = tmp_path / "replica.toml"
    config.write_text(f"state_url = {json.dumps(postgresql_url)}\nfollow = {json.dumps(follow)}\n")
    replica = new_catalog("replica", "--config", str(config))
    there = replica.client(primary.token)
    assert there.get("/v1/repositories/team/one").status == 200
    assert client.put("/v1/repositories/team/one/star", b"").status == 204
    assert there.get("/v1/repositories/team/one").json["repo_starred_count"] == 1
    made_there = there.post("/v1/user/tokens", {"scopes": ["read"]})
    assert primary.client(made_there.json["token"]).get("/v1/repositories/team/one").status == 200


# --- under load


class Writers:
    """Clients that write to repositories of their own; of each answer, when it came and which commit it named."""

    def __init__(self, served: Served):
        self.acknowledged: list[tuple[float, str, str]] = []
        self._stopping = threading.Event()
        self._served = served
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        client = Client(self._served.address, f"Token {self._served.token}")
        path = f"/v1/repositories/load/w{number}"
        step = 0
        while not self._stopping.is_set():
            step += 1
            try:
                reply = client.put(path, {"description": f"{number} {time.monotonic_ns()}"})
                if reply.status == 404:
                    client.post("/v1/repositories/load", {"repo_name": f"w{number}"})
                    continue
            except (OSError, HTTPException):
                if self._stopping.wait(0.1):
                    break
                client = Client(self._served.address, f"Token {self._served.token}")
                continue
            assert reply.status == 200, reply.body
            self.acknowledged.append((time.monotonic(), reply.commit, reply.json["description"]))
        client.close()


class Watch:
    """What a replica shows, and since when."""

    def __init__(self, served: Served):
        self.seen: list[tuple[float, str]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(served.anonymous(),))
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self, client: Client) -> None:
        while not self._stopping.wait(0.02):
            commit = client.get("/v1/repositories/team/one").commit
            if not self.seen or self.seen[-1][1] != commit:
                self.seen.append((time.monotonic(), commit))


def lags(primary: Served, writers: Writers, watch: Watch) -> list[float]:
    """Of each commit that was acknowledged, how many seconds later the replica had it."""
    order = git(primary.root, "rev-list", "--reverse", "main").split()
    place = {commit: number for number, commit in enumerate(order)}
    places = [place[commit] for _, commit in watch.seen]
    assert places == sorted(places), "the replica has gone back"
    found = []
    for when, commit, _ in writers.acknowledged:
        at = bisect.bisect_left(places, place[commit])
        assert at < len(places), "the replica has never had it"
        found.append(watch.seen[at][0] - when)
    return found


def test_under_load_each_commit_is_on_the_replica_within_two_seconds(primary: Served, replica_of) -> None:
    replica = replica_of(primary, follow_interval=1)
    watch, writers = Watch(replica), Writers(primary)
    time.sleep(15)
    writers.stop()
    caught_up(replica, primary)
    time.sleep(0.2)
    watch.stop()
    found = lags(primary, writers, watch)
    assert len(found) > 200
    print(f"{len(found)} writes; the replica had them after {max(found):.2f} s at most")
    assert max(found) < WITHIN


def test_a_primary_that_is_killed_loses_the_replica_nothing(primary: Served, replica_of) -> None:
    replica = replica_of(primary)
    writers = Writers(primary)
    for _ in range(3):
        time.sleep(2)
        primary.kill()
        time.sleep(0.5)
        primary.start()
    time.sleep(2)
    writers.stop()
    caught_up(replica, primary, 30)
    history = set(git(replica.root, "rev-list", "main").split())
    assert len(writers.acknowledged) > 50
    assert {commit for _, commit, _ in writers.acknowledged} <= history
    replica.settle()
    for served in (primary, replica):
        assert is_sound(served.root)
    trees = [git(served.root, "ls-tree", "-r", "main") for served in (primary, replica)]
    assert trees[0] == trees[1]
    shown = [served.anonymous().get("/v1/repositories?page_size=100").json["results"] for served in (primary, replica)]
    assert shown[0] == shown[1]
    assert replica.run("doctor").status == 0
    assert subprocess.run(["git", "status", "--porcelain"], cwd=replica.root, capture_output=True).stdout == b""
