"""Hands in the working tree: what is not committed stays, and what is undoes nothing by accident."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest
from store_tools import complaints, files_at, history_of, put, put_all, run_git

from catalogd.errors import CatalogdError, EditedByHand, Unavailable
from catalogd.store import Store
from catalogd.store.git import Git

pytestmark = pytest.mark.slow

DOCUMENT, OTHER = "data/a/b.json", "data/a/c.json"
REFUSED = "the catalog was written to while git prepared this commit"


@pytest.fixture
def there(root, store):
    """A catalog with two documents, with git's index at main."""
    put_all(store, {DOCUMENT: b"1\n", OTHER: b"1\n"})
    assert store.follow_index()
    return root


def status(root) -> str:
    return run_git(root, "status", "--porcelain").stdout


# What is not committed


@pytest.mark.parametrize("data", [b"2\n", None])
def test_a_file_edited_by_hand_is_left_alone(there, store, data):
    (there / DOCUMENT).write_bytes(b"by hand\n")
    with pytest.raises(EditedByHand, match=rf"{DOCUMENT} was edited by hand"):
        put(store, DOCUMENT, data)
    assert (there / DOCUMENT).read_bytes() == b"by hand\n"
    put(store, OTHER, b"2\n")
    store.follow_index()
    assert status(there) == f" M {DOCUMENT}\n"
    assert files_at(there) == {DOCUMENT: b"1\n", OTHER: b"2\n"}


def test_a_file_deleted_by_hand_is_left_alone(there, store):
    (there / DOCUMENT).unlink()
    with pytest.raises(EditedByHand, match="was deleted by hand"):
        put(store, DOCUMENT, b"2\n")
    put(store, OTHER, b"2\n")
    store.follow_index()
    assert status(there) == f" D {DOCUMENT}\n"


def test_a_file_made_by_hand_is_left_alone(there, store):
    (there / "data/a/new.json").write_bytes(b"by hand\n")
    with pytest.raises(EditedByHand, match="is in the working tree but not committed"):
        put(store, "data/a/new.json", b"1\n")
    put(store, OTHER, b"2\n")
    store.follow_index()
    assert status(there) == "?? data/a/new.json\n"


def test_a_file_that_is_the_same_as_what_is_wanted_is_still_the_hands(there, store):
    (there / DOCUMENT).write_bytes(b"2\n")
    with pytest.raises(EditedByHand):
        put(store, DOCUMENT, b"2\n")


@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_what_stands_where_a_directory_should_be_refuses_that_edit_only(there, store, tmp_path, kind):
    place = there / "data" / "new"
    if kind == "file":
        place.write_bytes(b"")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(place)
    with pytest.raises(EditedByHand, match="data/new"):
        put(store, "data/new/x.json", b"1\n")
    assert put(store, OTHER, b"2\n").changed
    assert store.failure is None
    assert not list(tmp_path.glob("elsewhere/*"))


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_what_stands_where_a_file_should_be_is_the_hands(there, store, tmp_path, kind):
    (there / DOCUMENT).unlink()
    (tmp_path / "elsewhere").write_bytes(b"1\n")
    if kind == "directory":
        (there / DOCUMENT).mkdir()
    elif kind == "link":
        (there / DOCUMENT).symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(there / DOCUMENT)
    with pytest.raises(EditedByHand):
        put(store, DOCUMENT, b"2\n")
    assert put(store, OTHER, b"2\n").changed
    assert (tmp_path / "elsewhere").read_bytes() == b"1\n"


def test_an_edit_by_hand_while_the_commit_is_made_is_not_overwritten(there, store, monkeypatch):
    """The file is looked at before the commit and replaced after it; a hand may save in between."""
    move = store._branch.move

    def slowly(*arguments, **options):
        move(*arguments, **options)
        (there / DOCUMENT).write_bytes(b"by hand\n")

    monkeypatch.setattr(store._branch, "move", slowly)
    put(store, DOCUMENT, b"2\n")
    monkeypatch.undo()
    assert (there / DOCUMENT).read_bytes() == b"by hand\n"
    with pytest.raises(EditedByHand):
        put(store, DOCUMENT, b"3\n")


