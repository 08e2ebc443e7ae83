"""Locks: the catalog's own (flock), and git's lock files, which we must share with git itself.

The kernel drops a flock with its holder, so it can never be stale. git's `x.lock` files can: a killed git leaves them.
Ours are hard links to a scratch file named after our process, so a dead owner is recognised at once. The scratch files
are used in turn, as to create and to delete a file is among the dearest steps of a write.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import random
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from catalogd.errors import Unavailable
from catalogd.store.files import fsync, overwrite, remove, write_to_replace

log = logging.getLogger(__name__)

# A lock file of a git that cannot be found any more is taken for stale after so many seconds.
STALE_AFTER = 2.0
# Where processes cannot be listed (no /proc), only age tells.
STALE_AFTER_UNSEEN = 600.0

# Scratch files of one lock. One is written to again after so many commits; whoever has opened the file before and reads
# it only then finds the newer content.
_IN_TURN = 8
_LOCKS = itertools.count()

# git commands that never lock the index or main: catalogd itself keeps some of them running.
_LOCKLESS = frozenset(
    {
        b"cat-file", b"log", b"diff-tree", b"rev-list", b"repack", b"pack-objects", b"commit-graph", b"upload-pack",
        b"fetch", b"push", b"send-pack", b"index-pack", b"remote-http", b"remote-https",
    }
)  # fmt: skip


# Lock files that nobody of us waits for, by git's directory, and that keep git from all that it has to do there for
# ever. Those of its maintenance are held by commands that lock nothing else.
_OTHER_LOCKS = (
    "config.lock",
    "packed-refs.lock",
    "objects/pack/multi-pack-index.lock",
    "objects/info/commit-graph.lock",
    "objects/info/commit-graphs/commit-graph-chain.lock",
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
        self._target = str(target)
        self.path = target.with_name(target.name + ".lock")
        self._lock = str(self.path)
        # Nobody else's, not even where another repository's main has its scratch files beside these.
        name = f"{scratch}/{os.getpid()}-lock-{target.name}-{next(_LOCKS)}"
        self._own = [f"{name}-{number}" for number in range(_IN_TURN)]
        self._turn = 0

    def close(self) -> None:
        """Remove the scratch files."""
        for own in self._own:
            remove(own)

    def take(self, size: int = 0) -> bool:
        """Create the lock file, with room for a content of `size` bytes. False if someone else has it."""
        self._turn = (self._turn + 1) % _IN_TURN
        own = self._own[self._turn]
        if not _is_free(own, size):
            remove(own)
            write_to_replace(own, bytes(size))
        try:
            os.link(own, self._lock)
        except FileExistsError:
            return False
        return True

    def write(self, content: bytes) -> None:
        """Give the lock file its content, of as many bytes as it has room for. Raises OSError."""
        overwrite(self._lock, content)

    def sync(self) -> None:
        """Make the lock file's content durable. Raises OSError."""
        fsync(self.path)

    def commit(self) -> None:
        """The lock file becomes the file. Raises OSError where it did not."""
        os.rename(self._lock, self._target)

    def release(self) -> None:
        """Give the lock up; the file stays what it was."""
        remove(self._lock)


def _is_free(own: str, size: int) -> bool:
    """Whether a scratch file of that size is there, and is neither the lock nor the file itself any more."""
    try:
        found = os.stat(own)
    except FileNotFoundError:
        return False
    return found.st_nlink == 1 and found.st_size == size


def clear_stale(lock_file: Path, scratch: Path, root: Path, *, patience: float = 0.0, of_any_git: bool = False) -> bool:
    """Remove git's lock file if its owner is dead. Returns whether there is none (any more).

    The lock of nobody who can be found is stale once it is old enough; that is waited for, for `patience` seconds.
    `of_any_git`: one that runs in the catalog may be its owner whatever it does.
    Call it for the locks on refs only while holding the catalog's own lock, for the index as Index does.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            found = lock_file.stat()
        except FileNotFoundError:
            return True
        is_held = _is_held(found, scratch, root, frozenset() if of_any_git else _LOCKLESS)
        if is_held is False:
            return _remove(lock_file, found.st_ino)
        if is_held or time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def clear_others(git_dir: Path, scratch: Path, root: Path, patience: float) -> None:
    """Remove git's locks that are neither on refs nor on the index, where their owners are dead; see clear_stale."""
    for name in _OTHER_LOCKS:
        clear_stale(git_dir / name, scratch, root, patience=patience, of_any_git=True)


