"""Edits become commits: one each, in groups, durable and alone in their failures."""

from __future__ import annotations

import errno
import threading
import time

import pytest
from store_tools import (
    complaints,
    draft_of,
    files_at,
    increment,
    packs_of,
    put,
    put_all,
    run_git,
    start_writer,
    wait_for,
)

from catalogd.errors import AlreadyExists, CatalogdError, NotFound
from catalogd.store import Draft, Edit, Store

COUNTER = "data/a/counter.json"


def in_one_group(store: Store, edits: list[Edit]) -> list:
    """Submit edits while the catalog's lock is held, so that all wait together; their outcomes or errors."""
    results: list = [None] * len(edits)

    def submit(i: int) -> None:
        try:
            results[i] = store.submit(edits[i])
        except CatalogdError as error:
            results[i] = error

    with store.lock.held():
        # The first leads a group of its own and waits for the lock; the others are queued in order behind it.
        threads = [threading.Thread(target=put, args=(store, "leader.json", str(time.time()).encode()))]
        threads[0].start()
        wait_for(lambda: store._committer._is_led and not store._committer._queue)
        for i in range(len(edits)):
            threads.append(threading.Thread(target=submit, args=(i,)))
            threads[-1].start()
            wait_for(lambda waiting=i + 1: len(store._committer._queue) >= waiting)
    for thread in threads:
        thread.join()
    return results


def commits(store: Store) -> list:
    return list(store.log(None, store.head()))


def test_a_write_that_cannot_look_out_for_hands_is_made_once(root, store, monkeypatch):
    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(store._committer, "_give_way", fail)
    put(store, "data/a/one.json", b"1")
    monkeypatch.undo()
    put(store, "data/a/two.json", b"2")
    assert len(commits(store)) == 2
    assert not store._committer._queue


def test_an_edit_makes_one_commit_of_its_author(root, store):
    edit = Edit("Ann Ö", "ann@example.org", draft_of({"data/a/b.json": b"1\n"}, "Create a/b"), {"Request-Id": "r-1"})
    outcome = store.submit(edit)
    assert outcome.changed
    assert store.head() == outcome.commit == run_git(root, "rev-parse", "main").stdout.strip()
    shown = run_git(root, "log", "--format=%an|%ae|%cn|%ce|%B").stdout.strip()
    assert shown == "Ann Ö|ann@example.org|catalogd|catalogd@localhost|Create a/b\n\nRequest-Id: r-1"
    assert run_git(root, "log", "--format=%(trailers:key=Request-Id,valueonly)").stdout.strip() == "r-1"
    assert (root / "data/a/b.json").read_bytes() == b"1\n"


def test_what_a_caller_is_called_cannot_break_a_commit(root, store):
    trailers = {"Request-Id": "r\n\nForged: yes\0"}
    edit = Edit("A <b>\nc\0", "x>\ny", draft_of({"a.json": b"1"}, "one\0two\n"), trailers)
    store.submit(edit)
    (commit,) = commits(store)
    assert (commit.author, commit.email) == ("A bc", "xy")
    assert commit.message == "onetwo\n\nRequest-Id: r Forged: yes"
    store.follow_index()
    assert complaints(root) == []


def test_an_unchanged_edit_makes_no_commit(store):
    first = put(store, "data/a/b.json", b"1")
    for edit in (draft_of({"data/a/b.json": b"1"}), draft_of({"data/x/y.json": None}), lambda reading: None):
        outcome = store.submit(Edit("alice", "", edit))
        assert (outcome.changed, outcome.commit) == (False, first.commit)
    assert len(commits(store)) == 1


def test_an_edit_leaves_out_the_files_that_it_does_not_change(store):
    put_all(store, {"data/a/b.json": b"1", "data/a/c.json": b"1"})
    put_all(store, {"data/a/b.json": b"1", "data/a/c.json": b"2"})
    assert [change.path for change in commits(store)[-1].changes] == ["data/a/c.json"]


