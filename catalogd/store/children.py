"""git's children that answer clients: a few at once, each for one request, ended with all that it has started."""

from __future__ import annotations

import errno
import logging
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from catalogd.errors import Malformed, NoSpace, Unavailable
from catalogd.shared.shares import Semaphore, Shares

log = logging.getLogger(__name__)

# How long a request waits for its turn, how often it looks whether its client is still there, and after how long a
# child is ended, in seconds.
_PATIENCE = 20.0
_LOOK = 0.05
_LONGEST = 600.0
# So many bytes of the disk are left to the catalog itself.
_LEFT_FREE = 256 << 20
# Of what a child says besides its answer, so many bytes are kept for the log.
_MOST_SAID = 4096

# No configuration of a user's or the system's counts, which may name programs to run; nor does what a hook has set.
_ENVIRONMENT = (
    "-u", "GIT_DIR", "-u", "GIT_WORK_TREE", "-u", "GIT_INDEX_FILE", "-u", "GIT_PROTOCOL",
    "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C",
)  # fmt: skip

IsWanted = Callable[[], bool]


class ClientGone(Exception):
    """The client has closed its connection: nobody waits for the answer."""


class Talk:
    """Two pipes by which a child asks us while it runs: what it writes into the one is answered in the other, once.

    Both end by themselves with whoever dies first. `answer` gets the line that the child asks.
    """

    def __init__(self, answer: Callable[[bytes], bytes]):
        self._answer = answer
        self._line = b""
        self.asked, self.asks = os.pipe()
        self.answered, self._answers = os.pipe()
        self._open = {self.asked, self.asks, self.answered, self._answers}

    def close(self, *ends: int) -> None:
        """Close these ends of the pipes, all if none are named."""
        for end in ends or tuple(self._open):
            if end in self._open:
                self._open.discard(end)
                os.close(end)

    def hear(self, data: bytes) -> None:
        """What the child has written. Raises what `answer` raises."""
        self._line += data
        if b"\n" in self._line and self._answers in self._open:
            said = memoryview(self._answer(self._line.partition(b"\n")[0]))
            with suppress(BrokenPipeError):  # it was ended meanwhile
                while said:
                    said = said[os.write(self._answers, said) :]
            self.close(self._answers)


