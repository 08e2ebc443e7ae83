"""Serving git clients: C git's upload-pack, run for one request at a time.

What it sends goes from the child into a file, never through our memory, and is sent from there; so a slow reader holds
no child. The answer to a client that has nothing yet, a clone, is the same for all who ask in the same words: it is
kept until main moves, and made once however many ask at the same moment.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from catalogd.errors import Malformed, Unavailable
from catalogd.store.refs import BRANCH

log = logging.getLogger(__name__)

# How long a request waits for its turn, how often it looks whether its client is still there, and after how long a
# child is ended, in seconds.
_PATIENCE = 20.0
_LOOK = 0.05
_LONGEST = 600.0
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
    """At most so many git children of all repositories at once."""

    def __init__(self, most: int):
        self._turn = threading.BoundedSemaphore(most)

    @contextmanager
    def turn(self, is_wanted: IsWanted) -> Iterator[None]:
        """Raises Unavailable if the turn does not come in time, ClientGone."""
        deadline = time.monotonic() + _PATIENCE
        while not self._turn.acquire(timeout=_LOOK):
            if not is_wanted():
                raise ClientGone
            if time.monotonic() > deadline:
                raise Unavailable("Too many are cloning now; try again.", retry_after=10)
        try:
            yield
        finally:
            self._turn.release()


class _Kept:
    """An answer that is kept, once it is made."""

    def __init__(self) -> None:
        self.making = threading.Lock()
        self.answer: BinaryIO | None = None


class UploadPack:
    """The upload-pack of one repository of git's. Use from any number of threads."""

    def __init__(self, git_dir: Path, scratch: Path, children: Children):
        self._git_dir = git_dir
        self._scratch = scratch
        self._children = children
        self._guard = threading.Lock()
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def advertise(self, protocol: str | None, is_wanted: IsWanted) -> bytes:
        """What a client is told first: the refs, or from version 2 on what it may ask.

        Raises Malformed for a protocol that there is not, Unavailable, ClientGone.
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
        kept = self._kept_for(hashlib.sha256(f"{head} {protocol}\n".encode() + asked).digest())
        while not kept.making.acquire(timeout=_LOOK):
            if not is_wanted():
                raise ClientGone
        try:
            if kept.answer is None:
                answer, is_good = self._run((), protocol, asked, is_wanted)
                if not is_good:
                    return answer
                kept.answer = answer
            return open(kept.answer.name, "rb")
        finally:
            kept.making.release()

    def _kept_for(self, key: bytes) -> _Kept:
        with self._guard:
            kept = self._kept.setdefault(key, _Kept())
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return kept

    def _run(
        self, options: tuple[str, ...], protocol: str | None, asked: bytes, is_wanted: IsWanted
    ) -> tuple[BinaryIO, bool]:
        """(what git says, whether it has not refused). A file that is gone once it is closed."""
        command = _command(self._git_dir, options, protocol)
        answer = tempfile.NamedTemporaryFile(  # noqa: SIM115
            dir=self._scratch, prefix=f"{os.getpid()}-"
        )
        try:
            with tempfile.TemporaryFile(dir=self._scratch) as request, self._children.turn(is_wanted):
                request.write(asked)
                request.seek(0)
                with subprocess.Popen(command, stdin=request, stdout=answer, stderr=subprocess.PIPE) as child:
                    is_good = _ended_well(child, is_wanted)
            if answer.seek(0, os.SEEK_END) == 0 and not is_good:
                raise Malformed("git cannot answer this request.")
            answer.seek(0)
            return answer, is_good
        except BaseException:
            answer.close()
            raise


def _command(git_dir: Path, options: tuple[str, ...], protocol: str | None) -> list[str]:
    environment = list(_ENVIRONMENT)
    if protocol is not None:
        if not _PROTOCOL.fullmatch(protocol):
            raise Malformed("The header Git-Protocol must be version=0, version=1 or version=2.")
        environment.append(f"GIT_PROTOCOL={protocol}")
    # A later pattern wins: all refs but main are hidden.
    settings = [*_CONFIGURATION.items(), ("transfer.hideRefs", "refs/"), ("transfer.hideRefs", f"!{BRANCH}")]
    configuration = [part for key, value in settings for part in ("-c", f"{key}={value}")]
    # Behind what answers the API.
    git = ["nice", "-n", "10", "git", *configuration, "upload-pack", "--stateless-rpc", "--strict", *options]
    return ["env", *environment, *git, str(git_dir)]


def _ended_well(child: subprocess.Popen[bytes], is_wanted: IsWanted) -> bool:
    """Waits for it. What it says on standard error is for the log. Raises ClientGone, Unavailable."""
    deadline = time.monotonic() + _LONGEST
    while True:
        try:
            _, said = child.communicate(timeout=_LOOK)
            break
        except subprocess.TimeoutExpired:
            pass
        if not is_wanted():
            child.kill()
            raise ClientGone
        if time.monotonic() > deadline:
            child.kill()
            raise Unavailable("The answer took too long to make.", retry_after=60)
    if child.returncode:
        log.info("git upload-pack refuses: %s", said.decode("utf-8", "replace").strip())
    return child.returncode == 0