def test_edits_that_wait_together_are_one_pack_and_a_commit_each(root, store):
    packs = packs_of(root)
    outcomes = in_one_group(store, [Edit("a", "", draft_of({f"data/a/{i}.json": b"x"})) for i in range(20)])
    assert len(packs_of(root) - packs) == 2  # the leader's and theirs
    assert [o.commit for o in outcomes] == [c.id for c in commits(store)][1:]
    store.follow_index()
    assert complaints(root) == []


def test_two_edits_of_one_path_in_one_group_build_on_each_other(root, store):
    put(store, COUNTER, b"0\n")

    def count(reading):
        return Draft("Count", {COUNTER: b"%d\n" % (int(reading.read(COUNTER)[1]) + 1)})

    outcomes = in_one_group(store, [Edit("a", "", count) for _ in range(5)])
    assert all(outcome.changed for outcome in outcomes)
    assert (root / COUNTER).read_bytes() == b"5\n"
    assert [store.snapshot(o.commit).read(COUNTER)[1] for o in outcomes] == [b"%d\n" % (i + 1) for i in range(5)]


def test_a_draft_that_raises_fails_alone(store):
    put(store, "data/b/there.json", b"1")

    def refuse(reading):
        reading.read("leader.json")
        if reading.commit is None or reading.read("data/a/0.json"):
            raise NotFound("refused under the lock")
        return Draft("x", {"data/a/refused.json": b"1"})

    edits = [Edit("a", "", draft_of({f"data/a/{i}.json": b"x"})) for i in range(3)]
    edits.insert(1, Edit("a", "", refuse))
    outcomes = in_one_group(store, edits)
    assert [type(outcome).__name__ for outcome in outcomes] == ["Outcome", "NotFound", "Outcome", "Outcome"]
    assert store.snapshot().names("data/a") == ["0.json", "1.json", "2.json"]


def test_a_draft_that_raises_at_once_never_waits(store):
    def refuse(reading):
        raise NotFound("at once")

    with store.lock.held(), pytest.raises(NotFound):
        store.submit(Edit("a", "", refuse))


def test_a_draft_is_run_again_under_the_lock_when_what_it_read_has_changed(store):
    put_all(store, {"data/a/x.json": b"1", "data/a/y.json": b"1"})
    runs = {"x": [], "y": []}

    def draft(name):
        def run(reading):
            runs[name].append(reading.read(f"data/a/{name}.json")[1])
            return Draft("x", {f"data/b/{name}.json": runs[name][-1]})

        return run

    edits = [
        Edit("a", "", draft_of({"data/a/x.json": b"2"})),
        Edit("a", "", draft("x")),
        Edit("a", "", draft("y")),
    ]
    in_one_group(store, edits)
    assert runs == {"x": [b"1", b"2"], "y": [b"1"]}
    assert store.snapshot().read("data/b/x.json")[1] == b"2"


def test_an_error_that_rests_on_an_edit_of_the_same_group_falls_with_it(root, store, monkeypatch):
    """Only one of two may create; where the disk is too full for it, the other is not told that it exists."""

    def create(reading):
        if reading.read("data/a/new.json"):
            raise AlreadyExists("it is there")
        return Draft("Create", {"data/a/new.json": b"1"})

    put(store, "data/a/b.json", b"1")

    def no_room(group):
        if len(group.commits) == 1 and "data/a/new.json" in group.files:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._committer, "_require_space", no_room)
    outcomes = in_one_group(store, [Edit("a", "", create), Edit("b", "", create)])
    assert [type(outcome).__name__ for outcome in outcomes] == ["NoSpace", "NoSpace"]


def test_a_document_can_be_renamed_in_a_directory_of_its_own(root, store):
    put(store, "data/a/old.json", b"1")
    put_all(store, {"data/a/old.json": None, "data/a/new.json": b"1"})
    assert [p.name for p in (root / "data" / "a").iterdir()] == ["new.json"]
    store.follow_index()
    assert complaints(root) == []


