"""Opening a catalog mends what a kill or a power cut has left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from store_tools import complaints, files_at, increment, litter, put, put_all, run_git, start_writer, wait_for

from catalogd.errors import EditedByHand
from catalogd.store import Store

pytestmark = pytest.mark.slow

DOCUMENT = "data/a/b.json"


def dead_process() -> int:
    """The id of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def age(path, seconds: float = 60) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


@pytest.fixture
def there(root):
    """A catalog with one document, closed."""
    store = Store(root)
    put(store, DOCUMENT, b"1\n")
    store.close()
    return root


def follow_again_from(root, commit: str) -> None:
    """As if the process had ended before the index and the files followed main from there on."""
    (root / ".git/catalogd/followed").write_text(f"{commit} {time.time() - 5:.3f}\n")


def test_a_writer_can_be_killed_at_any_time(root):
    rng = random.Random(7)
    acknowledged: dict[str, tuple[int, str]] = {}
    commits: set[str] = set()
    for attempt in range(12):
        writer = start_writer(root, "stream", f"data/n{attempt % 3}")
        first = writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.15))
        writer.send_signal(signal.SIGKILL)
        lines = [first, *writer.communicate(timeout=20)[0].splitlines()]
        for line in lines:
            if len(line.split()) == 3 and len(line.split()[2]) == 40:
                path, number, commit = line.split()
                acknowledged[path] = (int(number), commit)
                commits.add(commit)
        store = Store(root)
        assert complaints(root) == []
        assert commits <= set(run_git(root, "rev-list", "main").stdout.split())
        now = files_at(root)
        for path, (number, commit) in acknowledged.items():
            since = run_git(root, "rev-list", f"{commit}..main", "--", path).stdout.split()
            if not since:
                assert now.get(path) == (None if number % 7 == 6 else b"%d\n" % number)
        store.close()
    assert len(commits) > 24
    assert litter(root) == []


@pytest.mark.parametrize("value", [b"0\n", b"2\n", b"3\n", b"4\n"])
def test_a_file_that_a_kill_left_at_any_value_between_is_brought_up(root, value):
    store = Store(root)
    put(store, DOCUMENT, b"0\n")
    store.follow_index()
    before = store.head()
    for i in range(1, 5):
        put(store, DOCUMENT, b"%d\n" % i)
    store.close()
    follow_again_from(root, before)
    (root / DOCUMENT).write_bytes(value)
    store = Store(root)
    assert (root / DOCUMENT).read_bytes() == b"4\n"
    assert complaints(root) == []
    assert put(store, DOCUMENT, b"5\n").changed
    store.close()


def test_a_kill_before_the_index_ever_followed_leaves_nothing_staged(root):
    store = Store(root)
    put_all(store, {DOCUMENT: b"1\n", "data/c/d.json": b"1\n"})
    store._let_go()  # as a kill does: without following
    assert run_git(root, "status", "--porcelain").stdout != ""
    store = Store(root)
    assert complaints(root) == []
    store.close()


def test_a_kill_between_the_index_and_the_note_of_it_leaves_nothing_staged(root):
    store = Store(root)
    put(store, DOCUMENT, b"1\n")
    store.follow_index()
    first = store.head()
    put(store, DOCUMENT, b"2\n")
    store.follow_index()
    follow_again_from(root, first)
    put(store, DOCUMENT, b"3\n")
    store.close()
    assert complaints(root) == []


@pytest.mark.parametrize("torn", [b"", b"1", bytes(300), b"123" + bytes(200)])
@pytest.mark.parametrize("followed", [False, True])
def test_a_file_that_a_power_cut_has_torn_is_made_whole(there, torn, followed):
    store = Store(there)
    before = store.head()
    put(store, "data/a/long.json", b"1234567890" * 50)
    store.follow_index()
    store._let_go()  # before a checkpoint
    if not followed:
        follow_again_from(there, before)
    (there / "data/a/long.json").write_bytes(torn)
    store = Store(there)
    assert (there / "data/a/long.json").read_bytes() == b"1234567890" * 50
    assert complaints(there) == []
    store.close()


def test_a_file_that_was_there_at_a_checkpoint_is_a_hands_to_empty(there):
    (there / DOCUMENT).write_bytes(b"")
    Store(there).close()
    assert (there / DOCUMENT).read_bytes() == b""


