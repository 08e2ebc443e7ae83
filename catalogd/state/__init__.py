"""What does not belong into git: users, their tokens and stars, and what is counted; in SQLite or PostgreSQL.

The only part that knows SQLAlchemy. Its methods are verbs of storage and hold no rules. Several processes share one
database, so a thing is kept in memory only where `State.version` can tell whether it still holds.
"""

from __future__ import annotations

from catalogd.state.migrations import SCHEMA_VERSION
from catalogd.state.shapes import Change, PendingRow, StarRow, TokenRow, UserRow
from catalogd.state.state import State

__all__ = ["SCHEMA_VERSION", "Change", "PendingRow", "StarRow", "State", "TokenRow", "UserRow"]
