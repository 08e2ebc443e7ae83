"""Serving git clients: C git's upload-pack, run for one request at a time.

What it sends goes from the child into a file, never through our memory, and is sent from there; so a slow reader holds
no child. What refs there are, and the answer to a client that has nothing yet, a clone, is the same for all who ask in
the same words: it is kept until somebody asks after main has moved, and made once however many ask at the same moment.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from catalogd.errors import Malformed
from catalogd.store.children import Children, IsWanted, acquire, command, require_good, scratch_file
from catalogd.store.files import read_or_none
from catalogd.store.refs import BRANCH

# So many answers are kept at most: to clones what a few versions of git ask for, whole and shallow; about refs, which
# are small, what these and people who look for a branch or a tag ask for.
_MOST_CLONES, _MOST_REFS = 8, 32

# The versions of the protocol that there are (gitprotocol-v2, "Initial Client Request").
_PROTOCOL = re.compile(r"version=[012]")
# A line of what the client has already: 4 digits of length, "have ", 40 digits, a newline (gitprotocol-pack).
_HAVE = b"0032have "
# It is answered from the refs, so its answer changes with them.
_LIST_REFS = b"command=ls-refs"

# What stands in front of the refs before version 2: a packet line and a flush.
_SERVICE = b"001e# service=git-upload-pack\n0000"
# A later pattern wins: all refs but main are hidden.
ONLY_MAIN = (("safe.directory", "*"), ("transfer.hideRefs", "refs/"), ("transfer.hideRefs", f"!{BRANCH}"))
_CONFIGURATION = (
    ("uploadpack.allowFilter", "true"),
    ("uploadpackfilter.allow", "false"),
    ("uploadpackfilter.blob:none.allow", "true"),
    ("uploadpackfilter.blob:limit.allow", "true"),
    ("uploadpackfilter.tree.allow", "true"),
)


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


class _Answers:
    """The answers that are kept of one repository as it is at one commit: the ones that were asked for last."""

    def __init__(self, most: int):
        self._most = most
        self._guard = threading.Lock()
        self._at: str | None = None
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def close(self) -> None:
        """Keep none any longer."""
        with self._guard:
            self._kept.clear()

    def get(self, head: str | None, key: bytes) -> _Kept:
        """That for a key, once it is made. Those of another head are kept no longer."""
        with self._guard:
            if head != self._at:
                self._kept.clear()
                self._at = head
            kept = self._kept.setdefault(key, _Kept())
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return kept


class UploadPack:
    """The upload-pack of one repository of git's. Use from any number of threads.

    It shows main and what is below `more`, nothing else.
    """

    def __init__(self, git_dir: Path, scratch: Path, children: Children, more: Sequence[str] = ()):
        self._git_dir = git_dir
        self._shown = (*ONLY_MAIN, *(("transfer.hideRefs", f"!{prefix}") for prefix in more))
        self._scratch = scratch
        self._children = children
        self._clones = _Answers(_MOST_CLONES)
        # Refs beside main may move, or be mended, without it.
        self._refs = _Answers(0 if more else _MOST_REFS)

    def close(self) -> None:
        """Keep no answer any longer."""
        self._clones.close()
        self._refs.close()

    def advertise(self, protocol: str | None, head: str | None, is_wanted: IsWanted) -> bytes:
        """What a client is told first: the refs, or from version 2 on what it may ask. `head` as of answer().

        Raises Malformed for a protocol that there is not, Unavailable, NoSpace, ClientGone.
        """
        with self._kept(self._refs, ("--http-backend-info-refs",), protocol, b"", head, is_wanted) as answer:
            refs = answer.read()
        return refs if protocol == "version=2" else _SERVICE + refs

    def answer(self, protocol: str | None, asked: bytes, head: str | None, is_wanted: IsWanted) -> BinaryIO:
        """The answer to a request, as a file of its own to read from its beginning.

        `head` is main as the caller has found it before. Raises as advertise().
        """
        if _HAVE in asked:
            return self._run((), protocol, asked, is_wanted)[0]
        answers = self._refs if _LIST_REFS in asked else self._clones
        return self._kept(answers, (), protocol, asked, head, is_wanted)

    def _kept(
        self,
        answers: _Answers,
        options: tuple[str, ...],
        protocol: str | None,
        asked: bytes,
        head: str | None,
        is_wanted: IsWanted,
    ) -> BinaryIO:
        """An answer that is made once for each head and all who ask the same. Raises as advertise()."""
        key = hashlib.sha256(f"{options} {protocol} {self._shows_head}\n".encode() + asked).digest()
        kept = answers.get(head, key)
        acquire(kept.making.acquire, is_wanted)
        try:
            again = kept.again()
            if again is not None:
                return again
            answer, is_good = self._run(options, protocol, asked, is_wanted)
            return kept.keep(answer) if is_good else answer
        finally:
            kept.making.release()

    @property
    def _shows_head(self) -> bool:
        """Whether HEAD is main: another branch that a hand has checked out is not shown."""
        return read_or_none(self._git_dir / "HEAD") == b"ref: %s\n" % BRANCH.encode()

    def _run(
        self, options: tuple[str, ...], protocol: str | None, asked: bytes, is_wanted: IsWanted
    ) -> tuple[BinaryIO, bool]:
        """(what git says, whether it has not refused). A file that is gone once it is closed."""
        hidden = () if self._shows_head else (("transfer.hideRefs", "HEAD"),)
        settings = (*_CONFIGURATION, *self._shown, *hidden)
        to_run = _command(self._git_dir, options, protocol, settings)
        with scratch_file(self._scratch) as answer, tempfile.TemporaryFile(dir=self._scratch) as request:
            request.write(asked)
            request.seek(0)
            is_good = require_good(self._children.run(to_run, request, answer, is_wanted), answer)
        return answer, is_good


def _command(
    git_dir: Path, options: tuple[str, ...], protocol: str | None, settings: tuple[tuple[str, str], ...]
) -> list[str]:
    if protocol is not None and not _PROTOCOL.fullmatch(protocol):
        raise Malformed("The header Git-Protocol must be version=0, version=1 or version=2.")
    git = ("upload-pack", "--stateless-rpc", "--strict", *options, str(git_dir))
    environment = [f"GIT_PROTOCOL={protocol}"] if protocol else []
    return command(git, settings, environment)
