"""Where writers draft and commit, one at a time.

Python runs one of them at a time anyway. Where several draft while another one commits, each lets go of the interpreter
at every system call and then waits until the others let go of it; docs/performance.md has what that costs. It saves
time, and nothing depends on it: who has waited too long goes on all the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# How long others wait for one who drafts or commits, in seconds; and who commits for all who draft.
_PATIENCE = 0.05
_FOR_DRAFTS = 0.01


class Desk:
    """For any number of threads, each of which is there once at most."""

    def __init__(self) -> None:
        self._seat = threading.Lock()
        self._taken_at = 0.0
        self._drafts = 0
        self._none_drafts = threading.Condition()

    @contextmanager
    def drafting(self) -> Iterator[None]:
        """Draft in the block, and queue what was drafted."""
        with self._none_drafts:
            self._drafts += 1
        try:
            with self.seated():
                yield
        finally:
            with self._none_drafts:
                self._drafts -= 1
                if not self._drafts:
                    self._none_drafts.notify()

    def await_drafts(self) -> None:
        """Wait for those who draft now, before the queue is emptied: so they get into the same group."""
        with self._none_drafts:
            self._none_drafts.wait_for(lambda: not self._drafts, min(_FOR_DRAFTS, self._patience()))

    @contextmanager
    def seated(self) -> Iterator[None]:
        """Work in the block, alone if that can be had soon."""
        has_seat = self._seat.acquire(timeout=self._patience())
        if has_seat:
            self._taken_at = time.monotonic()
        try:
            yield
        finally:
            if has_seat:
                self._seat.release()

    def _patience(self) -> float:
        """Who has worked for too long already holds up nobody any more."""
        return max(0.0, self._taken_at + _PATIENCE - time.monotonic()) if self._seat.locked() else _PATIENCE
