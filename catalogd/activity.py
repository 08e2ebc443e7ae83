"""Activity: what use makes of repositories, which is counted in the state and folded into the documents later.

A star is durable in the state at once, and shown at once. Every few minutes what has been counted is folded into the
documents, in one commit for all. Nothing is counted twice or lost if the process dies in between: what is to be folded
gets the number of a **batch**, the commit carries it, and the read model tells the newest batch that its documents
count, in the same query as the document itself. What has a newer number, or none yet, is added to what is shown.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from catalogd import rights
from catalogd.accounts import Account
from catalogd.catalog import Caller, Catalog, Deltas, Found, ListQuery, Name, NotCountable, Page
from catalogd.state import PendingRow, State
from catalogd.store import rfc3339

log = logging.getLogger(__name__)

FOLDER = Account("catalogd", "catalogd@localhost", is_admin=True, scopes=frozenset(), namespace=None)

# As many documents at most are written in one commit; the rest follows at once.
_MOST_IN_A_BATCH = 5_000
# A fold is tried again without the repositories that were in its way, so often at most.
_TRIES = 20


class Seen(NamedTuple):
    """A document with what is pending, for one caller. `version` tells what is shown of one blob apart; 0 is the blob.

    It is made of what is shown, not of what has led there: that can be the same for two who see different things. So
    with PostgreSQL a row with a lower id may become visible after one with a higher.
    """

    document: Mapping[str, Any]
    is_starred: bool
    version: int


class _Known(NamedTuple):
    """What has been read of the state while that had this version."""

    version: int | None
    pending: dict[Name, list[PendingRow]]
    starred: dict[str, frozenset[Name]]


class Activity:
    """The activity on one catalog. Use from any number of threads."""

    def __init__(self, catalog: Catalog, state: State, clock: Callable[[], float] = time.time):
        self._catalog = catalog
        self._state = state
        self._clock = clock
        self._known = _Known(None, {}, {})
        self._folding = threading.Lock()

    # Stars

    def star(self, caller: Caller, namespace: str, repo_name: str) -> Found:
        """The caller has starred it from now on. Raises NotFound, Unauthenticated, Forbidden, Unavailable, NoSpace."""
        found = self._may_star(caller, namespace, repo_name)
        self._state.star(caller.account.name or "", namespace, repo_name, rfc3339(self._clock()))
        return found

    def unstar(self, caller: Caller, namespace: str, repo_name: str) -> Found:
        """The caller has not starred it any more. Raises as star."""
        found = self._may_star(caller, namespace, repo_name)
        self._state.unstar(caller.account.name or "", namespace, repo_name)
        return found

    def starred(self, caller: Caller, page: int = 1, page_size: int = 20) -> Page:
        """Those of the repositories starred by the caller that he may read, by name.

        Raises Unauthenticated, Forbidden, NotFound past the last page.
        """
        rights.require_self(caller.account, rights.KEEP)
        stars = self._state.starred(caller.account.name or "")
        among = tuple((row.namespace, row.repo_name) for row in stars)
        return self._catalog.list(caller, ListQuery(page=page, page_size=page_size, among=among))

    def _may_star(self, caller: Caller, namespace: str, repo_name: str) -> Found:
        found = self._catalog.detail(caller, namespace, repo_name)
        rights.require_star(caller.account, namespace)
        return found

    # What is shown

    def seen(self, caller: Caller, document: Mapping[str, Any], batch: int | None) -> Seen:
        """A document with what is pending since `batch`; with nothing for None, as one of the past has it."""
        name = (document["namespace"], document["repo_name"])
        known = self._current()
        pending = [] if batch is None else [row for row in known.pending.get(name, ()) if _is_after(row, batch)]
        is_starred = name in self._starred_by(known, caller.account.name)
        shown = _with(document, pending)
        stars = shown["repo_starred_count"]
        as_stored = not is_starred and stars == document["repo_starred_count"]
        return Seen(shown, is_starred, 0 if as_stored else 1 + 2 * stars + is_starred)

    def seen_now(self, caller: Caller, document: Mapping[str, Any]) -> Seen:
        """A document that was just written, with what is pending."""
        return self.seen(caller, document, self._catalog.shown_batch())

    def counted(self, documents: Iterable[Mapping[str, Any]], batch: int | None) -> list[Mapping[str, Any]]:
        """Documents with what is pending since `batch`, as in seen()."""
        if batch is None:
            return list(documents)
        pending = self._current().pending
        return [
            _with(document, [row for row in rows if _is_after(row, batch)])
            if (rows := pending.get((document["namespace"], document["repo_name"])))
            else document
            for document in documents
        ]

    def _current(self) -> _Known:
        """What is pending now: kept for as long as the state does not change, where that can be told."""
        version = self._state.version()
        known = self._known
        if version is not None and known.version == version:
            return known
        pending: dict[Name, list[PendingRow]] = defaultdict(list)
        for row in self._state.pending_activity():
            pending[row.namespace, row.repo_name].append(row)
        self._known = known = _Known(version, dict(pending), {})
        return known

    def _starred_by(self, known: _Known, user: str | None) -> frozenset[Name]:
        if user is None:
            return frozenset()
        starred = known.starred.get(user)
        if starred is None:
            starred = frozenset((row.namespace, row.repo_name) for row in self._state.starred(user))
            known.starred[user] = starred
        return starred

    # Folding

    def fold(self) -> int:
        """Write what is pending into the documents. Returns how many repositories were counted.

        What cannot be written now (a file edited by hand, a repository that is deleted) waits, and so does what is
        counted meanwhile: under steady stars a fold would never end. One process may do this at a time. Raises what the
        catalog and the state raise.
        """
        with self._folding:
            self._settle()
            names = list(self._deltas(None))
            starts = range(0, len(names), _MOST_IN_A_BATCH)
            return sum(self._fold_some(names[start : start + _MOST_IN_A_BATCH]) for start in starts)

    def _settle(self) -> None:
        """Forget what is in the documents, and take back what a fold that was cut off has not brought there.

        Not at the end of a fold: a reader may have read a document from before it, and add what is pending only now.
        """
        counted = self._catalog.counted()
        self._state.forget_batches(counted)
        while (unfinished := self._state.newest_batch()) > counted:
            self._state.release_batch(unfinished)

    def _fold_some(self, names: list[Name]) -> int:
        """One commit. Returns how many of the repositories were counted."""
        batch = self._catalog.counted() + 1
        for _ in range(_TRIES):
            if not names:
                break
            self._state.assign_batch(batch, names)
            try:
                # Read after the assignment: what is counted from now on is in no batch.
                made = self._catalog.count(Caller(FOLDER, f"fold-{batch}"), batch, self._deltas(batch))
            except NotCountable as error:
                self._state.release_batch(batch)
                log.info("the activity of %d repositories waits: %s", len(error.repositories), error)
                names = [name for name in names if name not in error.repositories]
                continue
            if made is None:
                self._state.forget_batches(batch)  # it has cancelled out
            return len(names)
        return 0

    def _deltas(self, batch: int | None) -> dict[Name, Deltas]:
        """What the rows of a batch, or of none, add up to."""
        return {
            (row.namespace, row.repo_name): Deltas(row.stars)
            for row in self._state.pending_activity()
            if row.batch == batch
        }


def _is_after(row: PendingRow, batch: int) -> bool:
    return row.batch is None or row.batch > batch


def _with(document: Mapping[str, Any], pending: Iterable[PendingRow]) -> Mapping[str, Any]:
    stars = sum(row.stars for row in pending)
    if not stars:
        return document
    return {**document, "repo_starred_count": max(0, document["repo_starred_count"] + stars)}
