"""Sends files to clients in a thread of its own, straight from the file (sendfile): neither the thread that receives
requests nor those that answer them are busy with it, and hardly anything of it holds the lock of the interpreter.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

log = logging.getLogger(__name__)

# So many bytes are sent to one client before others have their turn.
TURN = 64 * 1024
# Behind what answers the API. Linux weighs threads as it does processes.
_NICE = 15


class Sending:
    """What is left of a file, on its way to one client."""

    def __init__(
        self,
        to: socket.socket,
        file: BinaryIO,
        size: int,
        moved: Callable[[], None],
        ended: Callable[[bool], None],
    ):
        # A duplicate: the other may be closed at any moment, and its number become another's.
        self.to = to.dup()
        self._file = file
        self._at = file.tell()
        self._end = self._at + size
        self._moved, self._ended = moved, ended
        self._guard = threading.Lock()

    def break_off(self) -> None:
        """Cut the connection, which the sender notices. From any thread, at any time."""
        with self._guard, suppress(OSError):  # all is sent, or the client has gone
            self.to.shutdown(socket.SHUT_RDWR)

    def go_on(self) -> bool:
        """Send what is one turn at most; whether there is more to send. Raises OSError if the client has gone."""
        try:
            sent = os.sendfile(self.to.fileno(), self._file.fileno(), self._at, min(TURN, self._end - self._at))
        except (BlockingIOError, InterruptedError):
            return True
        if not sent:
            raise OSError("the file is shorter than it was")
        self._at += sent
        self._moved()
        return self._at < self._end

    def end(self) -> None:
        """Let go of the file and the connection."""
        with self._guard:
            self.to.close()
        self._file.close()
        self._ended(self._at == self._end)


class Sender:
    """The thread, which starts when there is first something to send."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._wakes, self._wake = os.pipe()
        # epoll or kqueue, to which another thread may add while one waits for it.
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._wakes, selectors.EVENT_READ)

    def send(
        self,
        to: socket.socket,
        file: BinaryIO,
        size: int,
        moved: Callable[[], None],
        ended: Callable[[bool], None],
    ) -> Sending:
        """Send the next `size` bytes of a file, which is closed at the end, to a socket that does not block.

        In the sender's thread, `moved` is called whenever some of it has gone, and `ended` at the end, with whether all
        of it has. Raises OSError where there are no descriptors left; the file is the caller's still then.
        """
        sending = Sending(to, file, size, moved, ended)
        with self._guard:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="sender", daemon=True)
                thread.start()  # where that fails, the next one tries again
                self._thread = thread
            self._ready.register(sending.to, selectors.EVENT_WRITE, sending)
        return sending

    def close(self) -> None:
        """Break off what is under way. Nothing may be sent any more."""
        self._is_closed = True
        os.write(self._wake, b"x")
        if self._thread is not None:
            self._thread.join()
        for key in list(self._ready.get_map().values()):
            if key.data is not None:
                self._end(key.data)
        self._ready.close()
        os.close(self._wakes)
        os.close(self._wake)

    def _run(self) -> None:
        if sys.platform == "linux":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while not self._is_closed:
            for key, _ in self._ready.select():
                if key.data is not None:
                    self._go_on(key.data)

    def _go_on(self, sending: Sending) -> None:
        try:
            if sending.go_on():
                return
        except OSError as error:
            log.debug("a client has not got all that it asked for: %s", error)
        self._end(sending)

    def _end(self, sending: Sending) -> None:
        with self._guard:
            self._ready.unregister(sending.to)
        sending.end()
