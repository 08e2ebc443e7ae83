"""One catalog served by several processes: whichever of them is asked, it is one server."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from git_user import GitUser
from served_catalog import Client, Reply, Served, git, is_sound, wait_for
from two_workers import one_of_each, worker_of, workers

pytestmark = pytest.mark.slow

ROUNDS = 100
PASSWORD = "correct horse battery"
ONE, FILE = "/v1/repositories/team/one", "data/team/one.json"


@pytest.fixture
def served(new_catalog: Callable[..., Served]) -> Served:
    return with_one(new_catalog("catalog", "--workers", "2"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For the tests that leave all workers alone."""
    home = tmp_path_factory.mktemp("workers")
    served = Served(home / "catalog", home, home / "catalog.log", ("--workers", "2")).start()
    yield with_one(served)
    served.close()


def with_one(served: Served) -> Served:
    assert served.client().post("/v1/repositories/team", {"repo_name": "one", "description": "first"}).status == 201
    return served


def counted(client: Client, metric: str) -> float:
    """The sum of a counter's series."""
    text = client.get("/metrics").body.decode()
    return sum(float(value) for value in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


def test_a_write_through_one_worker_is_seen_by_the_next_read_of_each(shared: Served) -> None:
    stopping = threading.Event()
    reads = Counter[int]()

    def write_and_read(writer: int) -> None:
        clients = one_of_each(shared)
        path = f"/v1/repositories/team/by-{writer}"
        assert clients[writer].post("/v1/repositories/team", {"repo_name": f"by-{writer}"}).status == 201
        for number in range(ROUNDS):
            written = clients[(writer + number) % 2].patch(path, {"description": f"round {number}"})
            assert written.status == 200, written.body
            for client in clients:
                read = client.get(path)
                assert (read.json["description"], read.etag) == (f"round {number}", written.etag)
            listed = clients[number % 2].get(f"/v1/repositories?search=round+{number}&page_size=100").json
            assert f"by-{writer}" in [row["repo_name"] for row in listed["results"]]

    def read_on() -> None:
        """Nothing of what is read ever goes back, whoever is asked."""
        clients, newest = one_of_each(shared), -1
        while not stopping.is_set():
            for client in clients:
                found = client.get("/v1/repositories/team/by-0").json.get("description") or "round -1"
                assert int(found.split()[1]) >= newest
                newest = int(found.split()[1])
                reads[worker_of(shared, client) or 0] += 1

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read_on) for _ in range(2)]
        try:
            for writer in [pool.submit(write_and_read, writer) for writer in range(2)]:
                writer.result()
        finally:
            stopping.set()
        for reader in readers:
            reader.result()
    assert set(reads) == set(workers(shared))
    assert len(git(shared.root, "log", "--format=%s", "--grep=by-").splitlines()) == 2 * (ROUNDS + 1)


def test_the_supervisor_has_no_threads_and_no_children_but_its_workers(shared: Served) -> None:
    assert shared.process is not None
    assert len(list(Path(f"/proc/{shared.process.pid}/task").iterdir())) == 1
    assert len(workers(shared)) == 2


def test_connections_that_stay_are_spread_evenly(shared: Served) -> None:
    def smaller_share() -> int:
        clients = [shared.anonymous() for _ in range(8)]
        for client in clients:
            client._connection.connect()
        for client in clients:
            assert client.get("/healthz").status == 200
        counts = Counter(worker_of(shared, client) for client in clients)
        for client in clients:
            client.close()
        return min(counts.values()) if len(counts) == 2 else 0

    # A machine that is busy with other things may not wake the one that is to take a connection in time.
    assert max(smaller_share() for _ in range(3)) >= 3


