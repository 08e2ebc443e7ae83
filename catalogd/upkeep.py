"""What a server does beside answering: it notices commits by others, lets what follows main follow, and counts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from catalogd import memory
from catalogd.activity import Activity
from catalogd.catalog import Catalog
from catalogd.errors import CatalogdError
from catalogd.lookout import Lookout
from catalogd.registry.follower import RegistryFollower
from catalogd.registry.keeping import Keeper
from catalogd.settings import Settings

log = logging.getLogger(__name__)

_DAY = 86_400.0
# The pack of all with its bitmap is made anew in at most such a part of the time.
_PART_FOR_BITMAPS = 0.01
# So long, in seconds, git's own files may lack what only the journal has made durable.
_CHECKPOINT_INTERVAL = 2.0
# The public repository follows within a second; who asks for it does not wait for that. More often would cost writers.
_PUBLICATION_INTERVAL = 0.8
# How often free memory is given back, in seconds; it takes some milliseconds.
_MEMORY_INTERVAL = 30.0


class Upkeep:
    """Threads off the path of every request: one follows main and the disk, one the public repository does, one folds
    packs, one activity, one gives memory back; one keeps up with a primary or an upstream, and two with a registry,
    where there is one.
    """

    def __init__(
        self,
        catalog: Catalog,
        activity: Activity,
        settings: Settings,
        lookout: Lookout | None = None,
        follower: RegistryFollower | None = None,
        keeper: Keeper | None = None,
        told: Callable[[Mapping[str, Any]], None] = lambda told: None,
    ):
        """`told` is called with all that the lookout knows after each look."""
        self._catalog = catalog
        self._activity = activity
        self._settings = settings
        self._lookout = lookout
        self._follower = follower
        self._keeper = keeper
        self._told = told
        self._stopping = threading.Event()
        self._threads = [
            _repeating("watch", self._watch, settings.watch_interval, self._stopping, "could not follow main"),
            threading.Thread(target=self._keep_house, name="maintenance", daemon=True),
            _repeating(
                "publication", catalog.publish, _PUBLICATION_INTERVAL, self._stopping,
                "the public repository could not follow main",
            ),
            _giving_back(self._stopping),
        ]  # fmt: skip
        self._follow_at = self._checkpoint_at = 0.0
        # What is counted is folded by a commit, so of a replica the primary does that.
        if not catalog.primary:
            failure = "activity could not be folded into the documents"
            fold = _repeating("activity", activity.fold, settings.activity_interval, self._stopping, failure)
            self._threads.append(fold)
        if lookout is not None:
            self._threads.append(threading.Thread(target=self._look, args=(lookout,), name="lookout", daemon=True))
        if follower is not None:
            self._threads.append(threading.Thread(target=follower.run, name="registry", daemon=True))
        if keeper is not None:
            self._threads.append(threading.Thread(target=keeper.run, name="comparison", daemon=True))

    def start(self) -> None:
        if not self._catalog.primary:
            try:
                self._activity.settle()
            except CatalogdError:
                log.exception("activity could not be settled; the next fold does that")
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when all have ended; a fold under way is waited for."""
        self._stopping.set()
        if self._lookout is not None:
            self._lookout.close()
        if self._follower is not None:
            self._follower.stop()
        if self._keeper is not None:
            self._keeper.stop()
        for thread in self._threads:
            thread.join()

    def _watch(self) -> None:
        self._catalog.notice()
        if time.monotonic() >= self._follow_at:
            self._follow_at = time.monotonic() + self._settings.index_interval
            self._catalog.follow_index()
        if time.monotonic() >= self._checkpoint_at:
            self._checkpoint_at = time.monotonic() + _CHECKPOINT_INTERVAL
            self._catalog.store.checkpoint()

    def _look(self, lookout: Lookout) -> None:
        while not self._stopping.is_set():
            lookout.step()
            try:
                self._told(lookout.told())
            except OSError:
                log.exception("what is known of the other repository could not be told to the other workers")
            lookout.wait()

    def _keep_house(self) -> None:
        """A fold as soon as there are many packs; all in one pack once a day, or in place of a fold if no pack has a
        bitmap any more and the last time is long enough ago.
        """
        full_at, bitmap_at = time.monotonic() + _DAY, 0.0
        pause = min(1.0, self._settings.maintenance_interval)
        look_at = 0.0
        left = 0
        maintenance = self._catalog.store.maintenance
        while not self._stopping.wait(pause):
            try:
                # Whoever has written them. Where folding leaves many, the next look waits.
                is_many = maintenance.packs() >= self._settings.fold_packs
                if not (is_many and left < self._settings.fold_packs) and time.monotonic() < look_at:
                    continue
                look_at = time.monotonic() + self._settings.maintenance_interval
                left = self._settings.fold_packs
                lacks_bitmap = is_many and time.monotonic() >= bitmap_at and not maintenance.has_bitmap()
                if time.monotonic() >= full_at or lacks_bitmap:
                    began = time.monotonic()
                    full_at = began + _DAY
                    maintenance.full()
                    bitmap_at = began + (time.monotonic() - began) / _PART_FOR_BITMAPS
                elif is_many:
                    maintenance.fold()
                left = maintenance.packs()
            except (CatalogdError, OSError):
                log.exception("maintenance failed; it is tried again")


class FilesUpkeep:
    """What a worker does that leaves the rest to the first one: its own files that could not follow main."""

    def __init__(self, catalog: Catalog, settings: Settings):
        self._stopping = threading.Event()
        catch_up = catalog.store.catch_up_files
        failure = "files could not follow main"
        self._threads = [
            _repeating("files", catch_up, settings.index_interval, self._stopping, failure),
            _giving_back(self._stopping),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when it has ended."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()


def _giving_back(stopping: threading.Event) -> threading.Thread:
    return _repeating("memory", memory.give_back, _MEMORY_INTERVAL, stopping, "memory could not be given back")


def _repeating(
    name: str, work: Callable[[], object], interval: float, stopping: threading.Event, failure: str
) -> threading.Thread:
    """A thread that does it at an interval, in seconds, until it is to stop. `failure` is for the log."""

    def repeat() -> None:
        while not stopping.wait(interval):
            try:
                work()
            except Exception:  # the thread must not end, whatever a hand has done to the catalog
                log.exception("%s; it is tried again", failure)

    return threading.Thread(target=repeat, name=name, daemon=True)
