"""The merge of one file, as git's merge driver gives it."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogd.documents import ABSENT, dumps, flatten, loads
from catalogd.documents.policy import dumps_policy
from catalogd.merging import merge_files

PATH = "data/acme/web.json"
IMAGE = "a4002247cb22e78c8d9ffeccdf7ea23d7763f53493d4d763cb4dbe58bf3566b5"
OTHER = "0" * 64
SETTINGS = {name: name for name in "abcdefghij"}
BASE = {
    "namespace": "acme",
    "repo_name": "web",
    "description": "old",
    "full_description": "long",
    "labels": {"a": "1", "b": "2"},
    "build_config": {"code_repo_client": "Simple", "tag_configs": SETTINGS},
    "tags": [{"tag": str(number), "image_id": IMAGE} for number in (1, 2)],
}
TEAM = {"namespace": "acme", "description": "", "owners": ["alice"], "writers": ["bob"], "readers": []}


def changed(**fields):
    return {**BASE, **fields}


def with_settings(settings):
    return changed(build_config={**BASE["build_config"], "tag_configs": settings})


def merged(ours, theirs, base=BASE, path=PATH, **options):
    sides = (side if isinstance(side, bytes) else dumps(side) for side in (base, ours, theirs))
    return merge_files(path, *sides, **options)


def resolved(content: bytes, side: int) -> bytes:
    """The content with one side (0: ours, 1: theirs) of every conflict in it."""
    parts = re.split(rb"<{7} ours\n(.*?)={7}\n(.*?)>{7} theirs\n", content, flags=re.DOTALL)
    plain, sides = parts[::3], parts[1 + side :: 3]
    return b"".join(itertools.chain(*itertools.zip_longest(plain, sides, fillvalue=b"")))


def test_neighbouring_fields_and_tags_come_together_in_canonical_form():
    ours = changed(description="ours", tags=[*BASE["tags"], {"tag": "3", "image_id": OTHER}])
    theirs = changed(full_description="theirs", tags=[*BASE["tags"], {"tag": "4", "image_id": OTHER}])
    found = merged(ours, theirs)
    assert found.is_clean
    tags = [*ours["tags"], theirs["tags"][-1]]
    assert found.content == dumps(changed(description="ours", full_description="theirs", tags=tags))


def test_only_the_fields_in_conflict_are_marked_and_either_side_of_them_is_a_whole_document():
    ours = changed(description="ours", labels={"a": "1", "b": "ours"}, full_description="only ours")
    theirs = changed(description="theirs", labels={"a": "theirs", "b": "theirs"})
    found = merged(ours, theirs)
    assert not found.is_clean
    assert [conflict.pointer for conflict in found.conflicts] == ["/description", "/labels/b"]
    both = changed(full_description="only ours", labels={"a": "theirs", "b": "2"})
    assert resolved(found.content, 0) == dumps({**both, "description": "ours", "labels": {"a": "theirs", "b": "ours"}})
    assert resolved(found.content, 1) == dumps(
        {**both, "description": "theirs", "labels": {"a": "theirs", "b": "theirs"}}
    )
    # git takes conflicts together that are up to three lines apart; what is farther off stands once.
    before, _, _ = found.content.partition(b"<<<<<<<")
    assert before == b'{\n  "namespace": "acme",\n  "repo_name": "web",\n'
    assert found.content.count(b'"tags"') == found.content.count(b'"build_config"') == 1


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        # By line these would merge without a trace of the conflict.
        (with_settings(dict.fromkeys("abcdefghij", "x")), with_settings({"j": "y"})),
        (with_settings({**SETTINGS, "a": 1}), with_settings({**SETTINGS, "j": 2})),
        (changed(labels={"a": "1"}), changed(labels={"a": "1", "b": "3"})),
        (changed(tags=BASE["tags"][:1]), changed(tags=[BASE["tags"][0], {"tag": "2", "image_id": OTHER}])),
        (changed(tags=[]), changed(tags=[{"tag": "1", "image_id": OTHER}])),
    ],
    ids=["settings", "far-lines-of-settings", "label-removed", "tag-removed", "all-tags-removed"],
)  # fmt: skip
def test_no_conflict_goes_without_markers(ours, theirs, side):
    found = merged(ours, theirs)
    assert found.conflicts and b"<<<<<<< ours\n" in found.content
    assert resolved(found.content, side) == dumps((ours, theirs)[side])


@pytest.mark.parametrize("side", [0, 1])
def test_a_member_promoted_here_and_removed_there_is_marked(side):
    sides = {**TEAM, "owners": ["alice", "bob"], "writers": []}, {**TEAM, "writers": []}
    found = merged(*sides, base=TEAM, path="namespaces/acme.json")
    assert [conflict.pointer for conflict in found.conflicts] == ["/owners/bob"]
    assert resolved(found.content, side) == dumps(sides[side])


def test_members_that_both_sides_add_come_together():
    sides = {**TEAM, "writers": ["bob", "carol"]}, {**TEAM, "writers": ["bob", "dave"]}
    found = merged(*sides, base=TEAM, path="namespaces/acme.json")
    assert (found.is_clean, loads(found.content)["writers"]) == (True, ["bob", "carol", "dave"])


def test_an_empty_file_is_a_side_without_the_document():
    assert merged(BASE, BASE, base=b"").content == dumps(BASE)
    found = merged(changed(description="ours"), changed(description="theirs"), base=b"")
    assert [conflict.pointer for conflict in found.conflicts] == ["/description"]
    found = merged(b"", changed(description="new"))
    assert [conflict.pointer for conflict in found.conflicts] == [""]
    assert (resolved(found.content, 0), resolved(found.content, 1)) == (b"", dumps(changed(description="new")))


def test_a_policy_is_merged_by_its_members_into_its_own_form():
    base, ours, theirs = ({"approvals": 1}, {"approvals": 2}, {"approvals": 1, "protected": True})
    merged = merge_files("policy.json", *map(dumps_policy, (base, ours, theirs)))
    assert merged.is_clean
    assert merged.content == dumps_policy({"approvals": 2, "protected": True})
    merged = merge_files("policy.json", *map(dumps_policy, (base, ours, {"approvals": 3})))
    assert [conflict.pointer for conflict in merged.conflicts] == ["/approvals"]
    assert b"<<<<<<<" in merged.content


def test_what_fits_on_either_side_and_not_together_is_told_and_kept():
    labels = [{f"{side}{number}": "x" for number in range(60)} for side in "ab"]
    found = merged(changed(labels=labels[0]), changed(labels=labels[1]), base=changed(labels={}))
    assert (found.is_clean, [finding.pointer for finding in found.findings]) == (False, ["/labels"])
    assert loads(found.content)["labels"] == labels[0] | labels[1]


def test_the_catalogs_own_schema_is_obeyed():
    site = {"repository": b'{"properties": {"labels": {"maxProperties": 3}}}'}
    ours, theirs = (changed(labels={**BASE["labels"], name: "3"}) for name in "cd")
    assert merged(ours, theirs).is_clean
    assert not merged(ours, theirs, site=site).is_clean


@pytest.mark.parametrize("broken", [b"{\n", b"[]\n", b'{"a": 1, "a": 2}\n', b"\xff\n"])
def test_what_is_no_document_is_merged_by_line(broken):
    found = merge_files(PATH, broken, broken + b"ours\n", broken)
    assert (found.is_clean, found.content) == (True, broken + b"ours\n")
    found = merge_files(PATH, broken, broken + b"ours\n", broken + b"theirs\n", marker_size=9)
    assert not found.is_clean
    assert found.content == broken + b"<<<<<<<<< ours\nours\n=========\ntheirs\n>>>>>>>>> theirs\n"


def test_what_is_no_text_is_left_alone():
    found = merge_files(PATH, b"\0", b"\0a", b"\0b")
    assert (found.is_clean, found.content) == (False, None)


TAGS = [{"tag": name, "image_id": image} for name in "123" for image in (IMAGE, OTHER)]
FIELDS = st.fixed_dictionaries(
    {"description": st.sampled_from("abc")},
    optional={
        "labels": st.dictionaries(st.sampled_from(["k1", "k2", "k3"]), st.sampled_from("abc")),
        "tags": st.lists(st.sampled_from(TAGS), unique_by=lambda tag: tag["tag"]),
        "logo": st.sampled_from(["a.png", "b.png"]),
    },
)


@pytest.mark.slow
@settings(deadline=None)
@given(FIELDS, FIELDS, FIELDS)
def test_a_marked_document_holds_both_sides_of_each_conflict_whatever_they_are(base, ours, theirs):
    base, ours, theirs = ({"namespace": "acme", "repo_name": "web", **fields} for fields in (base, ours, theirs))
    found = merged(ours, theirs, base=base)
    assert found.is_clean == (not found.conflicts)
    if found.conflicts:
        for side, name in enumerate(("ours", "theirs")):
            document = loads(resolved(found.content, side))
            assert {conflict.pointer for conflict in merged(document, theirs, base=base).conflicts} <= {
                conflict.pointer for conflict in found.conflicts
            }
            assert all(_at(document, conflict.pointer) == getattr(conflict, name) for conflict in found.conflicts)


def _at(document, pointer):
    return flatten(document).get(pointer, ABSENT)
