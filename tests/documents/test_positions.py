"""On which line each value of a JSON text stands."""

from __future__ import annotations

import json

from document_strategies import VALUES
from hypothesis import given

from catalogd.documents.positions import escape, line_of, lines, unescape

TEXT = b"""{
  "namespace": "acme",
  "labels": {
    "a/b": "{\\"x\\": [",
    "c~d": "1"
  },
  "tags": [
    {"tag": "1", "image_id": "x"},
    {"tag":
      "2"}
  ]
}
"""


def test_every_value_has_the_line_of_its_key_or_its_beginning():
    assert lines(TEXT) == {
        "": 1,
        "/namespace": 2,
        "/labels": 3,
        "/labels/a~1b": 4,
        "/labels/c~0d": 5,
        "/tags": 7,
        "/tags/0": 8,
        "/tags/0/tag": 8,
        "/tags/0/image_id": 8,
        "/tags/1": 9,
        "/tags/1/tag": 9,
    }


def test_a_pointer_that_the_text_lacks_falls_to_its_nearest_parent():
    found = lines(TEXT)
    assert line_of(found, "/tags/1/image_id") == 9
    assert line_of(found, "/description") == 1
    assert line_of({}, "/x") == 1


def test_a_broken_text_gives_what_comes_before_the_fault():
    assert lines(b'{"a": 1,\n"b": [2,')["/b/0"] == 2
    assert lines(b"]]]") == {}
    assert lines(b"") == {}


def test_depth_without_end_does_no_harm():
    assert len(lines(b"[" * 1_000_000)) <= 65
    assert len(lines(b'{"a":' * 200_000)) <= 65


def _pointers(value, pointer=""):
    yield pointer
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from _pointers(member, f"{pointer}/{escape(str(key))}")


@given(VALUES)
def test_every_value_of_any_text_is_found_once(value):
    assert sorted(lines(json.dumps(value, indent=1).encode())) == sorted(_pointers(value))


@given(VALUES)
def test_escaping_of_a_key_is_undone(value):
    key = json.dumps(value) + "~1/~0"
    assert unescape(escape(key)) == key
    assert "/" not in escape(key)