def test_the_log_tells_what_each_commit_changed(store):
    put(store, "data/a/b.json", b"1")
    put(store, "data/a/b.json", b"2")
    put(store, "data/a/b.json", None)
    changes = [commit.changes[0] for commit in commits(store)]
    assert [(c.old is None, c.new is None) for c in changes] == [(True, False), (False, False), (False, True)]
    assert changes[0].new == changes[1].old
    assert store.blob(changes[1].new) == b"2"


def test_after_commit_is_told_of_all_commits_of_a_group_in_order(root):
    told = []
    store = Store(root, after_commit=lambda parent, commits, blobs: told.append((parent, commits, blobs)))
    put(store, "data/a/b.json", b"1")
    in_one_group(store, [Edit("a", "", draft_of({f"data/a/{i}.json": b"%d" % i})) for i in range(3)])
    assert told[-1][0] == told[-2][1][-1].id
    assert [commit.changes[0].path for commit in told[-1][1]] == [f"data/a/{i}.json" for i in range(3)]
    assert set(told[-1][2].values()) == {b"0", b"1", b"2"}
    assert [c for _, group, _ in told for c in group] == list(store.log(None, store.head()))
    store.close()


def test_what_after_commit_raises_does_not_undo_a_durable_commit(root):
    def broken(*_):
        raise RuntimeError("the read model is broken")

    store = Store(root, after_commit=broken)
    assert put(store, "data/a/b.json", b"1").changed
    assert files_at(root) == {"data/a/b.json": b"1"}
    store.close()


@pytest.mark.slow
def test_no_update_of_sixteen_threads_is_lost(root, store):
    def count():
        for _ in range(20):
            increment(store, COUNTER)

    threads = [threading.Thread(target=count) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.snapshot().read(COUNTER)[1] == b"320\n"
    assert run_git(root, "rev-list", "--count", "main").stdout.strip() == "320"
    store.follow_index()
    assert complaints(root) == []


@pytest.mark.slow
def test_no_update_of_several_processes_is_lost(root, store):
    put(store, "data/a/other.json", b"1")
    writers = [start_writer(root, "count", COUNTER, "40") for _ in range(4)]
    for _ in range(40):
        increment(store, COUNTER)
    acknowledged = [line for writer in writers for line in writer.communicate(timeout=60)[0].split()]
    assert [writer.returncode for writer in writers] == [0] * 4
    assert len(set(acknowledged)) == 160
    assert store.snapshot().read(COUNTER)[1] == b"200\n"
    in_main = set(run_git(root, "rev-list", "main").stdout.split())
    assert set(acknowledged) <= in_main
    assert len(in_main) == 201
    store.follow_index()
    assert complaints(root) == []


def test_main_gets_its_new_commit_only_once_that_is_durable(root, store):
    """Its file takes turns with others: one of them may be what the disk still has as main."""
    put(store, "data/a/one.json", b"0\n")
    refs = root / ".git/refs/heads"

    def contents() -> str:
        files = [*(root / ".git/catalogd/scratch").iterdir(), *refs.iterdir()]
        return "".join(file.read_text("latin-1") for file in files)

    secure = store._redo.secure
    seen = []

    def looking(group):
        seen.append(group.newest in contents())
        done = secure(group)
        seen.append(group.newest in contents())
        return done

    store._redo.secure = looking
    for number in range(1, 20):
        outcome = put(store, "data/a/one.json", b"%d\n" % number)
        assert (refs / "main").read_text() == f"{outcome.commit}\n"
    assert seen == [False] * 38


def test_a_store_leaves_no_file_of_its_locks_behind(root):
    store = Store(root)
    for number in range(20):
        put(store, "data/a/one.json", b"%d\n" % number)
        assert store.follow_index()
    head = store.head()
    store.close()
    assert list((root / ".git/catalogd/scratch").iterdir()) == []
    assert run_git(root, "rev-parse", "main").stdout.strip() == head
