"""git's index follows main in batches: rewriting one of 100,000 entries takes up to 200 ms, far more than a commit.

While it is behind, a `git commit` by hand would take the old content of the paths that main has moved on, so

- `followed` keeps, for the last minutes, which commit the index mirrored from when on;
- the hook (hooks.py) reads it and refuses a commit that began on an index that was behind and would undo a path.

`git commit` reads the index before it locks it, so it can write a state back that was replaced in between. Whenever
somebody else has written the index it is therefore compared with main anew.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from catalogd.store.files import fsync, is_whole, read_or_none, replace_durably
from catalogd.store.git import Git, GitFailed
from catalogd.store.history import LOG_OPTIONS, Change, read_log, read_raw_diff
from catalogd.store.locks import GitLock, clear_stale
from catalogd.store.objects import EMPTY_TREE, object_id
from catalogd.store.worktree import signature

log = logging.getLogger(__name__)

# A git process that runs longer than this between reading the index and moving main is judged by its oldest state.
REMEMBER_SECONDS = 900
_REMEMBER_LINES = 2000
_REMEMBER_TAKEN = 20
# No git takes longer than this between reading the index and writing that state back.
_WRITTEN_BACK_SECONDS = 60

_LINE = re.compile(rb"^([0-9a-f]{40}) (\d+\.\d+)$", re.MULTILINE)

DIFF = ("diff-tree", "-r", "--raw", "--no-abbrev", "--no-renames", "-z")

# By path, every blob id that main had there; None stands for no file.
Values = dict[str, set[str | None]]


class Followed:
    """The file `followed`: lines "<commit> <seconds>", newest last: since when the index mirrors that commit.

    Before the first commit it mirrors the empty tree, so that stands in the commit's place. Beside it, `taken` has
    lines "<commit> <commit>": from where to where main was moved last to commits of others.
    """

    def __init__(self, path: Path):
        self._path = path
        self._taken = path.with_name("taken")

    def newest(self) -> str | None:
        """The commit that the index mirrors, as far as is known."""
        lines = self._lines()
        return lines[-1][0] if lines else None

    def before(self, seconds: float) -> str | None:
        """The commit that it mirrored so many seconds before it came to the newest; the oldest known if need be."""
        lines = self._lines()
        if not lines:
            return None
        moment = lines[-1][1] - seconds
        return next((commit for commit, since in reversed(lines) if since <= moment), lines[0][0])

    def append(self, commit: str) -> None:
        """The index mirrors `commit` from now on."""
        now = time.time()
        lines = self._lines()
        # The state before the oldest that is young enough still counts: it lasted until that one began.
        old = [i for i, (_, since) in enumerate(lines) if since < now - REMEMBER_SECONDS]
        lines = lines[old[-1] if old else 0 :][-_REMEMBER_LINES:]
        text = "".join(f"{commit} {since:.3f}\n" for commit, since in [*lines, (commit, now)])
        replace_durably(self._path, text.encode())

    def note_taken(self, old: str | None, new: str) -> None:
        """Before main is moved to commits of others: the hook is to see to these as to catalogd's own."""
        lines = (read_or_none(self._taken) or b"").decode("ascii", "replace").splitlines()
        lines = [*lines, f"{old or EMPTY_TREE.id} {new}"][-_REMEMBER_TAKEN:]
        replace_durably(self._taken, "".join(f"{line}\n" for line in lines).encode())

    def _lines(self) -> list[tuple[str, float]]:
        # What a power cut has torn is left out.
        found = _LINE.findall(read_or_none(self._path) or b"")
        return [(commit.decode(), float(since)) for commit, since in found]


@dataclass(frozen=True, slots=True)
class _Differing:
    """A path that the index has otherwise than main: main's mode and blob, and the index's blob; None is no file."""

    path: str
    mode: str
    mains: str | None
    indexed: str | None


