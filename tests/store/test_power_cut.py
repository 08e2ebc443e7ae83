"""A catalog on a disk whose power is cut; see cut_off_disk.py."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from store_tools import complaints, files_at, put, run_git, start_writer

from catalogd.catalog import Catalog
from catalogd.store import Draft, Edit, Store

pytestmark = pytest.mark.slow


@pytest.fixture
def catalog(disk) -> Path:
    """A catalog on that disk, in which everything is written out."""
    root = disk.root / "catalog"
    Store.create(root)
    store = Store(root)
    put(store, "data/a/base.json", b"base\n")
    store.close()
    subprocess.run(["sync"], check=True)
    return root


def abandon(store: Store) -> None:
    """Forget a store as a power cut does: nothing is brought up to date."""
    store._let_go()


def test_what_was_acknowledged_is_there_after_a_power_cut(disk, catalog):
    store = Store(catalog)
    commits = [put(store, f"data/a/{n}.json", b"%d\n" % n).commit for n in range(20)]
    abandon(store)
    disk.cut()
    Store(catalog).close()
    assert run_git(catalog, "rev-parse", "main").stdout.strip() == commits[-1]
    files = files_at(catalog)
    assert [files[f"data/a/{n}.json"] for n in range(20)] == [b"%d\n" % n for n in range(20)]
    assert complaints(catalog) == []


def test_a_power_cut_between_a_checkpoint_and_later_writes_keeps_both(disk, catalog):
    store = Store(catalog)
    put(store, "data/a/before.json", b"1\n")
    store.checkpoint()
    put(store, "data/a/after.json", b"2\n")
    abandon(store)
    disk.cut()
    Store(catalog).close()
    files = files_at(catalog)
    assert files["data/a/before.json"] == b"1\n"
    assert files["data/a/after.json"] == b"2\n"
    assert complaints(catalog) == []


def test_a_commit_by_hand_that_writes_were_built_on_is_as_durable_as_they(disk, catalog):
    store = Store(catalog)
    put(store, "data/a/one.json", b"1\n")
    store.follow_index()
    (catalog / "data/a/hand.json").write_bytes(b"by hand\n")
    run_git(catalog, "add", "data/a/hand.json")
    assert run_git(catalog, "commit", "-q", "-m", "By hand").returncode == 0
    put(store, "data/a/two.json", b"2\n")
    abandon(store)
    disk.cut()
    Store(catalog).close()
    files = files_at(catalog)
    assert files["data/a/hand.json"] == b"by hand\n"
    assert files["data/a/two.json"] == b"2\n"
    assert complaints(catalog) == []


def fetched(store: Store, catalog: Path, tmp_path: Path) -> str:
    """A commit of another repository, as a fetch brings it."""
    run_git(tmp_path, "clone", "-q", str(catalog), "clone")
    (tmp_path / "clone/data/a/theirs.json").write_bytes(b"theirs\n")
    run_git(tmp_path / "clone", "add", ".")
    assert run_git(tmp_path / "clone", "commit", "-q", "-m", "In the clone").returncode == 0
    commit = store.remote(str(tmp_path / "clone")).fetch()
    assert commit is not None
    return commit


@pytest.mark.parametrize("later", [True, False])
def test_what_was_taken_in_is_there_after_a_power_cut(disk, catalog, tmp_path, later):
    store = Store(catalog)
    put(store, "data/a/before.json", b"1\n")
    commit = fetched(store, catalog, tmp_path)
    store.take_in(store.head(), commit)
    newest = put(store, "data/a/after.json", b"2\n").commit if later else commit
    abandon(store)
    disk.cut()
    Store(catalog).close()
    assert run_git(catalog, "rev-parse", "main").stdout.strip() == newest
    files = files_at(catalog)
    assert (files["data/a/before.json"], files["data/a/theirs.json"]) == (b"1\n", b"theirs\n")
    assert complaints(catalog) == []


@pytest.mark.parametrize("later", [True, False])
def test_a_merge_is_there_after_a_power_cut_with_both_its_lines(disk, catalog, tmp_path, later):
    store = Store(catalog)
    commit = fetched(store, catalog, tmp_path)
    ours = put(store, "data/a/ours.json", b"ours\n").commit
    draft = Draft("Merge", {"data/a/theirs.json": b"theirs\n"})
    newest = store.submit(Edit("alice", "alice@example.org", lambda _: draft, merges=commit)).commit
    if later:
        newest = put(store, "data/a/after.json", b"2\n").commit
    abandon(store)
    disk.cut()
    Store(catalog).close()
    assert run_git(catalog, "rev-parse", "main").stdout.strip() == newest
    assert {ours, commit} <= set(run_git(catalog, "rev-list", "main").stdout.split())
    assert files_at(catalog)["data/a/theirs.json"] == b"theirs\n"
    assert complaints(catalog) == []


def test_a_group_that_is_too_large_for_the_journal_is_durable_too(disk, catalog):
    store = Store(catalog)
    put(store, "data/a/large.json", os.urandom(6 << 20))
    put(store, "data/a/small.json", b"2\n")
    large = (catalog / "data/a/large.json").read_bytes()
    abandon(store)
    disk.cut()
    Store(catalog).close()
    files = files_at(catalog)
    assert files["data/a/large.json"] == large
    assert files["data/a/small.json"] == b"2\n"


def test_packs_that_were_folded_just_before_the_cut_lose_nothing(disk, catalog):
    store = Store(catalog)
    for n in range(30):
        put(store, f"data/a/{n}.json", b"%d\n" % n)
    store.maintenance.fold()
    put(store, "data/a/last.json", b"last\n")
    abandon(store)
    disk.cut()
    Store(catalog).close()
    files = files_at(catalog)
    assert files["data/a/29.json"] == b"29\n"
    assert files["data/a/last.json"] == b"last\n"
    assert complaints(catalog) == []


def test_the_read_model_agrees_with_git_after_a_power_cut(disk, catalog):
    opened = Catalog.open(catalog)
    put(opened.store, "data/a/doc.json", b'{"namespace": "a", "repo_name": "doc"}\n')
    opened.store._let_go()
    opened._mirror.model.close()
    disk.cut()
    again = Catalog.open(catalog)
    try:
        faults = {examined.what: examined.faults for examined in again.examine()}
    finally:
        again.close()
    assert faults["read model"] == []


@pytest.mark.parametrize("cut", range(5))
def test_the_power_can_be_cut_in_the_middle_of_writes(disk, catalog, cut):
    writer = start_writer(catalog, "stream", "data/a")
    lines = [writer.stdout.readline() for _ in range(40 + 57 * cut)]
    disk.shut_down()
    writer.kill()
    lines += writer.communicate()[0].splitlines(keepends=True)
    disk.remount()
    acknowledged = {line.split()[2] for line in lines if line.endswith("\n")}
    Store(catalog).close()
    assert acknowledged - set(run_git(catalog, "rev-list", "main").stdout.split()) == set()
    assert complaints(catalog) == []
