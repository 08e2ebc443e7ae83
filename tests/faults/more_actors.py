"""Further users of a catalog: a registry that notifies, who proposes and reviews, searches, clones, and hangs up."""

from __future__ import annotations

import json
import random
import signal
import socket
import struct
import subprocess
import time
from datetime import UTC, datetime
from urllib.parse import quote

from actors import NAMESPACE, SHARED, Actor, Stage, path_of, url_of
from git_user import GitUser
from history import Write
from recording import Recorded

EVENTS = "/v1/registry/events"
# Is pulled and pushed to, and is nobody else's.
IMAGE = f"{NAMESPACE}/image"
# The repositories that proposals are about.
PROPOSED = ("proposed0", "proposed1")


class Registry(Actor):
    """Tells of pulls and pushes, some of them twice, as a registry does that has missed an answer."""

    gives_way = True

    def __init__(self, stage: Stage, name: str, token: str):
        super().__init__(stage, name)
        self.client = Recorded(name, stage.served, stage.record, token)
        self.pulls = 0  # that were acknowledged

    def step(self) -> None:
        events = [self._event(number) for number in range(self.chance.choice([1, 1, 1, 20]))]
        for _ in range(self.chance.choice([1, 1, 1, 2])):
            reply = self.client.ask("POST", EVENTS, {"events": events}, kind="events")
        if reply is not None and reply.status == 202:
            self.pulls += sum(event["action"] == "pull" for event in events)
        time.sleep(self.chance.uniform(0.01, 0.05))

    def _event(self, number: int) -> dict:
        action = self.chance.choice(["pull", "pull", "pull", "push"])
        return event(f"{self.name}-{self.steps}-{number}", action, f"v{self.chance.randrange(3)}", self.chance)


def event(identity: str, action: str, tag: str, chance: random.Random) -> dict:
    return {
        "id": identity,
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "action": action,
        "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": f"sha256:{chance.randrange(16**4):064x}",
            "repository": IMAGE,
            "tag": tag,
        },
        "request": {"method": "PUT" if action == "push" else "GET", "useragent": "docker"},
        "actor": {"name": "amy"},
    }


class Proposer(Actor):
    """Proposes as one user, and has it refused, closed or merged by another."""

    gives_way = True

    def __init__(self, stage: Stage, name: str, token: str):
        super().__init__(stage, name)
        self.author = Recorded(f"{name}-author", stage.served, stage.record, token)

    def step(self) -> None:
        repo_name = self.chance.choice(PROPOSED)
        change = {"namespace": NAMESPACE, "repo_name": repo_name, "document": {"description": f"step {self.steps}"}}
        body = {"title": f"Describe it in step {self.steps}", "changes": [change]}
        made = self.author.ask("POST", "/v1/proposals", body, kind="propose")
        if made is not None and made.status == 201:
            self._finish(made.headers["location"], made.json["head"], repo_name)
        self.client.ask("GET", "/v1/proposals?page_size=5", kind="list proposals")
        time.sleep(self.chance.uniform(0.1, 0.4))

    def _finish(self, path: str, head: str, repo_name: str) -> None:
        fate = self.chance.choice(["merge", "merge", "refuse", "close"])
        if fate == "refuse":
            review = {"verdict": "request_changes", "comment": "Say more.", "head": head}
            self.client.ask("POST", f"{path}/reviews", review, kind="refuse")
        if fate != "merge":
            self.author.ask("POST", f"{path}/close", kind="close")
            return
        self.client.ask("POST", f"{path}/reviews", {"verdict": "approve", "head": head}, kind="approve")
        self.client.write("POST", f"{path}/merge", {"head": head}, kind="merge", documents=(path_of(repo_name),))


