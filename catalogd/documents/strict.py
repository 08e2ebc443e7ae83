"""Strict JSON in: what every reader agrees on, and nothing else.

Python's own parser takes duplicate keys, NaN, numbers beyond a double, lone surrogates and any depth. Other
readers of the same file would see something else, or fail; so all of that is refused here, with the place
and what would be right.

The work is left to the C parser. Depth is bounded before it, escapes are looked at after it, both on the
text, so that no value is ever walked in Python.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import NoReturn

from catalogd.documents.positions import MAX_DEPTH, scan
from catalogd.errors import NotJson

# RFC 8259, section 6: integers in this range are exact wherever numbers are IEEE 754 doubles.
MAX_INTEGER = 2**53 - 1
# More than the 24 characters that any double needs; a bound on what float() has to read.
MAX_NUMBER_LENGTH = 64

_BOM = b"\xef\xbb\xbf"
_STRUCTURE = b"[]{}"
_ALL_BUT_STRUCTURE = bytes(byte for byte in range(256) if byte not in _STRUCTURE)
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

# A string, also one that never ends: what follows it is no structure.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_STRINGS = re.compile(_STRING, re.DOTALL)
_STRINGS_AND_STRUCTURE = re.compile(_STRING + rb"|([\[{])|([\]}])", re.DOTALL)

_NUMBERS = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|NaN|-?Infinity)',
    re.DOTALL,
)

# In the order of the alternatives: half a surrogate pair, a control character; anything else is passed over,
# a whole pair and a doubled backslash with it.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<surrogate>u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|(?P<control>[bf]|u00(?:0[0-8bBcCeEfF]|1[0-9a-fA-F]))"
    r"|.)",
    re.DOTALL,
)
_SUSPICIOUS_ESCAPES = ("\\u", "\\b", "\\f")

# The parser's words, which differ between versions of Python -> what would be right.
_ADVICE = (
    (
        "Expecting property name",
        "a key in double quotes is expected here (and no comma before a closing brace)",
    ),
    ("Illegal trailing comma", "there must be no comma before a closing bracket or brace"),
    ("Expecting ':'", "a colon is expected here, between a key and its value"),
    ("Expecting ','", "a comma or the closing bracket or brace is expected here"),
    (
        "Expecting value",
        "a value is expected here: an object, an array, a string, a number, true, false or null",
    ),
    ("Unterminated string", "the string that begins here has no closing quote"),
    (
        "Invalid control character",
        "a control character inside a string must be written as an escape (a newline as \\n)",
    ),
    ("Invalid \\u", "\\u must be followed by four hexadecimal digits"),
    (
        "Invalid \\escape",
        'a backslash must be followed by one of "\\/bfnrtu; a backslash itself is written \\\\',
    ),
    ("Extra data", "there is more text after the end of the value; send one JSON value and nothing after it"),
)


def loads(data: bytes, *, what: str = "the body") -> object:
    """The JSON value that `data` holds; integral numbers become ints (1.0 is 1).

    `what` names the text in messages. Raises NotJson (a Malformed) that says what is wrong, where, and what
    is right.
    """
    return _Text(data, what).value()


class _Rejected(ValueError):
    """Raised by the parser's hooks, which do not know where in the text they are."""


class _RejectedNumber(_Rejected):
    def __init__(self, literal: str, why: str):
        super().__init__(why)
        self.literal = literal


class _DuplicateKey(_Rejected):
    pass


