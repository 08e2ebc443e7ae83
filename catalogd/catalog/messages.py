"""What the messages of commits name."""

from __future__ import annotations

from collections.abc import Sequence

# So many are named at most.
MOST_NAMED = 5


def named(things: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    shown = ", ".join(things[:MOST_NAMED])
    return shown if len(things) <= MOST_NAMED else f"{shown} and {len(things) - MOST_NAMED} more"
