"""Folding packs goes on beside reads and writes and loses nothing."""

from __future__ import annotations

import threading

import pytest
from store_tools import complaints, files_at, increment, put, put_all, run_git

from catalogd.store import Store


def test_an_empty_catalog_can_be_folded(store):
    store.maintenance.fold()
    store.maintenance.full()
    assert store.maintenance.packs() == 0


@pytest.mark.parametrize("how", ["fold", "full"])
def test_folding_leaves_few_packs_and_all_objects(root, store, how):
    for number in range(60):
        put(store, f"data/a/{number % 7}.json", b"%d\n" % number)
    before = files_at(root)
    assert store.maintenance.packs() == 60
    getattr(store.maintenance, how)()
    assert store.maintenance.packs() < 8
    assert files_at(root) == before
    assert len(list(store.log(None, store.head()))) == 60
    store.follow_index()
    assert complaints(root) == []


def test_full_maintenance_keeps_what_is_not_reachable_yet(root, store):
    put(store, "data/a/b.json", b"1\n")
    blob = run_git(root, "hash-object", "-w", "--stdin").stdout.strip()  # of a commit that a hand is making
    for _ in range(2):
        store.maintenance.full()
        assert run_git(root, "cat-file", "-e", blob).returncode == 0


@pytest.mark.slow
def test_writers_and_readers_go_on_while_packs_are_folded(root):
    store, reader = Store(root), Store(root)
    put_all(store, {f"data/a/{i}.json": b"%d\n" % i for i in range(300)})
    stopped = threading.Event()
    counts = [0] * 4
    wrong: list[object] = []

    def write(i: int) -> None:
        while not stopped.is_set():
            increment(store, f"data/b/{i}.json")
            counts[i] += 1

    def read() -> None:
        while not stopped.is_set():
            fresh = Store(root)
            for i in range(0, 300, 17):
                for each in (fresh, reader):
                    found = each.snapshot().read(f"data/a/{i}.json")
                    if found is None or found[1] != b"%d\n" % i:
                        wrong.append((i, found))
            fresh.close()

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            store.maintenance.fold()
            reader.maintenance.fold()
            store.maintenance.full()
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert [int(store.snapshot().read(f"data/b/{i}.json")[1]) for i in range(4)] == counts
    assert run_git(root, "rev-list", "--count", "main").stdout.strip() == str(sum(counts) + 1)
    reader.close()
    store.follow_index()
    assert complaints(root) == []
    store.close()


def test_full_maintenance_leaves_a_bitmap_and_folds_keep_it(store):
    put_all(store, {f"data/a/{i}.json": b"%d\n" % i for i in range(100)})
    assert not store.maintenance.has_bitmap()
    store.maintenance.full()
    for number in range(3):
        put(store, "data/b/c.json", b"%d\n" % number)
    store.maintenance.fold()
    assert store.maintenance.packs() == 2
    assert store.maintenance.has_bitmap()


@pytest.mark.slow
def test_two_that_fold_at_the_same_time_take_turns(root, store):
    """As a server does and a command beside it; git fails over a pack that has gone while it looks at it."""
    other = Store(root)
    failed: list[Exception] = []

    def fold(maintenance, how: str) -> None:
        try:
            for _ in range(4):
                getattr(maintenance, how)()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=fold, args=(each.maintenance, how)) for each in (store, other) for how in
               ("fold", "full")]  # fmt: skip
    for thread in threads:
        thread.start()
    for number in range(60):
        put(store, f"data/a/{number % 7}.json", b"%d\n" % number)
    for thread in threads:
        thread.join()
    other.close()
    assert failed == []
    store.follow_index()
    assert complaints(root) == []