class _Text:
    """One text on its way through the checks."""

    def __init__(self, data: bytes, what: str):
        self._data = data
        # To begin a sentence; a path stays as it is.
        self._what = "T" + what[1:] if what.startswith("the ") else what

    def value(self) -> object:
        text = self._decoded()
        self._bound_depth()
        try:
            value = _DECODER.decode(text)
        except json.JSONDecodeError as error:
            self._refuse(text, error.pos, _advice(error.msg))
        except _RejectedNumber as error:
            self._refuse(text, _offset_of_number(text, error.literal), str(error))
        except _DuplicateKey:
            pointer, offset = next(_repeated(text))
            self._refuse(text, offset, f"the key at {_shown(pointer)} is there twice; each key may stand once")
        if any(escape in text for escape in _SUSPICIOUS_ESCAPES):
            self._look_at_escapes(text)
        return value

    def _decoded(self) -> str:
        if not self._data.strip():
            raise NotJson(f"{self._what} is empty; a JSON value is expected.")
        if self._data.startswith(_BOM):
            raise NotJson(f"{self._what} begins with a byte order mark; it must begin with the JSON value itself.")
        try:
            return self._data.decode("utf-8")
        except UnicodeDecodeError as error:
            before = self._data[: error.start].decode("utf-8")
            line, column = _place(before, len(before))
            raise NotJson(
                f"{self._what} is not valid UTF-8 at byte {error.start} (line {line}, column {column}); "
                "JSON must be encoded in UTF-8.",
                line,
                column,
            ) from None

    def _bound_depth(self) -> None:
        data = self._data
        if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
            return
        structure = _STRINGS.sub(b"", data).translate(None, _ALL_BUT_STRUCTURE)
        if max(accumulate(map(_STEP.__getitem__, structure)), default=0) > MAX_DEPTH:
            before = data[: _offset_of_depth(data)].decode("utf-8")
            self._refuse(before, len(before), f"arrays and objects must not be nested deeper than {MAX_DEPTH} levels")

    def _look_at_escapes(self, text: str) -> None:
        for escape in _ESCAPE.finditer(text):
            if escape.lastgroup == "surrogate":
                self._refuse(
                    text,
                    escape.start(),
                    f"{escape[0]} is half of a surrogate pair; write the character itself, or both halves",
                )
            if escape.lastgroup == "control":
                self._refuse(
                    text,
                    escape.start(),
                    f"{escape[0]} is a control character; of those, strings may hold only \\t, \\n and \\r",
                )

    def _refuse(self, text: str, offset: int, why: str) -> NoReturn:
        line, column = _place(text, offset)
        raise NotJson(f"{self._what} is not valid JSON at line {line}, column {column}: {why}.", line, column) from None


def _integer(literal: str) -> int:
    # The length first: converting thousands of digits is quadratic, and Python refuses it with an error of
    # its own.
    if len(literal) <= len(str(-MAX_INTEGER)):
        number = int(literal)
        if -MAX_INTEGER <= number <= MAX_INTEGER:
            return number
    raise _RejectedNumber(literal, f"whole numbers must be between -{MAX_INTEGER} and {MAX_INTEGER}")


def _number(literal: str) -> int | float:
    if len(literal) > MAX_NUMBER_LENGTH:
        raise _RejectedNumber(literal, f"numbers must not have more than {MAX_NUMBER_LENGTH} characters")
    number = float(literal)
    if not math.isfinite(number):
        raise _RejectedNumber(literal, "the number is too large for a double")
    if not number.is_integer():
        return number
    if abs(number) > MAX_INTEGER:
        raise _RejectedNumber(literal, f"whole numbers must be between -{MAX_INTEGER} and {MAX_INTEGER}")
    return int(number)


def _constant(literal: str) -> NoReturn:
    raise _RejectedNumber(literal, f"{literal} is no JSON number; use a finite number or null")


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(members)
    if len(result) != len(members):
        raise _DuplicateKey
    return result


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)


def _advice(message: str) -> str:
    return next((advice for beginning, advice in _ADVICE if message.startswith(beginning)), message)


def _offset_of_number(text: str, literal: str) -> int:
    """Where `literal` first stands outside of a string: the hooks meet the first of its kind."""
    return next((found.start(1) for found in _NUMBERS.finditer(text) if found[1] == literal), 0)


def _offset_of_depth(data: bytes) -> int:
    """Where the bracket stands that opens a level too many."""
    depth = 0
    for token in _STRINGS_AND_STRUCTURE.finditer(data):
        depth += (token[1] is not None) - (token[2] is not None)
        if depth > MAX_DEPTH:
            return token.start()
    return len(data)


def _repeated(text: str) -> Iterator[tuple[str, int]]:
    """(JSON pointer, offset) of each value whose pointer the text has had before."""
    seen: set[str] = set()
    for pointer, offset in scan(text):
        if pointer in seen:
            yield pointer, offset
        seen.add(pointer)


def _place(text: str, offset: int) -> tuple[int, int]:
    """(line, column) of the character at `offset`, both from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _shown(pointer: str) -> str:
    shown = json.dumps(pointer)
    return shown if len(shown) <= 80 else f'{shown[:76]}..."'
