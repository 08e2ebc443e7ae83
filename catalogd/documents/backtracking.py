"""Finds patterns that take for ever over some texts: Python's matcher tries every way to split what is repeated.

`(a+)+` can split a row of n times `a` in 2^n ways. What is looked for is that: a repetition without end of what may be
nothing but a repetition without end. In `(?:-[a-z]+)*` the hyphen says where each part begins, so there is one way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

# So often repeated is without end: 2^20 ways take a second.
_ENDLESS = 20
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT)
_Item = tuple[Any, Any]


def backtracks(pattern: str) -> bool:
    """Whether a pattern of Python's, which compiles, repeats a repetition. Raises RecursionError if it is nested too
    deeply. Python has no other way to look into a pattern than the module that its own compiler uses.
    """
    return _backtracks(parser.parse(pattern))


def _backtracks(items: Iterable[_Item]) -> bool:
    for item in items:
        inner = list(_sequences(item))
        if _is_endless(item) and any(_is_only_repetition(sequence) for sequence in inner):
            return True
        if any(_backtracks(sequence) for sequence in inner):
            return True
    return False


def _sequences(item: _Item) -> Iterator[Iterable[_Item]]:
    """What an item holds; of a choice, each of its branches, also where it stands alone in a group."""
    kind, held = item
    if kind in _REPEATS or kind is sre.POSSESSIVE_REPEAT:
        yield from _choices(held[2])
    elif kind is sre.SUBPATTERN:
        yield from _choices(held[3])
    elif kind is sre.BRANCH:
        yield from held[1]
    elif kind is sre.ATOMIC_GROUP:
        yield held
    elif kind in (sre.ASSERT, sre.ASSERT_NOT):
        yield held[1]


def _choices(sequence: Any) -> Iterator[Iterable[_Item]]:
    if len(sequence) == 1 and sequence[0][0] in (sre.BRANCH, sre.SUBPATTERN):
        yield from _sequences(sequence[0])
    else:
        yield sequence


def _is_endless(item: _Item) -> bool:
    return item[0] in _REPEATS and item[1][1] >= _ENDLESS


def _is_only_repetition(sequence: Iterable[_Item]) -> bool:
    """Whether it repeats something without end and needs nothing beside that."""
    found = False
    for item in sequence:
        if _is_endless(item):
            found = True
        elif not _may_be_nothing(item):
            return False
    return found


def _may_be_nothing(item: _Item) -> bool:
    kind, held = item
    if kind in _REPEATS or kind is sre.POSSESSIVE_REPEAT:
        return bool(held[0] == 0)
    if kind in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
        return True
    inner = list(_sequences(item))
    return bool(inner) and any(all(_may_be_nothing(each) for each in sequence) for sequence in inner)
