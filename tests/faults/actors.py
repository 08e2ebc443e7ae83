"""Those who use a catalog at the same time: each is a thread, whose steps are drawn by lot from a seed of its own."""

from __future__ import annotations

import json
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from git_user import GitUser
from history import Write
from recording import Record, Recorded
from served_catalog import Reply, Served, git, is_sound

NAMESPACE = "load"
# All write to these, and meet.
SHARED = ("one", "two", "three", "four")
# So often a hand or a push may find that main has moved on; then those who write over HTTP are asked to wait.
_TRIES = 2
# How long a hand goes on with one commit, in seconds.
_PATIENCE = 60.0
# How long any step may take that is the last.
_LAST_STEP = 90.0
_SET_CLOCK = "Set your clock"
# Why a push or a commit by hand is refused that comes at the wrong moment, as git's user reads it.
_RACES = (
    "fetch first", "non-fast-forward", "has moved", "cannot lock ref", "index.lock", "nothing to commit", _SET_CLOCK,
    "the catalog was written to while git prepared this commit", "Another write is taking long; try again.",
    "Another process holds the catalog's lock; try again.", "A git process holds the lock on main; try again",
)  # fmt: skip
# Where the server was killed, another one may have got its port, which knows nobody of here.
_OUTAGES = ("Couldn't connect", "hung up", "RPC failed", "Empty reply", "Connection reset", "Authentication failed")


def path_of(repo_name: str) -> str:
    return f"data/{NAMESPACE}/{repo_name}.json"


def url_of(repo_name: str) -> str:
    return f"/v1/repositories/{NAMESPACE}/{repo_name}"


@dataclass
class Stage:
    """What the actors share. `is_up` is cleared while the server is down."""

    served: Served
    record: Record = field(default_factory=Record)
    is_over: threading.Event = field(default_factory=threading.Event)
    is_up: threading.Event = field(default_factory=threading.Event)
    # Those for whom all others that move main are to wait.
    quiet_for: set[str] = field(default_factory=set)
    # The write that somebody may want to revert: commit, document.
    newest: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        self.is_up.set()


class Actor(threading.Thread, ABC):
    """Takes a step, and another, until all is over. An exception in a step ends it, and is kept."""

    # Whether it moves main, and so begins nothing while all is to be quiet for somebody.
    gives_way = False

    def __init__(self, stage: Stage, name: str):
        super().__init__(name=name, daemon=True)
        self.stage = stage
        self.chance = random.Random(name)
        self.client = Recorded(name, stage.served, stage.record)
        self.error: BaseException | None = None
        self.steps = 0

    def run(self) -> None:
        try:
            while not self.stage.is_over.is_set():
                if self.gives_way and self.stage.quiet_for:
                    time.sleep(0.02)
                elif self.stage.is_up.wait(0.1):
                    self.step()
                    self.steps += 1
        except BaseException as error:
            self.error = error
        finally:
            self.client.close()

    @abstractmethod
    def step(self) -> None:
        """What it does again and again."""

    def require_ended(self) -> None:
        assert not self.is_alive(), f"{self.name} does not come to an end"
        if self.error is not None:
            raise self.error


@contextmanager
def acting(actors: Sequence[Actor], stage: Stage) -> Iterator[None]:
    """Within it they all act at once. However it is left, they come to an end; what one has met is raised."""
    try:
        for actor in actors:
            actor.start()
        yield
    finally:
        stage.is_over.set()
        for actor in actors:
            if actor.ident is not None:
                actor.join(_LAST_STEP)
    for actor in actors:
        actor.require_ended()