def test_what_was_acknowledged_is_there_after_workers_were_killed_and_they_come_back(served: Served) -> None:
    acknowledged: dict[str, str] = {}
    stopping = threading.Event()

    def write_on(writer: int) -> None:
        client, number = served.client(timeout=10.0), 0
        while not stopping.is_set():
            name = f"w{writer}-{number}"
            number += 1
            with suppress(OSError, HTTPException):
                reply = client.post("/v1/repositories/team", {"repo_name": name, "description": name})
                assert reply.status in (201, 503), reply.body
                if reply.status == 201:
                    acknowledged[name] = reply.commit

    first = workers(served)
    assert len(first) == 2
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write_on, writer) for writer in range(4)]
        try:
            for victim in first:
                time.sleep(0.5)
                os.kill(victim, signal.SIGKILL)
                wait_for(lambda victim=victim: victim not in workers(served), 5.0, "the supervisor notices")
                wait_for(lambda: len(workers(served)) == 2, 10.0, "another one takes its place")
            assert len(one_of_each(served)) == 2
        finally:
            stopping.set()
        for writer in writers:
            writer.result()
    assert not set(first) & set(workers(served))
    assert served.log_text.count("by signal 9; it is started again") == 2
    for client in one_of_each(served):
        for name in acknowledged:
            assert client.get(f"/v1/repositories/team/{name}").json["description"] == name
    served.settle()
    in_main = set(git(served.root, "log", "--format=%H", "main").split())
    assert acknowledged and set(acknowledged.values()) <= in_main
    assert is_sound(served.root)
    assert served.run("doctor").status == 0


def test_when_the_supervisor_is_killed_all_end_and_the_catalog_can_be_served_again(served: Served) -> None:
    clients, before = one_of_each(served), workers(served)
    written = clients[1].patch(ONE, {"description": "just before"})
    served.kill()
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in before), 2.0, "the workers end")
    served.clients.clear()
    served.start()
    for client in one_of_each(served):
        assert client.get(ONE).etag == written.etag


