"""Commits of others become main: all at once, durable, and never over what a hand or a write has done."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalogd.errors import EditedByHand
from catalogd.store import Moved, Store
from tests.store.store_tools import files_at, put, put_all, run_git

PATH = "data/acme/web.json"


@pytest.fixture
def store(root):
    store = Store(root)
    put_all(store, {PATH: b"one\n", "data/acme/old.json": b"old\n"})
    store.follow_index()
    yield store
    store.close()


def theirs(root: Path, tmp_path: Path) -> str:
    """A commit on top of main whose objects the catalog has, as after a fetch."""
    clone = tmp_path / "clone"
    run_git(tmp_path, "clone", "-q", str(root), "clone")
    (clone / PATH).write_text("two\n")
    (clone / "data/acme/old.json").unlink()
    (clone / "data/new").mkdir()
    (clone / "data/new/web.json").write_text("new\n")
    run_git(clone, "add", "-A")
    run_git(clone, "commit", "-qm", "In the clone")
    run_git(root, "fetch", "-q", str(clone), "main:refs/catalogd/fetched")
    return run_git(root, "rev-parse", "refs/catalogd/fetched").stdout.strip()


def test_main_files_and_index_follow(store, root, tmp_path):
    commit = theirs(root, tmp_path)
    store.take_in(store.head(), commit)
    assert store.head() == commit
    assert (root / PATH).read_text() == "two\n"
    assert not (root / "data/acme/old.json").exists()
    assert store.status() == []
    assert store.fsck() == []


def test_writes_go_on_from_there_and_survive_an_opening(store, root, tmp_path):
    commit = theirs(root, tmp_path)
    put(store, "data/acme/more.json", b"more\n")
    with pytest.raises(Moved):
        store.take_in(run_git(root, "rev-parse", "main^").stdout.strip(), commit)
    run_git(tmp_path / "clone", "pull", "-q", "--rebase")
    run_git(root, "fetch", "-q", str(tmp_path / "clone"), "+main:refs/catalogd/fetched")
    commit = run_git(root, "rev-parse", "refs/catalogd/fetched").stdout.strip()
    store.take_in(store.head(), commit)
    put(store, PATH, b"three\n")
    again = Store(root)
    try:
        assert files_at(root)[PATH] == b"three\n"
        assert files_at(root)["data/new/web.json"] == b"new\n"
        assert again.contains(again.head(), commit)
        assert again.status() == []
    finally:
        again.close()


def test_a_file_that_a_hand_has_edited_is_named_and_nothing_moves(store, root, tmp_path):
    commit, before = theirs(root, tmp_path), store.head()
    (root / PATH).write_text("by hand\n")
    with pytest.raises(EditedByHand, match=PATH):
        store.take_in(before, commit)
    assert store.head() == before
    assert (root / PATH).read_text() == "by hand\n"


def test_where_the_objects_cannot_be_brought_main_stays(store, root, tmp_path):
    commit, before = theirs(root, tmp_path), store.head()

    def fail() -> None:
        raise KeyError("no pack")

    with pytest.raises(KeyError):
        store.take_in(before, commit, fail)
    assert store.head() == before
    assert (root / PATH).read_text() == "one\n"


def test_a_commit_by_hand_from_before_does_not_undo_what_was_taken_in(store, root, tmp_path):
    commit = theirs(root, tmp_path)
    index = (root / ".git/index").read_bytes()
    store.take_in(store.head(), commit)
    # As a git has it that read the index before: of the present main it is a parent, with the old content.
    (root / ".git/index").write_bytes(index)
    done = run_git(root, "commit", "-qm", "Stale")
    assert done.returncode != 0
    assert PATH in done.stderr
    assert store.head() == commit


def test_a_link_that_git_has_checked_out_is_no_edit_of_a_hand(store, root, tmp_path):
    (root / "link").symlink_to(PATH)
    run_git(root, "add", "link")
    assert run_git(root, "commit", "-qm", "A link").returncode == 0
    clone = tmp_path / "clone"
    run_git(tmp_path, "clone", "-q", str(root), "clone")
    run_git(clone, "rm", "-q", "link")
    run_git(clone, "commit", "-qm", "Take it away")
    run_git(root, "fetch", "-q", str(clone), "main:refs/catalogd/fetched")
    commit = run_git(root, "rev-parse", "refs/catalogd/fetched").stdout.strip()
    store.take_in(store.head(), commit)
    assert not (root / "link").is_symlink()
    assert (root / PATH).read_text() == "one\n"
    assert store.follow_index()
    assert store.status() == []
