"""All that the processes which serve one catalog share, in one place."""

from __future__ import annotations

import shutil
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from catalogd.shared.board import Bell, Board
from catalogd.shared.memory import Flag, Tallies, Word
from catalogd.shared.turns import Mutex, Turns


class Semaphore(Protocol):
    """A bound on how many do something at once."""

    def acquire(self, *, timeout: float) -> bool: ...

    def release(self) -> None: ...


class Shares:
    """Of a process alone, `Shares()`: then nothing of it costs more than if it were not shared.

    Else it is made by the process that starts `workers`, with a directory for it; and each of these says which it is.
    """

    def __init__(self, workers: int = 1, directory: Path | None = None):
        """The directory is emptied."""
        self.number = 0
        self.tallies = Tallies(workers)
        # Why no process of these writes any more; "" while they do.
        self.failure = Word()
        # Of a process some of whose files in the working tree are behind main.
        self.lagging = Flag(workers)
        self._directory = directory
        self.bell: Bell | None = None
        self.board: Board | None = None
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(mode=0o700)
            self.bell, self.board = Bell(), Board(directory)

    def be(self, number: int) -> None:
        """This process is the worker with this number, from 0 on. Before it has threads."""
        self.number = number
        self.tallies.be(number)
        self.lagging.be(number)

    @property
    def is_first(self) -> bool:
        """Whether this process does what one of them must do."""
        return self.number == 0

    def turns(self, name: str, most: int) -> Semaphore:
        """A bound on how many do something at once, in all processes."""
        if self._directory is None:
            return threading.BoundedSemaphore(most)
        return Turns(self._directory / name, most)

    def mutex(self, name: str) -> AbstractContextManager[object]:
        """A lock between all threads of all processes."""
        return threading.Lock() if self._directory is None else Mutex(self._directory / name)
