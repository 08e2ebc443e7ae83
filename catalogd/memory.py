"""How the process gets its memory from the system."""

from __future__ import annotations

import ctypes

# malloc.h of the GNU C library.
_M_ARENA_MAX = -8
# Few threads wait for each other at so few: only one of them runs Python at a time.
_ARENAS = 2


def share_arenas() -> None:
    """Let threads take memory from the same places. By default each gets its own, which keeps what was free once.

    To be called before threads start. Where the C library knows nothing of it, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
