"""A lock and a semaphore that processes share: whoever has a turn has locked a file, and that ends with the process."""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
from pathlib import Path

_PAUSE = 0.01


class Mutex:
    """One at a time, of all threads of all processes; for what takes microseconds. Used like a lock of `threading`."""

    def __init__(self, file: Path):
        self._name = file
        self._guard = threading.Lock()
        self._file: int | None = None

    def __enter__(self) -> None:
        """Waits for the turn, which comes: the kernel gives back that of a process that dies. Raises OSError."""
        self._guard.acquire()
        try:
            if self._file is None:  # not before processes part: they would hold one lock together
                self._file = os.open(self._name, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except BaseException:
            self._guard.release()
            raise

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._guard.release()


class Turns:
    """So many at a time, of all threads of all processes. Used like a semaphore of `threading`."""

    def __init__(self, file: Path, most: int):
        """`file` is what the files are called, each with a number after it."""
        self._files = [file.with_name(f"{file.name}-{number}") for number in range(most)]
        self._guard = threading.Lock()
        self._held: list[int] = []

    def acquire(self, timeout: float) -> bool:
        """Whether a turn has come within so many seconds."""
        until = time.monotonic() + timeout
        while not self._take():
            if time.monotonic() >= until:
                return False
            time.sleep(random.uniform(0.5, 1.0) * _PAUSE)
        return True

    def release(self) -> None:
        """Give a turn back; which one does not matter."""
        with self._guard:
            os.close(self._held.pop())

    def _take(self) -> bool:
        for file in self._files:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            except BaseException:
                os.close(descriptor)
                raise
            with self._guard:
                self._held.append(descriptor)
            return True
        return False