def test_a_file_that_followed_late_is_made_whole_though_a_checkpoint_knew_its_commit(there):
    store = Store(there)
    first, second = store.head(), put(store, DOCUMENT, b"1234567890" * 50).commit
    store.follow_index()
    (there / DOCUMENT).write_bytes(b"1\n")  # as if it had not followed
    store.checkpoint()
    with store.lock.held():
        store.follow_others(first, second)
    store._let_go()
    (there / DOCUMENT).write_bytes(b"12345")
    Store(there).close()
    assert (there / DOCUMENT).read_bytes() == b"1234567890" * 50


def test_a_file_edited_by_hand_outlives_recovery(there):
    store = Store(there)
    before = store.head()
    put(store, DOCUMENT, b"2\n")
    store.close()
    follow_again_from(there, before)
    (there / DOCUMENT).write_bytes(b"by hand\n")
    store = Store(there)
    assert (there / DOCUMENT).read_bytes() == b"by hand\n"
    with pytest.raises(EditedByHand):
        put(store, DOCUMENT, b"3\n")
    store.close()


LOCKS = ["refs/heads/main.lock", "HEAD.lock", "index.lock"]


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_of_a_dead_git_is_removed(there, name):
    (there / ".git" / name).write_bytes(b"")
    age(there / ".git" / name)
    started = time.monotonic()
    store = Store(there)
    assert time.monotonic() - started < 2
    assert put(store, DOCUMENT, b"2\n").changed
    assert store.follow_index()
    assert complaints(there) == []
    store.close()


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_of_a_git_that_died_just_now_is_waited_for(there, name):
    (there / ".git" / name).write_bytes(b"")
    store = Store(there)
    assert not (there / ".git" / name).exists()
    store.close()


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("same_id", [False, True])
def test_the_lock_of_a_dead_catalogd_is_removed_at_once(there, name, same_id):
    """It is known by a second link, which tells whose it is; in a container the next has the same id."""
    pid = os.getpid() if same_id else dead_process()
    own = there / ".git/catalogd/scratch" / f"{pid}-lock-{name.rpartition('/')[2].removesuffix('.lock')}-0"
    own.write_bytes(b"")
    if same_id:
        age(own, 100_000)
    os.link(own, there / ".git" / name)
    started = time.monotonic()
    store = Store(there)
    assert time.monotonic() - started < 2
    assert complaints(there) == []
    assert put(store, DOCUMENT, b"2\n").changed
    store.close()


@pytest.mark.parametrize(
    "arguments", [[], *(pytest.param(["-m", message], marks=pytest.mark.slow) for message in ("log", "by hand"))]
)
def test_the_lock_of_a_living_git_is_respected(there, arguments):
    (there / "by-hand.txt").write_bytes(b"1\n")
    run_git(there, "add", "by-hand.txt")
    command = ["git", "-c", "catalogd.python=/bin/true", "commit", "-a", "-e", *arguments]
    environment = {**os.environ, "GIT_EDITOR": "sh -c 'touch .git/editing; sleep 30'"}
    hand = subprocess.Popen(command, cwd=there, env=environment, start_new_session=True)
    try:
        wait_for((there / ".git/editing").exists)
        age(there / ".git/index.lock")
        started = time.monotonic()
        store = Store(there)
        assert time.monotonic() - started < 1  # nobody is kept waiting either
        put(store, DOCUMENT, b"2\n")
        assert not store.follow_index()
        assert (there / ".git/index.lock").exists()
    finally:
        os.killpg(hand.pid, signal.SIGKILL)
        hand.wait()
    store.close()
    store = Store(there)
    assert run_git(there, "status", "--porcelain").stdout == "A  by-hand.txt\n"
    store.close()


def test_a_git_that_is_killed_while_it_commits_leaves_nothing_in_the_way(there):
    rng = random.Random(3)
    for number in range(12):
        (there / "by-hand.txt").write_text(f"{number}\n")
        command = f"git add by-hand.txt && git -c catalogd.python=/bin/true commit -qm {number}"
        hand = subprocess.Popen(["sh", "-c", command], cwd=there, start_new_session=True)
        time.sleep(rng.uniform(0.001, 0.08))
        os.killpg(hand.pid, signal.SIGKILL)
        hand.wait()
        store = Store(there)
        increment(store, "data/a/counter.json")
        assert store.follow_index()
        assert litter(there) == []
        store.close()
        assert run_git(there, "fsck", "--strict", "--no-dangling").returncode == 0
        assert all("by-hand" in line for line in run_git(there, "status", "--porcelain").stdout.splitlines())
    assert files_at(there)["data/a/counter.json"] == b"12\n"


