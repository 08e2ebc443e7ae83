"""A catalog and its server as a user has them: commands as processes, HTTP over a socket, git by hand.

Nothing of catalogd is imported here; what runs is `python -m catalogd`, see forked_program.py.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import forked_program
from forked_program import PROJECT

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
BLOB_ETAG = re.compile(r'"[0-9a-f]{40}(\.\d+)?"')
COMMIT = re.compile(r"[0-9a-f]{40}")

# Ids of images as tags have them, and of a commit that no catalog has.
IMAGE = "a4002247cb22e78c8d9ffeccdf7ea23d7763f53493d4d763cb4dbe58bf3566b5"
OTHER_IMAGE = "e72ac664f4f0c6a061ac4ef332557a70d69b0c62fb6add35f1c181ff7fff2287"
NOBODYS_COMMIT = "0123456789" * 4

# What no log and no standard error may have.
_TRACEBACK = "Traceback (most recent call last)"
_START_SECONDS = 30.0
# All servers of the tests have so many workers. Read here, as no test finds the caller's settings.
_WORKERS = os.environ.get("CATALOGD_TEST_WORKERS")
# How git names a file of its objects.
_OBJECTS = re.compile(r"\bobjects/(?:pack/pack-[0-9a-f]+\.\w+|[0-9a-f]{2}/[0-9a-f]+)")


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment in which neither the caller's git configuration nor their settings count."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "CATALOGD_"))}
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Hand"), ("EMAIL", "hand@example.org"))
    }
    if _WORKERS:
        kept["CATALOGD_WORKERS"] = _WORKERS
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    return {**kept, **who, "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "PYTHONPATH": path, **more}


@dataclass(frozen=True)
class Ran:
    """What a command has done."""

    status: int
    out: str
    err: str


def run(home: Path, *arguments: object, stdin: bytes = b"", cwd: Path | None = None, **env: str) -> Ran:
    """Run `catalogd` with arguments. A traceback is never right, whatever the test is about."""
    status, *written = forked_program.run([*map(str, arguments)], cwd or home, environment(home, **env), stdin)
    out, err = (data.decode("utf-8", "replace") for data in written)
    assert _TRACEBACK not in err, err
    return Ran(status, out, err)


@dataclass(frozen=True)
class Reply:
    """A response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def commit(self) -> str:
        return self.headers["catalog-commit"]

    @property
    def etag(self) -> str:
        return self.headers["etag"]


