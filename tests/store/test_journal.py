"""The journal as a file: what it gives back after it was torn, filled, left by a checkpoint or shared by processes."""

from __future__ import annotations

import os

import pytest

from catalogd.store.journal import SIZE, Journal, Made

A, B, C = "a" * 40, "b" * 40, "c" * 40
ONE = [Made(b"commit one", {"data/a/b.json": b"1\n", "data/a/c.json": None})]
TWO = [Made(b"commit two", {"data/a/b.json": b""}), Made(b"commit three", {})]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def journal(path):
    journal = Journal(path)
    yield journal
    journal.close()


def tips(journal: Journal) -> list[str]:
    return [record.tip for record in journal.records()]


def test_records_come_back_in_order_and_whole(journal, path):
    assert journal.append(None, A, ONE)
    assert journal.append(A, B, TWO)
    again = Journal(path)
    first, second = again.records()
    again.close()
    assert (first.parent, first.tip, list(first.commits)) == (None, A, ONE)
    assert (second.parent, second.tip, list(second.commits)) == (A, B, TWO)


def test_a_group_on_another_commit_than_the_last_one_needs_a_checkpoint_first(journal):
    assert journal.append(None, A, ONE)
    assert not journal.append(C, B, TWO)
    assert tips(journal) == [A]
    journal.reset(C)
    assert journal.append(C, B, TWO)


def test_a_checkpoint_forgets_what_was_before(journal):
    journal.append(None, A, ONE)
    assert not journal.is_empty()
    journal.reset(A)
    assert journal.is_empty()
    assert tips(journal) == []


def test_what_was_withdrawn_never_was(journal, path):
    assert journal.append(None, A, ONE)
    assert journal.append(A, B, TWO)
    journal.withdraw()
    assert tips(journal) == [A]
    assert journal.append(A, C, TWO)
    again = Journal(path)
    assert tips(again) == [A, C]
    again.close()


def test_a_full_journal_takes_no_more_and_keeps_what_it_has(journal):
    large = [Made(b"commit", {"data/a/b.json": bytes(SIZE // 2)})]
    assert journal.append(None, A, large)
    assert not journal.append(A, B, large)
    assert tips(journal) == [A]
    assert os.fstat(journal._descriptor).st_size == SIZE


@pytest.mark.parametrize("where", range(0, 60, 7))
def test_a_torn_record_ends_the_journal(journal, path, where):
    journal.append(None, A, ONE)
    end_of_first = _end(path)
    journal.append(A, B, TWO)
    with path.open("r+b") as file:
        file.seek(end_of_first + where)
        byte = file.read(1)
        file.seek(end_of_first + where)
        file.write(bytes([byte[0] ^ 0xFF]))
    assert tips(journal) == [A]


def test_a_journal_that_is_opened_again_goes_on_where_it_ended(journal, path):
    journal.append(None, A, ONE)
    journal.append(A, B, TWO)
    again = Journal(path)
    assert not again.append(A, C, ONE)
    assert again.append(B, C, ONE)
    again.close()
    assert tips(journal) == [A, B, C]


def test_a_checkpoint_by_another_process_is_noticed(journal, path):
    journal.append(None, A, ONE)
    other = Journal(path)
    other.reset(A)
    assert other.append(A, B, ONE)
    other.close()
    assert journal.append(B, C, ONE)
    assert tips(journal) == [B, C]


def test_a_torn_header_means_that_a_checkpoint_was_under_way(journal, path):
    journal.append(None, A, ONE)
    with path.open("r+b") as file:
        file.write(b"nonsense")
    assert tips(journal) == []
    assert not journal.append(A, B, TWO)
    journal.reset(A)
    assert journal.append(A, B, TWO)
    assert tips(journal) == [B]


def test_two_processes_write_one_journal(journal, path):
    other = Journal(path)
    assert journal.append(None, A, ONE)
    assert other.append(A, B, TWO)
    assert journal.append(B, C, ONE)
    other.close()
    assert tips(journal) == [A, B, C]


def test_a_journal_of_another_size_is_made_anew(path):
    path.write_bytes(b"short")
    journal = Journal(path)
    assert tips(journal) == []
    assert journal.append(None, A, ONE)
    journal.close()


def _end(path) -> int:
    """Where the next record goes: nothing has been written there yet."""
    return len(path.read_bytes().rstrip(b"\0"))
