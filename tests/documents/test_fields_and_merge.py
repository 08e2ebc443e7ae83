"""Documents as sets of fields: what changed, and how two changes come together."""

from __future__ import annotations

import copy

import pytest
from document_strategies import DOCUMENTS, IMAGE_ID
from hypothesis import given
from hypothesis import strategies as st

from catalogd.documents import ABSENT, Conflict, FieldChange, diff, dumps, flatten, merge, merge_on_all, unflatten
from catalogd.documents.merge import COUNTERS, CREATED_AT, UPDATED_AT

OTHER_ID = "0" * 64
BASE = {
    "namespace": "acme",
    "repo_name": "web",
    "description": "old",
    "labels": {"a/b": "1", "c": "2"},
    "build_config": {"code_repo_client": "GitHub", "tag_configs": {"latest": [1]}},
    "updated_at": "2015-01-01T00:00:00.000Z",
    "download": 5,
    "tags": [{"tag": "1", "image_id": IMAGE_ID}, {"tag": "2", "image_id": IMAGE_ID}],
}


def changed(**fields):
    return {**copy.deepcopy(BASE), **fields}


def unused(document):
    """The fields of `document` without what its use changes."""
    return {pointer: value for pointer, value in flatten(document).items() if pointer not in COUNTERS | {UPDATED_AT}}


def test_a_document_is_flattened_to_labels_settings_and_tags():
    assert flatten(BASE) == {
        "/namespace": "acme",
        "/repo_name": "web",
        "/description": "old",
        "/labels/a~1b": "1",
        "/labels/c": "2",
        "/build_config/code_repo_client": "GitHub",
        "/build_config/tag_configs": {"latest": [1]},
        "/updated_at": "2015-01-01T00:00:00.000Z",
        "/download": 5,
        "/tags/1": {"image_id": IMAGE_ID},
        "/tags/2": {"image_id": IMAGE_ID},
    }


@pytest.mark.parametrize("tags", [3, None, [1], [{}], [{"tag": "1", "x": 1}, {"tag": "1", "x": 2}]])
def test_what_cannot_be_split_is_one_field_and_nothing_of_it_is_lost(tags):
    document = {"repo_name": "web", "tags": tags}
    assert flatten(document)["/tags"] == tags
    assert unflatten(flatten(document)) == document


@given(DOCUMENTS)
def test_unflattening_restores_the_document(document):
    assert dumps(unflatten(flatten(document))) == dumps(document)


def test_a_change_names_each_field():
    after = changed(description="new", labels={"a/b": "9"}, tags=[*BASE["tags"], {"tag": "3", "image_id": OTHER_ID}])
    assert diff(BASE, after) == [
        FieldChange("/description", "old", "new"),
        FieldChange("/labels/a~1b", "1", "9"),
        FieldChange("/labels/c", "2", ABSENT),
        FieldChange("/tags/3", ABSENT, {"image_id": OTHER_ID}),
    ]


def test_the_order_of_tags_is_no_change():
    assert diff(BASE, changed(tags=BASE["tags"][::-1])) == []


def test_true_is_not_one():
    assert diff(changed(is_public=True), changed(is_public=1)) == [FieldChange("/is_public", True, 1)]
    nested = {"code_repo_client": "Simple", "tag_configs": {"x": [True]}}
    assert len(diff(changed(build_config=nested), changed(build_config={**nested, "tag_configs": {"x": [1]}}))) == 1


def test_a_document_that_comes_or_goes_is_one_change():
    assert diff(None, BASE) == [FieldChange("", ABSENT, BASE)]
    assert diff(BASE, None) == [FieldChange("", BASE, ABSENT)]
    assert diff(None, None) == []


@given(DOCUMENTS, DOCUMENTS)
def test_a_difference_is_sorted_complete_and_turns_round(before, after):
    changes = diff(before, after)
    assert [change.pointer for change in changes] == sorted(change.pointer for change in changes)
    fields = flatten(before)
    for change in changes:
        fields.pop(change.pointer, None)
        if change.after is not ABSENT:
            fields[change.pointer] = change.after
    assert dumps(unflatten(fields)) == dumps(after)
    assert diff(after, before) == [FieldChange(c.pointer, c.after, c.before) for c in changes]


def test_changes_of_different_fields_are_both_kept():
    ours = changed(description="ours", labels={"a/b": "1", "c": "2", "d": "3"})
    theirs = changed(full_description="theirs", labels={"a/b": "1"}, tags=BASE["tags"][:1])
    merged = merge(BASE, ours, theirs)
    assert merged.conflicts == []
    assert merged.document["description"] == "ours"
    assert merged.document["full_description"] == "theirs"
    assert merged.document["labels"] == {"a/b": "1", "d": "3"}
    assert merged.document["tags"] == BASE["tags"][:1]