class Client:
    """Somebody who speaks HTTP to a server, with the same credentials each time, over one connection."""

    def __init__(self, address: tuple[str, int], authorization: str | None = None, timeout: float = 30.0):
        self.address = address
        self.authorization = authorization
        self._connection = HTTPConnection(*address, timeout=timeout)

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """Send a request; `body` is JSON unless it is bytes. Header names have underscores for hyphens."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.authorization is not None:
            sent.setdefault("Authorization", self.authorization)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            self._connection.request(method, path, body=data, headers=sent)
            answer = self._connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        except (OSError, HTTPException):
            self._connection.close()
            raise

    def get(self, path: str, **headers: str) -> Reply:
        return self("GET", path, **headers)

    def put(self, path: str, body: object, **headers: str) -> Reply:
        return self("PUT", path, body, **headers)

    def patch(self, path: str, body: object, **headers: str) -> Reply:
        return self("PATCH", path, body, **headers)

    def post(self, path: str, body: object = None, **headers: str) -> Reply:
        return self("POST", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Reply:
        return self("DELETE", path, **headers)

    def close(self) -> None:
        self._connection.close()


@dataclass
class Served:
    """A catalog with a server on it. `start` may be called again after `stop` or `kill`."""

    root: Path
    home: Path
    log: Path
    arguments: tuple[str, ...] = ()
    token: str = ""
    address: tuple[str, int] = ("127.0.0.1", 0)
    process: subprocess.Popen | forked_program.Forked | None = None
    greeting: str = ""
    clients: list[Client] = field(default_factory=list)

    def start(self) -> Served:
        out = self.log.with_suffix(".out")
        command = ["serve", "--catalog", str(self.root), "--listen", "127.0.0.1:0", *self.arguments]
        with out.open("wb") as stdout, self.log.open("ab") as stderr, open(os.devnull, "rb") as nothing:
            self.process = forked_program.start(command, self.home, environment(self.home), nothing, stdout, stderr)
        found = wait_for(lambda: self._greeted(out), _START_SECONDS, "the server says where it listens")
        self.address = (found[1], int(found[2]))
        Client(self.address).get("/healthz")  # is answered once all of the greeting is out
        self.greeting = out.read_text()
        shown = re.search(r"shown only now: (\S+)", self.greeting)
        self.token = shown[1] if shown else self.token
        return self

    def _greeted(self, out: Path) -> re.Match | None:
        assert self.process is not None
        assert self.process.poll() is None, f"the server has ended: {self.log.read_text()}"
        return re.search(r"at http://([^:/]+):(\d+) ", out.read_text())

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.address)

    @property
    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def client(self, token: str | None = None, **options: float) -> Client:
        """A client with a token; the admin's if none is given."""
        return self.with_header(f"Token {token or self.token}", **options)

    def anonymous(self) -> Client:
        return self.with_header(None)

    def basic(self, user: str, secret: str) -> Client:
        return self.with_header("Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode())

    def with_header(self, authorization: str | None, **options: float) -> Client:
        """A client that sends this Authorization header."""
        made = Client(self.address, authorization, **options)
        self.clients.append(made)
        return made

    def raw(self, data: bytes, timeout: float = 5.0) -> bytes:
        """All that comes back on a connection of its own until the server closes it or is silent."""
        received = b""
        with socket.create_connection(self.address, timeout=timeout) as connection:
            connection.sendall(data)
            try:
                while part := connection.recv(65536):
                    received += part
            except TimeoutError:
                pass
        return received

    def run(self, *arguments: object, stdin: bytes = b"") -> Ran:
        """A command beside the server."""
        return run(self.home, *arguments, stdin=stdin, CATALOGD_CATALOG=str(self.root))

    def user(self, name: str, *arguments: str, **token: str) -> str:
        """A new user's token."""
        assert self.run("user", "add", name, *arguments).status == 0
        options = [part for key, value in token.items() for part in (f"--{key}", value)]
        made = self.run("token", "create", name, *options)
        assert made.status == 0, made.err
        return made.out.strip()

    def settle(self) -> None:
        """Wait until git's index has followed and `git status` is clean."""

        def status() -> str:
            return git(self.root, "status", "--porcelain")

        wait_for(lambda: not status(), 15.0, f"git status is clean, but it says:\n{status()}")

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """SIGKILL: what a crash leaves behind stays as it is."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def close(self, *, faultless: bool = True) -> None:
        """Stop if it runs; its log must tell of no error that was not foreseen."""
        if self.process is not None:
            self.stop()
        if faultless:
            assert _TRACEBACK not in self.log_text, self.log_text


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of a condition."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"in vain for {seconds} seconds: {what}")


def git(root: Path, *arguments: str, check: bool = True, stdin: bytes = b"") -> str:
    """git by hand; what it prints. Raises AssertionError where it fails, with what it said."""
    done = subprocess.run(["git", *arguments], cwd=root, input=stdin, capture_output=True, env=environment(root.parent))
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(arguments)}: {(done.stdout + done.stderr).decode()}")
    return done.stdout.decode("utf-8", "replace") if check else (done.stdout + done.stderr).decode("utf-8", "replace")


def is_sound(root: Path) -> bool:
    """What git's own check says of all objects. Asked again where a server has folded packs that it was reading."""

    def is_silent() -> bool:
        said = git(root, "fsck", "--strict", "--full", "--no-dangling", "--no-progress", check=False)
        assert not said or _names_what_is_gone(root, said), said
        return not said

    return wait_for(is_silent, 60.0, "git fsck finds no fault")


def _names_what_is_gone(root: Path, said: str) -> bool:
    """Whether git speaks of a file of its objects that is not there any more."""
    git_dir = Path(git(root, "rev-parse", "--absolute-git-dir").strip())
    return any(not (git_dir / name).exists() for name in _OBJECTS.findall(said))


def commit_by_hand(root: Path, message: str, *paths: str, seconds: float = 15.0) -> str:
    """`git add` and `git commit` of paths, again where a hook or a lock asks for that. The commit's id."""
    until = time.monotonic() + seconds
    while True:
        said = git(root, "add", "--", *paths, check=False) + git(
            root, "commit", "-qm", message, "--", *paths, check=False
        )
        if not said or ("catalogd:" not in said and ".lock" not in said):
            return git(root, "log", "-1", "--format=%H", f"--grep={message}", "--fixed-strings").strip()
        assert time.monotonic() < until, said
        time.sleep(0.5)


def pages(client: Client, path: str) -> Iterator[Any]:
    """All results of a list, by following `next`."""
    following: str | None = path
    while following:
        reply = client.get(following)
        assert reply.status == 200, reply.body
        page = reply.json
        yield from page["results"]
        following = page["next"] and re.sub(r"^http://[^/]+", "", page["next"])


def assert_problem(reply: Reply, status: int, slug: str | None = None) -> dict:
    """Every error has the one shape (RFC 9457). Returns its body."""
    assert reply.status == status, (reply.status, reply.body)
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json
    assert problem["type"].startswith("urn:catalogd:")
    assert slug is None or problem["type"] == f"urn:catalogd:{slug}"
    assert problem["title"]
    assert problem["detail"].endswith((".", "?"))
    assert problem["status"] == status
    assert problem["request_id"] == reply.headers["x-request-id"]
    for fault in problem.get("errors", []):
        assert set(fault) == {"pointer", "detail"}
    if status == 401:
        assert "www-authenticate" in reply.headers
    if status in (429, 503):
        assert int(reply.headers["retry-after"]) > 0
    return problem


def pointers(problem: dict) -> list[str]:
    return [fault["pointer"] for fault in problem.get("errors", [])]


def newest(client: Client) -> str:
    """The id of the newest commit."""
    return client.get("/v1/commits?page_size=1").json["results"][0]["commit"]