class Index:
    """The index of one catalog."""

    def __init__(self, git: Git, root: Path, scratch: Path, followed: Followed):
        self._git = git
        self._root = root
        self._scratch = scratch
        self._file = git.git_dir / "index"
        self._name = str(self._file)
        self._lock = GitLock(self._file, scratch)
        self._following = scratch.parent / "follow.lock"
        self._ours = scratch.parent / "index.ours"
        self._followed = followed
        self._verified: object = ()  # no signature: nothing is known yet
        self._staged: dict[str, str | None] = {}
        # Entries that were brought up: path, what the index had, what main has.
        self.brought_up: list[Change] = []

    def close(self) -> None:
        """Let go of the scratch files."""
        self._lock.close()

    def signature(self) -> tuple[int, int, int] | None:
        """Changes whenever somebody writes the index."""
        try:
            return signature(os.stat(self._name))
        except FileNotFoundError:
            return None

    def _note_ours(self, of: tuple[int, int, int]) -> None:
        """The index with this signature is ours and no hand's: told to all processes."""
        new = self._scratch / f"{os.getpid()}-index.ours"
        new.write_text(repr(of))
        os.replace(new, self._ours)

    def is_ours(self, of: tuple[int, int, int] | None) -> bool:
        """Whether a process of catalogd has written the index with this signature."""
        return read_or_none(self._ours) == repr(of).encode()

    def clear_stale_lock(self, patience: float = 0.0) -> bool:
        """See locks.clear_stale."""
        with self._alone() as alone:
            return alone and clear_stale(self._lock.path, self._scratch, self._root, patience=patience)

    def follow(self, read_head: Callable[[], str | None]) -> bool:
        """Bring the index to main; entries that a hand has staged stay. False while somebody else is at the index."""
        head = read_head()
        if head is None or (self._followed.newest() == head and self._verified == self.signature()):
            return True
        with self._alone() as alone:
            if not alone:
                return False
            # Main only grows, so what is read now is no older than what the index and `followed` are at.
            head = read_head() or EMPTY_TREE.id
            if not self._bring_to(head):
                return False
            # After the index, never before: a hand's commit is judged by what is written here.
            if self._followed.newest() != head:
                self._followed.append(head)
        return True

    def rebuild_if_broken(self) -> None:
        """Set an index aside that git cannot read, or that is not whole: the next `follow` makes a new one."""
        # git itself does not look at the checksum, and makes something of any bytes.
        why = "it is not whole" if self._file.exists() and not is_whole(self._file) else ""
        try:
            self._git.run("ls-files", "--", "no-such-file")
        except GitFailed as error:
            why = error.detail
        if why:
            log.warning("git cannot read its index, so it is made anew: %s", why)
            os.replace(self._file, self._file.with_name("index.broken"))

    def values(self, after: str | None, until: str, paths: list[str] | None = None) -> Values:
        """What main had, by path, where it changed between two commits."""
        span = until if after in (None, EMPTY_TREE.id) else f"{after}..{until}"
        values: Values = defaultdict(set)
        # A merge may have come to main as the one parent and left as the other.
        base = after or EMPTY_TREE.id
        for change in read_raw_diff(self._git.run("--literal-pathspecs", *DIFF, base, until, "--", *(paths or ()))):
            values[change.path] |= {change.old, change.new}
        with self._git.stream("--literal-pathspecs", "log", *LOG_OPTIONS, span, "--", *(paths or ())) as stream:
            for commit in read_log(stream):
                for change in commit.changes:
                    values[change.path] |= {change.old, change.new}
        return values

    def refresh(self) -> None:
        """Let git note which files are as the index says, so that the next `git status` need not read them.

        It is given up quietly while somebody else is at the index. Raises GitFailed.
        """
        options = ("-q", "--refresh", "--unmerged", "--ignore-missing", "--really-refresh")
        with self._alone() as alone:
            if alone:
                self._rewrite(lambda copy: self._git.run("update-index", *options, env={"GIT_INDEX_FILE": str(copy)}))

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Of all threads and processes, one follows at a time."""
        descriptor = os.open(self._following, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(descriptor)

    def _bring_to(self, head: str) -> bool:
        """Write what main has and the index has not. False while somebody else is at the index."""
        lagging: list[_Differing] = []

        def bring(copy: Path) -> None:
            if not copy.exists():
                self._git.run("read-tree", head, env={"GIT_INDEX_FILE": str(copy)})
                return
            lagging.extend(self._lagging(head, copy))
            if lagging:
                self._update(copy, lagging)

        if not self._rewrite(bring):
            return False
        self.brought_up += [Change(entry.path, entry.indexed, entry.mains) for entry in lagging]
        return True

    def _rewrite(self, work: Callable[[Path], object]) -> bool:
        """Let git work on a copy, which becomes the index if nobody else has touched that. Whether it is done.

        A hand's git fails at once where the index is locked, so it is for the moment of the rename only.
        """
        if self._lock.path.exists() and not clear_stale(self._lock.path, self._scratch, self._root):
            return False
        before = self.signature()
        copy = self._scratch / f"{os.getpid()}-index"
        try:
            if before is not None:
                # With its time, by which git knows the files that it has to look into.
                shutil.copy2(self._file, copy)
            copied = signature(copy.stat()) if before is not None else None
            work(copy)
            verified = signature(copy.stat())
            if verified == copied:
                self._verified = before
                return self.signature() == before
            fsync(copy)
            return self._replace(copy, before, verified)
        finally:
            copy.unlink(missing_ok=True)

    def _replace(self, copy: Path, before: tuple[int, int, int] | None, verified: tuple[int, int, int]) -> bool:
        """The copy becomes the index, unless that is not what was copied any more."""
        if not self._lock.take():
            return False
        try:
            if self.signature() != before:
                self._lock.release()
                return False
            self._note_ours(verified)
            os.replace(copy, self._lock.path)
            self._lock.commit()
        except BaseException:
            self._lock.release()
            raise
        self._verified = verified
        return True

    def _lagging(self, head: str, index: Path) -> list[_Differing]:
        """The entries of an index that main has left behind; what a hand has staged is none of them."""
        differing = self._differing(head, index)
        base = self._followed.newest()
        moved = {}
        if differing and base not in (None, head):
            changes = read_raw_diff(self._git.run(*DIFF, base or "", head, "--"))
            moved = {change.path: change.old for change in changes}
        lagging: list[_Differing] = []
        others: list[_Differing] = []
        for entry in differing:
            is_left = entry.path in moved and moved[entry.path] == entry.indexed
            (lagging if is_left else others).append(entry)
        return lagging + self._written_back(others, head, moved.keys())

    def _written_back(self, entries: list[_Differing], head: str, moved: Collection[str]) -> list[_Differing]:
        """Those with what main had a while ago, and the file has not: nobody has staged that.

        A commit by hand that another followed at once leaves such entries, and a git that wrote back what it had
        read earlier, and a kill between the index and `followed`.
        """
        # What was staged last time still is, unless main has moved on there: then it may have been committed.
        unknown = [e for e in entries if e.path in moved or self._staged.get(e.path, "") != e.indexed]
        found = []
        if unknown:
            paths = [e.path for e in unknown] if len(unknown) <= 100 else None
            had = self.values(self._followed.before(_WRITTEN_BACK_SECONDS), head, paths)
            found = [e for e in unknown if e.indexed in had.get(e.path, ()) and self._file_id(e.path) != e.indexed]
        is_found = {entry.path for entry in found}
        self._staged = {e.path: e.indexed for e in entries if e.path not in is_found}
        return found

    def _differing(self, head: str, index: Path) -> list[_Differing]:
        arguments = ("diff-index", "--cached", *DIFF[2:], head, "--")
        raw = self._git.run(*arguments, env={"GIT_INDEX_FILE": str(index)}).decode("utf-8", "surrogateescape")
        fields = raw.split("\0")
        differing = []
        for line, path in zip(fields[0:-1:2], fields[1::2], strict=True):
            mode, _, mains, indexed, status = line.split(" ")
            if status != "U" and mains != indexed:  # neither in conflict nor staged for its mode alone
                differing.append(_Differing(path, mode.lstrip(":"), _id_or_none(mains), _id_or_none(indexed)))
        return differing

    def _file_id(self, path: str) -> str | None:
        try:
            data = read_or_none(self._root / path)
        except OSError:
            return "unreadable"
        return None if data is None else object_id("blob", data)

    def _update(self, index: Path, entries: list[_Differing]) -> None:
        # Removals first: a file may have become a directory.
        lines = (
            f"{e.mode} {e.mains}\t{e.path}\0" if e.mains else f"0 {'0' * 40}\t{e.path}\0"
            for e in sorted(entries, key=lambda e: e.mains is not None)
        )
        stdin = "".join(lines).encode("utf-8", "surrogateescape")
        self._git.run("update-index", "-z", "--index-info", stdin=stdin, env={"GIT_INDEX_FILE": str(index)})


def _id_or_none(object_id: str) -> str | None:
    return object_id if object_id.strip("0") else None
