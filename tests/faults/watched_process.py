"""What a process takes of the machine, read from /proc again and again while it runs."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

MIB = 1 << 20


@dataclass(frozen=True)
class Sample:
    """`rss` in bytes; `zombies` are children that have ended and are not waited for."""

    at: float
    rss: int
    descriptors: int
    threads: int
    children: int
    zombies: int


def sample(pid: int) -> Sample:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    states = [state for parent, state in _parents() if parent == pid]
    return Sample(
        time.monotonic(),
        int(status["VmRSS"].split()[0]) * 1024,
        len(os.listdir(f"/proc/{pid}/fd")),
        int(status["Threads"]),
        len(states),
        states.count("Z"),
    )


def _parents() -> list[tuple[int, str]]:
    """(parent, state) of every process."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                state, parent, *_ = Path(f"/proc/{entry}/stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            found.append((int(parent), state))
    return found


class Watched(threading.Thread):
    """Samples of a process, until `stop`."""

    def __init__(self, pid: int, interval: float):
        super().__init__(daemon=True)
        self.samples: list[Sample] = [sample(pid)]
        self._pid, self._interval = pid, interval
        self._is_over = threading.Event()

    def run(self) -> None:
        with suppress(FileNotFoundError):  # it has ended
            while not self._is_over.wait(self._interval):
                self.samples.append(sample(self._pid))

    def stop(self) -> None:
        self._is_over.set()
        self.join()

    def part(self, number: int, of: int) -> Sample:
        """The median of each figure in that part of the time, counted from 0."""
        size = max(1, len(self.samples) // of)
        some = self.samples[number * size : (number + 1) * size]
        figures = ("at", "rss", "descriptors", "threads", "children", "zombies")
        return Sample(*(median(getattr(each, figure) for each in some) for figure in figures))
