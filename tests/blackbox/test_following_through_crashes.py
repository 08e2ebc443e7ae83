"""A registry and its catalog, killed in the midst of pushes and pulls: nothing told is lost or counted twice."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from real_registry import RealRegistry, free_port, image, needs_registry, registry
from served_catalog import Served, is_sound, wait_for
from test_following_a_registry import notifications

pytestmark = [pytest.mark.slow, needs_registry]

PUSHES, PULLS = 500, 500
REPOSITORIES = [f"acme/r{number}" for number in range(10)]
TAGS = [f"v{number}" for number in range(8)]


class Relay(ThreadingHTTPServer):
    """Passes a registry's notifications on to the catalog, and knows which pulls it has acknowledged."""

    daemon_threads = True

    def __init__(self, catalog: Served):
        super().__init__(("127.0.0.1", 0), Passing)
        self.catalog = catalog
        self.sent: dict[str, str] = {}
        self.acknowledged: set[str] = set()
        self.last = time.monotonic()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Passing(BaseHTTPRequestHandler):
    server: Relay

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        pulls = {
            event["id"]: event["target"]["repository"]
            for event in json.loads(body)["events"]
            if event["action"] == "pull" and event["request"]["method"] == "GET" and event["target"].get("tag")
        }
        self.server.sent |= pulls
        self.server.last = time.monotonic()
        connection = HTTPConnection(*self.server.catalog.address, timeout=10)
        try:
            headers = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
            connection.request("POST", self.path, body, headers)
            status = connection.getresponse().status
        except (OSError, HTTPException):
            status = 502
        finally:
            connection.close()
        if status == 202:
            self.server.acknowledged |= pulls.keys()
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def push_and_pull(
    running: RealRegistry, seed: int, share: range, done: Counter[str], tags: dict[str, set[str]]
) -> None:
    """As often as it takes: the registry may be away."""
    chance = random.Random(seed)
    for number in share:
        for what in ("push", "pull"):
            while True:
                name, tag = chance.choice(REPOSITORIES), chance.choice(TAGS)
                try:
                    if what == "push":
                        running.push(name, tag, image(f"{seed} {number}"))
                        tags.setdefault(name, set()).add(tag)
                    else:
                        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
                        if not tags.get(name):
                            continue
                        tag = chance.choice(sorted(tags[name]))
                        assert running.ask("GET", f"/v2/{name}/manifests/{tag}", **accept)[0] == 200
                except (OSError, HTTPException, AssertionError):
                    time.sleep(0.05)
                    continue
                done[what] += 1
                break


def test_both_are_killed_amid_pushes_and_pulls_and_then_agree(new_catalog, tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "catalogd.toml"
    config.write_text(f'registry_url = "http://127.0.0.1:{port}"\nactivity_interval = 1\nregistry_interval = 3600\n')
    served = new_catalog("catalog", "--config", str(config))
    served.arguments = (*served.arguments, "--listen", "{}:{}".format(*served.address))
    assert served.run("namespace", "add", "acme", "--owner", "admin").status == 0
    relay = Relay(served)
    told = notifications(served, url=f"http://127.0.0.1:{relay.server_port}/v1/registry/events")
    done: Counter[str] = Counter()
    tags: dict[str, set[str]] = {}
    with registry(tmp_path / "registry", port=port, notifications=told) as running:
        workers = [
            threading.Thread(target=push_and_pull, args=(running, seed, range(seed, PUSHES, 4), done, tags))
            for seed in range(4)
        ]
        for worker in workers:
            worker.start()
        for share, restart in ((0.2, "catalog"), (0.4, "registry"), (0.6, "catalog"), (0.8, "both")):
            wait_for(lambda share=share: done["pull"] >= share * PULLS, 120, "the pulls go on")
            if restart in ("catalog", "both"):
                served.kill()
            if restart in ("registry", "both"):
                running.stop(signal.SIGKILL)
                running.start()
            if restart in ("catalog", "both"):
                time.sleep(0.3)
                served.start()
        for worker in workers:
            worker.join(120)
            assert not worker.is_alive()
        assert (done["push"], done["pull"]) == (PUSHES, PULLS)
        wait_for(lambda: time.monotonic() - relay.last > 1.5, 60, "the registry has told all that it knows")
        wait_for(lambda: settled(served), 30, "all that was told is in the documents")
        # The queue of a registry that is killed is lost; comparing makes up for the tags.
        reconciled = served.run("reconcile", "--config", config)
        assert reconciled.status == 0, reconciled.err
        client = served.client()
        for name in REPOSITORIES:
            held = {tag: digest_in(running, name, tag) for tag in running.tags(name)}
            found = {tag["tag"]: tag["digest"] for tag in client.get(f"/v1/repositories/{name}/tags").json}
            assert found == held
        again = served.run("reconcile", "--dry-run", "--config", config)
        assert "no difference" in again.out
        shown = {name: client.get(f"/v1/repositories/{name}").json["download"] for name in REPOSITORIES}
        acknowledged = Counter(relay.sent[event] for event in relay.acknowledged)
        sent = Counter(relay.sent.values())
        for name in REPOSITORIES:
            # One that was taken, whose acknowledgement was lost with the catalog and then the registry, may count.
            assert acknowledged[name] <= shown[name] <= sent[name]
        assert sum(acknowledged.values()) > PULLS / 5  # the rest was lost with the queue of the registry
        assert sum(shown.values()) - sum(acknowledged.values()) <= 8
    relay.shutdown()
    served.settle()
    assert is_sound(served.root)


def settled(served: Served) -> bool:
    metrics = served.client().get("/metrics").body.decode()
    return "catalogd_registry_changes_waiting 0.0" in metrics


def digest_in(running: RealRegistry, name: str, tag: str) -> str:
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    return running.ask("HEAD", f"/v2/{name}/manifests/{tag}", **accept)[1]["docker-content-digest"]
