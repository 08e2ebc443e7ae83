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
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from catalogd.errors import CatalogdError, NoSpace, StoreFailed, Unavailable
from catalogd.shared.shares import Shares
from catalogd.store.desk import Desk
from catalogd.store.edits import Draft, Edit, Outcome, Reading
from catalogd.store.group import Group
from catalogd.store.history import Change, Commit
from catalogd.store.index import Index
from catalogd.store.locks import CatalogLock
from catalogd.store.objects import EMPTY_TREE
from catalogd.store.redo import Redo
from catalogd.store.refs import Branch, Moved, Unsure
from catalogd.store.snapshot import ObjectCache, Snapshot
from catalogd.store.worktree import WorkTree

log = logging.getLogger(__name__)

# Edits in one group: more gain little and make the first wait for the last.
_MAX_GROUP = 64
# Room that must be left besides what a group writes, for the read model and for git's own small files.
_RESERVE = 1 << 20
# git refuses a commit by hand if main moves while it is made, so writes give way to hands: so long after something was
# staged, for the commit to begin, and then until it has ended, but no longer than this in all.
_AFTER_STAGING = 0.1
_MOST_WAY = 1.0
# A commit whose editor is still open after so long does not hold up writes any more.
_HAND_SECONDS = 5.0

# What the system may refuse before anything has gone to the disk. It says nothing about the disk.
_REFUSALS = frozenset(
    {
        errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM, errno.ENOENT, errno.EEXIST, errno.ENOTDIR,
        errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
    }
)  # fmt: skip

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

    def settlement(self) -> Outcome | Exception:
        return self.error if isinstance(self.error, Exception) else self.result()

    def result(self) -> Outcome:
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome


