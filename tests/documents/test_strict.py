"""Strict JSON: what is refused, with which words, and what is let through."""

from __future__ import annotations

import json
import time

import pytest
from document_strategies import VALUES
from hypothesis import given
from hypothesis import strategies as st

from catalogd.documents.strict import MAX_INTEGER, loads
from catalogd.errors import Malformed, NotJson

REFUSED = {
    "an empty body": (b"", "is empty"),
    "a body of blanks": (b" \n\t", "is empty"),
    "a duplicate key": (b'{"a": 1,\n "a": 2}', 'line 2, column 2: the key at "/a" is there twice'),
    "a duplicate key inside": (b'{"x": [{"b": 1, "b": 1}]}', '"/x/0/b" is there twice'),
    "a key that is a duplicate once unescaped": (b'{"a": 1, "\\u0061": 2}', '"/a" is there twice'),
    "NaN": (b'{"a": NaN}', "column 7: NaN is no JSON number"),
    "Infinity": (b"[Infinity]", "column 2: Infinity is no JSON number"),
    "minus Infinity": (b"[-Infinity]", "column 2: -Infinity is no JSON number"),
    "1e999": (b'["1e999", 1e999]', "column 11: the number is too large"),
    "2^53": (b"[9007199254740992]", "column 2: whole numbers must be between"),
    "minus 2^53": (b"[-9007199254740992]", "whole numbers must be between"),
    "2^64": (b'{"a": 18446744073709551616}', "whole numbers must be between"),
    "2^64 as a float": (b"[18446744073709551616.0]", "whole numbers must be between"),
    "an integer of 5,000 digits": (b"9" * 5000, "whole numbers must be between"),
    "a fraction of 5,000 digits": (b"0." + b"1" * 5000, "at most|more than 64 characters"),
    "65 levels": (b"[" * 65 + b"]" * 65, "column 65: arrays and objects must not be nested deeper than 64"),
    "1,000 levels": (b'{"a":' * 1000 + b"1" + b"}" * 1000, "nested deeper than 64"),
    "100,000 levels": (b"[" * 100_000 + b"]" * 100_000, "nested deeper than 64"),
    "100,000 levels that never end": (b"[" * 100_000, "nested deeper than 64"),
    "a high surrogate alone": (b'["\\ud800"]', "column 3: .*half of a surrogate pair"),
    "a low surrogate alone": (b'["\\uDC00x"]', "half of a surrogate pair"),
    "two high surrogates": (b'["\\ud83d\\ud83d"]', "half of a surrogate pair"),
    "surrogates in the wrong order": (b'["\\ude00\\ud83d"]', "half of a surrogate pair"),
    "a lone surrogate in a key": (b'{"\\ud800": 1}', "half of a surrogate pair"),
    "an encoded surrogate": (b'["\xed\xa0\x80"]', "not valid UTF-8 at byte 2"),
    "NUL as an escape": (b'["\\u0000"]', "control character"),
    "NUL in a key": (b'{"\\u0000": 1}', "control character"),
    "NUL as it is": (b'["\x00"]', "control character"),
    "a backspace": (b'["\\b"]', "control character"),
    "a form feed": (b'["\\f"]', "control character"),
    "an escape character": (b'["\\u001b[31m"]', "control character"),
    "an escape after a doubled backslash": (b'["\\\\\\u0007"]', "control character"),
    "a newline as it is": (b'["a\nb"]', "must be written as an escape"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not valid UTF-8 at byte 0"),
    "bad UTF-8": (b'{"a":\n "\xff"}', r"not valid UTF-8 at byte 8 \(line 2, column 3\)"),
    "bad UTF-8 behind letters of two bytes": (b'{"\xc3\xa9\xc3\xa9": "\xff"}', r"at byte 10 \(line 1, column 9\)"),
    "an overlong form": (b'"\xc0\xaf"', "not valid UTF-8 at byte 1"),
    "trailing garbage": (b'{"a": 1} x', "column 10: there is more text after the end"),
    "two values": (b"{}{}", "there is more text after the end"),
    "a trailing comma": (b"[1,]", "line 1, column"),
    "single quotes": (b"{'a': 1}", "a key in double quotes is expected"),
    "a comment": (b"[1] // one", "there is more text"),
    "a leading zero": (b"[01]", "comma or the closing"),
    "a leading plus": (b"[+1]", "a value is expected here"),
    "a truncated document": (b'{"a": "b', "no closing quote"),
    "a truncated object": (b'{"a": 1', "is expected here"),
    "a bad escape": (b'["\\x41"]', "a backslash must be followed by"),
    "a short escape": (b'["\\u12"]', "four hexadecimal digits"),
}


@pytest.mark.parametrize(("data", "words"), REFUSED.values(), ids=REFUSED)
def test_what_readers_disagree_about_is_refused_and_the_message_says_where(data, words):
    with pytest.raises(Malformed, match=words):
        loads(data)


def test_an_error_knows_its_line_and_column_and_names_the_text():
    with pytest.raises(NotJson) as refused:
        loads(b'{\n  "a": 1,\n  "a": 2\n}', what="data/acme/web.json")
    assert (refused.value.line, refused.value.column) == (3, 3)
    assert refused.value.detail.startswith("data/acme/web.json is not valid JSON at line 3")


def test_columns_count_characters_not_bytes():
    with pytest.raises(NotJson) as refused:
        loads('["é", NaN]'.encode())
    assert refused.value.column == 7


def test_a_message_stays_short_whatever_the_key():
    key = b"k" * 100_000
    with pytest.raises(NotJson) as refused:
        loads(b'{"' + key + b'": 1, "' + key + b'": 2}')
    assert len(refused.value.detail) < 300


def test_a_hostile_text_is_refused_quickly():
    began = time.perf_counter()
    for data in (b"[" * 1_000_000, b'"' * 1_000_001, b"\\" * 1_000_000, b'{"a":' * 200_000, b"9" * 1_000_000):
        with pytest.raises(Malformed):
            loads(data)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("value", [None, True, 0, -1, "x", [], {}, [1], {"a": {"b": [None]}}])
def test_any_json_value_is_let_through_at_the_top(value):
    assert loads(json.dumps(value).encode()) == value


def test_the_largest_integers_are_let_through():
    assert loads(f"[{MAX_INTEGER}, -{MAX_INTEGER}]".encode()) == [MAX_INTEGER, -MAX_INTEGER]


def test_integral_floats_become_integers():
    value = loads(b"[1.0, 1e3, -0.0, 1.5]")
    assert value == [1, 1000, 0, 1.5]
    assert [type(each) for each in value] == [int, int, int, float]


def test_64_levels_are_let_through():
    assert loads(b"[" * 64 + b"]" * 64)


def test_brackets_in_strings_are_no_levels():
    text = "[{" * 1000 + '\\"'
    assert loads(json.dumps([text]).encode()) == [text]


def test_tab_newline_return_and_whole_pairs_may_be_escaped():
    assert loads(b'["\\t\\n\\r\\ud83d\\ude00\\u00e9\\\\u0000\\\\b"]') == ["\t\n\r😀é\\u0000\\b"]


def test_a_key_named_proto_is_a_key():
    assert loads(b'{"__proto__": {"a": 1}}') == {"__proto__": {"a": 1}}


@given(VALUES, st.booleans())
def test_what_python_writes_is_read_as_it_was(value, escaped):
    assert loads(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.binary(max_size=60) | st.text('[]{}",:\\u0d8ce1 \n', max_size=40).map(str.encode))
def test_anything_else_is_refused_as_malformed_and_never_otherwise(data):
    try:
        loads(data)
    except Malformed as error:
        assert error.detail