def test_what_is_staged_by_hand_stays_staged(there, store):
    (there / "data/a/new.json").write_bytes(b"by hand\n")
    (there / OTHER).write_bytes(b"by hand\n")
    run_git(there, "add", "data")
    (there / "loose.json").write_bytes(b"not staged\n")
    for value in (b"2\n", b"3\n"):
        put(store, DOCUMENT, value)
        assert store.follow_index()
        assert status(there) == f"M  {OTHER}\nA  data/a/new.json\n?? loose.json\n"


def test_a_reversal_that_is_staged_by_hand_stays_staged(there, store):
    put(store, DOCUMENT, b"2\n")
    store.follow_index()
    assert run_git(there, "revert", "--no-commit", "HEAD").returncode == 0
    put(store, OTHER, b"2\n")
    assert store.follow_index()
    assert status(there) == f"M  {DOCUMENT}\n"
    time.sleep(4.5)  # the hook doubts the index of the last seconds
    assert run_git(there, "revert", "--continue").returncode == 0
    assert files_at(there) == {DOCUMENT: b"1\n", OTHER: b"2\n"}


def test_a_conflict_in_the_index_is_left_to_the_hand(there, store):
    run_git(there, "checkout", "-q", "-b", "side")
    (there / DOCUMENT).write_bytes(b"side\n")
    run_git(there, "commit", "-qam", "side")
    run_git(there, "checkout", "-q", "main")
    put(store, DOCUMENT, b"2\n")
    store.follow_index()
    assert run_git(there, "merge", "side").returncode == 1
    put(store, OTHER, b"2\n")
    assert store.follow_index()
    assert status(there) == f"UU {DOCUMENT}\n"
    (there / DOCUMENT).write_bytes(b"both\n")
    merged = run_git(there, "commit", "-qam", "merge")
    assert merged.returncode == 0, merged.stderr
    assert files_at(there) == {DOCUMENT: b"both\n", OTHER: b"2\n"}


# What git shows


def test_git_shows_what_was_written_through_the_store(there, store):
    put(store, DOCUMENT, b"1\n2\n", "Add a line")
    store.follow_index()
    assert status(there) == ""
    assert run_git(there, "diff", "HEAD~1", "--", DOCUMENT).stdout.endswith("@@ -1 +1,2 @@\n 1\n+2\n")
    blame = run_git(there, "blame", "--line-porcelain", DOCUMENT).stdout
    assert blame.count("author alice\n") == 2
    assert "summary Add a line\n" in blame
    assert run_git(there, "log", "--format=%s", "--", DOCUMENT).stdout == "Add a line\nChange files\n"


def test_a_revert_by_hand_works(there, store):
    outcome = put(store, DOCUMENT, b"2\n")
    put(store, OTHER, b"2\n")
    store.follow_index()
    time.sleep(4.5)  # the hook doubts the index of the last seconds
    reverted = run_git(there, "revert", "--no-edit", outcome.commit)
    assert reverted.returncode == 0, reverted.stderr
    assert files_at(there) == {DOCUMENT: b"1\n", OTHER: b"2\n"}
    assert put(store, DOCUMENT, b"3\n").changed
    store.follow_index()
    assert complaints(there) == []


# Commits by hand on an index that is behind


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("options", [(), ("--no-verify",)])
def test_a_commit_by_hand_on_an_index_that_is_behind_is_refused(root, store, first, options):
    if not first:
        put(store, DOCUMENT, b"1\n")
        store.follow_index()
    put(store, DOCUMENT, b"2\n")
    (root / "by-hand.txt").write_bytes(b"by hand\n")
    run_git(root, "add", "by-hand.txt")
    refused = run_git(root, "commit", "-m", "by hand", *options)
    assert refused.returncode != 0
    assert REFUSED in refused.stderr
    assert f"    {DOCUMENT}\n" in refused.stderr
    assert files_at(root) == {DOCUMENT: b"2\n"}
    assert store.follow_index()
    done = run_git(root, "commit", "-m", "by hand", *options)
    assert done.returncode == 0, done.stderr
    assert files_at(root) == {DOCUMENT: b"2\n", "by-hand.txt": b"by hand\n"}
    assert complaints(root) == []


