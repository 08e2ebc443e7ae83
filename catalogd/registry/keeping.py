"""The catalog is compared with its registry again and again, and mended, while it is served."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from catalogd.catalog import Catalog
from catalogd.errors import CatalogdError, RegistryFailed
from catalogd.registry.client import RegistryClient
from catalogd.registry.reconciling import (
    CHANGED,
    EXTRA,
    FAILED,
    KINDS,
    MISSING,
    REFUSED,
    Difference,
    Reconciler,
    Report,
    Wanted,
)

log = logging.getLogger(__name__)

# The first comparison waits for so many seconds at most: what the registry has told while nobody listened is lost.
_FIRST_PAUSE = 10.0
# After a run that failed, in seconds: twice as long each time, up to the interval.
_SHORTEST_PAUSE = 30.0
# So many differences of one run are logged one by one.
_MOST_LOGGED = 100
# What was mended is worth a line; what cannot be is there in each run.
_MENDED = frozenset({MISSING, CHANGED, EXTRA})
_MENDED_WHAT = ("set", "removed", "created")


@dataclass
class Kept:
    """What the runs so far have come to. `mended` counts since the start, `differences` are those of the last run."""

    seconds_ago: float | None = None
    is_failing: bool = False
    mended: Mapping[str, int] = field(default_factory=dict)
    differences: Mapping[str, int] = field(default_factory=dict)


def heard(told: Mapping[str, Any] | None) -> Kept:
    """What a Keeper has told, perhaps in another process of this machine; `told` is None if it has told nothing yet."""
    if told is None:
        return Kept(mended=dict.fromkeys(_MENDED_WHAT, 0))
    whole_at = told["whole_at"]
    ago = None if whole_at is None else round(time.monotonic() - whole_at, 3)
    return Kept(ago, told["is_failing"], told["mended"], told["differences"])


class Keeper:
    """Compares one catalog with one registry. One thread calls `run`, any other the rest.

    `connect` makes a client for one run, `interval` is in seconds.
    """

    def __init__(
        self,
        catalog: Catalog,
        connect: Callable[[], RegistryClient],
        may_create: Callable[[str], bool],
        interval: float,
        jobs: int,
        tell: Callable[[Mapping[str, Any]], None] = lambda told: None,
    ):
        """`tell` is called after each run with what is known then, as JSON that `heard` understands."""
        self._tell = tell
        self._catalog = catalog
        self._connect = connect
        self._may_create = may_create
        self._interval = interval
        self._jobs = jobs
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._running: Reconciler | None = None
        self._whole_at: float | None = None
        self._failures = 0
        self._mended = dict.fromkeys(_MENDED_WHAT, 0)
        self._differences: dict[str, int] = {}

    def run(self) -> None:
        """Compare at each interval, until `stop`. Whatever fails is logged, and tried again."""
        pause = min(self._interval, _FIRST_PAUSE)
        while not self._stopping.wait(pause):
            self.step()
            backoff = _SHORTEST_PAUSE * 2.0 ** min(self._failures - 1, 20)
            pause = min(self._interval, backoff) if self._failures else self._interval

    def stop(self) -> None:
        """End `run`, and a comparison that is under way: its requests are broken off."""
        self._stopping.set()
        with self._guard:
            if self._running is not None:
                self._running.stop()

    def step(self) -> bool:
        """Compare once. Returns whether all of the registry could be read and all be mended."""
        is_whole = self._step()
        try:
            self._tell(self._told())
        except OSError:  # the thread must go on, whatever the disk does
            log.exception("What was found could not be told to the other workers")
        return is_whole

    def _step(self) -> bool:
        try:
            report = self._compare()
        except CatalogdError as error:
            self._fail("The catalog could not be compared with the registry: %s", error.detail)
            return False
        except Exception:  # the thread must go on, whatever a registry sends
            log.exception("The catalog could not be compared with the registry")
            self._fail("")
            return False
        return self._settle(report)

    def status(self) -> Kept:
        """What is known now."""
        return heard(self._told())

    def _told(self) -> dict[str, Any]:
        with self._guard:
            return {
                "whole_at": self._whole_at,
                "is_failing": self._failures > 0,
                "mended": dict(self._mended),
                "differences": dict(self._differences),
            }

    def _compare(self) -> Report:
        logged = 0

        def tell(difference: Difference) -> None:
            nonlocal logged
            level = logging.INFO if difference.kind in _MENDED else logging.DEBUG
            if logged < _MOST_LOGGED:
                log.log(level, "%s", difference)
                logged += log.isEnabledFor(level)

        with self._connect() as client:
            reconciler = Reconciler(self._catalog, client, self._may_create, self._jobs)
            with self._guard:
                self._running = reconciler
            try:
                if self._stopping.is_set():
                    raise RegistryFailed("The server stops.")
                return reconciler.run(Wanted(), tell=tell)
            finally:
                with self._guard:
                    self._running = None

    def _settle(self, report: Report) -> bool:
        unlike = {kind: report.count(kind) for kind in KINDS}
        with self._guard:
            for what in self._mended:
                self._mended[what] += getattr(report, what)
            self._differences = unlike
            if report.is_whole:
                self._whole_at = time.monotonic()
        if report.set or report.removed or report.created:
            log.info(
                "Mended as in the registry: %d tags set, %d removed, %d repositories created",
                report.set, report.removed, report.created,
            )  # fmt: skip
        if not report.is_whole:
            unread = f"{report.count(FAILED)} repositories could not be read, {report.count(REFUSED)} not be written"
            why = report.withheld or unread
            self._fail("Not all is as in the registry: %s", f"{why}; `catalogd reconcile` tells more")
            return False
        if self._failures:
            log.info("The catalog is compared with the registry again")
        with self._guard:
            self._failures = 0
        return True

    def _fail(self, message: str, *words: str) -> None:
        with self._guard:
            self._failures += 1
        if message and not self._stopping.is_set():
            log.warning(message, *words)
