"""Pages of a list."""

from __future__ import annotations

# SQLite's integers end at 2^63; no list is that long.
_MAX_OFFSET = 2**62


def window(page: int, page_size: int) -> tuple[int, int]:
    """(limit, offset) of a page, counted from 1."""
    return page_size, min((page - 1) * page_size, _MAX_OFFSET)