def test_a_new_document_is_not_removed_by_a_commit_that_did_not_know_it(there, store):
    put(store, "data/new/x.json", b"1\n")
    (there / "by-hand.txt").write_bytes(b"by hand\n")
    run_git(there, "add", "by-hand.txt")
    refused = run_git(there, "commit", "-m", "by hand")
    assert REFUSED in refused.stderr
    assert "data/new/x.json" in files_at(there)


def test_a_commit_by_hand_of_other_files_passes_when_the_index_lags_only_there(there, store):
    """`commit PATH` and `commit -a` take the working tree's files, which are those of main."""
    put(store, DOCUMENT, b"2\n")
    (there / OTHER).write_bytes(b"by hand\n")
    done = run_git(there, "commit", "-a", "-m", "by hand")
    assert done.returncode == 0, done.stderr
    assert files_at(there) == {DOCUMENT: b"2\n", OTHER: b"by hand\n"}
    store.follow_index()
    assert complaints(there) == []


def test_a_commit_by_hand_in_a_linked_working_tree_is_guarded_too(there, store, tmp_path):
    run_git(there, "checkout", "-q", "-b", "elsewhere")
    linked = tmp_path / "linked"
    assert run_git(there, "worktree", "add", str(linked), "main").returncode == 0
    put(store, DOCUMENT, b"2\n")
    (linked / "by-hand.txt").write_bytes(b"by hand\n")
    run_git(linked, "add", "by-hand.txt")
    assert REFUSED in run_git(linked, "commit", "-m", "by hand").stderr


def test_an_api_write_right_after_a_commit_by_hand_is_in_the_index_too(there, store):
    """The index then has what the hand committed, which was neither main's before nor is it now."""
    (there / DOCUMENT).write_bytes(b"by hand\n")
    assert run_git(there, "commit", "-qam", "by hand").returncode == 0
    put(store, DOCUMENT, b"3\n")
    assert store.follow_index()
    assert status(there) == ""


def test_a_hand_need_not_wait_while_git_brings_the_index_along(there, store, monkeypatch):
    put(store, "data/a/new.json", b"{}\n")
    run, held = Git.run, []

    def looking(self, *arguments, **options):
        held.append((there / ".git/index.lock").exists())
        return run(self, *arguments, **options)

    monkeypatch.setattr(Git, "run", looking)
    assert store.follow_index()
    store.refresh_index()
    assert len(held) >= 3 and not any(held)
    assert complaints(there) == []


@pytest.mark.parametrize("work", ["follow_index", "refresh_index"])
def test_what_a_hand_stages_while_git_works_on_the_index_stays(there, store, monkeypatch, work):
    put(store, "data/a/new.json", b"{}\n")
    if work == "refresh_index":
        assert store.follow_index()
        (there / "data/a/new.json").touch()  # so that there is something to note
    (there / "mine").write_text("x")
    run, commands = Git.run, []

    def staging(self, *arguments, **options):
        done = run(self, *arguments, **options)
        if "update-index" in arguments and not commands:
            commands.append(arguments)
            assert run_git(there, "add", "mine").returncode == 0
        return done

    monkeypatch.setattr(Git, "run", staging)
    getattr(store, work)()
    assert commands and "mine" in staged(there)
    assert store.follow_index() and staged(there) == {"mine"}


def staged(there: Path) -> set[str]:
    return set(run_git(there, "diff", "--cached", "--name-only").stdout.split())


def test_an_index_that_git_writes_back_from_before_is_noticed(there, store):
    """`git commit` reads the index before it locks it: what followed in between is written back as it was."""
    before = (there / ".git" / "index").read_bytes()
    put_all(store, {DOCUMENT: b"2\n", "data/new/x.json": b"1\n"})
    assert store.follow_index()
    (there / ".git" / "index").write_bytes(before)
    assert status(there) != ""
    assert store.follow_index()
    assert status(there) == ""


