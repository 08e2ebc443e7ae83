"""Another repository is looked at again and again: at an interval, at once when told, less often while that fails."""

from __future__ import annotations

import logging
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from catalogd.catalog import Catalog
from catalogd.errors import CatalogdError
from catalogd.store import Remote, rfc3339

log = logging.getLogger(__name__)

# Between two looks after failures, in seconds: twice as long each time, up to this.
_LONGEST_PAUSE = 30.0
# After so many seconds of failure the server is not well any more.
_PATIENCE = 60.0


class Failure(NamedTuple):
    """A way in which looks fail. `words` are for everybody, so they name no document and repeat no server.

    One that `lasts` does not mend itself, so the server is not well from the beginning.
    """

    name: str
    words: str
    lasts: bool = False


_UNFORESEEN = Failure("unforeseen", "Something has failed that nobody has foreseen; the log says what.")


class Failed(Exception):
    """A look has failed. `detail` is for the log."""

    def __init__(self, failure: Failure, detail: str):
        super().__init__(detail)
        self.failure = failure
        self.detail = detail


class Lookout(ABC):
    """Looks at one repository for one catalog. One thread runs `step` and `wait`; the rest is for any.

    `part` is what its status is called in the report of health.
    """

    part: str

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
        self._checked_at: float | None = None
        self._had_all_at: float | None = None
        self._failure: Failure | None = None
        self._failing_since = 0.0
        self._failures = 0
        self._took = 0.0
        self._counted: dict[tuple[str, str], int] = {}

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
        self._woken.wait(self._pause())

    def step(self) -> bool:
        """Look once. Returns whether all went well; what fails is logged once and told by health.

        Raises nothing that another server, a hand or the disk can cause.
        """
        self._woken.clear()  # before the look: who wakes it from now on may know of a later commit
        began = self._monotonic()
        try:
            self._look()
        except Failed as failed:
            self._note_failure(failed)
            return False
        except Exception as error:  # the thread must go on, and so must reads
            self._note_failure(Failed(_UNFORESEEN, repr(error)), error)
            return False
        finally:
            self._took = self._monotonic() - began
        with self._guard:
            self._had_all_at = began
            if self._failure is not None:
                log.info("all is well again with %s", self._remote.address)
            self._failure = None
            self._failures = 0
        return True

    def told(self) -> dict[str, Any]:
        """All that is known, as JSON: what another process that looks at nothing itself is to `hear`."""
        with self._guard:
            return {
                "checked_at": self._checked_at,
                "had_all_at": self._had_all_at,
                "failure": self._failure,
                "failing_since": self._failing_since,
            }

    def hear(self, told: Mapping[str, Any]) -> None:
        """Know what one in another process has told. It is of this machine, so its monotonic clock is the same."""
        with self._guard:
            self._checked_at, self._had_all_at = told["checked_at"], told["had_all_at"]
            self._failure = Failure(*told["failure"]) if told["failure"] else None
            self._failing_since = told["failing_since"]

    @abstractmethod
    def status(self) -> dict[str, Any]:
        """What everybody may know of the other repository; what is not known is None."""

    def report(self) -> dict[str, Any]:
        """All that is known of the other repository, for admins: {part: status()}."""
        return {self.part: self.status()}

    def health(self) -> dict[str, Any]:
        """The catalog's health, with `status` as `part`. It is degraded where looks fail for long or for good."""
        report = {**self._catalog.health(), self.part: self.status()}
        if report["status"] == "ok" and self.is_unwell:
            report["status"] = "degraded"
        return report

    def _ago(self) -> float | None:
        """So many seconds ago the two were found to be together. Hold the guard."""
        return None if self._had_all_at is None else round(self._monotonic() - self._had_all_at, 3)

    def _checked(self) -> str | None:
        return None if self._checked_at is None else rfc3339(self._checked_at)

    def _head(self) -> str | None:
        """Main; None where it cannot be read, of which the catalog's health tells."""
        try:
            return self._store.head()
        except (CatalogdError, OSError):
            return None

    def _count(self, after: str | None, until: str | None) -> int | None:
        """How many commits one has that the other has not; None where that cannot be known. Asked again and again by
        those who watch, git counts them once.
        """
        if after is None or until is None:
            return None
        if after == until:
            return 0
        counted = self._counted.get((after, until))
        if counted is None:
            try:
                counted = self._store.count(after, until)
            except (CatalogdError, OSError):
                return None
            self._counted = {(after, until): counted, **dict(list(self._counted.items())[:1])}
        return counted

    @abstractmethod
    def _look(self) -> None:
        """Raises Failed."""

    def _pause(self) -> float:
        if not self._failures:
            # From one look's beginning to the next, so that what is new waits no longer for a look that takes long.
            return max(self._interval - self._took, self._interval / 10)
        # The random part keeps many from coming back to a server at the same moment.
        doubled = self._interval * 2.0 ** min(self._failures, 20)
        return max(self._interval, min(doubled, _LONGEST_PAUSE) * random.uniform(0.5, 1.0))

    def _note_failure(self, failed: Failed, unforeseen: Exception | None = None) -> None:
        with self._guard:
            self._failures += 1
            is_new = self._failure is not failed.failure
            if self._failure is None:
                self._failing_since = self._monotonic()
            self._failure = failed.failure
        if is_new and not self._is_closed:
            log.warning("%s: %s", self._remote.address, failed.detail, exc_info=unforeseen)

    @property
    def is_unwell(self) -> bool:
        """Whether it has failed for long, or in a way that does not mend itself."""
        with self._guard:
            if self._failure is None:
                return False
            return self._failure.lasts or self._monotonic() - self._failing_since > _PATIENCE


class Elsewhere:
    """Stands for a lookout that runs in another process: woken there, asked here."""

    def __init__(self, lookout: Lookout, read: Callable[[], Mapping[str, Any] | None], wake: Callable[[], None]):
        """`lookout` is like the one that runs and runs not; `read` gets what that one has told last."""
        self._lookout = lookout
        self._read = read
        self.wake = wake

    def report(self) -> dict[str, Any]:
        """As Lookout's."""
        return self._informed().report()

    def health(self) -> dict[str, Any]:
        """As Lookout's."""
        return self._informed().health()

    def _informed(self) -> Lookout:
        told = self._read()
        if told is not None:
            self._lookout.hear(told)
        return self._lookout