def test_litter_of_dead_processes_is_swept_and_that_of_living_ones_is_not(there):
    scratch, packs = there / ".git/catalogd/scratch", there / ".git/objects/pack"
    for name in ("file-0", "lock-main-0", "index"):
        (scratch / f"{dead_process()}-{name}").write_bytes(b"x")
    (packs / "tmp_pack_catalogd_1").write_bytes(b"x")
    (packs / "tmp_pack_catalogd_1.idx").write_bytes(b"x")
    (there / ".git/catalogd" / f".followed.{dead_process()}").write_bytes(b"x")
    living = scratch / f"{os.getppid()}-file-0"
    living.write_bytes(b"x")
    store = Store(there)
    assert litter(there) == [str(living.relative_to(there))]
    store.close()


@pytest.mark.slow
def test_what_a_process_has_in_scratch_that_has_the_catalog_open_stays_also_after_the_clock_was_set_forward(there):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from catalogd.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(there)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    scratch = there / ".git/catalogd/scratch"
    pushed, of_another = scratch / f"{child.pid}-push-1", scratch / f"{os.getppid()}-file-0"
    for file in (pushed, of_another):
        file.write_bytes(b"x")
        age(file, 10 * 366 * 86_400)
    Store(there).close()
    assert (pushed.exists(), of_another.exists()) == (True, False)
    child.communicate(b"\n", timeout=10)
    Store(there).close()
    assert not pushed.exists()


@pytest.mark.parametrize("broken", [b"", b"no index at all", None])
def test_an_index_that_git_cannot_read_is_made_anew(there, broken):
    index = there / ".git/index"
    if broken is None:
        index.unlink()
    else:
        index.write_bytes(broken)
    store = Store(there)
    assert complaints(there) == []
    store.close()


def test_an_index_of_which_only_a_beginning_was_written_is_made_anew(root):
    store = Store(root)
    put_all(store, {f"data/a/{number}.json": b"1\n" for number in range(20)})
    store.close()
    index = root / ".git/index"
    index.write_bytes(index.read_bytes()[:700])  # git takes what it can of it, and fails only when it writes
    store = Store(root)
    assert complaints(root) == []
    store.close()


@pytest.mark.parametrize("left", [None, b"", bytes(60), b"junk\n"])
def test_a_lost_note_of_what_the_index_mirrors_is_written_anew(there, left):
    (there / ".git/catalogd/followed").unlink()
    if left is not None:
        (there / ".git/catalogd/followed").write_bytes(left)
    store = Store(there)
    put(store, DOCUMENT, b"2\n")
    store.follow_index()
    assert complaints(there) == []
    store.close()


def test_files_that_could_not_be_put_in_place_follow_later(there, monkeypatch):
    store = Store(there)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    assert put(store, DOCUMENT, b"2\n").changed
    monkeypatch.undo()
    assert (there / DOCUMENT).read_bytes() == b"1\n"
    assert put(store, DOCUMENT, b"3\n").changed  # ours, though behind: no hand has edited it
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    put(store, DOCUMENT, b"4\n")
    monkeypatch.undo()
    assert store.follow_index()
    assert (there / DOCUMENT).read_bytes() == b"4\n"
    assert complaints(there) == []
    store.close()


def test_recovery_when_the_working_tree_is_on_another_branch_leaves_it_alone(there):
    run_git(there, "checkout", "-q", "-b", "other")
    store = Store(there)
    put(store, DOCUMENT, b"2\n")
    store.close()
    Store(there).close()
    assert (there / DOCUMENT).read_bytes() == b"1\n"
    assert complaints(there) == []


def test_opening_leaves_what_a_running_server_is_about_to_put_in_place(there):
    private = there / ".git/catalogd"
    ours, dead = private / f".followed.{os.getpid()}", private / f".followed.{dead_process()}"
    ours.write_bytes(b"x")
    dead.write_bytes(b"x")
    Store(there).close()
    assert (ours.exists(), dead.exists()) == (True, False)