class Children:
    """At most so many git children of all repositories at once, each with all that it starts itself.

    Where there may be several, those that talk to us leave one to the others: how long they take is up to a client.
    """

    def __init__(self, most: int, shares: Shares | None = None):
        """`shares` is what the workers of a server share: they have so many children together."""
        shares = shares or Shares()
        self._turn = shares.turns("git", most)
        self._turn_to_talk = shares.turns("talk", max(1, most - 1))
        self._guard = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_closed = False

    def close(self) -> None:
        """End those that run; no more are started."""
        with self._guard:
            self._is_closed = True
            for child in self._running:
                _end(child)

    def run(
        self,
        command: list[str],
        request: BinaryIO,
        answer: BinaryIO,
        is_wanted: IsWanted,
        talk: Talk | None = None,
    ) -> int:
        """The exit status of a command, when its turn has come and it has ended. What it says besides is for the log.

        The child inherits its ends of `talk`. Raises Unavailable if the turn does not come in time, or the end, or if
        it is ended from outside; ClientGone; and what `talk` raises.
        """
        with ExitStack() as turns:
            for turn in (self._turn_to_talk, self._turn) if talk else (self._turn,):
                turns.enter_context(_waited_for(turn, is_wanted))
            child = turns.enter_context(self._started(command, request, answer, talk))
            try:
                status, said = _ended(child, is_wanted, talk)
            except BaseException:
                _end(child)
                raise
        if status < 0:
            raise Unavailable("The answer was broken off.", retry_after=10)
        if status:
            log.info("git refuses: %s", said.decode("utf-8", "replace").strip())
        return status

    @contextmanager
    def _started(
        self,
        command: list[str],
        request: BinaryIO,
        answer: BinaryIO,
        talk: Talk | None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        ends = (talk.asks, talk.answered) if talk else ()
        with self._guard:
            if self._is_closed:
                raise Unavailable("The server stops.")
            # In a group of its own, so that it is ended together with what it has started; but in our session, as Linux
            # weighs `nice` only within one (sched(7), "The autogroup feature").
            child = subprocess.Popen(
                command,
                stdin=request,
                stdout=answer,
                stderr=subprocess.PIPE,
                process_group=0,
                pass_fds=ends,
            )
            self._running.add(child)
        try:
            with child:
                if talk:
                    talk.close(*ends)
                yield child
        finally:
            with self._guard:
                self._running.discard(child)


@contextmanager
def _waited_for(turn: Semaphore, is_wanted: IsWanted) -> Iterator[None]:
    acquire(turn.acquire, is_wanted)
    try:
        yield
    finally:
        turn.release()


def acquire(take: Callable[..., bool], is_wanted: IsWanted) -> None:
    """Waits for something. Raises Unavailable if it does not come in time, ClientGone."""
    deadline = time.monotonic() + _PATIENCE
    while not take(timeout=_LOOK):
        if not is_wanted():
            raise ClientGone
        if time.monotonic() > deadline:
            raise Unavailable("Too many git clients are being answered now; try again.", retry_after=10)


def limited(command: list[str], *, memory: int, work: int) -> list[str]:
    """A command with bounds for each process that comes of it: bytes of address space, seconds of the processor.

    By a shell, as nothing of ours may run in a child of many threads, and from the outside it may come too late: the
    child has started others by then. A system that knows no such bound goes without it.
    """
    return ["sh", "-c", f'ulimit -v {memory >> 10}; ulimit -t {work}; exec "$@"', "sh", *command]


def command(
    options: Iterable[str], configuration: Iterable[tuple[str, str]], environment: Iterable[str] = ()
) -> list[str]:
    """The whole command that runs git with nobody's configuration but that of its repository and this one.

    `environment` is of "NAME=value".
    """
    settings = [part for key, value in configuration for part in ("-c", f"{key}={value}")]
    # Behind what answers the API.
    return ["env", *_ENVIRONMENT, *environment, "nice", "-n", "10", "git", *settings, *options]


@contextmanager
def scratch_file(scratch: Path) -> Iterator[BinaryIO]:
    """A file for an answer, gone once it is closed, which is up to whoever gets it; closed here after an error.

    Raises NoSpace where the disk has too little room left.
    """
    if shutil.disk_usage(scratch).free < _LEFT_FREE:
        raise NoSpace("There is too little room on the catalog's disk to answer git.")
    answer = tempfile.NamedTemporaryFile(dir=scratch, prefix=f"{os.getpid()}-")  # noqa: SIM115
    try:
        yield cast(BinaryIO, answer)  # it passes everything on to the file that it wraps
        answer.seek(0)
    except BaseException as error:
        answer.close()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("There is no room left on the catalog's disk to answer git.") from error
        raise


def require_good(status: int, answer: BinaryIO) -> bool:
    """Whether git has not refused. Raises Malformed where it did without words for its user: an ERR line
    (gitprotocol-pack) at the end.
    """
    if not status:
        return True
    size = answer.seek(0, os.SEEK_END)
    answer.seek(max(0, size - 1100))
    if b"ERR " not in answer.read():
        raise Malformed("git cannot answer this request.")
    return False


def _ended(child: subprocess.Popen[bytes], is_wanted: IsWanted, talk: Talk | None) -> tuple[int, bytes]:
    """(exit status, what was said on standard error). Raises ClientGone, Unavailable."""
    assert child.stderr is not None
    deadline = time.monotonic() + _LONGEST
    said = b""
    poller = select.poll()
    heard = {child.stderr.fileno(), *((talk.asked,) if talk else ())}
    for end in heard:
        poller.register(end, select.POLLIN)
    while heard:
        for end, _ in poller.poll(_LOOK * 1000):
            data = os.read(end, 1 << 16)
            if not data:
                poller.unregister(end)
                heard.discard(end)
            elif talk and end == talk.asked:
                talk.hear(data)
            else:
                said = (said + data)[-_MOST_SAID:]
        _require_wanted(is_wanted, deadline)
    while True:
        try:
            return child.wait(_LOOK), said
        except subprocess.TimeoutExpired:
            _require_wanted(is_wanted, deadline)


def _require_wanted(is_wanted: IsWanted, deadline: float) -> None:
    if not is_wanted():
        raise ClientGone
    if time.monotonic() > deadline:
        raise Unavailable("The answer took too long to make.", retry_after=60)


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
