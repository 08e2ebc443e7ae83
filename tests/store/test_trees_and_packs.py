"""What the store writes is what git reads: trees, packs, deltas."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_tools import complaints, files_at, put, put_all, run_git, wait_for

from catalogd.errors import Conflict
from catalogd.store import MissingObject, Store, blob_id
from catalogd.store.objects import EMPTY_TREE, FILE_MODE, TREE_MODE, Entry, Tree
from catalogd.store.pack import Pack, link_packs

NAMES = st.sampled_from(["a", "a-b", "a.b", "a0", "b", "z_z", "é", "a.json", "a.json.b", "0"])
PATHS = st.builds(
    lambda parts: "/".join([*(f"{part}_d" for part in parts[:-1]), f"{parts[-1]}.json"]),
    st.lists(NAMES, min_size=1, max_size=4),
)
CHANGES = st.dictionaries(PATHS, st.one_of(st.none(), st.binary(max_size=300)), min_size=1, max_size=6)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(CHANGES, min_size=1, max_size=12))
def test_any_sequence_of_changes_leaves_in_git_what_a_dictionary_would_have(sequence):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "catalog"
        Store.create(root)
        store = Store(root)
        model: dict[str, bytes] = {}
        for changes in sequence:
            before = dict(model)
            for path, data in changes.items():
                if data is None:
                    model.pop(path, None)
                else:
                    model[path] = data
            assert put_all(store, changes).changed == (model != before)
        assert store.follow_index() == (store.head() is not None)
        if store.head() is not None:
            assert files_at(root) == model
            assert {path: (root / path).read_bytes() for path in model} == model
        assert complaints(root) == []
        store.close()


ENTRIES = st.dictionaries(
    st.sampled_from(["a", "a-", "a-b", "a.", "a.b", "a0", "aa", "b", "B", "é"]),
    st.one_of(st.none(), st.sampled_from([Entry(FILE_MODE, "1" * 40), Entry(FILE_MODE, "2" * 40)])),
)


@given(st.lists(ENTRIES, max_size=6), st.sets(st.sampled_from(["d", "a_", "a-c", "a.c", "a/"[:1] + "1"])))
def test_a_tree_changed_one_by_one_is_the_tree_changed_at_once(changes, directories):
    base = Tree([], []).updated({name: Entry(TREE_MODE, "3" * 40) for name in directories})
    at_once: dict[str, Entry | None] = {}
    one_by_one = base
    for step in changes:
        at_once |= step
        for name, entry in step.items():
            one_by_one = one_by_one.updated({name: entry})
    assert one_by_one.raw == base.updated(at_once).raw
    assert Tree.parse(one_by_one.raw).id == one_by_one.id


def test_names_are_sorted_as_git_sorts_them(root, store):
    put_all(store, {f"data/{p}": b"x" for p in ("a/x", "a-b", "a.b", "a0", "a.json/y", "a.jso", "a.json-", "A")})
    store.follow_index()
    assert complaints(root) == []  # fsck knows the order
    listed = run_git(root, "ls-tree", "--name-only", "main:data").stdout.split()
    assert store.snapshot().names("data") == listed
    assert len(listed) == 8


def test_a_removed_file_takes_its_empty_directories_with_it(root, store):
    put_all(store, {"data/a/b/c.json": b"1", "data/d/e.json": b"2"})
    put(store, "data/a/b/c.json", None)
    assert run_git(root, "ls-tree", "-r", "-t", "--name-only", "main").stdout.split() == [
        "data", "data/d", "data/d/e.json",
    ]  # fmt: skip
    assert not (root / "data" / "a").exists()


def test_the_last_file_of_all_can_be_removed(root, store):
    put(store, "data/a/b.json", b"1")
    outcome = put(store, "data/a/b.json", None)
    assert store.snapshot(outcome.commit).root.id == EMPTY_TREE.id
    assert run_git(root, "ls-tree", "-r", "main").stdout == ""
    store.follow_index()
    assert complaints(root) == []


@pytest.mark.parametrize("together", [False, True])
def test_a_directory_and_a_file_cannot_have_one_name(store, together):
    put(store, "data/a", b"a file")
    files = {"data/a/b.json": b"1"} | ({"data/c.json": b"2"} if together else {})
    with pytest.raises(Conflict):
        put_all(store, files)


@pytest.mark.parametrize("old", [FILE_MODE, TREE_MODE])
@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_a_tree_refuses_to_turn_a_file_into_a_directory_or_back(old, names):
    new = TREE_MODE if old == FILE_MODE else FILE_MODE
    tree = EMPTY_TREE.updated({"a": Entry(old, "1" * 40)})
    with pytest.raises(Conflict, match="'a'"):
        tree.updated({name: Entry(new, "1" * 40) for name in names})


@pytest.mark.slow
def test_a_group_in_a_large_directory_is_written_as_deltas(root):
    store = Store(root)
    put_all(store, {f"data/n/{i:05}.json": b"%d" % i for i in range(5000)})
    put_all(store, {f"data/m{i:05}/x.json": b"%d" % i for i in range(5000)})
    inside, release = threading.Event(), threading.Event()

    def after_commit(*_):
        inside.set()
        release.wait(10)

    store.close()
    slow = Store(root, after_commit=after_commit)
    threads = [threading.Thread(target=put, args=(slow, "data/n/first.json", b"first"))]
    threads[0].start()
    assert inside.wait(10)
    packs = set((root / ".git" / "objects" / "pack").glob("*.pack"))
    for i in range(40):
        path, data = (f"data/n/{i * 97:05}.json", b"new") if i % 2 else (f"data/m{i * 97:05}/x.json", None)
        threads.append(threading.Thread(target=put, args=(slow, path, data)))
        threads[-1].start()
    wait_for(lambda: len(slow._committer._queue) == 40)
    release.set()
    for thread in threads:
        thread.join()
    slow.close()
    (pack,) = set((root / ".git" / "objects" / "pack").glob("*.pack")) - packs
    shown = run_git(root, "verify-pack", "-v", str(pack.with_suffix(".idx"))).stdout.splitlines()
    kinds = [line.split() for line in shown if len(line.split()) in (5, 7)]
    whole = [int(k[2]) for k in kinds if k[1] == "tree" and len(k) == 5]
    deltas = [int(k[2]) for k in kinds if k[1] == "tree" and len(k) == 7]
    assert sum(size > 100_000 for size in whole) == 2  # `data` and `data/n`, the first of each
    assert len(deltas) > 50
    assert max(deltas) < 200
    assert complaints(root) == []
    assert len(files_at(root)) == 10_001 - 20


@pytest.mark.parametrize("sizes", [[0], [1, 15, 16, 17], [127, 128, 2047, 2048], [70_000, 300_000, 0]])
def test_git_reads_every_size_of_object_from_a_pack(root, sizes):
    pack = Pack()
    wanted = {pack.add("blob", bytes(i % 251 for i in range(size))): size for size in sizes}
    pack.write(root / ".git" / "objects" / "pack", durable=True)
    for object_id, size in wanted.items():
        assert run_git(root, "cat-file", "-s", object_id).stdout.strip() == str(size)
    assert run_git(root, "fsck", "--strict", "--no-dangling").returncode == 0


def test_a_delta_can_reach_far_back_and_insert_long_runs(root):
    pack = Pack()
    tree = EMPTY_TREE.updated({f"{i:06}": Entry(FILE_MODE, blob_id(b"%d" % i)) for i in range(3)})
    for i in range(3):
        pack.add("blob", b"%d" % i)
    pack.add_tree(tree)
    pack.add("blob", bytes(range(256)) * 400)
    name = "x" * 250  # longer than one insert instruction takes
    pack.add("blob", b"new")
    for change in (
        {name: Entry(FILE_MODE, blob_id(b"new"))},
        {"000000": None},
        {"000002": None},
        {"0": None},
    ):
        tree = tree.updated(change)
        assert pack.add_tree(tree) == tree.id
    pack.write(root / ".git" / "objects" / "pack", durable=True)
    shown = subprocess.run(["git", "cat-file", "tree", tree.id], cwd=root, capture_output=True, check=True)
    assert shown.stdout == tree.raw
    assert run_git(root, "fsck", "--strict", "--no-dangling").returncode == 0


def test_packs_are_linked_as_a_whole_or_not_at_all(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for directory in (ours, theirs):
        directory.mkdir()
    pack, index = ours / "pack-1.pack", ours / "pack-1.idx"
    pack.write_bytes(b"objects")
    with pytest.raises(FileNotFoundError):
        link_packs([index, pack], theirs)
    assert list(theirs.iterdir()) == []
    index.write_bytes(b"where they are")
    for _ in range(2):  # what is there already is the same
        link_packs([index, pack], theirs)
    assert {file.name: file.read_bytes() for file in theirs.iterdir()} == {
        "pack-1.pack": b"objects",
        "pack-1.idx": b"where they are",
    }


def test_a_lost_object_among_many_is_named_and_hides_no_other(root, store):
    put_all(store, {f"data/a/{number}.json": b"%d\n" % number for number in range(100)})
    snapshot = store.snapshot()
    blobs = [snapshot.id_of(f"data/a/{number}.json") for number in range(100)]
    lost = "1" * 40
    with store.blobs([*blobs[:50], lost, *blobs[50:]]) as contents:
        assert [contents(blob) for blob in blobs[:50]] == [b"%d\n" % number for number in range(50)]
        with pytest.raises(MissingObject, match=lost):
            contents(lost)
        assert [contents(blob) for blob in blobs[50:]] == [b"%d\n" % number for number in range(50, 100)]


def test_a_tree_that_a_revert_has_made_the_newest_again_stays_in_memory(store):
    for data in (b"1\n", b"2\n", b"1\n"):
        put(store, "data/a/b.json", data)
    newest = store.snapshot().id_of("data/a")
    for number in range(5):
        put(store, "data/other/c.json", b"%d\n" % number)
    assert newest in store._objects._trees
