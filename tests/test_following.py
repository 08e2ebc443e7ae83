"""A replica fetches and takes in; what stands in its way is told once, and never repeated to everybody."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catalogd.accounts import SCOPES, Account
from catalogd.catalog import Caller, Catalog
from catalogd.documents import builtin_schema
from catalogd.errors import ReadOnly
from catalogd.following import Follower
from catalogd.names import KINDS, schema_path
from catalogd.store import Store, begin_as_clone

pytestmark = pytest.mark.slow

HAND = Caller(Account("hand", "hand@example.org", True, frozenset(SCOPES), None), "test")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Catalog]:
    Store.create(tmp_path / "primary")
    catalog = Catalog.open(tmp_path / "primary")
    write(catalog, "one")
    yield catalog
    catalog.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def follow(tmp_path: Path, primary: Catalog, clock: Clock) -> Iterator[Callable[..., Follower]]:
    """Makes the follower of a replica that begins as a clone."""
    made: list[tuple[Catalog, Follower]] = []

    def make(url: object = primary.store.root, interval: float = 1.0) -> Follower:
        begin_as_clone(tmp_path / "replica", str(primary.store.root))
        catalog = Catalog.open(tmp_path / "replica")
        catalog.store.be_replica_of("https://primary.example.org")
        follower = Follower(catalog, catalog.store.remote(str(url)), interval, monotonic=clock)
        made.append((catalog, follower))
        return follower

    yield make
    for catalog, follower in made:
        follower.close()
        catalog.close()


def write(catalog: Catalog, description: str) -> str:
    if catalog.store.head() is None:
        catalog.begin(HAND, {schema_path(kind): builtin_schema(kind) for kind in KINDS})
        return catalog.create(HAND, "team", {"repo_name": "one", "description": description}).commit
    return catalog.update(HAND, "team", "one", {"description": description}, patch=True).commit


def description_in(follower: Follower) -> str:
    return follower._catalog.detail(HAND, "team", "one").document["description"]


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_what_the_primary_commits_is_read_here(primary: Catalog, follow) -> None:
    follower = follow()
    assert description_in(follower) == "one"
    for number in range(3):
        head = write(primary, f"at {number}")
        assert follower.step()
        assert description_in(follower) == f"at {number}"
        assert follower.status()["commit"] == head
    root = follower._catalog.store.root
    follower._catalog.follow_index()
    assert git(root, "status", "--porcelain") == ""
    assert (root / "data/team/one.json").read_bytes() == (primary.store.root / "data/team/one.json").read_bytes()


def test_how_far_behind_it_is_is_told(primary: Catalog, follow, clock: Clock) -> None:
    follower = follow()
    before = follower.status()
    assert before == {
        "primary": "https://primary.example.org", "commit": None, "behind_seconds": None, "behind_commits": None,
        "checked_at": None, "failure": None,
    }  # fmt: skip
    follower.step()
    clock.now += 2.5
    after = follower.status()
    assert (after["behind_seconds"], after["behind_commits"], after["failure"]) == (2.5, 0, None)
    assert after["checked_at"].endswith("Z")


def test_a_primary_that_is_gone_is_told_once_and_waited_for(
    primary: Catalog, follow, tmp_path: Path, clock: Clock, caplog
) -> None:
    away = tmp_path / "away"
    follower = follow(away)
    caplog.set_level(logging.INFO, "catalogd.lookout")
    for _ in range(5):
        assert not follower.step()
    assert len(caplog.records) == 1
    assert "away" in caplog.text
    assert "away" not in follower.status()["failure"]
    assert follower.health()["status"] == "ok"
    clock.now += 61
    assert follower.health()["status"] == "degraded"
    assert description_in(follower) == "one"
    away.symlink_to(primary.store.root)
    assert follower.step()
    assert follower.health()["status"] == "ok"
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_after_failures_it_waits_longer_but_not_for_ever(follow, tmp_path: Path, monkeypatch) -> None:
    follower = follow(tmp_path / "away")
    pauses: list[float] = []
    monkeypatch.setattr(
        follower, "_woken", type("Waits", (), {"wait": pauses.append, "clear": lambda: None, "set": lambda: None})
    )
    for _ in range(12):
        follower.wait()
        follower.step()
    assert pauses[0] == 1.0
    assert max(pauses) <= 30.0
    assert min(pauses[-3:]) >= 15.0


def test_whoever_wakes_it_is_not_overheard_while_a_look_is_under_way(primary: Catalog, follow) -> None:
    follower = follow(interval=60.0)
    follower.step()
    follower.wake()
    began = time.monotonic()
    follower.wait()
    assert time.monotonic() - began < 5
    waiting = threading.Thread(target=lambda: (follower.step(), follower.wait()))
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive()
    follower.wake()
    waiting.join(5)
    assert not waiting.is_alive()


def test_where_the_two_have_parted_it_says_so_and_reads_go_on(primary: Catalog, follow, caplog) -> None:
    follower = follow()
    replica = follower._catalog
    replica.store.be_replica_of("")
    own = write(replica, "here")
    replica.store.be_replica_of("https://primary.example.org")
    write(primary, "there")
    for _ in range(3):
        assert not follower.step()
    assert "neither follows the other" in caplog.text
    assert len(caplog.records) == 1
    health = follower.health()
    assert (health["status"], health["following"]["behind_commits"]) == ("degraded", 1)
    assert "commits that the primary has not" in health["following"]["failure"]
    assert replica.store.head() == own
    assert description_in(follower) == "here"


def test_a_replica_that_is_ahead_says_so(primary: Catalog, follow, caplog) -> None:
    follower = follow()
    follower._catalog.store.be_replica_of("")
    write(follower._catalog, "here")
    assert not follower.step()
    assert "ahead of" in caplog.text


def test_a_history_of_another_origin_is_not_taken_in(primary: Catalog, follow, tmp_path: Path) -> None:
    Store.create(tmp_path / "other")
    other = Catalog.open(tmp_path / "other")
    write(other, "other")
    other.close()
    follower = follow(tmp_path / "other")
    assert not follower.step()
    assert description_in(follower) == "one"


def test_a_file_that_a_hand_has_edited_stops_it_without_naming_the_file_to_everybody(
    primary: Catalog, follow, caplog
) -> None:
    follower = follow()
    file = follower._catalog.store.root / "data/team/one.json"
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b'"one"', b'"won"', 1))
    write(primary, "two")
    assert not follower.step()
    assert "team/one" in caplog.text
    assert "one.json" not in follower.status()["failure"]
    assert follower.status()["behind_commits"] == 1
    file.write_bytes(kept)
    assert follower.step()
    assert description_in(follower) == "two"


def test_a_replica_takes_no_writes_by_any_way_but_its_primary(primary: Catalog, follow) -> None:
    follower = follow()
    replica = follower._catalog
    before = replica.store.head()
    with pytest.raises(ReadOnly, match=r"primary\.example\.org"):
        write(replica, "here")
    with pytest.raises(ReadOnly):
        write(Catalog.open(replica.store.root), "by another process")
    head = write(primary, "two")
    assert replica.store.remote(str(primary.store.root)).fetch() == head
    with pytest.raises(ReadOnly):
        replica.store.take_in(before, head)
    said = git(replica.store.root, "commit", "--allow-empty", "-m", "by hand")
    assert "replica of https://primary.example.org" in said
    assert replica.store.head() == before
    assert follower.step()
    replica.store.be_replica_of("")
    assert write(replica, "promoted") == replica.store.head()


def test_a_write_that_changes_nothing_is_no_write(primary: Catalog, follow) -> None:
    replica = follow()._catalog
    assert write(replica, "one") == replica.store.head()


def test_what_nobody_has_foreseen_is_a_failure_like_others(primary: Catalog, follow, caplog) -> None:
    follower = follow()
    write(primary, "two")
    private = follower._catalog.store.private
    (private / "taken").mkdir()  # a file is to be there
    for _ in range(2):
        assert not follower.step()
    assert len([record for record in caplog.records if record.name == "catalogd.lookout"]) == 1
    assert "irectory" not in follower.status()["failure"]
    assert description_in(follower) == "one"
    (private / "taken").rmdir()


def test_closing_ends_what_waits(follow) -> None:
    follower = follow(interval=3600.0)
    thread = threading.Thread(target=follower.wait)
    thread.start()
    follower.close()
    thread.join(5)
    assert not thread.is_alive()
    assert not follower.step()


def test_a_clone_that_was_broken_off_is_begun_anew(primary: Catalog, tmp_path: Path) -> None:
    left = tmp_path / ".replica.clone-999999999"
    (left / ".git").mkdir(parents=True)
    begin_as_clone(tmp_path / "replica", str(primary.store.root))
    assert not left.exists()
    assert [path.name for path in tmp_path.iterdir() if "clone" in path.name] == []
    with pytest.raises(Exception, match="nowhere"):
        begin_as_clone(tmp_path / "second", str(tmp_path / "nowhere"))
    assert not (tmp_path / "second").exists()
    (tmp_path / "empty").mkdir()
    begin_as_clone(tmp_path / "empty", str(primary.store.root))
    Catalog.open(tmp_path / "empty").close()
