"""The branch main: read at every write, moved so that a power cut leaves the old commit or the new one.

git renames its lock file but never syncs the directory; we do before a commit is acknowledged, unless the journal has
it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from catalogd.errors import Conflict, NotACatalog, Unavailable
from catalogd.store.files import fsync_directory, read_or_none, replace_durably
from catalogd.store.locks import GitLock, clear_stale

BRANCH = "refs/heads/main"
# Where proposals are pushed to. No such ref ever is.
FOR_REVIEW = "refs/for/main"

_ID = re.compile(rb"[0-9a-f]{40}")

# How long a hand's git may hold the lock on main before a write gives up: its hooks run meanwhile.
_PATIENCE = 3.0
# In nanoseconds: more than a tick of any file system's clock.
_AT_REST = 2_500_000_000


class Moved(Conflict):
    """main is not where it was when the commit was made. The store builds the commit again."""


class Unsure(Exception):
    """main was moved or not, and nobody knows where a power cut would leave it. The cause is the OSError."""


class Branch:
    """main of one catalog."""

    def __init__(self, git_dir: Path, scratch: Path):
        self._git_dir = git_dir
        self._file = git_dir / BRANCH
        self._name = str(self._file)
        self._scratch = scratch
        self._lock = GitLock(self._file, scratch)
        self._head = str(git_dir / "HEAD")
        self._looked: tuple[tuple[int, ...], str | None] = ((), None)
        self._file.parent.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Let go of the scratch files."""
        self._lock.close()

    def read(self) -> str | None:
        """The id of main's newest commit, None before the first one."""
        loose = read_or_none(self._name)
        if loose is None:
            return self._read_packed()
        commit = loose.strip()
        if not _ID.fullmatch(commit):
            raise NotACatalog(f"{self._file} holds no commit id; restore it from a clone or a backup.")
        return commit.decode()

    def look(self) -> str | None:
        """As read(), for who asks again and again: a file that has not changed since is not opened.

        Only one that was at rest for some time when it was read is known by its times: two changes within one tick of
        the clock look the same.
        """
        try:
            found = os.stat(self._name)
        except OSError:
            return self.read()
        mark = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known, commit = self._looked
        if mark != known:
            commit = self.read()
            # With a clock that was set back this takes until it is there again.
            if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > _AT_REST:
                self._looked = mark, commit
        return commit

    def is_checked_out(self) -> bool:
        """Whether the working tree is on main, so that it has to follow."""
        return read_or_none(self._head) == b"ref: %s\n" % BRANCH.encode()

    def move(
        self,
        old: str | None,
        new: str,
        secure: Callable[[], bool] = lambda: False,
        withdraw: Callable[[], None] = lambda: None,
    ) -> None:
        """Set main from `old` to `new`.

        `secure` is called when nobody but us can move it any more. If it returns True, the commit is durable
        elsewhere; else the move is synced before this returns. `withdraw` takes that back where main could not be moved
        after it. Raises Moved if main is not at `old`, Unavailable while a git holds its lock, OSError where main has
        not moved, and Unsure. Hold the catalog's lock.
        """
        lock = self._lock
        deadline = time.monotonic() + _PATIENCE
        content = new.encode() + b"\n"
        while not lock.take(len(content)):
            if clear_stale(lock.path, self._scratch, self._git_dir.parent):
                continue
            if time.monotonic() > deadline:
                raise Unavailable("A git process holds the lock on main; try again when it has ended.", retry_after=2)
            time.sleep(0.005)
        try:
            if self.read() != old:
                raise Moved("main was moved by someone else.")
            is_secured = secure()
        except BaseException:
            lock.release()
            raise
        try:
            # Not before it is secured: the file that becomes main again may be what the disk has as main to this day.
            lock.write(content)
            if not is_secured:
                lock.sync()
            lock.commit()
        except OSError as error:
            lock.release()
            if is_secured:
                try:
                    withdraw()
                except OSError:
                    raise Unsure from error
            raise
        if is_secured:
            return
        try:
            fsync_directory(self._file.parent)
        except OSError as error:
            raise Unsure from error

    def set(self, new: str) -> None:
        """Set main, durably, whatever it is: for one that a power cut has torn. Hold the catalog's lock."""
        replace_durably(self._file, new.encode() + b"\n")

    def locks(self) -> list[Path]:
        """The lock files that a killed git may have left on main and HEAD."""
        return [self._file.with_name("main.lock"), self._git_dir / "HEAD.lock"]

    def _read_packed(self) -> str | None:
        packed = read_or_none(self._git_dir / "packed-refs") or b""
        for line in packed.splitlines():
            commit, _, name = line.partition(b" ")
            if name == BRANCH.encode() and _ID.fullmatch(commit):
                return os.fsdecode(commit)
        return None