class Writer(Actor):
    """Creates, changes, deletes and reverts, over HTTP, on documents that others write to, too."""

    gives_way = True

    def __init__(self, stage: Stage, name: str):
        super().__init__(stage, name)
        self._deck: list[Callable[[str], Reply | None]] = []

    def step(self) -> None:
        repo_name = self.chance.choice(SHARED)
        if not self._deck:
            self._deck = [*[self.patch] * 5, *[self.put] * 3, *[self.put_if] * 2, self.delete, self.revert]
            self.chance.shuffle(self._deck)
        doing = self._deck.pop()
        reply = doing(repo_name)
        if reply is not None and reply.status == 404:
            reply = self.create(repo_name)
        if reply is not None and 200 <= reply.status < 300 and doing != self.revert:
            self.stage.newest = (reply.commit, path_of(repo_name))
        time.sleep(self.chance.uniform(0.0, 0.02))

    def create(self, repo_name: str) -> Reply | None:
        return self.client.write(
            "POST",
            f"/v1/repositories/{NAMESPACE}",
            {"repo_name": repo_name, "description": f"made by {self.name} in step {self.steps}"},
            kind="create",
            documents=(path_of(repo_name),),
        )

    def patch(self, repo_name: str) -> Reply | None:
        body = {"labels": {f"{self.name}.{self.steps % 3}": str(self.steps)}}
        return self._change("PATCH", repo_name, body)

    def put(self, repo_name: str, **headers: str) -> Reply | None:
        return self._change("PUT", repo_name, {"description": f"{self.name} in step {self.steps}"}, **headers)

    def put_if(self, repo_name: str) -> Reply | None:
        read = self.client.read(url_of(repo_name), kind="read", document=path_of(repo_name))
        if read is None or read.status != 200:
            return read
        return self.put(repo_name, If_Match=read.etag)

    def delete(self, repo_name: str) -> Reply | None:
        return self._change("DELETE", repo_name, None)

    def revert(self, repo_name: str) -> Reply | None:
        commit, path = self.stage.newest
        if not commit:
            return None
        # Somebody may have made the repository anew, or changed it: 409.
        return self.client.write(
            "POST", f"/v1/commits/{commit}/revert", kind="revert", documents=(path,) if path else ()
        )

    def _change(self, method: str, repo_name: str, body: object, **headers: str) -> Reply | None:
        where = (path_of(repo_name),)
        return self.client.write(method, url_of(repo_name), body, kind=method, documents=where, **headers)


class Reader(Actor):
    """Reads what the writers write, one document, as a whole or if it is another one than before, or a list of all."""

    def __init__(self, stage: Stage, name: str):
        super().__init__(stage, name)
        self._tags: dict[str, str] = {}

    def step(self) -> None:
        if self.chance.random() < 0.7:
            repo_name = self.chance.choice(SHARED)
            known = self._tags.get(repo_name, "") if self.chance.random() < 0.5 else ""
            reply = self.client.read(url_of(repo_name), kind="read", document=path_of(repo_name), known=known)
            if reply is not None and reply.status == 200:
                self._tags[repo_name] = reply.etag
        else:
            query = self.chance.choice(["", "?page_size=2", "?ordering=-updated_at", "?search=step"])
            self.client.read(f"/v1/repositories/{NAMESPACE}{query}", kind="list")
        time.sleep(self.chance.uniform(0.0, 0.01))


class Watcher(Actor):
    """Asks whether all is well, as a load balancer does."""

    def step(self) -> None:
        reply = self.client.ask("GET", "/healthz", kind="health")
        if reply is not None and reply.json["status"] != "ok":
            self.stage.record.unforeseen.append(reply.body.decode())
        time.sleep(0.02)


class GitActor(Actor):
    """Edits a document of its own with git, and tries until that is on main."""

    gives_way = True
    _until = 0.0
    _said = ""

    def step(self) -> None:
        path = path_of(self.name)
        message = f"{self.name} step {self.steps}."
        self.prepare(path, message)
        tries, self._until = 0, time.monotonic() + _PATIENCE
        try:
            while not self.attempt(path, message) and not self.may_give_up():
                assert time.monotonic() < self._until, f"{message} is refused all the time: {self._said}"
                tries += 1
                if tries >= _TRIES:
                    self.stage.quiet_for.add(self.name)
                time.sleep(self.chance.uniform(0.02, 0.1))
        finally:
            self.stage.quiet_for.discard(self.name)
        time.sleep(self.chance.uniform(0.1, 0.3))

    @abstractmethod
    def prepare(self, path: str, message: str) -> None:
        """Edit the document, so that it can be tried."""

    @abstractmethod
    def attempt(self, path: str, message: str) -> bool:
        """Whether it is on main now."""

    def may_give_up(self) -> bool:
        return False

    def refused(self, kind: str, said: str) -> None:
        reason = next((why for why in _RACES if why in said), "")
        self.stage.record.count(kind, reason or "cut off")
        self._said = said
        if not reason:
            self._until = time.monotonic() + _PATIENCE  # the server was away
        if not reason and not any(why in said for why in _OUTAGES):
            self.stage.record.unforeseen.append(said)

    def taken(self, kind: str, path: str, sent: float, commit: str) -> None:
        told = {"answered": time.monotonic(), "status": 200, "commit": commit}
        self.stage.record.writes.append(Write(self.name, f"{kind} of {path}", sent, documents=(path,), **told))
        self.stage.record.count(kind, "taken")


