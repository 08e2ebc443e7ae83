"""The form that documents have in their files."""

from __future__ import annotations

import json
import random

import pytest
from document_strategies import DOCUMENTS, IMAGE_ID, VALUES
from hypothesis import given
from hypothesis import strategies as st

from catalogd.documents import canonical, loads

CANONICAL = f"""{{
  "namespace": "acme",
  "repo_name": "web",
  "description": "Café \\"web\\"",
  "full_description": "# web\\n\\tindented",
  "is_public": true,
  "labels": {{
    "a": "1",
    "b/c": "2"
  }},
  "build_config": {{
    "code_repo_client": "GitHub",
    "tag_configs": {{
      "latest": {{
        "branch": "main"
      }},
      "old": []
    }}
  }},
  "download": 3,
  "tags": [
    {{"tag": "1.0", "image_id": "{IMAGE_ID}", "architectures": ["amd64", "arm64"]}},
    {{"tag": "latest", "image_id": "{IMAGE_ID}", "digest": "sha256:{IMAGE_ID}"}}
  ]
}}
"""


def _shuffled(value, shuffle):
    if isinstance(value, dict):
        members = [(key, _shuffled(member, shuffle)) for key, member in value.items()]
        shuffle(members)
        return dict(members)
    return [_shuffled(item, shuffle) for item in value] if isinstance(value, list) else value


def test_a_document_is_written_field_by_field_and_one_tag_a_line():
    document = json.loads(CANONICAL)
    document["tags"].reverse()
    assert canonical.dumps(_shuffled(document, random.Random(1).shuffle)).decode() == CANONICAL


def test_empty_labels_settings_and_times_are_left_out_and_tags_are_always_written():
    document = {
        "namespace": "acme",
        "repo_name": "web",
        "labels": {},
        "build_config": None,
        "pushed_at": None,
        "pulled_at": None,
    }
    assert canonical.dumps(document) == b'{\n  "namespace": "acme",\n  "repo_name": "web",\n  "tags": []\n}\n'


def test_an_organization_has_no_tags_and_its_members_are_sorted():
    document = {"readers": [], "owners": ["bob", "alice"], "namespace": "acme"}
    assert canonical.dumps(document).decode() == (
        '{\n  "namespace": "acme",\n  "owners": [\n    "alice",\n    "bob"\n  ],\n  "readers": []\n}\n'
    )


def test_fields_that_no_schema_knows_follow_the_known_ones_sorted():
    document = {
        "__proto__": 1,
        "Z": {"b": 1, "a": 2},
        "repo_name": "web",
        "tags": [{"x": {"d": 1, "c": 2}, "tag": "1"}],
    }
    written = canonical.dumps(document)
    assert list(json.loads(written)) == ["repo_name", "tags", "Z", "__proto__"]
    assert list(json.loads(written)["Z"]) == ["a", "b"]
    assert b'    {"tag": "1", "x": {"c": 2, "d": 1}}\n' in written


@pytest.mark.parametrize(
    "document", [{}, {"tags": 3}, {"tags": [1, None, {"tag": 2}]}, {"labels": [1]}, {"labels": {"a": 1}}]
)
def test_a_document_of_the_wrong_shape_is_written_too(document):
    assert json.loads(canonical.dumps(document)) == document


def test_what_cannot_be_read_back_is_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical.dumps({"tags": [float("nan")]})


@given(DOCUMENTS)
def test_writing_what_was_read_changes_nothing(document):
    written = canonical.dumps(document)
    assert canonical.dumps(loads(written)) == written


@given(DOCUMENTS, st.randoms())
def test_the_order_in_which_a_document_was_built_does_not_matter(document, chance):
    shuffled = _shuffled({key: value for key, value in document.items() if key != "tags"}, chance.shuffle)
    if "tags" in document:
        shuffled["tags"] = random.Random(0).sample(document["tags"], len(document["tags"]))
    assert canonical.dumps(shuffled) == canonical.dumps(document)


@given(st.dictionaries(st.sampled_from(canonical.FIELDS) | st.text("ab"), VALUES))
def test_a_file_of_any_content_keeps_it(document):
    written = canonical.dumps(document)
    read = json.loads(written)
    assert canonical.dumps(read) == written
    for key, value in document.items():
        if not canonical.is_left_out(key, value) and key not in ("tags", "owners", "writers", "readers"):
            assert read[key] == value


def test_a_complete_document_has_every_default():
    assert canonical.complete({"repo_name": "web", "namespace": "acme", "labels": None, "build_config": {}}) == {
        "namespace": "acme",
        "repo_name": "web",
        "description": "",
        "full_description": "",
        "is_public": True,
        "logo": "default-icon.jpg",
        "labels": {},
        "pushed_at": None,
        "pulled_at": None,
        "download": 0,
        "upload": 0,
        "repo_starred_count": 0,
        "tags": [],
    }


@given(DOCUMENTS)
def test_completing_is_in_canonical_order_and_keeps_the_document(document):
    before = json.dumps(document)
    complete = canonical.complete(document)
    assert json.dumps(document) == before
    assert list(complete) == [key for key in canonical.FIELDS if key in complete]
    assert canonical.complete(complete) == complete
    assert [tag["tag"] for tag in complete["tags"]] == sorted(tag["tag"] for tag in complete["tags"])
