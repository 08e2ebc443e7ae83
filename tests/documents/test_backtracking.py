"""Patterns that take for ever over some texts are found, and others are let be."""

from __future__ import annotations

import re

import pytest

from catalogd.documents.backtracking import backtracks
from catalogd.names import COMPONENT, TAG

FOR_EVER = [
    r"^(a+)+$", r"^(?:a*)*$", r"^([a-z]+)*$", r"(\w+\s?)*", r"(a|b+)*", r"((a+))+", r"(a+b?)+", r"(?:(a|c)+)+",
    r"(a+){25}", r"(x(a+)+y)?", r"(?:(?:a+)|b)*", r"(?=(a+)+$)a", r"(?:a{1,100})+?",
]  # fmt: skip
IN_TIME = [
    COMPONENT, TAG, r"^(?:/(?:[^~/]|~[01])*)*$", r"^(?:a{1,3})+$", r"(ab+)*", r"(a|b)*", r"^(a+)?$", r"(a+){2}",
    r"(?:[a-z]+\.)+[a-z]+", r"", r"(?:\s*,\s*x)*", r"(?:(?>a+)b)*",
]  # fmt: skip


@pytest.mark.parametrize("pattern", FOR_EVER)
def test_a_repetition_of_nothing_but_a_repetition_is_found(pattern: str) -> None:
    re.compile(pattern)
    assert backtracks(pattern)


@pytest.mark.parametrize("pattern", IN_TIME)
def test_where_one_part_is_told_from_the_next_there_is_nothing_to_find(pattern: str) -> None:
    assert not backtracks(pattern)
