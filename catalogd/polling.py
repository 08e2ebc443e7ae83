"""The loop that waits for what clients send, and answers short reads itself.

To hand a request to another thread and to get its connection back takes longer than to answer a short read: threads
wake each other, and wait for each other to let go of the interpreter. So the thread that polls answers what is quick as
a rule. Should one take long after all, another thread, which stands by, polls on meanwhile; and as long as none stands
by, all requests are handed over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from waitress import wasyncore

log = logging.getLogger(__name__)

# After so many seconds with one answer the thread that stands by takes over.
_PATIENCE = 0.01
# Between two looks at what clients have sent: so many answers, and no further one after so many seconds.
_AT_ONCE, _TURN = 16, 0.002
_THREADS = 2
# How often, in seconds, the thread that handles signals looks whether there are any.
_GLANCE = 0.5


class Polling:
    """Polls waitress's channels, by file descriptor, in one of its threads at a time, until `is_done`.

    `is_done` and `timeout`, in seconds, are asked before each look. A channel's `server` has `hand_over`, which gives
    it to another thread.
    """

    def __init__(self, channels: dict[int, Any], is_done: Callable[[], bool], timeout: Callable[[], float]):
        self._channels = channels
        self._is_done = is_done
        self._timeout = timeout
        self._turn = threading.Condition()
        self._poller: int | None = None  # the thread that polls
        self._standing_by = 0
        self._offered: deque[Any] = deque()
        self._answers = 0
        self._is_answering = False
        self._is_watched = False
        self._is_over = False
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Returns once it is done; a thread that still answers goes on. Raises what went wrong with polling itself."""
        threads = [threading.Thread(target=self._run, name=f"polling-{n}", daemon=True) for n in range(_THREADS)]
        for thread in threads:
            thread.start()
        with self._turn:
            # With an end: a signal that comes just before a wait does not end that, and is not handled until it ends.
            while not self._is_over:
                self._turn.wait(_GLANCE)
        if self._failure is not None:
            raise self._failure

    def is_here(self) -> bool:
        """Whether it is the calling thread that polls."""
        return self._poller == threading.get_ident()

    def offer(self, channel: Any) -> bool:
        """Whether it will answer the channel's next request itself."""
        if not self.is_here() or not self._standing_by:
            return False
        self._offered.append(channel)
        return True

    def _run(self) -> None:
        try:
            while self._stand_by():
                self._poll()
        except BaseException as failure:
            self._failure = failure
            self._end()

    def _end(self) -> None:
        with self._turn:
            self._is_over = True
            self._turn.notify_all()

    def _poll(self) -> None:
        """Until all is done or another thread has taken over."""
        while not self._is_done():
            wasyncore.poll2(0 if self._offered else self._timeout(), self._channels)
            until = time.monotonic() + _TURN
            for _ in range(min(len(self._offered), _AT_ONCE)):
                channel = self._offered.popleft()
                if not self._standing_by:
                    channel.server.hand_over(channel)
                elif not self._answer(channel):
                    return
                if time.monotonic() >= until:
                    break
        self._end()

    def _answer(self, channel: Any) -> bool:
        """Whether this thread is still the one that polls."""
        self._answers += 1
        self._is_answering = True
        if not self._is_watched:
            with self._turn:
                self._is_watched = True
                self._turn.notify_all()
        try:
            channel.service()
        except Exception:  # one request must not end the others
            log.exception("a request could not be answered; its connection is closed")
            channel.will_close = True
        with self._turn:
            if self.is_here():
                self._is_answering = False
                return True
        # The other thread may have looked before this connection was ready for more.
        channel.server.pull_trigger()
        return False

    def _stand_by(self) -> bool:
        """Waits until it is this thread's turn to poll; False when all is done."""
        with self._turn:
            self._standing_by += 1
            while not (self._is_over or self._poller is None or self._has_to_take_over()):
                pass
            self._standing_by -= 1
            if not self._is_over:
                self._poller = threading.get_ident()
                self._is_answering = False
            return not self._is_over

    def _has_to_take_over(self) -> bool:
        """Waits: while there are answers as long as patience goes, else for the next one."""
        seen = self._answers
        if self._turn.wait(_PATIENCE if self._is_watched else None) or self._answers != seen:
            return False
        if self._is_answering:
            return True
        self._is_watched = False
        # An answer may have begun since, whose thread has still read that it is watched.
        self._is_watched = self._answers != seen
        return False
