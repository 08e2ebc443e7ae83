"""main of another repository is fetched and pushed by URL; what goes wrong is told in one line, without secrets."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest
from store_tools import complaints, put, run_git, wait_for

from catalogd.store import Store
from catalogd.store.remote import FETCHED, Rejected, Remote, RemoteFailed, clone

pytestmark = pytest.mark.slow


@pytest.fixture
def other(tmp_path: Path, git) -> Path:
    """Another catalog, with a few commits."""
    root = tmp_path / "other"
    Store.create(root)
    store = Store(root)
    for number in range(3):
        put(store, "data/a/b.json", b"%d\n" % number)
    store.close()
    return root


@pytest.fixture
def bare(tmp_path: Path, git) -> Path:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "bare.git")
    return tmp_path / "bare.git"


@pytest.fixture
def remote_of(store):
    """Makes remotes of the catalog of the test."""
    made = []

    def make(url: object, **options) -> Remote:
        made.append(Remote(store._git, str(url), **options))
        return made[-1]

    yield make
    for remote in made:
        remote.close()


@pytest.fixture
def silent():
    """The URL of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/catalog.git"


def head_of(root: Path) -> str:
    return run_git(root, "rev-parse", "main").stdout.strip()


def test_what_is_fetched_is_in_the_catalog_and_main_stays(root, store, other, remote_of):
    put(store, "data/x/y.json", b"1\n")
    before = store.head()
    remote = remote_of(other)
    fetched = remote.fetch()
    assert fetched == head_of(other) == remote.fetched()
    assert store.snapshot(fetched).read("data/a/b.json")[1] == b"2\n"
    assert store.head() == before
    store.follow_index()
    assert complaints(root) == []
    assert not (root / ".git" / "FETCH_HEAD").exists()


def test_a_fetch_brings_a_pack_and_no_loose_object(root, store, other, remote_of):
    remote_of(other).fetch()
    assert store.maintenance.packs() == 1
    assert run_git(root, "count-objects").stdout.startswith("0 objects")


def test_what_is_fetched_follows_the_other_side_also_where_that_is_rewritten(other, remote_of):
    remote = remote_of(f"file://{other}")
    first = remote.fetch()
    run_git(other, "-c", "core.hooksPath=/dev/null", "reset", "-q", "--hard", "HEAD~2")
    assert remote.fetch() == head_of(other) != first


def test_a_repository_without_main_has_nothing_to_fetch(bare, remote_of):
    assert remote_of(bare).fetch() is None


def test_no_git_that_serves_the_catalog_shows_what_was_fetched(store, other, remote_of):
    put(store, "data/x/y.json", b"1\n")
    fetched = remote_of(other).fetch()
    for protocol in (None, "version=1", "version=2"):
        assert fetched.encode() not in store.upload_pack.advertise(protocol, store.head(), lambda: True)
    with store.upload_pack.answer("version=2", b"0014command=ls-refs\n0000", store.head(), lambda: True) as answer:
        said = answer.read()
    assert store.head().encode() in said
    assert fetched.encode() not in said


def test_a_bundle_and_housekeeping_leave_out_or_keep_what_was_fetched(root, store, other, remote_of, tmp_path):
    put(store, "data/x/y.json", b"1\n")
    remote = remote_of(other)
    fetched = remote.fetch()
    store.bundle(tmp_path / "bundle")
    listed = run_git(root, "bundle", "list-heads", str(tmp_path / "bundle")).stdout
    assert listed.split() == [store.head(), "refs/heads/main"]
    store.maintenance.fold()
    store.maintenance.full()
    run_git(root, "pack-refs", "--all")
    assert remote.fetched() == fetched
    assert store.snapshot(fetched).read("data/a/b.json")[1] == b"2\n"
    assert store.head() != fetched


def test_the_lock_of_a_git_that_was_killed_does_not_stop_the_next_one(root, other, remote_of):
    remote = remote_of(other)
    remote.fetch()
    lock = root / ".git" / (FETCHED + ".lock")
    lock.touch()
    os.utime(lock, (time.time() - 10,) * 2)
    run_git(other, "-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", "more")
    assert remote.fetch() == head_of(other)


def test_a_push_moves_main_of_the_other_side(store, bare, remote_of):
    remote = remote_of(bare)
    for number in range(2):
        put(store, "data/a/b.json", b"%d\n" % number)
        remote.push(store.head())
        assert head_of(bare) == store.head()
    remote.push(store.head())  # once more is no error


def test_a_push_that_is_no_fast_forward_is_rejected_and_told_apart(store, other, remote_of):
    put(store, "data/x/y.json", b"1\n")
    remote, before = remote_of(other), head_of(other)
    with pytest.raises(Rejected, match="main has moved"):
        remote.push(store.head())
    remote.fetch()  # also when we have what is there
    with pytest.raises(Rejected):
        remote.push(store.head())
    assert head_of(other) == before


