"""Memory that processes share: made by the one that starts the others, and theirs as well once they are forked.

Each number has one place and one writer, and is written in one go; so it is read without a lock. Words have any writer.
"""

from __future__ import annotations

import mmap
import struct
import threading
from collections.abc import Iterable, Iterator

# How many numbers a worker may have, and bytes for their names: ten times what all routes, methods and statuses need.
_MOST_NUMBERS = 32_768
_NAMES = 4 << 20
_LENGTH = struct.Struct("<H")

_ABSENT = -1
_MOST_SAID = 500


class Load:
    """How many connections each worker has. One object for each of them, on one memory."""

    def __init__(self, connections: memoryview, worker: int):
        self._connections = connections
        self._worker = worker

    @classmethod
    def of_workers(cls, number: int) -> list[Load]:
        """One for each of so many workers, all of which are absent."""
        connections = memoryview(mmap.mmap(-1, 8 * number)).cast("q")
        for worker in range(number):
            connections[worker] = _ABSENT
        return [cls(connections, worker) for worker in range(number)]

    def tell(self, connections: int) -> None:
        """How many this worker has now."""
        self._connections[self._worker] = connections

    def leave(self) -> None:
        """The worker has ended."""
        self._connections[self._worker] = _ABSENT

    def is_above_others(self) -> bool:
        """Whether another worker that is there has fewer."""
        mine = self._connections[self._worker]
        return any(_ABSENT < others < mine for others in self._connections)


class Flag:
    """One of each worker, which this one raises and lowers, and all see."""

    def __init__(self, workers: int = 1):
        self._memory = mmap.mmap(-1, workers)
        self._worker = 0

    def be(self, worker: int) -> None:
        """This process is that worker; its predecessor's is lowered."""
        self._worker = worker
        self.set(False)

    def set(self, is_up: bool) -> None:
        """Raise or lower this worker's."""
        self._memory[self._worker] = is_up

    def is_up_elsewhere(self) -> bool:
        """Whether another worker's is raised."""
        return any(up and worker != self._worker for worker, up in enumerate(self._memory[:]))


class Word:
    """A short text that any process may set, and all see. What is longer than 500 bytes is cut.

    The first one stays: it is the cause of the others. Of two that are set at the same moment parts may be mixed.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def get(self) -> str:
        """ "" for none."""
        length = _LENGTH.unpack_from(self._memory)[0]
        return self._memory[_LENGTH.size : _LENGTH.size + length].decode("utf-8", "replace")

    def set(self, text: str) -> None:
        """Nothing happens where there is one already."""
        if self.get():
            return
        data = text.encode("utf-8", "replace")[:_MOST_SAID]
        self._memory[_LENGTH.size : _LENGTH.size + len(data)] = data
        # Last, so that whoever reads finds all of it.
        self._memory[: _LENGTH.size] = _LENGTH.pack(len(data))


class Tallies:
    """Numbers that only grow, by name. Each worker counts for itself, and whoever asks gets the sums.

    What a worker has counted stays when it dies; its successor goes on from there. Use from any number of threads.
    """

    def __init__(self, workers: int = 1):
        self._numbers = [memoryview(mmap.mmap(-1, 8 * _MOST_NUMBERS)).cast("d") for _ in range(workers)]
        self._names = [mmap.mmap(-1, _NAMES) for _ in range(workers)]
        self._guard = threading.Lock()
        self.be(0)

    def be(self, worker: int) -> None:
        """Count as this worker, which has counted before perhaps. Before there are threads."""
        self._mine, self._mine_named = self._numbers[worker], self._names[worker]
        self._places: dict[str, int] = {}
        self._named_up_to = 0
        for name, place in _named(self._mine_named):
            self._places[name] = place
            self._named_up_to += _LENGTH.size + len(name.encode())

    def place(self, name: str) -> int:
        """Where the number of this name stands, from 0 on if it is new."""
        with self._guard:
            place = self._places.get(name)
            if place is None:
                place = self._places[name] = self._add(name)
            return place

    def add(self, amounts: Iterable[tuple[int, float]]) -> None:
        """Add to numbers by their places."""
        with self._guard:
            for place, amount in amounts:
                self._mine[place] += amount

    def sums(self) -> dict[str, float]:
        """What all workers have counted, by name."""
        found: dict[str, float] = {}
        for numbers, names in zip(self._numbers, self._names, strict=True):
            for name, place in _named(names):
                found[name] = found.get(name, 0.0) + numbers[place]
        return found

    def _add(self, name: str) -> int:
        data = name.encode()
        at, place = self._named_up_to, len(self._places)
        if place >= _MOST_NUMBERS - 1 or at + 2 * _LENGTH.size + len(data) > _NAMES:
            return _MOST_NUMBERS - 1  # without a name: nobody asks for it
        self._named_up_to = at + _LENGTH.size + len(data)
        self._mine_named[at + _LENGTH.size : self._named_up_to] = data
        # Last, so that whoever reads finds all of it.
        self._mine_named[at : at + _LENGTH.size] = _LENGTH.pack(len(data))
        return place


def _named(names: mmap.mmap) -> Iterator[tuple[str, int]]:
    """(name, place) of each number that has one."""
    at = place = 0
    while at + _LENGTH.size <= _NAMES and (length := _LENGTH.unpack_from(names, at)[0]):
        at += _LENGTH.size
        yield names[at : at + length].decode(), place
        at, place = at + length, place + 1
