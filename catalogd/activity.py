"""Activity: what use makes of repositories, which is counted in the state and folded into the documents later.

A star and a pull are durable in the state at once, and shown at once. Every few minutes what has been counted is folded
into the documents, in one commit for all. Nothing is counted twice or lost if the process dies in between: what is to
be folded gets the number of a **batch**, the commit carries it, and the read model tells the newest batch that its
documents count, in the same query as the document itself. What has a newer number, or none yet, is added to what is
shown.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from catalogd import rights
from catalogd.accounts import Account
from catalogd.catalog import Caller, Catalog, Deltas, Found, ListQuery, Name, NotCountable, Page
from catalogd.documents import name_of
from catalogd.errors import Conflict, NoSpace, StoreFailed, Unavailable
from catalogd.state import PendingRow, State
from catalogd.store import rfc3339

log = logging.getLogger(__name__)

FOLDER = Account("catalogd", "catalogd@localhost", is_admin=True, scopes=frozenset(), namespace=None)

# A bound on what one user can make everybody count: a page of one's own stars takes time by their number.
MOST_STARS = 10_000

# As many documents at most are written in one commit.
_MOST_IN_A_BATCH = 1_000
# A fold is tried again without the repositories that were in its way, so often at most.
_TRIES = 20
# Answers of the state that are kept until it changes: some hundred bytes each.
_MOST_KNOWN = 20_000
# All that is pending is read, and all stars of a user, where so many answers were missing and there are no more rows.
_SOON, _FEW = 32, 1_000


class Seen(NamedTuple):
    """A document with what is pending, for one caller. `version` tells what is shown of one blob apart; "" is the blob.

    It is made of what is shown, not of what has led there: that can be the same for two who see different things.
    """

    document: Mapping[str, Any]
    is_starred: bool
    version: str


class Activity:
    """The activity on one catalog. Use from any number of threads."""

    def __init__(self, catalog: Catalog, state: State, clock: Callable[[], float] = time.time):
        self._catalog = catalog
        self._state = state
        self._clock = clock
        self._known = _Known(state)
        self._folding = threading.Lock()

    @property
    def state(self) -> State:
        """The state beneath, for what else is counted there."""
        return self._state

    # Stars

    def star(self, caller: Caller, namespace: str, repo_name: str) -> Found:
        """The caller has starred it from now on.

        Raises NotFound, Unauthenticated, Forbidden, Conflict past MOST_STARS, Unavailable, NoSpace.
        """
        found = self._catalog.detail(caller, namespace, repo_name)
        rights.require_star(caller.account, namespace)
        user = caller.account.name or ""
        if self._state.count_stars(user) >= MOST_STARS and not self._state.is_starred(user, namespace, repo_name):
            raise Conflict(
                f"You have starred {MOST_STARS:,} repositories, the most there may be; take some back first."
            )
        self._state.star(user, namespace, repo_name, rfc3339(self._clock()))
        return found

    def unstar(self, caller: Caller, namespace: str, repo_name: str) -> str:
        """The caller has not starred it any more, even if he may not read it any more. Returns the commit read.

        Raises Unauthenticated, Forbidden, and NotFound where there was no star and nothing to see.
        """
        user = caller.account.name
        if user and rights.may_star(caller.account, namespace) and self._state.unstar(user, namespace, repo_name):
            return self._catalog.shown_commit()
        commit = self._catalog.detail(caller, namespace, repo_name).commit
        rights.require_star(caller.account, namespace)
        return commit

    def starred(self, caller: Caller, page: int = 1, page_size: int = 20) -> Page:
        """Those of the repositories starred by the caller that he may read, by name.

        Raises Unauthenticated, Forbidden, NotFound past the last page.
        """
        rights.require_scope(caller.account, rights.KEEP)
        stars = self._state.starred(caller.account.name or "")
        among = tuple((row.namespace, row.repo_name) for row in stars)
        return self._catalog.list(caller, ListQuery(page=page, page_size=page_size, among=among))

    def begin_anew(self, namespace: str, repo_name: str, since: str | None = None) -> None:
        """A repository was created, whose document counts nothing yet: the stars of one of that name before stay.

        The pulls of that one are not those of this one. With `since`, when an event said that it is there, pulls are
        kept if the latest of them was not before: events of a registry may come sooner than the repository.
        """
        self._state.begin_anew(namespace, repo_name, since, self._catalog.shown_batch())

    # What is shown

    def seen(self, caller: Caller, document: Mapping[str, Any], batch: int | None) -> Seen:
        """A document with what is pending since `batch`; with nothing for None, as one of the past has it."""
        rows, is_starred = self._known.seen(caller.account.name, name_of(document))
        shown = document if batch is None else _with(document, rows, batch)
        return Seen(shown, is_starred, _version(document, shown, is_starred))

    def seen_now(self, caller: Caller, document: Mapping[str, Any]) -> Seen:
        """A document that was just written, with what is pending."""
        return self.seen(caller, document, self._catalog.shown_batch())

    def counted(self, documents: Iterable[Mapping[str, Any]], batch: int | None) -> Sequence[Mapping[str, Any]]:
        """Documents with what is pending since `batch`, as in seen()."""
        listed = list(documents)
        if batch is None or not listed:
            return listed
        names = [name_of(document) for document in listed]
        pending = self._known.pending(names)
        return [_with(document, pending[name], batch) for document, name in zip(listed, names, strict=True)]

    # Folding

    def fold(self) -> int:
        """Write what is pending into the documents. Returns how many repositories were counted.

        What cannot be written now (a file edited by hand, a repository that is deleted) waits, and so does what is
        counted meanwhile: under steady stars a fold would never end. One process may do this at a time. Raises what the
        catalog and the state raise.
        """
        with self._folding:
            self.settle()
            self._state.forget_zeros()
            names = list(_deltas(None, self._state.pending_activity()))
            starts = range(0, len(names), _MOST_IN_A_BATCH)
            return sum(self._fold_some(names[start : start + _MOST_IN_A_BATCH]) for start in starts)

    def settle(self) -> None:
        """Forget what is in the documents, and take back what a fold that was cut off has not brought there.

        When a server starts, before commits of others come in: those of another catalogd have batches of their own, and
        of a number that is here without its commit one could not be told from ours. Not at the end of a fold: a reader
        may have read a document from before it, and add what is pending only now.
        """
        counted = self._catalog.counted()
        self._state.forget_batches(counted)
        while (unfinished := self._state.newest_batch()) > counted:
            self._state.release_batch(unfinished)

    def _fold_some(self, names: list[Name]) -> int:
        """One commit. Returns how many of the repositories were counted."""
        batch = self._catalog.counted() + 1
        began = rfc3339(self._clock())
        for _ in range(_TRIES):
            if not names:
                break
            self._state.assign_batch(batch, names)
            try:
                # Read after the assignment: what is counted from now on is in no batch.
                made = self._catalog.count(
                    Caller(FOLDER, f"fold-{batch}"), batch, _deltas(batch, self._state.pending_of(names)), began
                )
            except NotCountable as error:
                self._state.release_batch(batch)
                log.info("the activity of %d repositories waits: %s", len(error.repositories), error)
                names = [name for name in names if name not in error.repositories]
                continue
            except StoreFailed:  # who knows whether it is written: the next to open the catalog does
                raise
            except (Unavailable, NoSpace):
                self._state.release_batch(batch)
                raise
            if made is None:
                self._state.forget_batch(batch)  # it has cancelled out
            return len(names)
        return 0


class _Answers:
    """What has been read of one version of the state."""

    def __init__(self, version: int | None):
        self.version = version
        # How often something was not known, of each user and, under None, of all.
        self.misses: Counter[str | None] = Counter()
        self.pending: dict[Name, list[PendingRow]] = {}
        self.is_all_pending = False
        self.is_starred: dict[tuple[str, Name], bool] = {}
        self.all_starred: dict[str, frozenset[Name]] = {}

    def __len__(self) -> int:
        return len(self.pending) + len(self.is_starred) + len(self.misses)

    def pending_of(self, name: Name) -> list[PendingRow] | None:
        """None: not known."""
        is_all = self.is_all_pending  # before the rows, as it is set after them
        rows = self.pending.get(name)
        return [] if rows is None and is_all else rows

    def has_starred(self, user: str | None, name: Name) -> bool | None:
        """None: not known."""
        if user is None:
            return False
        starred = self.all_starred.get(user)
        return self.is_starred.get((user, name)) if starred is None else name in starred


class _Known:
    """What has been read of the state, for as long as that does not change; nothing where it cannot tell.

    At first what is asked for is read. Where more is asked for and nothing changes meanwhile, all is read that is
    little: as a rule nothing is pending, and a user has few stars.
    """

    def __init__(self, state: State):
        self._state = state
        self._answers = _Answers(None)

    def pending(self, names: Collection[Name]) -> dict[Name, list[PendingRow]]:
        """What is pending of each of the repositories."""
        answers = self._current()
        missing = [name for name in names if answers.pending_of(name) is None]
        if missing:
            self._miss(answers, None)
            missing = [name for name in missing if answers.pending_of(name) is None]
        if missing:
            found: dict[Name, list[PendingRow]] = {name: [] for name in missing}
            for row in self._state.pending_of(missing):
                found[row.namespace, row.repo_name].append(row)
            answers.pending.update(found)
        return {name: answers.pending_of(name) or [] for name in names}

    def seen(self, user: str | None, name: Name) -> tuple[list[PendingRow], bool]:
        """What is pending of a repository, and whether the user has starred it: one query as a rule, or none."""
        answers = self._current()
        rows, is_starred = answers.pending_of(name), answers.has_starred(user, name)
        if rows is None or is_starred is None:
            self._miss(answers, user)
            rows, is_starred = answers.pending_of(name), answers.has_starred(user, name)
        if rows is None or is_starred is None:
            rows, is_starred = self._state.pending_and_star(user, *name)
            answers.pending[name] = rows
            if user is not None:
                answers.is_starred[user, name] = is_starred
        return rows, is_starred

    def _miss(self, answers: _Answers, user: str | None) -> None:
        answers.misses[None] += 1
        if answers.misses[None] == _SOON:
            self._read_all_pending(answers)
        if user is None:
            return
        answers.misses[user] += 1
        if answers.misses[user] == _SOON and self._state.count_stars(user) <= _FEW:
            stars = self._state.starred(user)
            answers.all_starred[user] = frozenset((star.namespace, star.repo_name) for star in stars)

    def _read_all_pending(self, answers: _Answers) -> None:
        if not self._state.has_few_pending(_FEW):
            return
        pending: dict[Name, list[PendingRow]] = {}
        for row in self._state.pending_activity():
            pending.setdefault((row.namespace, row.repo_name), []).append(row)
        answers.pending, answers.is_all_pending = pending, True

    def _current(self) -> _Answers:
        version = self._state.version()
        answers = self._answers
        if version is None or version != answers.version or len(answers) > _MOST_KNOWN:
            answers = self._answers = _Answers(version)
        return answers


def _deltas(batch: int | None, rows: Iterable[PendingRow]) -> dict[Name, Deltas]:
    """What those of the rows that are of a batch, or of none, add up to."""
    return {
        (row.namespace, row.repo_name): Deltas(row.stars, row.pulls, row.pulled_at)
        for row in rows
        if row.batch == batch
    }


def _with(document: Mapping[str, Any], rows: Iterable[PendingRow], batch: int) -> Mapping[str, Any]:
    """The document with the rows that it does not count."""
    if not rows:
        return document
    stars = pulls = 0
    pulled_at = None
    for row in rows:
        if row.batch is None or row.batch > batch:
            stars += row.stars
            pulls += row.pulls
            pulled_at = max(pulled_at or "", row.pulled_at or "") or None
    return Deltas(stars, pulls, pulled_at).added_to(document)


def _version(document: Mapping[str, Any], shown: Mapping[str, Any], is_starred: bool) -> str:
    """Two of one blob are equal only if all that is added to it is."""
    if shown is document and not is_starred:
        return ""
    pulled = any(shown.get(key) != document.get(key) for key in ("download", "pulled_at"))
    if not (is_starred or pulled or shown["repo_starred_count"] != document["repo_starred_count"]):
        return ""
    stars = 1 + 2 * shown["repo_starred_count"] + is_starred
    return f"{stars}.{shown['download']}.{shown.get('pulled_at')}" if pulled else str(stars)
