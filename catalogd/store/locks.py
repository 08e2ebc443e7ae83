"""Locks: the catalog's own (flock), and git's lock files, which we must share with git itself.

The kernel drops a flock with its holder, so it can never be stale. git's `x.lock` files can: a killed git leaves them.
Ours are hard links to a scratch file named after our process, so a dead owner is recognised at once.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalogd.errors import Unavailable

log = logging.getLogger(__name__)

# A lock file of a git that cannot be found any more is taken for stale after so many seconds.
STALE_AFTER = 2.0
# Where processes cannot be listed (no /proc), only age tells.
STALE_AFTER_UNSEEN = 600.0

# git commands that never lock the index or a branch: catalogd itself keeps some of them running.
_LOCKLESS = frozenset(
    {b"cat-file", b"log", b"diff-tree", b"rev-list", b"repack", b"pack-objects", b"commit-graph", b"upload-pack"}
)


class CatalogLock:
    """The catalog's own lock: whoever moves main, the working tree or the read model holds it.

    Exclusive between processes (flock) and between the threads of one. Not reentrant.
    """

    def __init__(self, path: Path, timeout: float):
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._mutex = threading.Lock()
        self._timeout = timeout

    def close(self) -> None:
        os.close(self._descriptor)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock. Raises Unavailable after the timeout."""
        deadline = time.monotonic() + self._timeout
        if not self._mutex.acquire(timeout=self._timeout):
            raise Unavailable("Another write is taking long; try again.")
        try:
            while not self._flock():
                if time.monotonic() > deadline:
                    raise Unavailable("Another process holds the catalog's lock; try again.")
                time.sleep(random.uniform(0.0002, 0.002))
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._mutex.release()

    @contextmanager
    def held_if_free(self) -> Iterator[bool]:
        """Take the lock only if nobody has it; yields whether it was taken."""
        if not self._mutex.acquire(blocking=False):
            yield False
            return
        try:
            taken = self._flock()
            try:
                yield taken
            finally:
                if taken:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._mutex.release()

    def _flock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class GitLock:
    """git's lock on one file: `<file>.lock`, which becomes the file when it is committed."""

    def __init__(self, target: Path, scratch: Path):
        self._target = target
        self.path = target.with_name(target.name + ".lock")
        self._own = scratch / f"{os.getpid()}-lock-{target.name}"

    def take(self, content: bytes) -> bool:
        """Create the lock file, with its content, in one step. False if someone else has it."""
        self._own.unlink(missing_ok=True)
        descriptor = os.open(self._own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(self._own, self.path)
        except FileExistsError:
            self._own.unlink()
            return False
        return True

    def commit(self) -> None:
        """The lock file becomes the file."""
        os.rename(self.path, self._target)
        self._own.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the lock up; the file stays what it was."""
        self.path.unlink(missing_ok=True)
        self._own.unlink(missing_ok=True)


def clear_stale(lock_file: Path, scratch: Path, root: Path) -> bool:
    """Remove git's lock file if its owner is dead. Returns whether there is none (any more).

    Call it only while holding the catalog's own lock.
    """
    try:
        found = lock_file.stat()
    except FileNotFoundError:
        return True
    if not (_owner_of_ours_is_dead(found.st_ino, scratch) or _git_is_gone(time.time() - found.st_mtime, root)):
        return False
    log.warning("removing the stale lock %s", lock_file)
    lock_file.unlink(missing_ok=True)
    return True


def _owner_of_ours_is_dead(inode: int, scratch: Path) -> bool:
    for own in scratch.glob("*-lock-*"):
        try:
            if own.stat().st_ino == inode:
                return is_leftover(own)
        except FileNotFoundError:
            continue
    return False


def is_leftover(file: Path) -> bool:
    """Whether a scratch file, "<process id>-...", belongs to a process that is dead."""
    owner = file.name.partition("-")[0]
    return not owner.isdigit() or not _is_alive(int(owner))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _git_is_gone(age: float, root: Path) -> bool:
    if not os.path.isdir("/proc/self"):
        return age > STALE_AFTER_UNSEEN
    return age > STALE_AFTER and not any(_works_in(int(p), root) for p in os.listdir("/proc") if p.isdigit())


def _works_in(pid: int, root: Path) -> bool:
    """Whether a process is a git at work in this catalog."""
    process = Path("/proc") / str(pid)
    try:
        if not (process / "comm").read_text().startswith("git"):
            return False
        directory = Path(os.readlink(process / "cwd"))
        arguments = (process / "cmdline").read_bytes()
    except OSError:
        return False
    if not _LOCKLESS.isdisjoint(arguments.split(b"\0")):
        return False
    return directory.is_relative_to(root) or os.fsencode(root) in arguments
