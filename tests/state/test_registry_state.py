"""What a registry has told, in each database: taken once, queued until a delivery is finished, forgotten in time."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from catalogd.state import ChangeRow, PullRow
from catalogd.state import registry as verbs

NUMBERS = itertools.count()
APP, LIB, NEW = ("team", "app"), ("team", "lib"), ("team", "new")


def moment(second: int) -> str:
    return f"2026-01-02T03:{second // 60:02}:{second % 60:02}.000Z"


def pull(name=APP, at=1000, client=b"c" * 16, is_index=False, by_digest=False) -> PullRow:
    return PullRow(*name, client, moment(at), moment(at - 600), moment(at + 600), is_index, by_digest)


def change(name=APP, tag="v1", at=0, kind="push") -> ChangeRow:
    # As wide as all that there may be.
    digest, image_id = f"sha512:{'a' * 128}", "b" * 64
    return ChangeRow(
        0, *name, kind, tag, digest, None, moment(at), 2**53 - 1, image_id, "ämy" * 33, "alice", "a@example.org"
    )  # fmt: skip


def take(state, *told, unknown=()) -> list[str]:
    return state.take_events([(next(NUMBERS).to_bytes(16, "big"), one) for one in told], set(unknown))


def pulls(state) -> dict[tuple[str, str], tuple[int, str | None]]:
    return {(row.namespace, row.repo_name): (row.pulls, row.pulled_at) for row in state.pending_activity()}


def test_an_event_is_taken_once(state):
    told = [(b"\0\xff" * 8, pull()), (b"1" * 16, change()), (b"\0\xff" * 8, pull())]
    assert state.take_events(told, set()) == ["taken", "taken", "again"]
    assert state.take_events(told, set()) == ["again"] * 3
    assert (pulls(state), state.count_changes()) == ({APP: (1, moment(1000))}, 1)


def test_senders_of_the_same_events_at_once_have_each_taken_once(state):
    told = [(f"{i:016}".encode(), pull(at=i) if i % 2 else change(at=i)) for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: state.take_events(told, set()), range(4)))
    assert sorted(itertools.chain(*outcomes)) == ["again"] * 120 + ["taken"] * 40
    assert (pulls(state)[APP], state.count_changes()) == ((20, moment(39)), 20)


def test_a_pull_of_what_is_unknown_counts_once_a_push_of_it_waits(state):
    one = (b"p" * 16, pull(NEW))
    assert state.take_events([one], {NEW}) == ["unknown"]
    assert take(state, change(NEW, kind="delete"), unknown={NEW}) == ["taken"]
    assert take(state, change(NEW), pull(NEW, at=7), unknown={NEW}) == ["taken", "taken"]
    assert state.take_events([one, one], {NEW}) == ["taken", "again"], "what did not count may come again"
    assert pulls(state) == {NEW: (2, moment(1000))}


def test_a_change_comes_back_as_it_was_told_and_waits_until_its_delivery_is_finished(state):
    rows = [change(LIB), change(tag="v2", at=1), change(kind="delete", at=2)]
    take(state, *rows)
    waiting = state.waiting_changes(10)
    assert [replace(row, id=0) for row in waiting] == rows
    first, second, third = (row.id for row in waiting)
    assert first < second < third
    assert [row.id for row in state.waiting_changes(1)] == [first]
    assert [row.id for row in state.waiting_changes(9, first)] == [second, third]
    state.assign_deliveries({"one": [first], "two": [second, third, 999_999]})
    assert (state.waiting_changes(10), sorted(state.deliveries()), state.count_changes()) == ([], ["one", "two"], 3)
    state.release_deliveries(["one", "none"])
    assert [row.id for row in state.waiting_changes(10)] == [first]
    state.finish_deliveries(["two", "none"])
    assert (state.deliveries(), state.count_changes()) == ([], 1)
    assert state.deleted_tags([APP, LIB]) == {(*APP, "v1"): moment(2)}


def test_many_deliveries_are_followed_at_once(state, monkeypatch):
    monkeypatch.setattr(verbs, "_AT_ONCE", 3)
    names = [("team", f"r{i}") for i in range(8)]
    take(state, *(change(name, at=i, kind="delete") for i, name in enumerate(names)))
    state.assign_deliveries({f"d{row.id}": [row.id] for row in state.waiting_changes(99)})
    state.release_deliveries(state.deliveries())
    assert take(state, *(pull(name) for name in names), unknown=names) == ["unknown"] * 8
    state.assign_deliveries({f"d{row.id}": [row.id] for row in state.waiting_changes(99)})
    state.finish_deliveries(state.deliveries())
    assert state.deleted_tags(names) == {(*name, "v1"): moment(i) for i, name in enumerate(names)}


def test_the_latest_delete_of_a_tag_is_remembered_for_a_while(state):
    for at in (5, 9, 3):
        take(state, change(kind="delete", at=at))
        state.assign_deliveries({"d": [row.id for row in state.waiting_changes(9)]})
        state.finish_deliveries(["d"])
    assert state.deleted_tags([APP]) == {(*APP, "v1"): moment(9)}
    state.forget_told(moment(9), moment(999))
    assert state.deleted_tags([APP]) == {(*APP, "v1"): moment(9)}
    state.forget_told(moment(10), moment(0))
    assert state.deleted_tags([APP]) == {}


def test_an_index_and_its_child_are_one_until_it_is_forgotten(state):
    assert take(state, pull(is_index=True), pull(at=1001, by_digest=True)) == ["taken", "part_of_index"]
    other = b"d" * 16
    assert take(state, pull(at=1001, by_digest=True, client=other)) == ["taken"]
    assert take(state, pull(is_index=True, client=other)) == ["part_of_index"]
    assert pulls(state)[APP][0] == 2
    state.forget_told(moment(0), moment(1001))
    assert take(state, pull(at=1001, by_digest=True, client=other)) == ["part_of_index"], "its child was later"
    state.forget_told(moment(0), moment(1002))
    assert take(state, pull(at=1001, by_digest=True)) == ["taken"]


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_the_oldest_events_are_forgotten(state, monkeypatch, at_once):
    monkeypatch.setattr(verbs, "_FORGOTTEN_AT_ONCE", at_once)
    state.forget_events(4)
    told = [(f"{i:016}".encode(), pull()) for i in range(10)]
    for one in told:
        state.take_events([one], set())
    state.forget_events(4)
    assert state.take_events(told[6:], set()) == ["again"] * 4
    assert state.take_events(told[:6], set()) == ["taken"] * 6
