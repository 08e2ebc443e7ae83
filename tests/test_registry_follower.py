"""A crash at any moment between the queue and main: each push counts once. What is held up holds up nothing else."""

from __future__ import annotations

import errno
import itertools
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalogd.accounts import SCOPES, Account
from catalogd.catalog import Caller, Catalog
from catalogd.errors import Unavailable
from catalogd.registry import follower as following
from catalogd.registry.follower import RegistryFollower
from catalogd.state import ChangeRow, PullRow, State
from catalogd.store import Store

NUMBERS = itertools.count()
ADMIN = Caller(Account("ada", "ada@example.org", is_admin=True, scopes=frozenset(SCOPES), namespace=None), "delete")


class Killed(BaseException):
    """The process ends here."""


class Followed:
    """A catalog and its follower, driven by hand, which a restart makes anew."""

    def __init__(self, home: Path):
        self.root = home / "catalog"
        Store.create(self.root)
        self.state = State(home / "state.db")
        self._open()

    def _open(self) -> None:
        self.catalog = Catalog.open(self.root)
        self.follower = self.follower_anew()

    def follower_anew(self) -> RegistryFollower:
        """One that remembers nothing, and what has become of its changes."""
        self.became: Counter[str] = Counter()
        told = self.became
        return RegistryFollower(
            self.catalog, self.state, lambda _namespace: True, told=lambda what, number: told.update({what: number})
        )

    def restart(self) -> None:
        self.catalog.close()
        self._open()
        self.follower.settle()

    def close(self) -> None:
        self.catalog.close()
        self.state.close()

    def tell(self, *changes: ChangeRow) -> None:
        self.state.take_events([(next(NUMBERS).to_bytes(16, "big"), change) for change in changes], ())

    def pull(self, name: str, at: int) -> None:
        moment, fresh = f"2026-01-02T03:04:{at:02}.000Z", next(NUMBERS).to_bytes(16, "big")
        told = PullRow(*name.split("/"), fresh, moment, moment, moment, is_index=False, by_digest=False)
        self.state.take_events([(fresh, told)], ())

    def document(self, name: str) -> dict[str, Any]:
        return json.loads(self.catalog.store.snapshot(self.catalog.store.head()).read(f"data/{name}.json")[1])

    def told(self, name: str) -> tuple[int, dict[str, str]]:
        """How many pushes its document counts, and what its tags stand for, by its first digit."""
        document = self.document(name)
        return document["upload"], {tag["tag"]: tag["digest"][7] for tag in document["tags"]}


def change(name: str, tag: str = "v1", at: int = 0, kind: str = "push", digit: str = "1") -> ChangeRow:
    namespace, repo_name = name.split("/")
    digest = f"sha256:{digit * 64}" if kind == "push" else None
    when = f"2026-01-02T03:04:{at:02}.000Z"
    return ChangeRow(0, namespace, repo_name, kind, tag, digest, None, when, None, None, None, "alice", "a@example.org")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    made = Followed(tmp_path_factory.mktemp("followed"))
    yield made
    made.close()


@pytest.fixture
def followed(shared: Followed) -> Followed:
    """A follower that remembers nothing of other tests; their repositories are of other names."""
    assert shared.follower.waiting() == 0
    shared.follower = shared.follower_anew()
    return shared


@pytest.fixture
def one() -> str:
    """The name of a repository that no other test has."""
    return f"n{next(NUMBERS)}/one"


@pytest.fixture
def two() -> str:
    return f"n{next(NUMBERS)}/two"


def fail_once(monkeypatch: pytest.MonkeyPatch, where: object, method: str, error: BaseException, done: bool) -> None:
    """The next call of a method raises: after it has done what it does, or in place of that."""
    real, calls = getattr(where, method), itertools.count()

    def failing(*args: Any) -> Any:
        is_first = next(calls) == 0
        if is_first and not done:
            raise error
        made = real(*args)
        if is_first:
            raise error
        return made

    monkeypatch.setattr(where, method, failing)


# (what is cut off, whether it has done its work)
MOMENTS = [
    (where, method, done)
    for where, method in (
        ("state", "waiting_changes"),
        ("state", "assign_deliveries"),
        ("catalog", "deliver"),
        ("state", "finish_deliveries"),
        ("state", "release_deliveries"),
    )
    for done in (False, True)
]
at_each_moment = pytest.mark.parametrize(("where", "method", "done"), MOMENTS)


def changes(one: str, two: str) -> list[ChangeRow]:
    return [
        change(one), change(one, at=1, digit="2"), change(one, "v2", at=1), change(two, at=2),
        change(one, "v2", at=3, kind="delete"),
    ]  # fmt: skip


def require_followed(followed: Followed, one: str, two: str) -> None:
    assert (followed.told(one), followed.told(two)) == ((3, {"v1": "2"}), (1, {"v1": "1"}))
    assert followed.follower.waiting() == 0