def test_two_pushes_of_different_tags_are_both_kept():
    first, second = {"tag": "0", "image_id": OTHER_ID}, {"tag": "9", "image_id": OTHER_ID}
    merged = merge(BASE, changed(tags=[*BASE["tags"], second]), changed(tags=[first, *BASE["tags"]]))
    assert merged.conflicts == []
    assert merged.document["tags"] == [first, *BASE["tags"], second]


def test_different_changes_of_one_field_are_a_conflict_that_keeps_ours():
    merged = merge(
        BASE,
        changed(description="ours", labels={"c": "2"}),
        changed(description="theirs", labels={"a/b": "9"}),
    )
    assert merged.conflicts == [
        Conflict("/description", "old", "ours", "theirs"),
        Conflict("/labels/a~1b", "1", ABSENT, "9"),
    ]
    assert merged.document["description"] == "ours"


def test_counters_are_ours_and_the_update_is_the_later_one():
    ours = changed(download=7, updated_at="2015-03-01T00:00:00.000Z")
    theirs = changed(download=6, pulled_at="2015-02-01T00:00:00.000Z", updated_at="2015-02-01T00:00:00.000Z")
    for one, other in ((ours, theirs), (theirs, ours)):
        merged = merge(BASE, one, other)
        assert merged.conflicts == []
        assert merged.document["download"] == one["download"]
        assert merged.document["updated_at"] == "2015-03-01T00:00:00.000Z"


def test_what_only_one_side_has_counted_is_kept_whoever_merges():
    counted, described = changed(download=9, repo_starred_count=3), changed(description="new")
    for one, other in ((counted, described), (described, counted)):
        document = merge(BASE, one, other).document
        assert (document["download"], document["repo_starred_count"]) == (9, 3)


def test_a_deletion_wins_over_a_document_that_was_only_used():
    used = changed(download=9, updated_at="2016-01-01T00:00:00.000Z")
    assert merge(BASE, None, used) == merge(BASE, used, None) == merge(BASE, None, None)
    assert merge(BASE, None, BASE).document is None


def test_a_deletion_of_what_the_other_side_changed_is_a_conflict():
    new = changed(description="new")
    assert merge(BASE, new, None).conflicts == [Conflict("", BASE, new, ABSENT)]
    assert merge(BASE, new, None).document == new
    assert merge(BASE, None, new).conflicts == [Conflict("", BASE, ABSENT, new)]


def test_documents_created_on_both_sides_come_together_where_they_agree():
    ours = {"namespace": "acme", "repo_name": "web", "description": "a", "tags": []}
    theirs = {"namespace": "acme", "repo_name": "web", "description": "b", "labels": {"x": "1"}}
    merged = merge(None, ours, theirs)
    assert merged.conflicts == [Conflict("/description", ABSENT, "a", "b")]
    assert merged.document["labels"] == {"x": "1"}
    assert merge(None, None, theirs).document == theirs
    assert merge(None, ours, None).document == ours


def test_a_document_created_on_both_sides_is_as_old_as_the_older_one():
    times = "2015-01-01T00:00:00.000Z", "2016-01-01T00:00:00.000Z"
    sides = [{"namespace": "acme", "repo_name": "web", "created_at": time} for time in times]
    for ours, theirs in (sides, sides[::-1]):
        merged = merge(None, ours, theirs)
        assert (merged.document["created_at"], merged.conflicts) == (times[0], [])
    base = {**sides[0], "created_at": "2014-01-01T00:00:00.000Z"}
    assert [conflict.pointer for conflict in merge(base, *sides).conflicts] == ["/created_at"]


def test_tags_that_cannot_be_split_are_merged_as_one():
    broken = changed(tags=[{"tag": "1"}, {"tag": "1"}])
    assert merge(BASE, BASE, broken).document["tags"] == broken["tags"]
    assert [c.pointer for c in merge(BASE, changed(tags=[]), broken).conflicts] == ["/tags"]


@given(st.none() | DOCUMENTS, st.none() | DOCUMENTS)
def test_what_only_they_changed_is_taken_as_it_is(base, theirs):
    merged = merge(base, base, theirs)
    assert merged.conflicts == []
    if theirs is None or merged.document is None:
        # With the same content on both sides there is nothing that either would want to keep.
        assert theirs is None
        assert merged.document is None
    else:
        assert unused(merged.document) == unused(theirs)