class Hand(GitActor):
    """Commits in the catalog's working tree."""

    _sent = 0.0

    def prepare(self, path: str, message: str) -> None:
        _describe(self.stage.served.root / path, self.name, message)
        self._sent = time.monotonic()

    def attempt(self, path: str, message: str) -> bool:
        root = self.stage.served.root
        said = git(root, "add", "--", path, check=False)
        said += git(root, "commit", "-qm", message, "--", path, check=False)
        found = git(root, "log", "--format=%H", "--fixed-strings", f"--grep={message}", "main", "--", path).split()
        if found:
            self.taken("commit by hand", path, self._sent, found[0])
        else:
            self.refused("commit by hand", said)
        return bool(found)


class Pusher(GitActor):
    """Pushes from a clone; after a refusal, what main has meanwhile is taken in first."""

    def __init__(self, stage: Stage, name: str):
        super().__init__(stage, name)
        self._user = GitUser(stage.served, stage.served.home, token=stage.served.token)
        self._clone = self._user.clone(into=f"clone-{name}")
        self._commit, self._sent = "", 0.0

    def prepare(self, path: str, message: str) -> None:
        _describe(self._clone.path / path, self.name, message)
        self._clone.commit(message)

    def attempt(self, path: str, message: str) -> bool:
        # Another address is where the server was started anew.
        self._clone.git("remote", "set-url", "origin", self._user.url())
        self._clone.git("pull", "-q", "--rebase", "origin", "main", check=False)
        commit = self._clone.git("log", "-1", "--format=%H", "--fixed-strings", f"--grep={message}", "--", path).strip()
        # One that was cut off may have been taken, so the time of the first try of a commit counts.
        if commit != self._commit:
            self._commit, self._sent = commit, time.monotonic()
        is_taken, said = self._clone.push()
        if is_taken:
            self.taken("push", path, self._sent, self._commit)
        else:
            self.refused("push", said)
            if _SET_CLOCK in said:  # its commit was made while the clock was ahead
                self._clone.git("commit", "-q", "--amend", "--reset-author", "--no-edit")
        return is_taken

    def may_give_up(self) -> bool:
        return self.stage.is_over.is_set() and self.steps > 0


def _describe(file: Path, repo_name: str, description: str) -> None:
    """Write the document with this description, in a form that a person may write."""
    document = json.loads(file.read_text()) if file.exists() else {"namespace": NAMESPACE, "repo_name": repo_name}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**document, "description": description}, indent=2) + "\n")


def begun(served: Served) -> Stage:
    """A stage on a catalog in which the shared repositories are."""
    stage = Stage(served)
    client = Recorded("stagehand", served, stage.record)
    for repo_name in SHARED:
        body = {"repo_name": repo_name}
        made = client.write(
            "POST", f"/v1/repositories/{NAMESPACE}", body, kind="create", documents=(path_of(repo_name),)
        )
        assert made is not None and made.status == 201
    client.close()
    return stage


def assert_in_order(stage: Stage) -> None:
    """When all is over and the server runs: what everybody was told, git, and doctor agree."""
    record, served = stage.record, stage.served
    assert record.unforeseen == [], "\n".join(record.unforeseen[:20])
    served.settle()
    found = record.violations(served)
    assert found == [], "\n".join(found[:20])
    assert is_sound(served.root)
    doctor = served.run("doctor")
    assert doctor.status == 0, doctor.out
    health = served.client().get("/healthz").json
    assert health["status"] == "ok", health
