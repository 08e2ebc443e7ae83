"""Keeps the read model at main. It is written only under the catalog's lock, so it has one writer at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path

from catalogd.readmodel import ReadModel, Writer
from catalogd.shared.shares import Shares
from catalogd.store import Commit, Store

log = logging.getLogger(__name__)

# Where many commits are recorded, the blobs of some are read together. Enough that starting a git does not matter.
_CHANGES_AT_ONCE = 2_000


class Mirror:
    """The read model of one catalog, and the store that it follows."""

    def __init__(self, root: Path, *, lock_timeout: float, git_children: int, shares: Shares | None = None):
        self.store = Store(
            root,
            lock_timeout=lock_timeout,
            git_children=git_children,
            shares=shares,
            after_commit=self._after_commit,
            after_move=self._after_move,
        )
        try:
            self.model = ReadModel(self.store.private / "readmodel.db")
        except BaseException:
            self.store.close()
            raise
        # main's commit that the read model was found at, and which of its files that was.
        self._known: tuple[str | None, int] = (None, 0)
        self._has_failed = False

    def close(self) -> None:
        try:
            self.model.close()
        finally:
            self.store.close()

    def catch_up(self) -> None:
        """Bring the read model to main; waits for the lock. Raises Unavailable."""
        with self.store.lock.held():
            self._follow()

    def make_anew(self) -> None:
        """Throw the read model away and fill it from git. Raises Unavailable."""
        with self.store.lock.held(), self.model.writing() as writer:
            writer.clear()
            self._catch_up(writer)

    def check(self) -> None:
        """Before a read: if main was moved by someone else, follow it.

        Where the lock is held, that is by a writer who brings the read model up to date himself before he
        acknowledges anything. So what is read without waiting for him is the state before his writes. Where one
        of this process could not bring it up to date, or it was begun anew, the lock is waited for.
        """
        opened = self.model.opened
        head = self.store.head_looked_at()
        if (head, opened) == self._known:
            return
        mirrored = self.model.mirrored()
        if mirrored == head:
            self._known = head, opened
            return
        if self._has_failed or mirrored is None:
            self.catch_up()
            return
        with self.store.lock.held_if_free() as locked:
            if locked:
                self._follow()

    def _after_commit(self, parent: str | None, commits: list[Commit], blobs: dict[str, bytes]) -> None:
        with self._following() as opened:
            self._mirror_group(parent, commits, blobs)
            self._known = commits[-1].id, opened

    def _mirror_group(self, parent: str | None, commits: list[Commit], blobs: dict[str, bytes]) -> None:
        def contents(blob: str) -> bytes:
            return blobs[blob] if blob in blobs else self.store.blob(blob)

        with self.model.writing() as writer:
            mirrored = writer.mirrored
            if mirrored != parent or any(commit.is_merge for commit in commits):
                self._catch_up(writer)  # from git, which knows what else has come with a merge
            else:
                newest: dict[str, str | None] = {}
                for commit in commits:
                    writer.record(commit, contents)
                    newest.update((change.path, change.new) for change in commit.changes)
                self._apply(writer, newest, contents)
                writer.mirror(commits[-1].id)
        if parent is not None and mirrored not in (None, parent):
            self.store.follow_others(mirrored, commits[-1].id)

    def _after_move(self) -> None:
        with self._following() as opened:
            with self.model.writing() as writer:
                self._catch_up(writer)
            self._known = self.store.head(), opened

    def _follow(self) -> None:
        head = self.store.head()
        if head is None:
            return
        with self._following() as opened:
            with self.model.writing() as writer:
                old = writer.mirrored
                if old != head:
                    self._catch_up(writer)
            if old is not None and old != head:
                self.store.follow_others(old, head)
            self._known = head, opened

    @contextmanager
    def _following(self) -> Iterator[int]:
        """Within it the holder of the lock brings the read model to main: which of its files; failure is kept."""
        try:
            yield self.model.opened
        except BaseException:
            self._has_failed = True
            raise
        self._has_failed = False

    def _catch_up(self, writer: Writer) -> None:
        """Apply to the read model what main has and it has not. Where main does not contain it, start anew."""
        head = self.store.head()
        if head is None or writer.mirrored == head:
            return
        if writer.mirrored is not None and not self.store.contains(head, writer.mirrored):
            log.warning("main no longer contains %s: the read model is made anew", writer.mirrored)
            writer.clear()
        old = writer.mirrored
        newest = {change.path: change.new for change in self.store.diff(old, head)}
        if old is None:
            with writer.loading({path: blob for path, blob in newest.items() if blob}) as left:
                self._record(writer, old, head)
                self._put(writer, left())
        else:
            self._record(writer, old, head)
            self._put(writer, newest)
        writer.mirror(head)

    def _record(self, writer: Writer, old: str | None, head: str) -> None:
        for commits in _some_at_once(self.store.log(old, head)):
            with self.store.blobs(_new_blobs(commits)) as contents:
                for commit in commits:
                    writer.record(commit, contents)

    def _put(self, writer: Writer, newest: Mapping[str, str | None]) -> None:
        with self.store.blobs(blob for blob in newest.values() if blob) as contents:
            self._apply(writer, newest, contents)

    @staticmethod
    def _apply(writer: Writer, newest: Mapping[str, str | None], contents: Callable[[str], bytes]) -> None:
        for path, blob in newest.items():
            if blob is None:
                writer.remove(path)
            else:
                writer.put(path, blob, contents(blob))


def _some_at_once(commits: Iterable[Commit]) -> Iterator[list[Commit]]:
    """The commits in lists that each have some _CHANGES_AT_ONCE changes, or one commit with more."""
    some: list[Commit] = []
    changes = 0
    for commit in commits:
        some.append(commit)
        changes += len(commit.changes)
        if changes >= _CHANGES_AT_ONCE:
            yield some
            some, changes = [], 0
    if some:
        yield some


def _new_blobs(commits: list[Commit]) -> Iterator[str]:
    """In the order in which they are recorded."""
    for commit in commits:
        yield from (change.new for change in sorted(commit.changes, key=attrgetter("path")) if change.new)