@at_each_moment
def test_a_push_counts_once_wherever_the_process_dies(
    followed: Followed, monkeypatch: pytest.MonkeyPatch, where: str, method: str, done: bool, one: str, two: str
) -> None:
    followed.tell(*changes(one, two))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        fail_once(patch, getattr(followed, where), method, Killed(), done)
        followed.follower.step()
    followed.restart()
    assert followed.follower.step()
    require_followed(followed, one, two)
    followed.tell(change(one, "v2", at=2, digit="3"))
    assert followed.follower.step()
    assert followed.told(one) == (4, {"v1": "2"}), "it is forgotten that the tag was deleted"


@at_each_moment
def test_what_a_push_brings_back_has_no_pull_of_the_one_before_wherever_the_process_dies(
    followed: Followed, monkeypatch: pytest.MonkeyPatch, where: str, method: str, done: bool, one: str
) -> None:
    name = tuple(one.split("/"))
    followed.tell(change(one))
    assert followed.follower.step()
    followed.pull(one, at=1)
    followed.catalog.delete(ADMIN, *name)
    followed.tell(change(one, at=5))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        fail_once(patch, getattr(followed, where), method, Killed(), done)
        followed.follower.step()
    followed.restart()
    assert followed.follower.step()
    assert followed.told(one)[0] == 1 and not followed.state.pending_of([name])


@at_each_moment
def test_the_thread_goes_on_after_an_error_and_counts_each_push_once(
    followed: Followed, monkeypatch: pytest.MonkeyPatch, where: str, method: str, done: bool, one: str, two: str
) -> None:
    monkeypatch.setattr(following, "_PAUSE", 0.001)
    followed.tell(*changes(one, two))
    error = RuntimeError("?") if done else Unavailable("It is locked.")
    fail_once(monkeypatch, getattr(followed, where), method, error, done)
    thread = threading.Thread(target=followed.follower.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while followed.follower.waiting() and time.monotonic() < deadline:
            followed.follower.wake()
            time.sleep(0.002)
    finally:
        followed.follower.stop()
        thread.join(10)
    assert not thread.is_alive()
    require_followed(followed, one, two)


def test_what_waits_for_a_hand_holds_up_nothing_else_and_is_said_once(
    followed: Followed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, one: str, two: str
) -> None:
    monkeypatch.setattr(following, "_MOST_AT_ONCE", 2)
    followed.tell(change(one))
    assert followed.follower.step()
    file = followed.root / f"data/{one}.json"
    committed = file.read_bytes()
    file.write_bytes(committed.replace(b"false", b"true"))
    followed.tell(*(change(one, f"t{i}", at=i) for i in range(1, 6)), change(two, at=7))
    for _ in range(3):
        assert not followed.follower.step()
    assert followed.told(two) == (1, {"v1": "1"})
    assert (followed.told(one)[0], followed.follower.waiting()) == (1, 5)
    assert caplog.text.count(f"{one} waits") == 1
    file.write_bytes(committed)
    assert followed.follower.step()
    assert followed.told(one) == (6, {"v1": "1", **{f"t{i}": "1" for i in range(1, 6)}})


@pytest.mark.slow
def test_a_broken_document_waits_until_it_is_mended(followed: Followed, one: str) -> None:
    followed.tell(change(one))
    assert followed.follower.step()
    good = followed.document(one)
    hand(followed, one, b"{")
    followed.tell(change(one, at=5, digit="2"))
    assert not followed.follower.step()
    hand(followed, one, json.dumps(good).encode())
    assert followed.follower.step()
    assert followed.told(one) == (2, {"v1": "2"})


@pytest.mark.slow
def test_a_full_catalog_waits_and_a_full_document_is_said(
    followed: Followed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, one: str, two: str
) -> None:
    followed.tell(change(one))
    assert followed.follower.step()
    document = followed.document(one)
    entry = document["tags"][0]
    full = [{**entry, "tag": f"t{i:05}"} for i in range(10_000)]
    hand(followed, one, json.dumps({**document, "tags": full}).encode())
    followed.tell(change(one, "one-more", at=5), change(two))
    assert followed.follower.step()
    assert followed.became["unfit"] == 1
    assert f"{one} does not fit" in caplog.text
    assert (followed.told(one)[0], followed.told(two)[0]) == (1, 1)
    with monkeypatch.context() as patch:
        patch.setattr(followed.catalog.store._committer, "_require_space", full_disk)
        followed.tell(change(two, at=6, digit="2"))
        assert not followed.follower.step()
        assert not followed.follower.step()
    assert caplog.text.count(f"{two} waits") == 1
    assert followed.follower.step()
    assert followed.told(two) == (2, {"v1": "2"})


def full_disk(group: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def hand(followed: Followed, name: str, data: bytes) -> None:
    """Somebody commits a file with git."""
    (followed.root / f"data/{name}.json").write_bytes(data)
    for command in (["add", "data"], ["commit", "--no-verify", "-qm", "By hand"]):
        subprocess.run(["git", "-C", followed.root, *command], check=True, capture_output=True)
