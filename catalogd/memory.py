"""How the process gets its memory from the system."""

from __future__ import annotations

import ctypes

# malloc.h of the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# Few threads wait for each other at so few: only one of them runs Python at a time.
_ARENAS = 2
# What is free at the end of an arena, in bytes, goes back to the system when it is more: a few of the largest replies.
# Else each of them would get its pages anew, at a third of what it takes to make it.
_KEPT = 16 << 20
# What is larger is a mapping of its own.
_LARGE = 4 << 20

_library = ctypes.CDLL(None)


def tune() -> None:
    """Let threads take memory from the same places, and keep some of it.

    By default each has a place of its own, which keeps what was free once.
    To be called before threads start. Where the C library knows nothing of it, nothing happens.
    """
    mallopt = getattr(_library, "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Give what is free to the system, also where it lies between what is not: work that is seldom leaves much."""
    trim = getattr(_library, "malloc_trim", None)
    if trim is not None:
        trim(0)