def test_a_push_that_loses_a_race_is_rejected(store, bare, remote_of, git):
    put(store, "data/a/b.json", b"1\n")
    put(store, "data/a/b.json", b"2\n")
    remote = remote_of(bare)
    remote.push(store.head())
    hook = bare / "hooks" / "pre-receive"
    # Somebody else moves main after the push was begun.
    hook.write_text("#!/bin/sh\nunset GIT_QUARANTINE_PATH\ngit update-ref refs/heads/main main~1\n")
    hook.chmod(0o755)
    put(store, "data/a/b.json", b"3\n")
    with pytest.raises(Rejected):
        remote.push(store.head())


def test_a_push_that_the_other_side_refuses_has_failed_and_says_why(store, bare, remote_of):
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nprintf 'not on \\033[31mFridays\\n' >&2\nexit 1\n")
    hook.chmod(0o755)
    put(store, "data/a/b.json", b"1\n")
    with pytest.raises(RemoteFailed, match="Fridays") as raised:
        remote_of(bare).push(store.head())
    assert "pre-receive hook declined" in raised.value.detail
    assert "\n" not in raised.value.detail and "\033" not in raised.value.detail


def test_what_is_not_there_is_told_in_one_line(remote_of, tmp_path):
    with pytest.raises(RemoteFailed) as raised:
        remote_of(tmp_path / "nowhere").fetch()
    assert str(tmp_path / "nowhere") in raised.value.detail and "\n" not in raised.value.detail


def test_an_address_that_names_a_program_never_runs_it(remote_of, tmp_path):
    for url in (f"ext::touch {tmp_path}/ran", f"--upload-pack=touch {tmp_path}/ran"):
        with pytest.raises(RemoteFailed):
            remote_of(url).fetch()
    assert not (tmp_path / "ran").exists()


def test_a_fetch_is_ended_when_the_remote_is_closed(remote_of, silent):
    remote = remote_of(silent)
    failed = []

    def fetch() -> None:
        try:
            remote.fetch()
        except RemoteFailed as error:
            failed.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    wait_for(lambda: gits_on(remote.address))
    remote.close()
    thread.join(5)
    assert not thread.is_alive() and len(failed) == 1
    assert gits_on(remote.address) == []
    with pytest.raises(RemoteFailed, match="stops"):
        remote.fetch()


def test_a_fetch_that_takes_too_long_is_ended(remote_of, silent):
    remote = remote_of(silent, longest=0.5)
    with pytest.raises(RemoteFailed, match=r"within 0\.5 seconds"):
        remote.fetch()
    assert gits_on(remote.address) == []


def gits_on(address: str) -> list[bytes]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if address.encode() in words:
            found.append(words)
    return found


class Guarded(http.server.BaseHTTPRequestHandler):
    """A server that asks for a password and remembers what it was given, and which gits were there meanwhile."""

    seen: ClassVar[list[str | None]] = []
    processes: ClassVar[list[bytes]] = []

    def do_GET(self) -> None:
        self.seen.append(self.headers["Authorization"])
        self.processes.extend(gits_on(f"127.0.0.1:{self.server.server_address[1]}"))
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def guarded():
    Guarded.seen, Guarded.processes = [], []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_credentials_of_the_url_are_sent_and_never_shown(remote_of, guarded, tmp_path):
    secret = "s3cr3t%2Fword"
    remote = remote_of(f"http://us%40er:{secret}@127.0.0.1:{guarded.server_port}/catalog.git")
    with pytest.raises(RemoteFailed) as raised:
        remote.fetch()
    basic = "Basic dXNAZXI6czNjcjN0L3dvcmQ="  # us@er:s3cr3t/word
    assert basic in Guarded.seen
    assert Guarded.processes and not any(b"s3cr3t" in words for words in Guarded.processes)
    assert "s3cr3t" not in raised.value.detail and "us@er" not in remote.address
    with pytest.raises(RemoteFailed) as raised:
        clone(f"http://user:{secret}@127.0.0.1:{guarded.server_port}/catalog.git", tmp_path / "clone")
    assert "s3cr3t" not in raised.value.detail


def test_nobody_is_asked_for_a_password(remote_of, guarded):
    with pytest.raises(RemoteFailed, match="could not read Username"):
        remote_of(f"http://127.0.0.1:{guarded.server_port}/catalog.git").fetch()


def test_a_clone_has_main_and_its_files(other, tmp_path):
    clone(str(other), tmp_path / "clone")
    assert head_of(tmp_path / "clone") == head_of(other)
    assert subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path / "clone", capture_output=True).stdout == b""