@pytest.mark.parametrize("told", ["the supervisor", "all of them"])
def test_a_server_that_is_told_to_stop_answers_what_is_under_way(served: Served, told: str) -> None:
    body = json.dumps({"description": "at the end"}).encode()
    head = (
        f"PATCH {ONE} HTTP/1.1\r\nHost: {served.address[0]}\r\nAuthorization: Token {served.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    under_way = [socket.create_connection(served.address, timeout=10) for _ in range(4)]
    for connection in under_way:
        connection.sendall(head.encode() + body[:5])
    time.sleep(0.2)
    assert served.process is not None
    for process in [served.process.pid, *(workers(served) if told == "all of them" else [])]:
        os.kill(process, signal.SIGTERM)
    time.sleep(0.3)
    with pytest.raises(OSError):
        socket.create_connection(served.address, timeout=1)
    for connection in under_way:
        connection.sendall(body[5:])
    answers = [connection.recv(65536) for connection in under_way]
    assert [answer.split(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * 4
    assert served.process.wait(15) == 0
    assert "is started again" not in served.log_text


def test_a_worker_that_is_told_to_stop_is_followed_by_another(served: Served) -> None:
    before = workers(served)
    os.kill(before[0], signal.SIGTERM)
    wait_for(lambda: before[0] not in workers(served) and len(workers(served)) == 2, 15.0, "another one is there")
    assert before[1] in workers(served)
    assert len(one_of_each(served)) == 2


def test_counters_add_up_whichever_worker_is_asked_and_outlive_a_worker(served: Served) -> None:
    clients = one_of_each(served)
    route = 'route="/v1/repositories/{namespace}/{repo_name}"'
    name = rf'catalogd_http_requests_total{{method="GET",{re.escape(route)},status="200"}}'
    before = counted(clients[0], name)
    for client, number in zip(clients, (3, 5), strict=True):
        for _ in range(number):
            client.get(ONE)
    clients[0].patch(ONE, {"description": "counted"})
    for client in clients:
        assert counted(client, name) == before + 8
        assert counted(client, "catalogd_writes_total") == 2
        assert counted(client, rf"catalogd_http_request_duration_seconds_count{{{re.escape(route)}}}") == before + 9
        series = re.findall(r"^catalogd_health.*$", client.get("/metrics").body.decode(), re.MULTILINE)
        assert len(series) == len(set(series)) == 3
    os.kill(workers(served)[1], signal.SIGKILL)
    wait_for(lambda: "is started again" in served.log_text, 5.0, "the supervisor notices")
    for client in one_of_each(served):
        assert counted(client, name) == before + 8


def test_logins_that_fail_are_slowed_down_as_with_one_worker(shared: Served) -> None:
    assert shared.run("user", "add", "ann", "--password-stdin", stdin=PASSWORD.encode()).status == 0
    clients = one_of_each(shared)

    def log_in(client: Client, password: str) -> Reply:
        return client.post("/v1/generate-api-token", {"username": "ann", "password": password})

    # Five are free, and then there are pauses; on a slow machine the first of these are over before the next attempt.
    tried = [log_in(clients[number % 2], "a wrong one") for number in range(9)]
    assert [reply.status for reply in tried[:5]] == [401] * 5
    assert tried[-1].status == 429
    refused = [log_in(client, PASSWORD) for client in clients]
    assert [reply.status for reply in refused] == [429, 429]
    time.sleep(int(refused[0].headers["retry-after"]))
    assert log_in(clients[0], PASSWORD).status == 200
    assert log_in(clients[1], "a wrong one").status == 401, "those before are forgiven, here too"


def test_what_follows_another_server_is_woken_and_told_of_by_each_worker(
    served: Served, new_catalog: Callable[..., Served], tmp_path: Path
) -> None:
    token = served.run("token", "create", "admin", "--scope", "catalog").out.strip()
    follow = f"http://admin:{token}@127.0.0.1:{served.address[1]}/catalog.git"
    config = tmp_path / "replica.toml"
    config.write_text(f'workers = 2\nfollow = "{follow}"\nfollow_interval = 3600\n')
    replica = new_catalog("replica", "--config", str(config))
    clients = one_of_each(replica)
    for number, client in enumerate(clients):
        commit = served.client().patch(ONE, {"description": f"no. {number}"}).commit
        assert client.post("/v1/sync").status == 202
        for each in clients:
            wait_for(lambda each=each, commit=commit: each.get(ONE).commit == commit, 5.0, "it has come")
            wait_for(
                lambda each=each, commit=commit: each.get("/healthz").json["following"]["commit"] == commit,
                2.0,
                "each worker tells of it",
            )
    told = [client.get("/v1/sync").json["following"] for client in clients]
    for each in told:
        assert 0 <= each.pop("behind_seconds") < 60
    assert told[0] == told[1]
    assert clients[1].patch(ONE, {"description": "here"}).status == 403


def test_what_a_registry_tells_any_worker_is_in_the_documents_at_once(shared: Served) -> None:
    clients = one_of_each(shared)
    token = made_for_a_registry(shared)
    took = []
    for number in range(6):
        client, tag = clients[number % 2], f"v{number}"
        event = {
            "id": f"event {number}",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "action": "push",
            "target": {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": "sha256:" + hashlib.sha256(tag.encode()).hexdigest(),
                "repository": "team/one",
                "tag": tag,
            },
            "request": {"id": f"request {number}", "method": "PUT"},
        }
        reply = client.post("/v1/registry/events", {"events": [event]}, Authorization=f"Token {token}")
        assert (reply.status, reply.json["taken"]) == (202, 1), reply.body
        began = time.monotonic()
        for each in clients:
            wait_for(lambda each=each, tag=tag: each.get(f"{ONE}/tags/{tag}").status == 200, 5.0, "the tag is there")
        took.append(time.monotonic() - began)
    assert sorted(took)[2] < 0.5, "the follower need not look by itself, once a second, to learn of it"
    for client in clients:
        assert counted(client, 'catalogd_registry_events_total{outcome="push"}') == 6
        assert counted(client, 'catalogd_registry_changes_total{outcome="committed"}') == 6


def made_for_a_registry(served: Served) -> str:
    made = served.run("token", "create", "admin", "--scope", "registry")
    assert made.status == 0, made.err
    return made.out.strip()


def test_git_clones_and_pushes_through_several_workers(shared: Served, tmp_path: Path) -> None:
    token = shared.run("token", "create", "admin", "--scope", "read", "--scope", "write", "--scope", "catalog")
    user = GitUser(shared, tmp_path, token=token.out.strip())
    pushed = [shared.client().get(ONE).json["description"]]
    for number in range(3):
        clone = user.clone()
        assert clone.read(FILE)["description"] == pushed[-1]
        pushed.append(f"pushed {number}")
        clone.edit(FILE, description=pushed[-1])
        clone.commit()
        clone.pushes()
        for client in one_of_each(shared):
            assert client.get(ONE).json["description"] == pushed[-1]


def test_a_port_that_is_taken_and_a_catalog_that_is_served_are_told_as_with_one_worker(shared: Served) -> None:
    again = shared.run("serve", "--workers", "2", "--listen", "127.0.0.1:0")
    assert again.status == 1
    assert re.search(r"is served already, by process \d+", again.err)
    assert str(shared.process.pid) in again.err  # type: ignore[union-attr]