class Committer:
    """Makes commits of edits, and is the only one that does."""

    def __init__(
        self,
        lock: CatalogLock,
        branch: Branch,
        objects: ObjectCache,
        worktree: WorkTree,
        index: Index,
        redo: Redo,
        pack_directory: Path,
        after_commit: AfterCommit,
        shares: Shares,
    ):
        self._lock = lock
        self._branch = branch
        self._objects = objects
        self._worktree = worktree
        self._index = index
        self._redo = redo
        self._pack_directory = str(pack_directory)
        self._after_commit = after_commit
        self._queue: deque[_Ticket] = deque()
        self._turn = threading.Condition()
        self._is_led = False
        self._desk = Desk()
        self._index_seen = index.signature()
        self._hand = str(pack_directory.parents[1] / "catalogd" / "hand")
        self._way_is_ours_until = 0.0
        self._lagging: dict[str, set[str | None]] = {}
        self._failure = shares.failure
        self._is_lagging = shares.lagging

    def submit(self, edit: Edit) -> Outcome:
        """Commit an edit; returns when it is durable and the working tree and the followers have it.

        Raises what the edit's draft raises, EditedByHand, NoSpace, StoreFailed, Unavailable.
        """
        ticket = _Ticket(edit)
        with self._desk.drafting():
            head = self._branch.read()
            ticket.draft_on(self._snapshot(head))
            if ticket.drafted is None:
                return Outcome(head or "", changed=False)
            self._queue.append(ticket)
        self._settle([ticket])
        return ticket.result()

    def submit_all(self, edits: Iterable[Edit]) -> list[Outcome | Exception]:
        """Commit edits, each by itself and in their order, in as few groups as they fit into.

        What became of each: its outcome, or what submit() would have raised.
        """
        head = self._branch.read()
        snapshot = self._snapshot(head)
        tickets = [_Ticket(edit) for edit in edits]
        for ticket in tickets:
            try:
                ticket.draft_on(snapshot)
            except Exception:  # an edit before it may make it possible: it is drafted again when its turn comes
                ticket.reading = None
        self._queue.extend(tickets)
        self._settle(tickets)
        return [ticket.settlement() for ticket in tickets]

    def _settle(self, tickets: list[_Ticket]) -> None:
        """Of the queue: wait until they are committed or have failed, or lead until they are."""

        def settled() -> bool:
            return all(ticket.settled for ticket in tickets)

        with self._turn:
            # Not for a lock: whoever has come later might get it first, and what is settled must not wait for that.
            self._turn.wait_for(lambda: settled() or not self._is_led)
            if settled():
                return
            self._is_led = True
        try:
            while not settled():
                with suppress(OSError):  # who cannot look waits for no hand; what is refused must not stay in the queue
                    self._give_way()
                self._desk.await_drafts()
                self._commit([self._queue.popleft() for _ in range(min(len(self._queue), _MAX_GROUP))])
                if not settled():
                    with self._turn:
                        self._turn.notify_all()
        finally:
            with self._turn:
                self._is_led = False
                self._turn.notify_all()

    def note_index(self) -> None:
        """The index was looked at by us: no reason to give way."""
        self._index_seen = self._index.signature()

    @property
    def failure(self) -> str | None:
        """The I/O error of this or another worker after which writes are refused."""
        return self._failure.get() or None

    def require_sound(self) -> None:
        """Raises StoreFailed after an I/O error in a write."""
        if self.failure:
            raise StoreFailed(f"The catalog takes no writes since an I/O error ({self.failure}); see the server's log.")

    def lags(self, changes: Iterable[Change]) -> None:
        """Files that may still be at each change's old blob, though main is not. Hold the lock."""
        for change in changes:
            self._lagging.setdefault(change.path, set()).add(change.old)
        self._is_lagging.set(True)

    def catch_up_files(self) -> bool:
        """Bring the files up to main that could not be after their commit. False if there still are such, of another
        worker perhaps.
        """
        if not self._lagging:
            return not self._is_lagging.is_up_elsewhere()
        with self._lock.held_if_free() as free:
            if not free:
                return False
            now = self._snapshot(self._branch.read())
            changes = [Change(path, now.id_of(path), now.id_of(path)) for path in self._lagging]
            try:
                self._worktree.follow(changes, self._objects.blob, self._lagging)
            except OSError as error:
                log.warning("the working tree is still behind main: %s", error)
                return False
            finally:
                self._worktree.forget()
            self._lagging.clear()
            self._is_lagging.set(False)
        return not self._is_lagging.is_up_elsewhere()

    def _snapshot(self, head: str | None) -> Snapshot:
        root = self._objects.tree(self._objects.root_of(head)) if head else EMPTY_TREE
        return Snapshot(self._objects, head, root)

    def _give_way(self) -> None:
        """Wait while somebody stages or commits by hand; then writes go on for at least as long."""
        began = time.monotonic()
        if began < self._way_is_ours_until:
            return
        if self._has_staged():
            time.sleep(_AFTER_STAGING)
        while self._hand_commits() and time.monotonic() - began < _MOST_WAY:
            time.sleep(0.005)
        waited = time.monotonic() - began
        if waited > 0.004:
            self._index_seen = self._index.signature()
            self._way_is_ours_until = time.monotonic() + waited

    def _has_staged(self) -> bool:
        """Whether somebody else than catalogd has written the index."""
        found = self._index.signature()
        if found != self._index_seen and self._index.is_ours(found):  # by another process
            self._index_seen = found
        return found != self._index_seen

    def _hand_commits(self) -> bool:
        """Whether a `git commit` by hand is between its pre-commit hook and its move of main."""
        try:
            return 0 <= time.time() - os.stat(self._hand).st_mtime < _HAND_SECONDS
        except FileNotFoundError:
            return False

    def _commit(self, tickets: list[_Ticket]) -> None:
        """Settle all of them: each with its commit or its error."""
        try:
            while not all(ticket.settled for ticket in tickets):
                try:
                    with self._lock.held(), self._desk.seated():
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
        self.require_sound()
        group = Group(self._objects, self._branch.read(), self._branch.is_checked_out())
        outcomes: dict[_Ticket, Outcome] = {}
        errors: dict[_Ticket, Exception] = {}
        for ticket in tickets:
            try:
                outcomes[ticket] = self._stage(ticket, group)
            except Exception as error:  # whatever it is, it fails alone
                errors[ticket] = error
        if group.commits:
            self._write(group)
        # Only now: what was read from an earlier edit of the group was not there until it was written.
        for ticket, failed in errors.items():
            ticket.error = failed
        for ticket, outcome in outcomes.items():
            ticket.outcome = outcome

    def _stage(self, ticket: _Ticket, group: Group) -> Outcome:
        # What a merge brings depends on all of main, not only on what its draft has read.
        reading = ticket.reading
        if (
            reading is None
            or (ticket.edit.merges and reading.commit != group.newest)
            or not reading.still_holds(group.head)
        ):
            ticket.draft_on(group.head)
        draft = ticket.drafted
        files = {} if draft is None else {p: d for p, d in draft.files.items() if group.changes(p, d)}
        if draft is None or not (files or ticket.edit.merges):
            return Outcome(group.newest or "", changed=False)
        if group.follows:
            for path in files:
                self._require_unedited(path, group.base.id_of(path))
        message = _message(draft.message, ticket.edit.trailers)
        return Outcome(group.add(ticket.edit, message, files), changed=True)

    def _require_unedited(self, path: str, committed: str | None) -> None:
        # The file may be one that we could not bring up to date after an earlier commit.
        self._worktree.require_unedited(path, {committed, *self._lagging.get(path, ())})

    def _write(self, group: Group) -> None:
        """Make the group durable and move main to it."""
        try:
            self._require_space(group)
            prepared = self._worktree.prepare(group.files if group.follows else {})
            try:
                group.pack.write(self._pack_directory, durable=not self._redo.has_journal)
                secure, withdraw = partial(self._redo.secure, group), self._redo.withdraw
                self._branch.move(group.parent, group.newest or "", secure, withdraw)
            except BaseException:
                prepared.discard()
                raise
        except Unsure as unsure:
            raise self.stop(unsure.__cause__) from unsure
        except OSError as error:
            raise self.failed(error) from error
        group.keep()
        # From here on the commits are durable: nothing may turn them into an error any more.
        try:
            prepared.put_in_place()
            if self._lagging:
                for path in group.files:
                    self._lagging.pop(path, None)
                self._is_lagging.set(bool(self._lagging))
        except OSError:
            log.exception("the working tree is behind main; it is brought up to date when the disk allows")
            prepared.discard()
            self.lags(Change(path, group.base.id_of(path), None) for path in group.files)
        try:
            self._after_commit(group.parent, group.commits, group.blobs)
        except Exception:
            log.exception("the read model is behind main; it catches up with the next read")

    def _require_space(self, group: Group) -> None:
        needed = group.pack.size + 4 * sum(len(data) for data in group.files.values() if data) + _RESERVE
        disk = os.statvfs(self._pack_directory)
        if disk.f_bavail * disk.f_frsize < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def failed(self, error: OSError) -> CatalogdError:
        """What to raise for a write that met an error before main was moved."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            log.error("no room for a commit: %s", error)
            return NoSpace("There is no room left on the catalog's disk; nothing was written.")
        if error.errno in _REFUSALS:
            log.error("the system refuses a commit", exc_info=error)
            return Unavailable(f"The system refuses the write ({os.strerror(error.errno)}); nothing was written.")
        return self.stop(error)

    def stop(self, error: BaseException | None) -> StoreFailed:
        """Take no more writes after an I/O error. Returns what to raise for the write that met it."""
        # After a failed fsync the kernel may have dropped the data, so trying again would prove nothing.
        self._failure.set(getattr(error, "strerror", None) or str(error) or "unknown")
        log.critical("I/O error in a write: the catalog takes no more writes until it is opened anew", exc_info=error)
        return StoreFailed(f"The write met an I/O error ({self.failure}); it is not acknowledged.")


def _message(message: str, trailers: Mapping[str, str | Sequence[str]]) -> str:
    lines = [
        f"{key}: {' '.join(value.split())}"
        for key, values in trailers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    # git ends a message at NUL.
    return "\n\n".join([message.strip(), "\n".join(lines)]).rstrip().replace("\0", "")
