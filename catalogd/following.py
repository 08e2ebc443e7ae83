"""A replica: it fetches main from its primary and takes it in, again and again, and knows how far behind it is."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from catalogd.catalog import Catalog
from catalogd.errors import CatalogdError, EditedByHand
from catalogd.store import Remote, RemoteFailed, rfc3339

log = logging.getLogger(__name__)

# Between two looks after failures, in seconds: twice as long each time, up to this.
_LONGEST_PAUSE = 30.0
# After so many seconds of failure the server is not well any more.
_PATIENCE = 60.0


class _Kind(NamedTuple):
    """A way in which following fails. `words` are for everybody, so they name no document and repeat no server."""

    name: str
    words: str


_UNREACHABLE = _Kind("unreachable", "The primary cannot be reached, or refuses; the log says why.")
_EMPTY = _Kind("empty", "The primary has no branch main.")
_DIVERGED = _Kind("diverged", "The catalog here has commits that the primary has not, so it cannot follow.")
_EDITED = _Kind("edited", "A file here was edited by hand and has changed on the primary; git status here names it.")
_UNABLE = _Kind("unable", "What was fetched could not be taken in; the log says why.")


class _Failed(Exception):
    """A look has failed. `detail` is for the log."""

    def __init__(self, kind: _Kind, detail: str):
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


class Follower:
    """Follows one primary. One thread runs `wait` and `step`; `wake` and `status` are for any."""

    def __init__(
        self,
        catalog: Catalog,
        remote: Remote,
        interval: float,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        self._catalog = catalog
        self._store = catalog.store
        self._remote = remote
        self._interval = interval
        self._clock = clock
        self._monotonic = monotonic
        self._woken = threading.Event()
        self._is_closed = False
        self._guard = threading.Lock()
        self._fetched: str | None = None
        self._checked_at: float | None = None
        self._had_all_at: float | None = None
        self._failure: _Kind | None = None
        self._failing_since = 0.0
        self._failures = 0
        self._took = 0.0

    def close(self) -> None:
        """End a look that is under way. From now on `wait` returns at once, and looks fail."""
        self._is_closed = True
        self._remote.close()
        self._woken.set()

    def wake(self) -> None:
        """Look at once. Many who ask while a look is under way get one more."""
        self._woken.set()

    def wait(self) -> None:
        """Until the next look is due: the interval, or longer after failures, or less if somebody wakes it."""
        # From one look's beginning to the next, so that what is new waits no longer for a look that takes long.
        pause = max(self._interval - self._took, self._interval / 10)
        if self._failures:
            # The random part keeps many replicas from coming back to a primary at the same moment.
            doubled = self._interval * 2.0 ** min(self._failures, 20)
            pause = max(self._interval, min(doubled, _LONGEST_PAUSE) * random.uniform(0.5, 1.0))
        self._woken.wait(pause)

    def step(self) -> bool:
        """Look once. Returns whether main is where it is on the primary; what fails is logged once and told by status.

        Raises nothing that a primary, a hand or the disk can cause.
        """
        self._woken.clear()  # before the fetch: who wakes it from now on may know of a later commit
        began = self._monotonic()
        try:
            self._look()
        except _Failed as failed:
            self._note_failure(failed)
            return False
        finally:
            self._took = self._monotonic() - began
        with self._guard:
            self._had_all_at = began
            if self._failure is not None:
                log.info("%s is followed again", self._remote.address)
            self._failure = None
            self._failures = 0
        return True

    def _look(self) -> None:
        try:
            fetched = self._remote.fetch()
        except RemoteFailed as error:
            raise _Failed(_UNREACHABLE, error.detail) from error
        with self._guard:
            self._checked_at = self._clock()
            self._fetched = fetched
        if fetched is None:
            raise _Failed(_EMPTY, f"{self._remote.address} has no main")
        try:
            self._take_in(fetched)
        except EditedByHand as error:
            raise _Failed(_EDITED, error.detail) from error
        except (CatalogdError, OSError) as error:
            raise _Failed(_UNABLE, str(error)) from error

    def _take_in(self, fetched: str) -> None:
        head = self._store.head()
        if head == fetched:
            return
        if head is not None and not self._store.contains(fetched, head):
            detail = f"main is at {head} here and at {fetched} on {self._remote.address}, and neither follows the other"
            if self._store.contains(head, fetched):
                detail = f"main is at {head} here, which is ahead of {fetched} on {self._remote.address}"
            raise _Failed(_DIVERGED, detail)
        self._store.take_in(head, fetched)

    def _note_failure(self, failed: _Failed) -> None:
        with self._guard:
            self._failures += 1
            is_new = self._failure is not failed.kind
            if self._failure is None:
                self._failing_since = self._monotonic()
            self._failure = failed.kind
        if is_new and not self._is_closed:
            log.warning("%s cannot be followed: %s", self._remote.address, failed.detail)

    def status(self) -> dict[str, Any]:
        """{primary, commit, behind_seconds, behind_commits, checked_at, failure}; what is not known is None.

        `commit` is the newest of the primary's that is known here, at `checked_at`. `behind_seconds` ago this server
        had all that the primary had, so it is no further behind than that.
        """
        with self._guard:
            fetched, checked_at, had_all_at, failure = self._fetched, self._checked_at, self._had_all_at, self._failure
        return {
            "primary": self._catalog.primary or self._remote.address,
            "commit": fetched,
            "behind_seconds": None if had_all_at is None else round(self._monotonic() - had_all_at, 3),
            "behind_commits": self._missing(fetched),
            "checked_at": None if checked_at is None else rfc3339(checked_at),
            "failure": failure and failure.words,
        }

    def _missing(self, fetched: str | None) -> int | None:
        if fetched is None:
            return None
        head = self._store.head()
        return 0 if head == fetched else self._store.count(head, fetched)

    def health(self) -> dict[str, Any]:
        """The catalog's health, with `following`. It is degraded where the primary cannot be followed."""
        report = {**self._catalog.health(), "following": self.status()}
        with self._guard:
            failure = self._failure
            lasts = failure is not None and self._monotonic() - self._failing_since > _PATIENCE
        if report["status"] == "ok" and (failure is _DIVERGED or lasts):
            report["status"] = "degraded"
        return report
