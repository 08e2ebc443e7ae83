"""The history checker finds each kind of fault in histories that are made up, and none where there is none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from history import Commit, Main, Read, Write, violations

WEB, DB = "data/acme/web.json", "data/acme/db.json"

# Web is made, db is made, web is changed, web is changed, web is deleted.
LINE = [
    Commit("c0", ("r0",), {WEB: "web0"}),
    Commit("c1", ("r1",), {DB: "db0"}),
    Commit("c2", ("r2",), {WEB: "web1"}),
    Commit("c3", (), {WEB: "web2"}),
    Commit("c4", ("r4",), {WEB: None}),
]


def write(number: int, sent: float, answered: float | None, **more) -> Write:
    given = {"status": None if answered is None else 200, "commit": "" if answered is None else f"c{number}"} | more
    return Write("ann", f"write {number}", sent, f"r{number}", answered=answered, **given)


def read(sent: float, answered: float, document: str = "", blob: str | None = None, commit: str = "") -> Read:
    return Read("bob", f"read at {sent}", sent, answered, document, blob, commit)


WRITES = [
    write(0, 0.0, 1.0, documents=(WEB,)),
    write(1, 0.5, 2.0, documents=(DB,)),
    write(2, 2.5, None),
    Write("hand", "a commit by hand", 3.0, answered=4.0, status=200, commit="c3"),
    write(4, 5.0, 6.0, status=204),
    write(5, 5.0, 6.0, status=409, commit=""),
    write(6, 5.0, None),
]
READS = [
    read(0.2, 0.3, WEB, "web0", "c0"),  # a commit may be seen before it is acknowledged
    read(1.5, 1.6, WEB, "web0", "c0"),
    read(2.1, 2.2, "", None, "c1"),
    read(2.6, 2.7, WEB, "web0", "c1"),  # one that is under way need not be seen
    read(4.1, 4.2, WEB, "web1", "c2"),  # nor need one by hand, at once
    read(6.5, 6.6, WEB, None),
    read(6.5, 6.6, WEB, None, "c4"),
]


def found(line: list[Commit] = LINE, writes: list[Write] = WRITES, reads: list[Read] = READS) -> list[str]:
    return [fault.partition(":")[0] for fault in violations(Main(line), writes, reads)]


def test_a_history_in_which_all_fits_has_no_violations():
    assert violations(Main(LINE), WRITES, READS) == []


@pytest.mark.parametrize("number", [0, 1, 3, 4])
def test_an_acknowledged_write_that_is_not_on_main_is_lost(number):
    line = [commit for commit in LINE if commit.id != f"c{number}"]
    assert "lost" in found(line, reads=[])


def test_a_write_that_nobody_knows_the_end_of_may_be_missing():
    assert found([commit for commit in LINE if commit.id != "c2"], reads=[]) == []


@pytest.mark.parametrize("request_id", ["r0", "r2"])  # acknowledged; cut off
def test_a_write_that_is_two_commits_is_doubled(request_id):
    assert found([*LINE, Commit("c9", (request_id,), {WEB: "web9"})], reads=[]) == ["doubled"]


def test_a_write_that_was_refused_and_made_is_found():
    assert found([*LINE, Commit("c9", ("r5",))], reads=[]) == ["made though refused"]
    # So is one of which the server said that it may be tried again.
    unavailable = [dataclasses.replace(each, status=503) if each.request_id == "r5" else each for each in WRITES]
    assert found([*LINE, Commit("c9", ("r5",))], unavailable, []) == ["made though refused"]


def test_an_answer_that_names_another_commit_is_found():
    writes = [dataclasses.replace(WRITES[0], commit="c1"), *WRITES[1:]]
    assert found(writes=writes, reads=[]) == ["misnamed"]


def test_a_write_that_changes_another_document_is_found():
    line = [LINE[0], dataclasses.replace(LINE[1], blobs={WEB: "web0.5"}), *LINE[2:]]
    assert found(line, reads=[]) == ["of something else"]


def test_a_write_that_stands_before_one_answered_before_it_was_sent_is_out_of_order():
    assert found([LINE[0], LINE[1], LINE[4], LINE[2], LINE[3]], reads=[]) == ["out of order"]
    # Among two that were under way at the same time either order is right.
    assert found([LINE[1], LINE[0], *LINE[2:]], reads=[]) == []


def test_one_that_was_cut_off_is_out_of_order_too():
    assert found([LINE[2], *LINE[:2], *LINE[3:]], reads=[]) == ["out of order"]


@pytest.mark.parametrize(
    "late",
    [
        read(1.5, 1.6, WEB, None),  # an acknowledged creation is not seen
        read(6.5, 6.6, WEB, "web2", "c3"),  # an acknowledged deletion is not seen
        read(6.5, 6.6, WEB, "web2"),  # the same, where the server does not say what it has read
        read(2.1, 2.2, "", None, "c0"),  # a list of before an acknowledged write
    ],
    ids=str,
)
def test_a_read_that_misses_what_was_acknowledged_before_it_goes_back(late):
    assert found(reads=[late]) == ["back"]


def test_a_read_older_than_an_earlier_read_goes_back():
    # Nobody was told of the write in between but the first reader.
    assert found(reads=[read(2.6, 2.7, WEB, "web1", "c2"), read(2.8, 2.9, WEB, "web0", "c1")]) == ["back"]
    assert found(reads=[read(2.6, 2.7, "", None, "c2"), read(2.8, 2.9, "", None, "c1")]) == ["back"]
    # Reads under way at the same time may overtake each other.
    assert found(reads=[read(2.6, 2.9, WEB, "web1", "c2"), read(2.7, 2.8, WEB, "web0", "c1")]) == []


def test_a_read_that_shows_what_its_commit_has_not_is_torn():
    assert found(reads=[read(2.6, 2.7, WEB, "web1", "c1")]) == ["torn"]
    assert found(reads=[read(2.6, 2.7, WEB, None, "c1")]) == ["torn"]


def test_a_read_of_a_commit_that_main_has_not_is_found():
    assert found(reads=[read(2.6, 2.7, WEB, "web7", "c7")]) == ["of nowhere"]


def test_a_read_of_what_no_version_was_is_found_where_it_names_no_commit():
    assert found(reads=[read(2.6, 2.7, WEB, "web7")]) == ["back"]


@pytest.mark.slow
def test_main_is_read_from_git_with_its_request_ids_and_changes(tmp_path: Path, git):
    git(tmp_path, "init", "-q", "-b", "main")
    file = tmp_path / "data/acme/web.json"
    file.parent.mkdir(parents=True)
    for number in range(2):
        file.write_text(json.dumps({"number": number}))
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", f"Set {number}\n\nCatalog-Action: update\nRequest-Id: r{number}")
    git(tmp_path, "rm", "-q", WEB)
    git(tmp_path, "commit", "-qm", "By hand")
    git(tmp_path, "commit", "-qm", "Nothing", "--allow-empty")
    main = Main.of(tmp_path)
    assert [commit.request_ids for commit in main.commits] == [("r0",), ("r1",), (), ()]
    assert [commit.id for commit in main.commits] == git(tmp_path, "rev-list", "--reverse", "main").split()
    for number in range(2):
        blob = git(tmp_path, "rev-parse", f"{main.commits[number].id}:{WEB}").strip()
        assert main.blob_at(WEB, number) == main.commits[number].blobs[WEB] == blob
    assert [main.blob_at(WEB, at) for at in (2, 3)] == [None, None]
    assert main.blob_at(DB, 3) is None
