"""Serving git clients: C git's upload-pack, run for one request at a time.

What it sends goes from the child into a file, never through our memory, and is sent from there; so a slow reader holds
no child. The answer to a client that has nothing yet, a clone, is the same for all who ask in the same words: it is
kept until somebody asks after main has moved, and made once however many ask at the same moment.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from catalogd.errors import Malformed, NoSpace, Unavailable
from catalogd.store.files import read_or_none
from catalogd.store.refs import BRANCH

log = logging.getLogger(__name__)

# How long a request waits for its turn, how often it looks whether its client is still there, and after how long a
# child is ended, in seconds.
_PATIENCE = 20.0
_LOOK = 0.05
_LONGEST = 600.0
# So many bytes of the disk are left to the catalog itself.
_LEFT_FREE = 256 << 20
# So many answers to clones are kept at most: what a few versions of git ask for, whole and shallow.
_MOST_KEPT = 8

# The versions of the protocol that there are (gitprotocol-v2, "Initial Client Request").
_PROTOCOL = re.compile(r"version=[012]")
# A line of what the client has already: 4 digits of length, "have ", 40 digits, a newline (gitprotocol-pack).
_HAVE = b"0032have "
# It is answered from the refs, so its answer changes with them.
_LIST_REFS = b"command=ls-refs"

# No configuration of a user's or the system's counts, which may name programs to run; nor does what a hook has set.
_ENVIRONMENT = (
    "-u", "GIT_DIR", "-u", "GIT_WORK_TREE", "-u", "GIT_INDEX_FILE", "-u", "GIT_PROTOCOL",
    "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C",
)  # fmt: skip
# What stands in front of the refs before version 2: a packet line and a flush.
_SERVICE = b"001e# service=git-upload-pack\n0000"
_CONFIGURATION = {
    "safe.directory": "*",
    "uploadpack.allowFilter": "true",
    "uploadpackfilter.allow": "false",
    "uploadpackfilter.blob:none.allow": "true",
    "uploadpackfilter.blob:limit.allow": "true",
    "uploadpackfilter.tree.allow": "true",
}

IsWanted = Callable[[], bool]


class ClientGone(Exception):
    """The client has closed its connection: nobody waits for the answer."""


class Children:
    """At most so many git children of all repositories at once, each with all that it starts itself."""

    def __init__(self, most: int):
        self._turn = threading.BoundedSemaphore(most)
        self._guard = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_closed = False

    def close(self) -> None:
        """End those that run; no more are started."""
        with self._guard:
            self._is_closed = True
            for child in self._running:
                _end(child)

    def run(self, command: list[str], request: BinaryIO, answer: BinaryIO, is_wanted: IsWanted) -> int:
        """The exit status of a command, when its turn has come and it has ended. What it says besides is for the log.

        Raises Unavailable if the turn does not come in time, or the end, or if it is ended from outside; ClientGone.
        """
        with self._waited_for(is_wanted), self._started(command, request, answer) as child:
            status, said = _ended(child, is_wanted)
        if status < 0:
            raise Unavailable("The answer was broken off.", retry_after=10)
        if status:
            log.info("git refuses: %s", said.decode("utf-8", "replace").strip())
        return status

    @contextmanager
    def _waited_for(self, is_wanted: IsWanted) -> Iterator[None]:
        _acquire(self._turn.acquire, is_wanted)
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _started(self, command: list[str], request: BinaryIO, answer: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
        with self._guard:
            if self._is_closed:
                raise Unavailable("The server stops.")
            # In a group of its own, so that it is ended together with what it has started; but in our session, as Linux
            # weighs `nice` only within one (sched(7), "The autogroup feature").
            child = subprocess.Popen(command, stdin=request, stdout=answer, stderr=subprocess.PIPE, process_group=0)
            self._running.add(child)
        try:
            with child:
                yield child
        finally:
            with self._guard:
                self._running.discard(child)


def _acquire(acquire: Callable[..., bool], is_wanted: IsWanted) -> None:
    """Waits for something. Raises Unavailable if it does not come in time, ClientGone."""
    deadline = time.monotonic() + _PATIENCE
    while not acquire(timeout=_LOOK):
        if not is_wanted():
            raise ClientGone
        if time.monotonic() > deadline:
            raise Unavailable("Too many are cloning now; try again.", retry_after=10)


def _ended(child: subprocess.Popen[bytes], is_wanted: IsWanted) -> tuple[int, bytes]:
    """(exit status, what was said on standard error). Raises ClientGone, Unavailable."""
    deadline = time.monotonic() + _LONGEST
    while True:
        try:
            _, said = child.communicate(timeout=_LOOK)
            return child.returncode, said
        except subprocess.TimeoutExpired:
            pass
        if not is_wanted():
            _end(child)
            raise ClientGone
        if time.monotonic() > deadline:
            _end(child)
            raise Unavailable("The answer took too long to make.", retry_after=60)


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


class _Kept:
    """An answer that is kept, once it is made. Hold `making`."""

    def __init__(self) -> None:
        self.making = threading.Lock()
        self._answer: BinaryIO | None = None

    def keep(self, answer: BinaryIO) -> BinaryIO:
        """Returns the answer to be read."""
        self._answer = answer
        return open(answer.name, "rb")

    def again(self) -> BinaryIO | None:
        """The answer to be read from its beginning; None if there is none, or somebody has removed its file."""
        if self._answer is None:
            return None
        try:
            return open(self._answer.name, "rb")
        except FileNotFoundError:
            with suppress(FileNotFoundError):
                self._answer.close()
            self._answer = None
            return None


class UploadPack:
    """The upload-pack of one repository of git's. Use from any number of threads."""

    def __init__(self, git_dir: Path, scratch: Path, children: Children):
        self._git_dir = git_dir
        self._scratch = scratch
        self._children = children
        self._guard = threading.Lock()
        self._kept_at: str | None = None
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def close(self) -> None:
        """Keep no answer any longer."""
        with self._guard:
            self._kept.clear()

    def advertise(self, protocol: str | None, is_wanted: IsWanted) -> bytes:
        """What a client is told first: the refs, or from version 2 on what it may ask.

        Raises Malformed for a protocol that there is not, Unavailable, NoSpace, ClientGone.
        """
        answer, _ = self._run(("--http-backend-info-refs",), protocol, b"", is_wanted)
        with answer:
            refs = answer.read()
        return refs if protocol == "version=2" else _SERVICE + refs

    def answer(self, protocol: str | None, asked: bytes, head: str | None, is_wanted: IsWanted) -> BinaryIO:
        """The answer to a request, as a file of its own to read from its beginning. `head` is main now.

        Raises as advertise().
        """
        if _HAVE in asked or _LIST_REFS in asked:
            return self._run((), protocol, asked, is_wanted)[0]
        kept = self._kept_for(head, hashlib.sha256(f"{protocol} {self._shows_head}\n".encode() + asked).digest())
        _acquire(kept.making.acquire, is_wanted)
        try:
            again = kept.again()
            if again is not None:
                return again
            answer, is_good = self._run((), protocol, asked, is_wanted)
            return kept.keep(answer) if is_good else answer
        finally:
            kept.making.release()

    @property
    def _shows_head(self) -> bool:
        """Whether HEAD is main: another branch that a hand has checked out is not shown."""
        return read_or_none(self._git_dir / "HEAD") == b"ref: %s\n" % BRANCH.encode()

    def _kept_for(self, head: str | None, key: bytes) -> _Kept:
        with self._guard:
            if head != self._kept_at:
                self._kept.clear()
                self._kept_at = head
            kept = self._kept.setdefault(key, _Kept())
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return kept

    def _run(
        self, options: tuple[str, ...], protocol: str | None, asked: bytes, is_wanted: IsWanted
    ) -> tuple[BinaryIO, bool]:
        """(what git says, whether it has not refused). A file that is gone once it is closed."""
        command = _command(self._git_dir, options, protocol, self._shows_head)
        if shutil.disk_usage(self._scratch).free < _LEFT_FREE:
            raise NoSpace("There is too little room on the catalog's disk to answer git.")
        # It is handed on, and whoever reads it closes it.
        answer = tempfile.NamedTemporaryFile(dir=self._scratch, prefix=f"{os.getpid()}-")  # noqa: SIM115
        try:
            with tempfile.TemporaryFile(dir=self._scratch) as request:
                request.write(asked)
                request.seek(0)
                is_good = self._children.run(command, request, answer, is_wanted) == 0
            if not is_good and not _is_refusal(answer):
                raise Malformed("git cannot answer this request.")
            answer.seek(0)
            return answer, is_good
        except BaseException as error:
            answer.close()
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace("There is no room left on the catalog's disk to answer git.") from error
            raise


def _is_refusal(answer: BinaryIO) -> bool:
    """Whether what git says ends in words for its user: an ERR line (gitprotocol-pack)."""
    size = answer.seek(0, os.SEEK_END)
    answer.seek(max(0, size - 1100))
    return b"ERR " in answer.read()


def _command(git_dir: Path, options: tuple[str, ...], protocol: str | None, shows_head: bool) -> list[str]:
    environment = list(_ENVIRONMENT)
    if protocol is not None:
        if not _PROTOCOL.fullmatch(protocol):
            raise Malformed("The header Git-Protocol must be version=0, version=1 or version=2.")
        environment.append(f"GIT_PROTOCOL={protocol}")
    # A later pattern wins: all refs but main are hidden.
    hidden = ["refs/", f"!{BRANCH}", *([] if shows_head else ["HEAD"])]
    settings = [*_CONFIGURATION.items(), *(("transfer.hideRefs", pattern) for pattern in hidden)]
    configuration = [part for key, value in settings for part in ("-c", f"{key}={value}")]
    # Behind what answers the API.
    git = ["nice", "-n", "10", "git", *configuration, "upload-pack", "--stateless-rpc", "--strict", *options]
    return ["env", *environment, *git, str(git_dir)]