@pytest.mark.parametrize("wait", [0, pytest.param(5, marks=pytest.mark.slow)])
def test_a_commit_on_an_index_written_back_from_before_is_refused(there, store, wait):
    before = (there / ".git" / "index").read_bytes()
    put_all(store, {DOCUMENT: b"2\n", OTHER: None})
    assert store.follow_index()
    (there / ".git" / "index").write_bytes(before)
    time.sleep(wait)  # until the hook trusts `followed` again, if it has to
    (there / "by-hand.txt").write_bytes(b"by hand\n")
    run_git(there, "add", "by-hand.txt")
    refused = run_git(there, "commit", "-m", "by hand").stderr
    assert REFUSED in refused
    assert f"    {DOCUMENT}\n" in refused
    assert f"    {OTHER}\n" in refused


def test_a_commit_dated_into_the_future_is_judged_by_when_git_was_started(there, store):
    put(store, DOCUMENT, b"2\n")
    (there / "by-hand.txt").write_bytes(b"by hand\n")
    run_git(there, "add", "by-hand.txt")
    future = f"{int(time.time()) + 10_000} +0000"
    assert REFUSED in run_git(there, "commit", "-m", "by hand", GIT_COMMITTER_DATE=future).stderr


def test_a_git_that_was_started_long_ago_is_judged_by_the_index_of_then(there, store):
    """Its editor is open while the catalog goes on and the index follows; its tree is the old one."""
    (there / "by-hand.txt").write_bytes(b"by hand\n")
    run_git(there, "add", "by-hand.txt")
    command = ["git", "-c", "catalogd.python=/bin/true", "commit"]
    environment = {**os.environ, "GIT_EDITOR": "sh -c 'sleep 3; echo by hand > $0'"}
    hand = subprocess.Popen(command, cwd=there, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(0.5)
    put(store, DOCUMENT, b"2\n")
    assert store.follow_index()
    assert b"cannot lock ref" in hand.communicate(timeout=20)[1]  # git itself has seen that main was moved
    assert files_at(there) == {DOCUMENT: b"2\n", OTHER: b"1\n"}


def test_files_that_a_git_takes_from_an_index_that_is_behind_are_brought_up(there, store):
    put_all(store, {DOCUMENT: b"2\n", "data/new/x.json": b"1\n"})
    (there / OTHER).write_bytes(b"by hand\n")
    assert run_git(there, "restore", DOCUMENT).returncode == 0
    assert (there / DOCUMENT).read_bytes() == b"1\n"
    assert store.follow_index()
    assert (there / DOCUMENT).read_bytes() == b"2\n"
    assert status(there) == f" M {OTHER}\n"


# main only grows


@pytest.mark.parametrize(
    "command",
    [
        ("commit", "--amend", "-m", "other"),
        ("reset", "--hard", "HEAD~1"),
        ("update-ref", "-d", "refs/heads/main"),
        ("update-ref", "refs/heads/main", "HEAD~1"),
        ("branch", "-f", "main", "HEAD~1"),
        ("rebase", "--root", "--force-rebase"),
        ("branch", "-m", "main", "other"),
    ],
)
def test_main_only_grows(there, store, command):
    put(store, DOCUMENT, b"2\n")
    store.follow_index()
    head = store.head()
    done = run_git(there, *command)
    assert done.returncode != 0
    assert store.head() == head
    assert run_git(there, "rev-parse", "refs/heads/main").stdout.strip() == head


def test_a_reset_that_is_refused_leaves_the_files_of_main(there, store):
    put(store, "data/a/gone.json", b"1\n")
    put_all(store, {DOCUMENT: b"2\n", "data/a/gone.json": None})
    put(store, "data/new/x y.json", b"1\n")
    store.follow_index()
    (there / "loose.txt").write_bytes(b"loose\n")
    refused = run_git(there, "reset", "--hard", "HEAD~2")
    assert "main only grows" in refused.stderr
    assert status(there) == "?? loose.txt\n"
    assert put(store, DOCUMENT, b"3\n").changed
    refused = run_git(there, "reset", "HEAD~1")
    assert "main only grows" in refused.stderr
    assert store.follow_index()
    assert status(there) == "?? loose.txt\n"


def test_main_cannot_be_deleted_from_another_branch(there, store):
    run_git(there, "checkout", "-q", "-b", "other")
    done = run_git(there, "branch", "-D", "main")
    assert done.returncode != 0
    assert "cannot be deleted" in done.stderr
    assert store.head()


def test_main_can_be_packed_and_written_on(there, store):
    head = store.head()
    assert run_git(there, "pack-refs", "--all").returncode == 0
    assert store.head() == head
    outcome = put(store, DOCUMENT, b"2\n")
    assert store.head() == outcome.commit
    assert run_git(there, "gc", "-q").returncode == 0
    assert store.head() == outcome.commit
    assert put(store, DOCUMENT, b"3\n").changed
    store.follow_index()
    assert complaints(there) == []


def test_a_push_into_the_catalog_arrives_in_its_working_tree(there, store, tmp_path):
    clone = tmp_path / "clone"
    assert run_git(tmp_path, "clone", "-q", str(there), str(clone)).returncode == 0
    (clone / OTHER).write_bytes(b"pushed\n")
    run_git(clone, "commit", "-qam", "from elsewhere")
    pushed = run_git(clone, "push", "origin", "main")
    assert pushed.returncode == 0, pushed.stderr
    assert (there / OTHER).read_bytes() == b"pushed\n"
    assert put(store, OTHER, b"3\n").changed
    store.follow_index()
    assert complaints(there) == []
    assert run_git(clone, "push", "origin", "HEAD~1:main", "--force").returncode != 0
    assert run_git(clone, "push", "origin", ":main").returncode != 0


# On another branch


def test_writes_go_to_main_while_the_working_tree_is_on_another_branch(there, store):
    run_git(there, "checkout", "-q", "-b", "other")
    put(store, DOCUMENT, b"2\n")
    put(store, "data/new/x.json", b"1\n")
    assert not store.follow_index()
    assert (there / DOCUMENT).read_bytes() == b"1\n"
    assert not (there / "data/new").exists()
    assert status(there) == ""
    assert run_git(there, "checkout", "-q", "main").returncode == 0
    assert (there / DOCUMENT).read_bytes() == b"2\n"
    assert put(store, DOCUMENT, b"3\n").changed
    assert store.follow_index()
    assert complaints(there) == []


def test_follow_others_brings_files_that_a_bare_update_of_the_ref_left_behind(there, store, tmp_path):
    clone = tmp_path / "clone"
    run_git(tmp_path, "clone", "-q", str(there), str(clone))
    (clone / DOCUMENT).write_bytes(b"2\n")
    (clone / OTHER).write_bytes(b"2\n")
    run_git(clone, "commit", "-qam", "from elsewhere")
    assert run_git(there, "fetch", "-q", str(clone), "main").returncode == 0
    before = store.head()
    updated = run_git(there, "update-ref", "refs/heads/main", "FETCH_HEAD")
    assert updated.returncode == 0, updated.stderr
    (there / OTHER).write_bytes(b"by hand\n")
    with store.lock.held():
        store.follow_others(before, store.head())
    assert (there / DOCUMENT).read_bytes() == b"2\n"
    assert (there / OTHER).read_bytes() == b"by hand\n"
    assert put(store, DOCUMENT, b"3\n").changed
    store.follow_index()
    assert status(there) == f" M {OTHER}\n"


# All at once


SECONDS, MOST_SECONDS = 5, 40  # a busy machine needs longer for enough to have happened


class Hands(threading.Thread):
    """Does what hands do in a working tree, at random, until it is stopped. Touches files of its own only."""

    def __init__(self, root, seed: int):
        super().__init__(daemon=True)
        self.root, self.random = root, random.Random(seed)
        self.stopped = threading.Event()
        self.name_ = f"hand-{seed}.txt"
        self.done: dict[str, int] = {}
        self.refused = 0

    def run(self) -> None:
        number = 0
        while not self.stopped.is_set():
            number += 1
            (self.root / self.name_).write_text(f"{number}\n")
            what = self.random.choice(["add", "all", "no-verify", "path", "revert", "merge", "pick", "stash"])
            done = getattr(self, "_" + what.replace("-", "_"))(number)
            if done:
                self.done[what] = self.done.get(what, 0) + 1
            else:
                self.refused += 1
                run_git(self.root, "merge", "--abort")
                run_git(self.root, "revert", "--abort")
                run_git(self.root, "cherry-pick", "--abort")

    def _git(self, *arguments: str) -> bool:
        return run_git(self.root, *arguments).returncode == 0

    def _add(self, number: int) -> bool:
        return self._git("add", self.name_) and self._git("commit", "-m", f"hand {number}")

    def _all(self, number: int) -> bool:
        return self._git("commit", "-a", "-m", f"hand {number}")

    def _no_verify(self, number: int) -> bool:
        return self._git("add", self.name_) and self._git("commit", "--no-verify", "-m", f"hand {number}")

    def _path(self, number: int) -> bool:
        return self._git("add", self.name_) and self._git("commit", "-m", f"hand {number}", "--", self.name_)

    def _revert(self, number: int) -> bool:
        mine = run_git(self.root, "log", "-1", "--format=%H", "--", self.name_).stdout.strip()
        return self._add(number) and bool(mine) and self._git("revert", "--no-edit", mine)

    def _merge(self, number: int) -> bool:
        made = run_git(
            self.root, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-p", "HEAD~1", "-m", f"side {number}"
        ).stdout.strip()
        return bool(made) and self._git("merge", "--no-ff", "-m", f"merge {number}", made)

    def _pick(self, number: int) -> bool:
        head = run_git(self.root, "rev-parse", "HEAD").stdout.strip()
        blob = run_git(self.root, "hash-object", "-w", self.name_).stdout.strip()
        listed = run_git(self.root, "ls-tree", head).stdout + f"100644 blob {blob}\tpicked-{self.name_}-{number}\n"
        made = subprocess.run(
            ["git", "mktree"], input=listed, cwd=self.root, capture_output=True, text=True
        ).stdout.strip()
        commit = run_git(self.root, "commit-tree", made, "-p", head, "-m", f"pick {number}").stdout.strip()
        return bool(commit) and self._git("cherry-pick", commit)

    def _stash(self, number: int) -> bool:
        return self._git("stash") and self._git("stash", "pop")


@pytest.mark.parametrize("follow", [False, True])
def test_no_commit_by_hand_ever_undoes_a_write_of_the_store(root, follow):
    store = Store(root)
    paths = [f"data/a/{i}.json" for i in range(4)]
    put_all(store, dict.fromkeys(paths, b"0 start\n"))
    assert store.follow_index()
    hands = [Hands(root, seed) for seed in range(2)]
    for hand in hands:
        hand.start()
    written: dict[str, list[bytes]] = {path: [b"0 start\n"] for path in paths}

    def seen_enough() -> bool:
        return number - held_up > 50 and (not follow or {"add", "all", "no-verify"} <= {*hands[0].done, *hands[1].done})

    began, number, held_up = time.monotonic(), 0, 0
    while (passed := time.monotonic() - began) < SECONDS or (passed < MOST_SECONDS and not seen_enough()):
        number += 1
        path = paths[number % len(paths)]
        try:
            put(store, path, b"%d\n" % number)
            written[path].append(b"%d\n" % number)
        except (EditedByHand, Unavailable):  # a stash or a merge is at work on the files
            held_up += 1
        if follow and number % 3 == 0:
            try:
                store.follow_index()
            except CatalogdError:
                held_up += 1
        time.sleep(0.02)
    for hand in hands:
        hand.stopped.set()
    for hand in hands:
        hand.join(60)
    for path in paths:
        values = [data for _, _, data in history_of(root, path)]
        steps = [b for a, b in zip([None, *values], values, strict=False) if a != b and b is not None]
        assert steps == written[path]
    print(
        number,
        "writes,",
        held_up,
        "held up,",
        [hand.done for hand in hands],
        [hand.refused for hand in hands],
    )
    assert seen_enough()
    run_git(root, "reset", "--hard", "-q")
    store.follow_index()
    store.close()
    assert run_git(root, "fsck", "--strict", "--no-dangling").returncode == 0
