"""git's index follows main in batches: rewriting one of 100,000 entries takes up to 200 ms, far more than a commit.

While it is behind, a `git commit` by hand would take the old content of the paths that main has moved on, so

- `followed` keeps, for the last minutes, which commit the index mirrored from when on;
- the hooks (hooks.py) read it and refuse a commit that began on an index that was behind and would undo a path.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path

from catalogd.store.files import read_or_none, replace_durably
from catalogd.store.git import Git
from catalogd.store.history import Change, read_raw_diff
from catalogd.store.locks import GitLock, clear_stale
from catalogd.store.objects import EMPTY_TREE

log = logging.getLogger(__name__)

# A git process that runs longer than this between reading the index and moving main is judged by its oldest state.
REMEMBER_SECONDS = 900
_REMEMBER_LINES = 2000

DIFF = ("diff-tree", "-r", "--raw", "--no-abbrev", "--no-renames", "-z")


class Followed:
    """The file `followed`: lines "<commit> <seconds>", newest last: since when the index mirrors that commit."""

    def __init__(self, path: Path):
        self._path = path

    def newest(self) -> str | None:
        """The commit that the index mirrors, as far as is known."""
        lines = self._lines()
        return lines[-1].split()[0] if lines else None

    def append(self, commit: str) -> None:
        """The index mirrors `commit` from now on."""
        now = time.time()
        lines = self._lines()
        # The state before the oldest that is young enough still counts: it lasted until that one began.
        old = [i for i, line in enumerate(lines) if float(line.split()[1]) < now - REMEMBER_SECONDS]
        lines = lines[old[-1] if old else 0 :][-_REMEMBER_LINES:]
        text = "\n".join([*lines, f"{commit} {now:.3f}"]) + "\n"
        replace_durably(self._path, text.encode())

    def _lines(self) -> list[str]:
        text = (read_or_none(self._path) or b"").decode("ascii", "replace")
        return [line for line in text.splitlines() if len(line.split()) == 2]


class Index:
    """The index of one catalog."""

    def __init__(self, git: Git, root: Path, scratch: Path, followed: Followed):
        self._git = git
        self._root = root
        self._scratch = scratch
        self._file = git.git_dir / "index"
        self.lock = GitLock(self._file, scratch)
        self._followed = followed

    def signature(self) -> tuple[int, int, int] | None:
        """Changes whenever somebody writes the index."""
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def changes_to(self, commit: str) -> list[Change]:
        """What main changed since the commit that the index mirrors."""
        old = self._followed.newest()
        if old == commit:
            return []
        return read_raw_diff(self._git.run(*DIFF, old or EMPTY_TREE.id, commit))

    def follow(self, commit: str) -> bool:
        """Bring the index to `commit`; entries that a hand has staged stay. False while a git holds its lock."""
        changes = self.changes_to(commit)
        if not changes:
            if self._followed.newest() != commit:
                self._followed.append(commit)
            return True
        if not self.lock.take(b""):
            clear_stale(self.lock.path, self._scratch, self._root)
            return False
        copy = self._scratch / f"{os.getpid()}-index"
        try:
            if self._file.exists():
                shutil.copyfile(self._file, copy)
            self._update(copy, self._unstaged(copy, changes))
            os.replace(copy, self.lock.path)
            self.lock.commit()
        except BaseException:
            copy.unlink(missing_ok=True)
            self.lock.release()
            raise
        self._followed.append(commit)
        return True

    def refresh(self) -> None:
        """Let git note which files are as the index says, so that the next `git status` need not read them."""
        self._git.run("update-index", "-q", "--refresh", "--unmerged", "--ignore-missing", "--really-refresh")

    def _unstaged(self, index: Path, changes: list[Change]) -> list[Change]:
        """Those of the changes whose entry in the index is still the old one."""
        base = self._followed.newest()
        if base is None:
            return changes
        raw = self._git.run("diff-index", "--cached", *DIFF[2:], base, env={"GIT_INDEX_FILE": str(index)})
        staged = {change.path for change in read_raw_diff(raw)}
        return [change for change in changes if change.path not in staged]

    def _update(self, index: Path, changes: list[Change]) -> None:
        lines = (f"{'100644' if c.new else '0'} {c.new or '0' * 40}\t{c.path}\0" for c in changes)
        stdin = "".join(lines).encode("utf-8", "surrogateescape")
        self._git.run("update-index", "-z", "--index-info", stdin=stdin, env={"GIT_INDEX_FILE": str(index)})