class Searcher(Actor):
    """Asks for what takes the server longest: searches, history, differences, states of before."""

    def step(self) -> None:
        one = url_of(self.chance.choice(SHARED))
        path, kind = self.chance.choice(
            [
                ("/v1/search?q=step", "search"),
                ("/v1/repositories?search=writer&ordering=-updated_at", "search"),
                (f"{one}/history?page_size=100", "history"),
                (f"{one}/blame", "blame"),
                (f"/v1/repositories?at={quote(datetime.now(UTC).isoformat())}", "at"),
                ("/v1/commits?page_size=50", "commits"),
                ("/metrics", "metrics"),
                ("/openapi.json", "openapi"),
            ]
        )
        self.client.ask("GET", path, kind=kind)
        newest = self.stage.newest[0]
        if newest and self.chance.random() < 0.2:
            self.client.ask("GET", f"/v1/changes?since={newest}", kind="changes")
        time.sleep(self.chance.uniform(0.0, 0.05))


class Cloner(Actor):
    """Clones what is public or all of it, and now and then goes away in the middle."""

    def __init__(self, stage: Stage, name: str):
        super().__init__(stage, name)
        self._user = GitUser(stage.served, stage.served.home, token=stage.served.token)

    def step(self) -> None:
        repository = self.chance.choice(["catalog", "public"])
        into = self.stage.served.home / f"{self.name}.git"
        command = ["git", "clone", "-q", "--bare", self._user.url(repository=repository), str(into)]
        process = subprocess.Popen(command, env=self._user.environment(), stderr=subprocess.PIPE, text=True)
        if self.chance.random() < 0.4:
            time.sleep(self.chance.uniform(0.0, 0.15))
            process.kill()
        _, said = process.communicate()
        outcome = {0: "taken", -signal.SIGKILL: "cut off"}.get(process.returncode)
        if outcome is None:
            outcome = "503" if "The requested URL returned error: 503" in said else "refused"
        self.stage.record.count("clone", outcome)
        if outcome == "refused":
            self.stage.record.unforeseen.append(f"clone: {process.returncode} {said}")
        subprocess.run(["rm", "-rf", str(into)], check=True)
        time.sleep(self.chance.uniform(0.1, 0.5))


class Rude(Actor):
    """Hangs up in the middle of a request, or of its answer."""

    gives_way = True

    def step(self) -> None:
        doing = self.chance.choice(
            [self._half_of_the_headers, self._half_of_the_body, self._no_answer, self._part_of_an_answer, self._silence]
        )
        with socket.create_connection(self.stage.served.address, timeout=10) as connection:
            doing(connection)
            if self.chance.random() < 0.5:  # a reset, not an orderly end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stage.record.count(doing.__name__.strip("_").replace("_", " "), "hung up")
        time.sleep(self.chance.uniform(0.0, 0.1))

    def _half_of_the_headers(self, connection: socket.socket) -> None:
        whole = self._request("GET", f"/v1/repositories/{NAMESPACE}", b"")
        connection.sendall(whole[: self.chance.randrange(1, len(whole))])

    def _half_of_the_body(self, connection: socket.socket) -> None:
        whole = self._change()
        connection.sendall(whole[: -self.chance.randrange(1, 20)])

    def _no_answer(self, connection: socket.socket) -> None:
        connection.sendall(self._change())
        time.sleep(self.chance.choice([0.0, 0.0, 0.002, 0.01]))

    def _part_of_an_answer(self, connection: socket.socket) -> None:
        path = self.chance.choice(
            ["/openapi.json", "/v1/commits?page_size=100", "/catalog.git/info/refs?service=git-upload-pack"]
        )
        connection.sendall(self._request("GET", path, b""))
        connection.recv(self.chance.randrange(1, 200))

    def _silence(self, connection: socket.socket) -> None:
        time.sleep(self.chance.uniform(0.0, 1.0))

    def _change(self) -> bytes:
        """A write of which nobody will know whether it is made: one of a document, or of events that are counted."""
        name = self.chance.choice(SHARED)
        request_id = self.stage.record.next_id(self.name)
        what = Write(self.name, "PATCH, hung up", time.monotonic(), request_id, (path_of(name),))
        self.stage.record.writes.append(what)
        body = json.dumps({"labels": {self.name: str(self.steps)}}).encode()
        return self._request("PATCH", url_of(name), body, f"X-Request-Id: {request_id}\r\n")

    def _request(self, method: str, path: str, body: bytes, headers: str = "") -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Token {self.stage.served.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        ).encode() + body
