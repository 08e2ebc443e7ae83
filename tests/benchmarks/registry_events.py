"""A registry's notifications to a catalog of 1,000 repositories: pulls from one sender with 8 connections beside a
reader, and a burst of 1,000 pushes of tags.

The sender offers 2,000 pulls a second, one event a request as registries do, 4 and 20; each is acknowledged
once it is durable, and all are counted in the end. The reader asks for details, 100 a second on one connection, in a
process of its own; its p99 is compared with that of the same reader just before, while nothing is sent. The burst comes
from 8 connections, one event a request, to 100 repositories; it has ended when the last tag can be read. No registry is
read.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.benchmarks.catalogs import Served, catalogd, make, name_of, path_of, serving
from tests.benchmarks.client import Client
from tests.benchmarks.figures import ms, p99, rounds

REPOSITORIES = 1_000
CONNECTIONS = 8
RATE = 2_000
SECONDS = 10.0
READS_A_SECOND = 100
PUSHES, PUSHED = 1_000, 100
_EVENTS = "/v1/registry/events"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ROUNDS = rounds(3)


def run() -> str:
    """The tables, in Markdown."""
    rows = [
        "| pulls | sent a second | none lost | reader's p99, idle | beside them | times |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory(prefix="catalogd-bench-") as directory:
        root = make(Path(directory), REPOSITORIES)
        with serving(root) as served:
            catalogd("user", "add", "registry", "--catalog", str(root))
            token = catalogd("token", "create", "registry", "--scope", "registry", "--catalog", str(root)).strip()
            sender = Served(served.host, served.port, token, served.pid)
            for events in (1, 4, 20):
                taken = [_pulls(served, sender, events, f"{events}-{turn}") for turn in range(ROUNDS)]
                rate, idle, beside = (statistics.median(row[column] for row in taken) for column in range(3))
                rows.append(
                    f"| {events} a request | {rate:,.0f} | yes | {ms(idle)} | {ms(beside)} | {beside / idle:.1f} |"
                )
            bursts = [_burst(served, sender, turn) for turn in range(ROUNDS)]
    rows += ["", "| 1,000 pushes over 100 repositories | median | most |", "| --- | --- | --- |"]
    for what, column in (("all acknowledged after", 0), ("all tags can be read after", 1)):
        seconds = [burst[column] for burst in bursts]
        rows.append(f"| {what} | {statistics.median(seconds):.2f} s | {max(seconds):.2f} s |")
    return "\n".join(rows)


def _pulls(served: Served, sender: Served, events: int, name: str) -> tuple[float, float, float]:
    """(pulls a second, the reader's p99 idle, the same while they are sent)."""
    idle = _read(served, 5.0)
    before = _downloads(served)
    command = [sys.executable, "-m", "tests.benchmarks.registry_events", "send"]
    given = json.dumps(
        {"host": sender.host, "port": sender.port, "token": sender.token, "events": events, "name": name}
    )
    sending = subprocess.Popen([*command, given], stdout=subprocess.PIPE, text=True)
    beside = _read(served, SECONDS - 1)
    out, _ = sending.communicate(timeout=120)
    if sending.returncode:
        raise RuntimeError("the sender has failed")
    sent, seconds = json.loads(out)
    counted = _downloads(served) - before
    if counted != sent:
        raise RuntimeError(f"{sent} pulls were acknowledged, and {counted} are counted")
    return sent / seconds, p99(idle), p99(beside)


def _read(served: Served, seconds: float) -> list[float]:
    given = json.dumps({"host": served.host, "port": served.port, "token": served.token, "seconds": seconds})
    command = [sys.executable, "-m", "tests.benchmarks.registry_events", "read", given]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _downloads(served: Served) -> int:
    client, total = served.connect(), 0
    for page in range(1, REPOSITORIES // 100 + 1):
        _, body = client.request("GET", f"/v1/repositories?page_size=100&page={page}", b"")
        total += sum(row["download"] for row in json.loads(body)["results"])
    return total


def _burst(served: Served, sender: Served, turn: int) -> tuple[float, float]:
    """(seconds until all is acknowledged, until all tags can be read)."""
    tags = [f"burst-{turn}-{number}" for number in range(PUSHES // PUSHED)]
    pushes = [(name_of(number), tag) for tag in tags for number in range(PUSHED)]
    shares = [pushes[start::CONNECTIONS] for start in range(CONNECTIONS)]
    start = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(partial(_push, sender), shares))
    acknowledged = time.perf_counter() - start
    client = served.connect()
    for number in range(PUSHED):
        path = path_of(name_of(number)) + "/tags"
        while not set(tags) <= {tag["tag"] for tag in json.loads(client.request("GET", path, b"")[1])}:
            time.sleep(0.005)
    return acknowledged, time.perf_counter() - start


def _push(sender: Served, pushes: list[tuple[tuple[str, str], str]]) -> None:
    client = sender.connect()
    for name, tag in pushes:
        digest = f"sha256:{abs(hash((name, tag))):064x}"
        event = _event("push", "/".join(name), f"{name}{tag}", tag=tag, digest=digest)
        status, body = client.request("POST", _EVENTS, json.dumps({"events": [event]}).encode())
        if status != 202:
            raise RuntimeError(f"{status}: {body!r}")


def _event(action: str, name: str, identity: str, **target: str) -> dict:
    """As a registry sends it, with all its members."""
    return {
        "id": identity,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000000001Z", time.gmtime()),
        "action": action,
        "target": {
            "mediaType": _MANIFEST, "size": 1234, "length": 1234, "repository": name, "tag": "1.0",
            "digest": f"sha256:{7:064x}", "url": f"http://registry.example.org/v2/{name}/manifests/1.0", **target,
        },
        "request": {
            "id": identity, "addr": "192.0.2.7:40000", "host": "registry.example.org", "method": "GET",
            "useragent": "docker/27.0 go/1.22 kernel/6.1 os/linux arch/amd64",
        },
        "actor": {},
        "source": {"addr": "registry:5000", "instanceID": "607449ac-adb3-4bcb-84f4-58bfed4dec70"},
    }  # fmt: skip


def _send(host: str, port: int, token: str, events: int, name: str) -> None:
    """Of the sender's process: prints [pulls acknowledged, seconds]."""
    start = time.perf_counter()

    def connection(number: int) -> int:
        client = Client(host, port, {"Content-Type": "application/json", "Authorization": f"Token {token}"})
        sent = turn = 0
        while (now := time.perf_counter() - start) < SECONDS:
            ahead = sent / (RATE / CONNECTIONS) - now
            if ahead > 0:
                time.sleep(ahead)
            made = []
            for one in range(events):
                repository = ((turn * events + one) * CONNECTIONS + number) % REPOSITORIES
                place = "/".join(name_of(repository))
                made.append(_event("pull", place, f"{name}-{number}-{turn}-{one}"))
            status, body = client.request("POST", _EVENTS, json.dumps({"events": made}).encode())
            if status != 202:
                raise RuntimeError(f"{status}: {body!r}")
            sent += events
            turn += 1
        return sent

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        sent = sum(pool.map(connection, range(CONNECTIONS)))
    print(json.dumps([sent, time.perf_counter() - start]))


def _reader(host: str, port: int, token: str, seconds: float) -> None:
    """Of the reader's process: prints how long each read took, in seconds."""
    client = Client(host, port, {"Authorization": f"Token {token}"})
    taken: list[float] = []
    start = time.perf_counter()
    for number in range(int(seconds * READS_A_SECOND)):
        ahead = start + number / READS_A_SECOND - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
        began = time.perf_counter()
        status, _ = client.request("GET", path_of(name_of(number % REPOSITORIES)), b"")
        taken.append(time.perf_counter() - began)
        if status != 200:
            raise RuntimeError(f"the reader got {status}")
    print(json.dumps(taken))


if __name__ == "__main__":
    what, given = sys.argv[1:]
    {"send": _send, "read": _reader}[what](**json.loads(given))
