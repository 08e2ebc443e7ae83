"""Where in a JSON text each value stands. Slow and simple: it runs on faulty files only."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Levels of nesting that strict JSON may have, see strict.py. It also bounds the length of a pointer here.
MAX_DEPTH = 64

# RFC 8259, section 2: a string, a structural character, or the run of characters of a literal or number.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]|[^\s\[\]{},:"]++', re.DOTALL)
_STRING = re.compile(r"\\u([0-9a-fA-F]{4})|\\(.)", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def lines(data: bytes) -> dict[str, int]:
    """JSON pointer -> number of its line, from 1, for every value of the JSON text `data`.

    A member of an object stands where its key does. Of a text that is not well formed, the part before the
    fault.
    """
    text = data.decode("utf-8", errors="replace")
    found: dict[str, int] = {}
    line, counted = 1, 0
    for pointer, offset in scan(text):
        line += text.count("\n", counted, offset)
        counted = offset
        found[pointer] = line
    return found


def line_of(lines: dict[str, int], pointer: str) -> int:
    """The line of `pointer`, or of its nearest parent that the text has; 1 if there is none."""
    while pointer not in lines and pointer:
        pointer = pointer.rpartition("/")[0]
    return lines.get(pointer, 1)


def escape(key: str) -> str:
    """`key` as a reference token of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1") if "~" in key or "/" in key else key


def unescape(token: str) -> str:
    """The key that the reference token of a JSON pointer stands for."""
    return token.replace("~1", "/").replace("~0", "~") if "~" in token else token


def scan(text: str) -> Iterator[tuple[str, int]]:
    """(JSON pointer, offset in characters) of each value, in order; ends at MAX_DEPTH levels."""
    open_containers: list[_Container] = []
    for token in _TOKEN.finditer(text):
        first = token[0][0]
        if first in ",:":
            continue
        if first in "]}":
            if not open_containers:
                return
            open_containers.pop()
            continue
        inside = open_containers[-1] if open_containers else None
        if inside is not None and inside.awaits_key:
            inside.take_key(token)
            continue
        pointer, offset = inside.next_value(token.start()) if inside else ("", token.start())
        yield pointer, offset
        if first in "[{":
            if len(open_containers) == MAX_DEPTH:
                return
            open_containers.append(_Container(pointer, is_object=first == "{"))


class _Container:
    """An array or object that the scan is inside of."""

    __slots__ = ("_index", "_is_object", "_key", "_key_offset", "_pointer")

    def __init__(self, pointer: str, is_object: bool):
        self._pointer = pointer
        self._is_object = is_object
        self._index = 0
        self._key: str | None = None
        self._key_offset = 0

    @property
    def awaits_key(self) -> bool:
        return self._is_object and self._key is None

    def take_key(self, token: re.Match[str]) -> None:
        self._key = escape(_unquoted(token[0]))
        self._key_offset = token.start()

    def next_value(self, offset: int) -> tuple[str, int]:
        if self._is_object:
            pointer, offset = f"{self._pointer}/{self._key}", self._key_offset
            self._key = None
            return pointer, offset
        pointer = f"{self._pointer}/{self._index}"
        self._index += 1
        return pointer, offset


def _unquoted(literal: str) -> str:
    """The string that a JSON string literal stands for."""
    if "\\" not in literal:
        return literal[1:-1]
    plain = _STRING.sub(lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPES.get(m[2], m[2]), literal[1:-1])
    # Joins the halves of a surrogate pair; a lone one stays as it is.
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