def _is_held(lock: os.stat_result, scratch: Path, root: Path, lockless: Collection[bytes]) -> bool | None:
    """Whether the owner of a lock file lives, who does nothing `lockless`; None where that cannot be told yet."""
    for own in scratch.glob("*-lock-*"):
        try:
            if own.stat().st_ino == lock.st_ino:
                return not is_leftover(own)
        except FileNotFoundError:
            continue
    processes = [int(name) for name in os.listdir("/proc") if name.isdigit()] if os.path.isdir("/proc/self") else None
    if processes is not None and any(_works_in(pid, root, lockless) for pid in processes):
        return True
    # A time in the future is one from before the clock was set back.
    age = abs(time.time() - lock.st_mtime)
    return False if age > (STALE_AFTER_UNSEEN if processes is None else STALE_AFTER) else None


def _remove(lock_file: Path, inode: int) -> bool:
    try:
        if lock_file.stat().st_ino != inode:
            return False  # somebody else has removed the stale one and taken the lock
        log.warning("removing the stale lock %s", lock_file)
        lock_file.unlink()
    except FileNotFoundError:
        pass
    return True


def is_leftover(file: Path, owner: str | None = None) -> bool:
    """Whether a file belongs to a process that is dead: to `owner`, or to that in the name of a scratch file,
    "<process id>-...".
    """
    owner = file.name.partition("-")[0] if owner is None else owner
    if not owner.isdigit() or not is_process_alive(int(owner)):
        return True
    # Process ids come again: in a container a server has the same one at every start. But whoever has the catalog open
    # has swept what an earlier process of its id had left; there, times would mislead if the clock was set meanwhile.
    if int(owner) != os.getpid() and _has_open(int(owner), _catalog_lock(file)):
        return False
    started = _started(int(owner))
    try:
        return started is not None and file.stat().st_mtime < started - 1.0
    except FileNotFoundError:
        return True


def _catalog_lock(file: Path) -> Path:
    """The catalog's lock, beside a file of `.git/catalogd` or of its scratch directory."""
    return (file.parent.parent if file.parent.name == "scratch" else file.parent) / "lock"


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process has the file open; False where that cannot be known."""
    try:
        wanted = os.path.realpath(path)
        return any(os.readlink(entry) == wanted for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _started(pid: int) -> float | None:
    """When a process began, in seconds since the epoch; None where that cannot be known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return None
    return time.time() - age


def is_process_alive(pid: int) -> bool:
    """Whether there is a process of that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _works_in(pid: int, root: Path, lockless: Collection[bytes]) -> bool:
    """Whether a process is a git at work in this catalog, and at something that is not `lockless`."""
    process = Path("/proc") / str(pid)
    try:
        if not (process / "comm").read_bytes().startswith(b"git"):
            return False
        arguments = (process / "cmdline").read_bytes()
        if not arguments or _command(arguments.split(b"\0")) in lockless:  # without arguments it is a zombie
            return False
        directory = Path(os.readlink(process / "cwd"))
    except PermissionError:
        return True  # another user's: where it works cannot be seen
    except OSError:
        return False
    return directory.is_relative_to(root) or os.fsencode(root) in arguments


def _command(arguments: list[bytes]) -> bytes:
    """git's command: the first of its arguments that is neither an option nor the value of one."""
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in (b"-C", b"-c", b"--git-dir", b"--work-tree", b"--namespace"):
            next(rest, None)
        elif not argument.startswith(b"-"):
            return argument
    return b""