@given(st.none() | DOCUMENTS, st.none() | DOCUMENTS)
def test_what_only_we_changed_stays_as_it_is(base, ours):
    merged = merge(base, ours, base)
    assert merged.conflicts == []
    assert (merged.document is None) == (ours is None)
    if ours is not None:
        assert unused(merged.document) == unused(ours)


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_no_change_of_one_side_is_lost(base, ours, theirs):
    merged = merge(base, ours, theirs)
    result, conflicting = flatten(merged.document), {conflict.pointer for conflict in merged.conflicts}
    decided = COUNTERS | {UPDATED_AT} | ({CREATED_AT} if "created_at" not in base else set())
    for side in (ours, theirs):
        for change in diff(base, side):
            if change.pointer not in conflicting | decided:
                assert result.get(change.pointer, ABSENT) == change.after


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_on_several_bases_nothing_is_merged_on_which_they_do_not_agree(one, another, ours, theirs):
    merged = merge_on_all([one, another], ours, theirs)
    conflicting = {conflict.pointer for conflict in merged.conflicts}
    decided = COUNTERS | {UPDATED_AT, CREATED_AT}
    for alone in (merge(one, ours, theirs), merge(another, ours, theirs)):
        assert conflicting >= {conflict.pointer for conflict in alone.conflicts} or "" in conflicting
        for change in diff(merged.document, alone.document):
            assert change.pointer in conflicting | decided or "" in conflicting
    for side in ("ours", "theirs"):
        values = {conflict.pointer: getattr(conflict, side) for conflict in merged.conflicts}
        assert not values or merged.with_fields(values) is not None


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_the_sides_are_in_conflict_whichever_is_ours(base, ours, theirs):
    conflicts, turned = merge(base, ours, theirs).conflicts, merge(base, theirs, ours).conflicts
    assert [(c.pointer, c.ours, c.theirs) for c in conflicts] == [(c.pointer, c.theirs, c.ours) for c in turned]


# --- organizations


TEAM = {"namespace": "acme", "description": "", "owners": ["alice"], "writers": ["bob"], "readers": ["carol"]}


def team(**fields):
    return {**copy.deepcopy(TEAM), **fields}


def test_members_that_both_sides_add_and_remove_come_together():
    merged = merge(TEAM, team(owners=["alice", "dave"], readers=[]), team(owners=["alice", "erin"], writers=[]))
    assert merged.conflicts == []
    assert merged.document == team(owners=["alice", "dave", "erin"], writers=[], readers=[])


def test_the_same_change_of_members_on_both_sides_is_no_conflict():
    both = team(writers=["bob", "dave"], readers=[])
    merged = merge(TEAM, both, {**both, "description": "Makers"})
    assert merged == merge(TEAM, {**both, "description": "Makers"}, both)
    assert (merged.document, merged.conflicts) == ({**both, "description": "Makers"}, [])


def test_a_member_who_is_promoted_here_and_removed_there_is_a_conflict_and_not_a_member_by_accident():
    promoted, removed = team(owners=["alice", "bob"], writers=[]), team(writers=[])
    assert merge(TEAM, promoted, removed).conflicts == [Conflict("/owners/bob", ABSENT, "bob", ABSENT)]
    assert merge(TEAM, promoted, removed).document == promoted
    assert merge(TEAM, removed, promoted).document == removed


def test_two_roles_for_one_member_are_a_conflict():
    merged = merge(TEAM, team(owners=["alice", "bob"], writers=[]), team(writers=[], readers=["bob", "carol"]))
    assert [conflict.pointer for conflict in merged.conflicts] == ["/owners/bob", "/readers/bob"]


def test_a_list_that_no_side_has_is_not_made_up_and_an_empty_one_stays():
    merged = merge({"namespace": "a"}, {"namespace": "a", "owners": []}, {"namespace": "a", "description": "x"})
    assert merged.document == {"namespace": "a", "description": "x", "owners": []}


@pytest.mark.parametrize("members", ["alice", [1], ["a", "a"], [""], None])
def test_members_that_are_no_set_of_names_are_merged_as_one(members):
    assert merge(TEAM, TEAM, team(owners=members)).document["owners"] == members
    conflicts = merge(TEAM, team(owners=["dave"]), team(owners=members)).conflicts
    assert [conflict.pointer for conflict in conflicts] == ["/owners"]


def test_a_merge_can_be_seen_with_each_sides_values_of_what_is_in_conflict():
    merged = merge(BASE, changed(description="ours", labels={"c": "9"}), changed(description="theirs", labels={}))
    assert [conflict.pointer for conflict in merged.conflicts] == ["/description", "/labels/c"]
    theirs = merged.with_fields({conflict.pointer: conflict.theirs for conflict in merged.conflicts})
    assert diff(merged.document, theirs) == [
        FieldChange("/description", "ours", "theirs"),
        FieldChange("/labels/c", "9", ABSENT),
    ]
    deleted = merge(BASE, changed(description="new"), None)
    assert deleted.with_fields({"": ABSENT}) is None
