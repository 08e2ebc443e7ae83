"""Group commit: edits that wait become one pack, one move of main, one fsync each, and a commit for each edit.

There is no committer thread: of the threads that wait, the first commits for all.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from catalogd.errors import CatalogdError, NoSpace, StoreFailed
from catalogd.store.edits import Draft, Edit, Outcome, Reading
from catalogd.store.history import Change, Commit, rfc3339
from catalogd.store.index import Index
from catalogd.store.locks import CatalogLock
from catalogd.store.objects import EMPTY_TREE, commit_data, identity
from catalogd.store.pack import Pack
from catalogd.store.refs import Branch, Moved
from catalogd.store.snapshot import ObjectCache, Snapshot, Unwritten, splice
from catalogd.store.worktree import WorkTree

log = logging.getLogger(__name__)

COMMITTER = "catalogd"
COMMITTER_EMAIL = "catalogd@localhost"

# Edits in one group: more gain little (facts: 64 cost 0.14 ms each) and make the first wait for the last.
_MAX_GROUP = 64
# Room that must be left besides what a group writes, for the read model and for git's own small files.
_RESERVE = 1 << 20
# When somebody has just staged something by hand, writes wait so long that a commit by hand can get through,
# and after it go on for at least as long.
_GIVE_WAY = 0.25

AfterCommit = Callable[[str | None, list[Commit], dict[str, bytes]], None]


class _Ticket:
    """An edit in the queue, its draft, and in the end its outcome or error."""

    def __init__(self, edit: Edit):
        self.edit = edit
        self.reading: Reading | None = None
        self.drafted: Draft | None = None
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None

    @property
    def settled(self) -> bool:
        return self.outcome is not None or self.error is not None

    def draft_on(self, snapshot: Snapshot) -> None:
        self.reading = Reading(snapshot)
        self.drafted = self.edit.draft(self.reading)

    def result(self) -> Outcome:
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome


class _Group:
    """The commits that are being made, on top of `parent`."""

    def __init__(self, objects: ObjectCache, parent: str | None):
        self.parent = parent
        self.base = Snapshot(objects, parent, objects.tree(objects.root_of(parent)) if parent else EMPTY_TREE)
        self.objects = Unwritten(objects)
        self.pack = Pack()
        self.head = Snapshot(self.objects, parent, self.base.root)
        self.newest = parent
        self.commits: list[Commit] = []
        self.files: dict[str, bytes | None] = {}
        self.blobs: dict[str, bytes] = {}
        self.roots: dict[str, str] = {}

    def add(self, edit: Edit, message: str, files: dict[str, bytes | None]) -> str:
        """One more commit. Returns its id."""
        changes = []
        for path, data in files.items():
            old = self.head.id_of(path)
            new = None
            if data is not None:
                new = self.pack.add("blob", data)
                self.objects.add_blob(data)
                self.blobs[new] = data
            changes.append(Change(path, old, new))
        for tree in splice(self.objects, self.head.root, {c.path: c.new for c in changes}):
            self.pack.add_tree(tree)
            self.objects.add_tree(tree)
        root = tree
        seconds = int(time.time())
        author = identity(edit.author, edit.email)
        committer = identity(COMMITTER, COMMITTER_EMAIL)
        commit = self.pack.add("commit", commit_data(root.id, self.newest, author, committer, seconds, message))
        self.roots[commit] = root.id
        self.commits.append(Commit(commit, edit.author, edit.email, rfc3339(seconds), message, tuple(changes)))
        self.files.update(files)
        self.newest = commit
        self.head = Snapshot(self.objects, None, root)
        return commit


class Committer:
    """Makes commits of edits, and is the only one that does."""

    def __init__(
        self,
        lock: CatalogLock,
        branch: Branch,
        objects: ObjectCache,
        worktree: WorkTree,
        index: Index,
        pack_directory: Path,
        after_commit: AfterCommit,
    ):
        self._lock = lock
        self._branch = branch
        self._objects = objects
        self._worktree = worktree
        self._index = index
        self._pack_directory = pack_directory
        self._after_commit = after_commit
        self._queue: deque[_Ticket] = deque()
        self._leading = threading.Lock()
        self._index_seen = index.signature()
        self._gave_way_at = 0.0
        self._lagging: dict[str, set[str | None]] = {}
        self.failure: str | None = None
        self.packs_written = 0

    def submit(self, edit: Edit) -> Outcome:
        """Commit an edit; returns when it is durable and the working tree and the followers have it.

        Raises what the edit's draft raises, EditedByHand, NoSpace, StoreFailed.
        """
        ticket = _Ticket(edit)
        head = self._branch.read()
        ticket.draft_on(self._snapshot(head))
        if ticket.drafted is None:
            return Outcome(head or "", changed=False)
        self._queue.append(ticket)
        with self._leading:
            while not ticket.settled:
                self._give_way()
                self._commit([self._queue.popleft() for _ in range(min(len(self._queue), _MAX_GROUP))])
        return ticket.result()

    def note_index(self) -> None:
        """The index was written by us: no reason to give way."""
        self._index_seen = self._index.signature()

    def _snapshot(self, head: str | None) -> Snapshot:
        root = self._objects.tree(self._objects.root_of(head)) if head else EMPTY_TREE
        return Snapshot(self._objects, head, root)

    def _give_way(self) -> None:
        seen = self._index.signature()
        if seen == self._index_seen:
            return
        self._index_seen = seen
        if time.monotonic() - self._gave_way_at > 2 * _GIVE_WAY:
            time.sleep(_GIVE_WAY)
            self._gave_way_at = time.monotonic()
            self._index_seen = self._index.signature()

    def _commit(self, tickets: list[_Ticket]) -> None:
        """Settle all of them: each with its commit or its error."""
        try:
            while not all(ticket.settled for ticket in tickets):
                try:
                    with self._lock.held():
                        self._commit_group([t for t in tickets if not t.settled])
                except Moved:
                    continue  # a hand was quicker: build on its commit
        except BaseException as error:
            for ticket in tickets:
                if not ticket.settled:
                    ticket.error = error
            if not isinstance(error, Exception):
                raise

    def _commit_group(self, tickets: list[_Ticket]) -> None:
        if self.failure:
            raise StoreFailed(f"The catalog takes no writes since an I/O error ({self.failure}); see the server's log.")
        group = _Group(self._objects, self._branch.read())
        outcomes: dict[_Ticket, Outcome] = {}
        for ticket in tickets:
            try:
                outcomes[ticket] = self._stage(ticket, group)
            except Exception as error:  # whatever it is, it fails alone
                ticket.error = error
        if group.commits:
            self._write(group)
        for ticket, outcome in outcomes.items():
            ticket.outcome = outcome

    def _stage(self, ticket: _Ticket, group: _Group) -> Outcome:
        if ticket.reading is None or not ticket.reading.still_holds(group.head):
            ticket.draft_on(group.head)
        draft = ticket.drafted
        files = {} if draft is None else self._changed(draft, group.head)
        if draft is None or not files:
            return Outcome(group.newest or "", changed=False)
        if self._branch.is_checked_out():
            for path in files:
                self._require_unedited(path, group.base.id_of(path))
        message = _message(draft.message, ticket.edit.trailers)
        return Outcome(group.add(ticket.edit, message, files), changed=True)

    @staticmethod
    def _changed(draft: Draft, head: Snapshot) -> dict[str, bytes | None]:
        changed = {}
        for path, data in draft.files.items():
            there = head.read(path)
            if data != (there[1] if there else None):
                changed[path] = data
        return changed

    def _require_unedited(self, path: str, committed: str | None) -> None:
        try:
            self._worktree.require_unedited(path, committed)
        except CatalogdError:
            # The file may be one that we could not bring up to date after an earlier commit.
            for earlier in self._lagging.get(path, ()):
                try:
                    return self._worktree.require_unedited(path, earlier)
                except CatalogdError:
                    continue
            raise

    def _write(self, group: _Group) -> None:
        """Make the group durable and move main to it."""
        follows = self._branch.is_checked_out()
        try:
            self._require_space(group)
            prepared = self._worktree.prepare(group.files if follows else {})
            try:
                group.pack.write(self._pack_directory)
                self._branch.move(group.parent, group.newest or "")
            except BaseException:
                prepared.discard()
                raise
        except OSError as error:
            raise self._failed(error) from error
        self.packs_written += 1
        group.objects.keep()
        for commit, root in group.roots.items():
            self._objects.keep_root(commit, root)
        # From here on the commits are durable: nothing may turn them into an error any more.
        try:
            prepared.put_in_place()
            for path in group.files:
                self._lagging.pop(path, None)
        except OSError:
            log.exception("the working tree is behind main; it is brought up to date when the disk allows")
            for path in group.files:
                self._lagging.setdefault(path, set()).add(group.base.id_of(path))
        try:
            self._after_commit(group.parent, group.commits, group.blobs)
        except Exception:
            log.exception("the read model is behind main; it catches up with the next read")

    def _require_space(self, group: _Group) -> None:
        needed = group.pack.size + 4 * sum(len(data) for data in group.files.values() if data) + _RESERVE
        disk = os.statvfs(self._pack_directory)
        if disk.f_bavail * disk.f_frsize < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _failed(self, error: OSError) -> CatalogdError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            log.error("no room for a commit: %s", error)
            return NoSpace("There is no room left on the catalog's disk; nothing was written.")
        # After a failed fsync the kernel may have dropped the data, so trying again would prove nothing.
        self.failure = os.strerror(error.errno) if error.errno else str(error)
        log.critical("I/O error in a write: the catalog takes no more writes until it is opened anew", exc_info=error)
        return StoreFailed(f"The write met an I/O error ({self.failure}); it is not acknowledged.")


def _message(message: str, trailers: Mapping[str, str]) -> str:
    lines = [f"{key}: {' '.join(value.split())}" for key, value in trailers.items()]
    return "\n\n".join([message.strip(), "\n".join(lines)]).rstrip()
