"""Several processes that serve one catalog: a supervisor and its workers.

The supervisor listens, starts the workers, starts one anew that has died, and hands on what it is told. It has no
threads, as its workers are forks of it, and no part in any request. With it they hold the server's lock. Who kills it
ends them: each watches a pipe whose other end only the supervisor has.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from catalogd.server import Server
from catalogd.shared.memory import Load

log = logging.getLogger(__name__)

# After a worker has died it is started at once, or, where it dies again within the time that it has to stay, after a
# pause that doubles each time. In seconds.
_STAYS, _SHORTEST, _LONGEST = 10.0, 0.25, 30.0
# What tells a worker not to wait for what is under way. A terminal and service managers send the others to all.
_HURRY = signal.SIGUSR1
_OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, _HURRY)
# A worker that has nobody to tell it anything ends like that.
_ABANDONED = 70


class Place:
    """A worker's tie to its supervisor."""

    def __init__(self, number: int, load: Load, supervised: int, ready: int):
        self.number = number
        self.load = load
        self._supervised = supervised
        self._ready = ready

    def ready(self) -> None:
        """Requests are answered from now on."""
        os.write(self._ready, bytes([self.number]))

    def serve(self, server: Server) -> None:
        """Serve until the supervisor, or somebody else by SIGTERM, says that it is enough."""

        def stop(*_: object) -> None:
            # Once: a service manager tells each process, and so does the supervisor.
            if not server.is_stopping:
                server.stop()

        def hurry(*_: object) -> None:
            stop()
            server.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(_HURRY, hurry)
        self.ready()
        server.run_until_stopped()

    def watch(self) -> None:
        """End at once when the supervisor has gone, as it would have: what was acknowledged is durable."""
        threading.Thread(target=self._watch, name="supervised", daemon=True).start()

    def _watch(self) -> None:
        os.read(self._supervised, 1)
        log.critical("the supervisor has gone, and so does worker %d", self.number + 1)
        os._exit(_ABANDONED)


@dataclass
class _Running:
    number: int
    since: float


class Supervisor:
    """Runs so many workers. `work` is what each does, in a process of its own, until it returns."""

    def __init__(self, workers: int, work: Callable[[Place], None]):
        self._work = work
        self._loads = Load.of_workers(workers)
        self._running: dict[int, _Running] = {}
        # When each that does not run is to be started, and how long it had to wait for that.
        self._due = dict.fromkeys(range(workers), 0.0)
        self._pauses = dict.fromkeys(range(workers), 0.0)
        self._not_ready = set(range(workers))
        self._told = 0
        self._supervised, self._supervises = os.pipe()
        self._readied, self._ready = os.pipe()
        self._woken, self._wake = os.pipe()
        for end in (self._readied, self._woken, self._wake):
            os.set_blocking(end, False)
        self._ends_of_supervisor = (self._supervises, self._readied, self._woken, self._wake)

    def run(self, greet: Callable[[], None], stop_listening: Callable[[], None]) -> None:
        """Runs them until SIGTERM or SIGINT arrives and all have ended. A second one does not wait for what is under
        way, a third for nothing.

        `greet` is called once all are ready, or have died, `stop_listening` when they are to end.
        """
        # A collection writes to all that there is, and so would make of the memory that workers share one for each.
        gc.collect()
        gc.freeze()
        try:
            with self._signals():
                while self._running or not self._told:
                    self._start_due()
                    self._wait()
                    self._reap()
                    if not self._not_ready and not self._told:
                        greet()
                        greet = _nothing
                    if self._told:
                        stop_listening()
        finally:
            for end in (*self._ends_of_supervisor, self._supervised, self._ready):
                os.close(end)

    def _wait(self) -> None:
        """Until something happens, or it is time to start one."""
        due = min(self._due.values(), default=None) if not self._told else None
        timeout = None if due is None else max(0.0, due - time.monotonic())
        select.select([self._woken, self._readied], [], [], timeout)
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        with suppress(BlockingIOError):
            self._not_ready -= set(os.read(self._readied, 4096))

    def _start_due(self) -> None:
        now = time.monotonic()
        for number in [number for number, due in self._due.items() if due <= now and not self._told]:
            del self._due[number]
            self._start(number)

    def _start(self, number: int) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # A signal that comes before the worker has said what to do with it waits until then.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        try:
            if not self._told:
                self._fork(number, before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _fork(self, number: int, mask: object) -> None:
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or no process more: there may be later
            self._not_ready.discard(number)
            again = self._put_off(number)
            log.error("worker %d cannot be started (%s); it is tried again %s", number + 1, error.strerror, again)
            return
        if pid == 0:
            self._live(Place(number, self._loads[number], self._supervised, self._ready), mask)
        self._running[pid] = _Running(number, time.monotonic())

    def _live(self, place: Place, mask: object) -> NoReturn:
        """A worker's whole life. It must never come back into the supervisor's code."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Control-C is the supervisor's to hand on
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(_HURRY, signal.SIG_DFL)
            for end in self._ends_of_supervisor:
                os.close(end)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # type: ignore[arg-type]
            place.watch()
            self._work(place)
            status = 0
        except BaseException:
            log.exception("worker %d fails", place.number + 1)
        finally:
            with suppress(BaseException):
                logging.shutdown()
                sys.stdout.flush()
            os._exit(status)

    def _reap(self) -> None:
        while self._running:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            ended = self._running.pop(pid, None)
            if ended is not None:
                self._note_end(pid, ended, os.waitstatus_to_exitcode(status))

    def _note_end(self, pid: int, ended: _Running, status: int) -> None:
        number, now = ended.number, time.monotonic()
        self._loads[number].leave()
        self._not_ready.discard(number)
        if self._told:
            return
        if now - ended.since >= _STAYS:
            self._pauses[number], self._due[number], again = 0.0, now, "now"
        else:
            again = self._put_off(number)
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        log.error("worker %d (process %d) has ended %s; it is started again %s", number + 1, pid, how, again)

    def _put_off(self, number: int) -> str:
        """Plans its start after a pause; when that is, in words."""
        self._pauses[number] = pause = min(2 * self._pauses[number], _LONGEST) or _SHORTEST
        self._due[number] = time.monotonic() + pause
        return f"in {pause:g} s"

    @contextmanager
    def _signals(self) -> Iterator[None]:
        handlers = {signal.SIGTERM: self._tell, signal.SIGINT: self._tell, signal.SIGCHLD: _nothing}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        wakeup = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _tell(self, *_: object) -> None:
        self._told += 1
        number = {1: signal.SIGTERM, 2: _HURRY}.get(self._told, signal.SIGKILL)
        for pid in list(self._running):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _nothing(*_: object) -> None:
    pass
