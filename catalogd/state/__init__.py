"""What does not belong into git: users, their tokens and stars, and what is counted; in SQLite or PostgreSQL.

The only part that knows SQLAlchemy. Its methods are verbs of storage and hold no rules. Several processes share one
database, so a thing is kept in memory only where `State.version` can tell whether it still holds.
"""

from __future__ import annotations

from catalogd.state.migrations import SCHEMA_VERSION
from catalogd.state.registry import AGAIN, PART_OF_INDEX, TAKEN, UNKNOWN
from catalogd.state.shapes import Change, ChangeRow, PendingRow, PullRow, StarRow, TokenRow, UserRow
from catalogd.state.state import State

__all__ = [
    "AGAIN", "PART_OF_INDEX", "SCHEMA_VERSION", "TAKEN", "UNKNOWN", "Change", "ChangeRow", "PendingRow", "PullRow",
    "StarRow", "State", "TokenRow", "UserRow",
]  # fmt: skip
