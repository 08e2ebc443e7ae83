"""Where writers draft and commit, one at a time.

Python runs one of them at a time anyway. Where several draft while another one commits, each lets go of the interpreter
at every system call and then waits until the others let go of it: with 16 writers that takes a third of all time. It
saves time, and nothing depends on it: who has waited too long goes on all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# In seconds: for whoever drafts or commits now, a large group as a rule; and of one who commits, for those who draft.
_PATIENCE = 0.05
_FOR_DRAFTS = 0.01


class Desk:
    """For any number of threads, each of which is there once at most."""

    def __init__(self) -> None:
        self._seat = threading.Lock()
        self._drafts = 0
        self._none_drafts = threading.Condition()

    @contextmanager
    def drafting(self) -> Iterator[None]:
        """Draft in the block, and queue what was drafted."""
        with self._none_drafts:
            self._drafts += 1
        try:
            with self._seated():
                yield
        finally:
            with self._none_drafts:
                self._drafts -= 1
                if not self._drafts:
                    self._none_drafts.notify()

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Take from the queue and commit in the block, after those who draft now: so they are in the same group."""
        with self._none_drafts:
            self._none_drafts.wait_for(lambda: not self._drafts, _FOR_DRAFTS)
        with self._seated():
            yield

    @contextmanager
    def _seated(self) -> Iterator[None]:
        has_seat = self._seat.acquire(timeout=_PATIENCE)
        try:
            yield
        finally:
            if has_seat:
                self._seat.release()
