"""Several stores on one catalog, clones, directories that are none, and git's children."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading

import pytest
from store_tools import complaints, files_at, increment, put, put_all, run_git, start_writer

from catalogd.errors import AlreadyServed, NotACatalog, NotFound, StoreFailed
from catalogd.shared.shares import Shares
from catalogd.store import Change, Store, redo

pytestmark = pytest.mark.slow


def test_a_second_server_is_refused_with_the_id_of_the_first(root):
    server = start_writer(root, "serve", stdin=subprocess.PIPE)
    assert server.stdout.readline() == "serving\n"
    store = Store(root)
    with pytest.raises(AlreadyServed, match=rf"by process {server.pid}\."):
        store.hold_server_lock()
    assert put(store, "data/a/b.json", b"1\n").changed  # another command works beside it
    server.communicate("", timeout=10)
    store.hold_server_lock()
    store.close()


def test_a_server_that_was_killed_does_not_keep_the_next_one_out(root):
    server = start_writer(root, "serve", stdin=subprocess.PIPE)
    assert server.stdout.readline() == "serving\n"
    server.kill()
    server.communicate()
    store = Store(root)
    store.hold_server_lock()
    assert int((root / ".git/catalogd/server.lock").read_text()) == os.getpid()
    store.close()


def test_two_stores_see_each_others_writes_at_once(root, store):
    other = Store(root)
    for number in range(20):
        increment(store if number % 2 else other, "data/a/counter.json")
    assert store.snapshot().read("data/a/counter.json")[1] == b"20\n"
    assert other.head() == store.head()
    other.close()
    assert store.follow_index()
    assert complaints(root) == []


def test_a_write_gives_way_to_a_hand_and_not_to_the_index_that_another_process_has_written(root, store):
    other = Store(root)
    for number in range(3):
        put(store, "data/a/b.json", b"%d\n" % number)
        assert store.follow_index()
        assert not other._committer._has_staged()
    store.refresh_index()
    assert not other._committer._has_staged()
    (root / "by-hand").write_text("x")
    assert run_git(root, "add", "by-hand").returncode == 0
    assert other._committer._has_staged() and store._committer._has_staged()
    other.close()


def test_after_an_io_error_of_one_worker_no_other_takes_a_write(root):
    shares = Shares()
    stores = [Store(root, shares=shares) for _ in range(2)]
    stores[0]._committer.stop(OSError(errno.EIO, os.strerror(errno.EIO)))
    assert stores[1].failure == "Input/output error"
    with pytest.raises(StoreFailed, match="Input/output error"):
        put(stores[1], "data/a/b.json", b"1\n")
    for store in stores:
        store.close()


def test_a_worker_whose_file_was_written_after_all_holds_up_no_index(root, tmp_path):
    shares = Shares(2, tmp_path / "workers")
    store = Store(root, shares=shares)
    put(store, "data/a/b.json", b"1\n")
    with store.lock.held():
        store._committer.lags([Change("data/a/b.json", None, None)])
    put(store, "data/a/b.json", b"2\n")
    shares.lagging.be(1)
    assert not shares.lagging.is_up_elsewhere()
    store.close()


def test_a_sync_that_fails_before_files_are_replaced_ends_writes(root, store, monkeypatch):
    put(store, "data/a/b.json", b"1\n")
    store._redo.checkpoint()
    put(store, "data/a/b.json", b"2\n")

    def fails(_disk: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(redo, "sync_file_system", fails)
    with pytest.raises(OSError):
        store._worktree._before_replacing()
    assert store.failure == "Input/output error"


def test_stores_that_follow_the_index_at_once_leave_it_at_main(root):
    stores = [Store(root) for _ in range(3)]

    def write(store: Store, number: int, i: int) -> None:
        put(store, f"data/a/{i}.json", b"%d\n" % number)
        put(store, "data/a/shared.json", b"%d %d\n" % (number, i))
        store.follow_index()
        put(store, "data/a/shared.json", b"%d %d again\n" % (number, i))
        store.follow_index()

    for number in range(15):
        threads = [threading.Thread(target=write, args=(store, number, i)) for i, store in enumerate(stores)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stores[0].follow_index()
        assert complaints(root) == []
    for store in stores:
        store.close()


def test_a_plain_clone_is_adopted(root, store, tmp_path):
    schema = {"schemas/repository.schema.json": b"{}\n"}
    put_all(store, {"data/a/b.json": b"1\n", "data/c/d.json": b"1\n", **schema})
    assert run_git(tmp_path, "clone", "-q", str(root), "clone").returncode == 0
    clone = Store(tmp_path / "clone")
    assert put(clone, "data/a/b.json", b"2\n").changed
    clone.follow_index()
    assert complaints(tmp_path / "clone") == []
    assert files_at(root)["data/a/b.json"] == b"1\n"
    (tmp_path / "clone" / "by-hand.txt").write_bytes(b"1\n")
    run_git(tmp_path / "clone", "add", "by-hand.txt")
    put(clone, "data/a/b.json", b"3\n")
    assert run_git(tmp_path / "clone", "commit", "-m", "by hand").returncode != 0  # its hooks guard it
    clone.close()


def test_a_catalog_that_was_moved_is_still_guarded(root, tmp_path):
    Store(root).close()
    moved = tmp_path / "with a space # and more"
    root.rename(moved)
    store = Store(moved)
    put(store, "data/a/b.json", b"1\n")
    (moved / "by-hand.txt").write_bytes(b"1\n")
    run_git(moved, "add", "by-hand.txt")
    assert "it would undo" in run_git(moved, "commit", "-m", "by hand").stderr
    store.close()


def test_a_directory_that_is_no_catalog_is_refused_and_left_alone(tmp_path, root):
    plain, repository, file = tmp_path / "plain", tmp_path / "repository", tmp_path / "file"
    plain.mkdir()
    file.write_bytes(b"")
    run_git(tmp_path, "init", "-q", "repository")
    run_git(tmp_path, "init", "-q", "--bare", "bare.git")
    run_git(tmp_path, "init", "-q", "--object-format=sha256", "sha256")
    (tmp_path / "sha256" / "schemas").mkdir()
    (tmp_path / "sha256" / "schemas" / "repository.schema.json").write_bytes(b"{}\n")
    (repository / "data").mkdir()
    (root / "data").mkdir()
    for directory, words in [
        (plain, "is no git working tree"),
        (tmp_path / "missing", "is no git working tree"),
        (repository, "`catalogd init` makes one"),
        (tmp_path / "bare.git", "not the top of a git working tree"),
        (root / "data", "is no"),
        (tmp_path / "sha256", "SHA-1"),
    ]:
        with pytest.raises(NotACatalog, match=words):
            Store(directory)
    assert not (repository / ".git" / "catalogd").exists()
    assert list(plain.iterdir()) == []
    for directory in (repository, file):
        with pytest.raises(NotACatalog, match="a directory of its own"):
            Store.create(directory)


def test_a_catalog_can_be_made_in_an_empty_directory(tmp_path):
    Store.create(tmp_path / "new" / "deep")
    (tmp_path / "empty").mkdir()
    Store.create(tmp_path / "empty")
    store = Store(tmp_path / "empty")
    assert store.head() is None
    assert store.snapshot().names("data") == []
    assert store.close() is None


def test_a_commit_that_is_not_there_is_not_found(store):
    put(store, "data/a/b.json", b"1\n")
    tree = store.snapshot().root.id
    for commit in ("0" * 40, tree):
        with pytest.raises(NotFound):
            store.snapshot(commit)
    with pytest.raises(KeyError):
        store.blob("0" * 40)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_reads_go_on_when_the_git_that_reads_objects_is_killed(root, store, how):
    put_all(store, {f"data/a/{i}.json": b"%d\n" % i for i in range(50)})
    store.checkpoint()  # what the journal holds is read at opening
    reader = Store(root)
    killed = 0
    for number in range(50):
        path = f"data/a/{number}.json"
        child = reader._git._reader
        if number % 3 == 0 and child is not None:
            killed += 1
            child.send_signal(how)
            if number % 2:
                child.wait()
        assert reader.snapshot().read(path)[1] == b"%d\n" % number
    assert killed > 10
    reader.close()


def test_many_threads_read_and_write_at_once(root, store):
    put_all(store, {f"data/a/{i}.json": b"%d\n" % i for i in range(200)})
    reader = Store(root)
    wrong = []

    def read(start: int) -> None:
        for i in range(start, 200):
            found = reader.snapshot().read(f"data/a/{i}.json")
            if found is None or found[1] != b"%d\n" % i:
                wrong.append((i, found))

    threads = [threading.Thread(target=read, args=(i * 10,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for number in range(30):
        put(store, "data/b/x.json", b"%d\n" % number)
    for thread in threads:
        thread.join()
    assert wrong == []
    reader.close()


def test_no_descriptor_of_a_catalog_is_left_open_or_handed_to_a_child(root):
    Store(root).close()
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        store = Store(root)
        put(store, "data/a/b.json", os.urandom(8))
        store.follow_index()
        handed = [fd for fd in os.listdir("/proc/self/fd") if fd not in before and int(fd) > 2]
        assert not any(os.get_inheritable(int(fd)) for fd in handed if os.path.exists(f"/proc/self/fd/{fd}"))
        store.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_failed_opening_lets_go_of_everything(root):
    store = Store(root)
    before = len(os.listdir("/proc/self/fd"))
    with store.lock.held():
        for _ in range(3):
            with pytest.raises(Exception, match="lock"):
                Store(root, lock_timeout=0.01)
    assert len(os.listdir("/proc/self/fd")) == before
    store.close()
