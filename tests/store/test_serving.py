"""Answers to git clients: a few children at once, ended with all that they have started."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from catalogd.errors import Malformed, Unavailable
from catalogd.store.children import Children, ClientGone
from catalogd.store.serving import UploadPack

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path: Path):
    with (tmp_path / "in").open("w+b") as request, (tmp_path / "out").open("w+b") as answer:
        yield request, answer


def sleepers(seconds: str) -> list[Path]:
    """The processes that sleep for so long."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes() == b"sleep\0%s\0" % seconds.encode():
                found.append(process)
        except OSError:  # it has just ended
            continue
    return found


def test_a_child_is_ended_with_all_that_it_has_started_once_nobody_waits_for_it(files):
    children = Children(1)
    until = time.monotonic() + 0.3
    with pytest.raises(ClientGone):
        children.run(["sh", "-c", "sleep 61.25 & sleep 61.25"], *files, lambda: time.monotonic() < until)
    deadline = time.monotonic() + 5
    while sleepers("61.25"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_of_many_at_once_no_more_run_than_may(files):
    children, most = Children(2), []

    def one() -> None:
        children.run(["sleep", "0.2"], *files, watch)

    def watch() -> bool:
        most.append(len(children._running))
        return True

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 2


def test_when_they_are_closed_those_that_run_are_ended_and_no_more_begin(files):
    children = Children(2)
    closing = threading.Timer(0.2, children.close)
    closing.start()
    with pytest.raises(Unavailable, match="broken off"):
        children.run(["sleep", "62.25"], *files, lambda: True)
    with pytest.raises(Unavailable, match="stops"):
        children.run(["true"], *files, lambda: True)


@pytest.fixture
def upload_pack(tmp_path: Path, git) -> UploadPack:
    git(tmp_path, "init", "-q", "-b", "main", "r")
    git(tmp_path / "r", "commit", "-q", "--allow-empty", "-m", "one")
    return UploadPack(tmp_path / "r" / ".git", tmp_path, Children(2))


def clone_request(head: str) -> bytes:
    return b"0011command=fetch0001" + b"0032want " + head.encode() + b"\n" + b"0009done\n" + b"0000"


def test_a_clone_is_answered_once_for_all_who_ask_until_main_moves(upload_pack: UploadPack, tmp_path: Path, git):
    head = git(tmp_path / "r", "rev-parse", "main").strip()
    with upload_pack.answer("version=2", clone_request(head), head, lambda: True) as first:
        whole = first.read()
        with upload_pack.answer("version=2", clone_request(head), head, lambda: True) as second:
            assert (second.name, second.read()) == (first.name, whole)
    kept = Path(first.name)
    assert kept.exists()
    upload_pack.answer("version=2", clone_request(head), "another", lambda: True).close()
    assert not kept.exists()
    upload_pack.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["r"]


def test_an_answer_whose_file_somebody_has_removed_is_made_again(upload_pack: UploadPack, tmp_path: Path, git):
    head = git(tmp_path / "r", "rev-parse", "main").strip()
    with upload_pack.answer("version=2", clone_request(head), head, lambda: True) as first:
        Path(first.name).unlink()
    with upload_pack.answer("version=2", clone_request(head), head, lambda: True) as again:
        assert again.read().endswith(b"0000")


def test_what_git_refuses_is_told_in_its_words_and_never_kept(upload_pack: UploadPack, tmp_path: Path):
    for _ in range(2):
        with upload_pack.answer("version=2", clone_request("1" * 40), "head", lambda: True) as refused:
            assert b"not our ref" in refused.read()
            assert not Path(refused.name).exists() or Path(refused.name).parent == tmp_path
    with pytest.raises(Malformed):
        upload_pack.answer("version=2", b"hello", "head", lambda: True)


LIST_REFS = b"0014command=ls-refs\n00010009peel\n0000"


def test_refs_are_listed_once_for_all_who_ask_until_main_moves(upload_pack: UploadPack, tmp_path: Path, git):
    def listed() -> tuple[str, bytes, bytes]:
        head = git(tmp_path / "r", "rev-parse", "main").strip()
        with upload_pack.answer("version=2", LIST_REFS, head, lambda: True) as refs:
            return refs.name, refs.read(), upload_pack.advertise(None, head, lambda: True)

    first = listed()
    assert listed() == first
    git(tmp_path / "r", "commit", "-q", "--allow-empty", "-m", "two")
    moved = listed()
    head = git(tmp_path / "r", "rev-parse", "main").strip().encode()
    assert moved[0] != first[0]
    for old, new in zip(first[1:], moved[1:], strict=True):
        assert head in new and head not in old


def test_of_refs_beside_main_which_move_without_it_nothing_is_kept(tmp_path: Path, git):
    git(tmp_path, "init", "-q", "-b", "main", "r")
    git(tmp_path / "r", "commit", "-q", "--allow-empty", "-m", "one")
    upload_pack = UploadPack(tmp_path / "r" / ".git", tmp_path, Children(2), ["refs/more"])
    head = git(tmp_path / "r", "rev-parse", "main").strip()
    for ref in (b"refs/more/1", b"refs/more/2"):
        git(tmp_path / "r", "update-ref", ref.decode(), head)
        with upload_pack.answer("version=2", LIST_REFS, head, lambda: True) as refs:
            assert ref in refs.read()
        assert ref in upload_pack.advertise(None, head, lambda: True)


def test_the_refs_of_many_askers_push_no_clone_out(upload_pack: UploadPack, tmp_path: Path, git):
    head = git(tmp_path / "r", "rev-parse", "main").strip()
    with upload_pack.answer("version=2", clone_request(head), head, lambda: True) as clone:
        for number in range(40):
            prefix = b"001dref-prefix refs/tags/v%02d\n" % number
            asked = b"0014command=ls-refs\n0001" + prefix + b"0000"
            upload_pack.answer("version=2", asked, head, lambda: True).close()
        with upload_pack.answer("version=2", clone_request(head), head, lambda: True) as again:
            assert again.name == clone.name
    assert len([file for file in tmp_path.iterdir() if file.is_file()]) == 33
