"""Load on one catalog: clients that write over HTTP, and processes that commit by hand in its working tree.

What each has been told is kept, so that afterwards the history can be held against it.

A hand is a process of its own (`python load_of_writes.py ROOT NUMBER SECONDS`), as a shell is; it prints
one JSON line for each edit that is committed and one `{"refused": ...}` for each commit that was refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from served_catalog import Client, Served, environment

NAMESPACE = "load"
# Repositories that all clients and, now and then, the hands write to.
SHARED = [f"shared{number}" for number in range(4)]
# How seldom a hand writes to a file that the clients write to.
_ONE_IN = 5
# How long a hand goes on with what it has begun, in seconds.
_PATIENCE = 20.0
# So many edits each hand commits, however long that takes.
_LEAST = 2


def document_path(repo_name: str) -> str:
    return f"data/{NAMESPACE}/{repo_name}.json"


@dataclass(frozen=True)
class Acknowledged:
    """A write over HTTP that was answered with 200: it set one label of one repository, its client's own."""

    request_id: str
    repo_name: str
    label: str
    value: str
    commit: str


@dataclass(frozen=True)
class Committed:
    """An edit by hand that `git commit` has said is committed: it set one label of one document's file."""

    message: str
    repo_name: str
    label: str
    value: str


@dataclass
class Told:
    """What clients and hands have been told, and what they were refused, by status or message."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    committed: list[Committed] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)  # ids of requests that got no answer

    def refuse(self, why: str) -> None:
        self.refused[why] = self.refused.get(why, 0) + 1


class Clients:
    """So many clients, each a thread with a connection of its own, from construction until `stop`."""

    def __init__(self, served: Served, count: int, told: Told, round_: int = 0):
        self._told = told
        self._round = round_
        self._stopping = threading.Event()
        token, address = served.token, served.address
        self._threads = [
            threading.Thread(target=self._run, args=(Client(address, f"Token {token}"), number))
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, client: Client, number: int) -> None:
        step = 0
        while not self._stopping.is_set():
            step += 1
            if not self._write(client, number, step):
                break
        client.close()

    def _write(self, client: Client, number: int, step: int) -> bool:
        """Whether the server still answers."""
        request_id = f"r{self._round}-c{number}-{step}"
        repo_name = f"client{number}" if step % 2 else SHARED[(number + step // 2) % len(SHARED)]
        # Each key is set again and again, by one client; the document stays small.
        label = f"c{number}.{step % 4}"
        path = f"/v1/repositories/{NAMESPACE}/{repo_name}"
        try:
            reply = client.patch(path, {"labels": {label: request_id}}, X_Request_Id=request_id)
        except (OSError, HTTPException):
            self._told.unknown.add(request_id)
            return False
        if reply.status == 200:
            done = Acknowledged(request_id, repo_name, label, request_id, reply.commit)
            self._told.acknowledged.append(done)
        else:
            # A file that a hand is about to commit is left alone, with a message; anything else is a fault.
            self._told.refuse(f"client {reply.status} {reply.json['type']}")
        return True


class Hands:
    """So many processes that commit by hand for so many seconds."""

    def __init__(self, served: Served, count: int, seconds: float, told: Told, round_: int = 0):
        self._told = told
        self._processes = [
            subprocess.Popen(
                [sys.executable, __file__, str(served.root), f"{round_}-{number}", str(seconds)],
                stdout=subprocess.PIPE,
                text=True,
                env=environment(served.home),
            )
            for number in range(count)
        ]

    def wait(self) -> None:
        for process in self._processes:
            out, _ = process.communicate()
            assert process.returncode == 0
            for line in out.splitlines():
                said = json.loads(line)
                if "refused" in said:
                    self._told.refuse(f"hand {said['refused']}")
                else:
                    self._told.committed.append(Committed(**said))


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, errors="replace")


def _hand(root: Path, name: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    chance = random.Random(name)
    step = 0
    # On a slow machine the time is too short for some to commit at all: those go on.
    while step < _LEAST or time.monotonic() < until:
        step += 1
        if step % _ONE_IN == 0:
            wish = Committed(f"hand {name} step {step}", chance.choice(SHARED), f"h{name}.{step % 4}", f"{name}/{step}")
            _on_a_file_of_all(root, wish, until)
        else:
            wish = Committed(
                f"hand {name} step {step}",
                f"hand{name.rpartition('-')[2]}",
                f"h{name}.{step % 4}",
                f"{name}/{step}",
            )
            _on_a_file_of_its_own(root, wish, max(until, time.monotonic()) + _PATIENCE)


def _on_a_file_of_its_own(root: Path, wish: Committed, until: float) -> None:
    """Edit, and run the same two commands as often as they are refused. What others staged comes along."""
    path = document_path(wish.repo_name)
    with _turn(root, fcntl.LOCK_SH):
        _edit(root / path, wish)
        while not _says_committed(root, path, wish, ["commit", "-qm", wish.message]):
            assert time.monotonic() < until, f"{wish.message} was refused all the time"
            time.sleep(_pause())


def _on_a_file_of_all(root: Path, wish: Committed, until: float) -> None:
    """Edit a file that clients write to as well: from what is newest, and anew from there after a refusal."""
    path = document_path(wish.repo_name)
    while time.monotonic() < until:
        # Hands agree among themselves who edits, as people would; the server and its clients do not know.
        with _turn(root, fcntl.LOCK_EX):
            _edit(root / path, wish)
            # An edit of what has been moved on meanwhile would mean to take that back; from here on, the file
            # is edited by hand, so clients are refused.
            done = _changes_only(root, path, wish) and _says_committed(
                root, path, wish, ["commit", "-qm", wish.message]
            )
            if done:
                return
            while (
                _git(root, "reset", "-q", "--", path).returncode or _git(root, "checkout", "-q", "--", path).returncode
            ):
                time.sleep(0.01)
        time.sleep(_pause())


def _pause() -> float:
    return random.uniform(0.05, 0.3)


def _says_committed(root: Path, path: str, wish: Committed, command: list[str]) -> bool:
    """Whether the wish is committed now: by this command or, as it was staged, by that of another hand."""
    done = _git(root, "add", "--", path)
    done = done if done.returncode else _git(root, *command)
    if done.returncode == 0 or _labels(_git(root, "show", f"HEAD:{path}").stdout).get(wish.label) == wish.value:
        print(json.dumps(wish.__dict__), flush=True)
        return True
    print(json.dumps({"refused": _reason(done.stderr + done.stdout)}), flush=True)
    return False


def _changes_only(root: Path, path: str, wish: Committed) -> bool:
    committed = _labels(_git(root, "show", f"HEAD:{path}").stdout)
    return _labels((root / path).read_text()) == committed | {wish.label: wish.value}


def _labels(text: str) -> dict[str, str]:
    return (json.loads(text).get("labels") or {}) if text else {}


def _edit(file: Path, wish: Committed) -> None:
    try:
        document = json.loads(file.read_text())
    except FileNotFoundError:
        document = {"namespace": NAMESPACE, "repo_name": wish.repo_name}
    document["labels"] = {**(document.get("labels") or {}), wish.label: wish.value}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=2))


@contextlib.contextmanager
def _turn(root: Path, kind: int) -> Iterator[None]:
    with (root.parent / "hands.lock").open("w") as file:
        fcntl.flock(file, kind)
        yield


_REASONS = (
    ("it would undo", "would undo"),
    ("index.lock", "index.lock"),
    ("cannot lock ref", "cannot lock ref"),
    ("nothing to commit", "nothing to commit"),
    ("no changes added", "nothing to commit"),
    ("nothing added", "nothing to commit"),
    ("only grows", "only grows"),
)


def _reason(said: str) -> str:
    for part, reason in _REASONS:
        if part in said:
            return reason
    return said.strip()[-300:]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _hand(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
