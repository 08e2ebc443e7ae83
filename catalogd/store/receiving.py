"""Taking pushes: C git's receive-pack speaks with the client, and we decide whether what it brings is kept.

Each push has a repository of its own, made for it and thrown away with it, which borrows the catalog's objects. git
unpacks what is sent into quarantine there and asks its hook pre-receive; that asks us through a pipe, and prints what
we say. So whatever is refused was never in the catalog.

<catalog>/.git/catalogd/push-hooks/pre-receive
<catalog>/.git/catalogd/scratch/<process id>-push-*/    bare, refs/heads/main as the catalog has it

What is pushed to be reviewed may stand on what was proposed before: then the repository borrows from that of proposals,
too. For a push to main it must not, as main would have what the catalog has not.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from catalogd.errors import CatalogdError, Malformed
from catalogd.store.children import Children, ClientGone, IsWanted, Talk, command, limited, require_good, scratch_file
from catalogd.store.files import read_or_none, write_all
from catalogd.store.git import Git
from catalogd.store.incoming import Command, Incoming
from catalogd.store.proposals import ProposalRepository
from catalogd.store.refs import BRANCH, FOR_REVIEW
from catalogd.store.serving import ONLY_MAIN

log = logging.getLogger(__name__)

# What git asks of refs, before the objects; of a thousand refs some 100 KB.
_MOST_ASKED = 1 << 20
# Of push options. git hands them to its hook by the environment, where there is not room for any number.
_MOST_OF_OPTIONS = 1 << 17
# Address space of git and each of its children: what is packed small may become endless. Where it maps other packs, it
# does so in pieces.
_MOST_MEMORY = 2 << 30
# Of the processor, in seconds, for each of them: far more than the largest push takes that is any good. Deltas can make
# hours of work of a small one.
_MOST_WORK = 60

# Besides main, which alone is shown.
_TAKEN = (("transfer.hideRefs", f"!{FOR_REVIEW}"),)

_COMMAND = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40}) ([^\0]+)")
# The length of a packet line counts its own digits.
_PACKET = 4
_SERVICE = b"001f# service=git-receive-pack\n0000"
_CONFIGURATION = (
    ("core.bigFileThreshold", "8m"),
    ("core.packedGitWindowSize", "32m"),
    ("core.packedGitLimit", "256m"),
    ("gc.auto", "0"),
    ("pack.threads", "1"),
    ("receive.advertisePushOptions", "true"),
    ("receive.autogc", "false"),
    ("receive.denyDeletes", "true"),
    ("receive.denyNonFastForwards", "true"),
    ("receive.fsckObjects", "true"),
    ("receive.unpackLimit", "1"),
)

# Where a process has a file open, it can open it once more by its number; a shell may know numbers of one digit only.
HOOK = r"""#!/bin/sh
# Made by catalogd. Asks the server whether a push is taken, and says what it answers.
echo "$GIT_QUARANTINE_PATH" >"/dev/fd/$CATALOGD_ASKS"
exec 3<"/dev/fd/$CATALOGD_ANSWERS"
read -r verdict <&3 || exit 1
cat <&3 >&2
exit "$verdict"
"""

# Says what to tell the pusher once the push is taken; raises CatalogdError to refuse it.
Judge = Callable[[Incoming], str]


class ReceivePack:
    """The receive-pack of the catalog. Use from any number of threads."""

    def __init__(self, catalog: Git, proposals: ProposalRepository, scratch: Path, hooks: Path, children: Children):
        self._catalog = catalog
        self._proposals = proposals
        self._scratch = scratch
        self._hooks = hooks
        self._children = children

    def advertise(self, is_wanted: IsWanted) -> bytes:
        """What a client is told first. Raises Malformed, Unavailable, NoSpace, ClientGone."""
        git = _command(self._hooks, "--http-backend-info-refs", str(self._catalog.git_dir))
        with open(os.devnull, "rb") as nothing, scratch_file(self._scratch) as answer:
            require_good(self._children.run(git, nothing, answer, is_wanted), answer)
        with answer:
            return _SERVICE + answer.read()

    def answer(self, body: Iterable[bytes], head: str | None, judge: Judge, is_wanted: IsWanted) -> BinaryIO:
        """The answer to a push, as a file of its own to read from its beginning. `head` is main now.

        Raises as advertise(), and what `body` raises.
        """
        # Without a buffer of ours, as git reads the same open file from where we leave it.
        request = tempfile.TemporaryFile(dir=self._scratch, buffering=0)  # noqa: SIM115
        with scratch_file(self._scratch) as answer, request:
            for piece in body:
                write_all(request.fileno(), piece)
            request.seek(0)
            commands, options = read_commands(request)
            request.seek(0)
            if commands:  # git asks with none before it sends much, to see whether it may
                self._receive(request, answer, head, commands, options, judge, is_wanted)
        return answer

    def _receive(
        self,
        request: BinaryIO,
        answer: BinaryIO,
        head: str | None,
        commands: list[Command],
        options: list[bytes],
        judge: Judge,
        is_wanted: IsWanted,
    ) -> None:
        is_for_review = all(command.is_for_review for command in commands)
        proposed = self._proposals.head() if is_for_review else None
        with self._staging(head, with_proposals=proposed is not None) as staging:

            def decide(line: bytes) -> bytes:
                quarantine = Path(os.fsdecode(line)) if line else None
                incoming = Incoming(self._catalog, staging, quarantine, head, commands, is_wanted, options, proposed)
                try:
                    return _verdict(judge, incoming)
                finally:
                    incoming.close()

            talk = Talk(decide)
            try:
                git = _command(self._hooks, str(staging), talk=talk, shown=_TAKEN)
                git = limited(git, memory=_MOST_MEMORY, work=_MOST_WORK)
                require_good(self._children.run(git, request, answer, is_wanted, talk), answer)
            finally:
                talk.close()

    @contextmanager
    def _staging(self, head: str | None, *, with_proposals: bool) -> Iterator[Path]:
        staging = Path(tempfile.mkdtemp(dir=self._scratch, prefix=f"{os.getpid()}-push-"))
        try:
            for directory in ("objects/info", "objects/pack", "refs/heads"):
                (staging / directory).mkdir(parents=True)
            (staging / "HEAD").write_text(f"ref: {BRANCH}\n")
            (staging / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
            lenders = [self._catalog.git_dir, *([self._proposals.directory] if with_proposals else [])]
            (staging / "objects/info/alternates").write_text("".join(f"{each / 'objects'}\n" for each in lenders))
            if head is not None:
                (staging / BRANCH).write_text(f"{head}\n")
            shallow = read_or_none(self._catalog.git_dir / "shallow")
            if shallow is not None:
                (staging / "shallow").write_bytes(shallow)
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def read_commands(request: BinaryIO) -> tuple[list[Command], list[bytes]]:
    """What a push wants, and its options, from its packet lines (gitprotocol-pack, "Reference Update Request").

    Raises Malformed.
    """
    commands: list[Command] = []
    capabilities: list[bytes] = []
    while (line := _packet(request)) is not None:
        text, _, told = line.partition(b"\0")
        text = text.removesuffix(b"\n")
        capabilities += told.split()
        if text == b"push-cert":
            raise Malformed("Signed pushes are not taken; push without --signed.")
        if not commands and text.startswith(b"shallow "):
            continue
        found = _COMMAND.fullmatch(text)
        if found is None:
            raise Malformed("The body is no push of git's: a command must be two ids and the name of a ref.")
        old, new, ref = found.groups()
        commands.append(Command(old.decode(), new.decode(), ref.decode("utf-8", "backslashreplace")))
        if request.tell() > _MOST_ASKED:
            raise Malformed("The push names too many refs; only main can be pushed.")
    return commands, _read_options(request) if b"push-options" in capabilities else []


def _read_options(request: BinaryIO) -> list[bytes]:
    """Raises Malformed."""
    options: list[bytes] = []
    size = 0
    while (line := _packet(request)) is not None:
        options.append(line.removesuffix(b"\n"))
        size += len(line) + _PACKET
        if size > _MOST_OF_OPTIONS:
            raise Malformed(f"The push options have more than {_MOST_OF_OPTIONS:,} bytes.")
    return options


def _packet(request: BinaryIO) -> bytes | None:
    """The next packet line, None at a flush. Raises Malformed."""
    digits = request.read(4)
    if digits == b"0000":
        return None
    if not re.fullmatch(rb"[0-9a-fA-F]{4}", digits) or int(digits, 16) <= _PACKET:
        raise Malformed("The body is no push of git's: it does not begin with packet lines.")
    line = request.read(int(digits, 16) - _PACKET)
    if len(line) != int(digits, 16) - _PACKET:
        raise Malformed("The body is no push of git's: it ends within a packet line.")
    return line


def _verdict(judge: Judge, incoming: Incoming) -> bytes:
    """What the hook reads: its exit status on the first line, then what it says."""
    try:
        status, said = 0, judge(incoming)
    except ClientGone:
        raise
    except CatalogdError as error:
        status, said = 1, error.detail
    except Exception:
        log.exception("a push could not be judged")
        status, said = 1, "catalogd: the server met an error that it did not expect; its log has the cause."
    text = said.rstrip("\n") + "\n" if said else ""
    return f"{status}\n{text}".encode("utf-8", "backslashreplace")


def _command(
    hooks: Path, *options: str, talk: Talk | None = None, shown: tuple[tuple[str, str], ...] = ()
) -> list[str]:
    settings = (*_CONFIGURATION, *ONLY_MAIN, *shown, ("core.hooksPath", str(hooks)))
    pipes = [f"CATALOGD_ASKS={talk.asks}", f"CATALOGD_ANSWERS={talk.answered}"] if talk else []
    return command(("receive-pack", "--stateless-rpc", *options), settings, pipes)
