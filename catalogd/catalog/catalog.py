"""The catalog: every use case on repositories, and the catalog's own life."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catalogd.catalog.beginning import Beginning
from catalogd.catalog.counting import Counting
from catalogd.catalog.examination import Examination
from catalogd.catalog.holdings import Holdings
from catalogd.catalog.joining import Joining
from catalogd.catalog.mending import Mending
from catalogd.catalog.mirror import Mirror
from catalogd.catalog.moments import Moments
from catalogd.catalog.organizations import Organizations
from catalogd.catalog.publishing import Publishing
from catalogd.catalog.pushing import Pushing
from catalogd.catalog.repositories import Repositories
from catalogd.catalog.serving import Serving
from catalogd.catalog.timeline import Timeline
from catalogd.catalog.transfer import Transfer
from catalogd.errors import CatalogdError, NotACatalog
from catalogd.shared.shares import Shares
from catalogd.store import GitFailed, MissingObject, Store

log = logging.getLogger(__name__)

# Within so many seconds of a move of main a writer has brought the read model along, on a slow disk too.
_BROUGHT_ALONG = 2.0


class Catalog(
    Beginning,
    Repositories,
    Timeline,
    Organizations,
    Counting,
    Holdings,
    Mending,
    Joining,
    Serving,
    Pushing,
    Publishing,
    Transfer,
    Examination,
):
    """One catalog, open. Threads share it; other processes may have the same catalog open."""

    def __init__(self, mirror: Mirror, clock: Callable[[], float] = time.time):
        super().__init__(mirror, clock)
        self._moments = Moments(mirror.store, mirror.model)
        self._index_at: str | None = None
        self._index_refreshed: str | None = None
        # Where the read model was when it was first found behind main, and when that was.
        self._behind: tuple[str | None, float] | None = None

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        lock_timeout: float = 10.0,
        git_children: int = 2,
        shares: Shares | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Catalog:
        """Open a catalog: recover what a crash left, bring the read model to main.

        `git_children` is how many git clients are answered at once, `shares` what the workers of a server share. Raises
        NotACatalog, and Unavailable where another process holds the lock for too long.
        """
        try:
            mirror = Mirror(root, lock_timeout=lock_timeout, git_children=git_children, shares=shares)
            try:
                mirror.catch_up()
            except BaseException:
                mirror.close()
                raise
        except (GitFailed, MissingObject) as error:
            advice = "If `git fsck` finds damaged objects, restore the catalog from a clone or a backup."
            raise NotACatalog(f"git cannot read the catalog {root}: {error.detail}. {advice}") from error
        return cls(mirror, clock)

    def close(self) -> None:
        """Bring git's index up to date and let go of everything."""
        self._mirror.close()

    @property
    def mirror(self) -> Mirror:
        """The store and the read model beneath, for use cases that stand on this one."""
        return self._mirror

    @property
    def store(self) -> Store:
        """The store beneath, for commands that work on git itself."""
        return self._store

    @property
    def primary(self) -> str:
        """Of a replica: where writes go instead; else ""."""
        return self._store.primary

    def notice(self) -> None:
        """What a server does a few times a second: look whether others have moved main."""
        try:
            self._mirror.check()
        finally:
            self._stays_behind(self._model.mirrored(), self._store.head())

    def follow_index(self) -> None:
        """Let git's index follow main; once nothing moves any more, note which files are unchanged."""
        head = self._store.head()
        followed = self._store.follow_index()
        if followed and head == self._index_at and head != self._index_refreshed:
            self._store.refresh_index()
            self._index_refreshed = head
        self._index_at = head

    def health(self) -> dict[str, Any]:
        """Whether reads and writes work: {status: ok|degraded|failing, commit, store, read_model, faults}.

        Failing: nothing can be read. Degraded: it serves, but not all of it or not writes. Anyone may ask, so it
        tells nothing that the catalog holds: of documents at fault only how many; `catalogd doctor` names them.
        """
        try:
            self._mirror.check()
            stats = self._model.stats()
            head = self._store.head()
        except (CatalogdError, OSError, LookupError, ValueError):
            log.exception("the catalog cannot be read")
            return {"status": "failing", "commit": None, "store": {}, "read_model": {}, "faults": 0}
        failure = self._store.failure
        behind = self._stays_behind(stats.commit, head)
        degraded = failure is not None or stats.faults > 0 or behind
        return {
            "status": "degraded" if degraded else "ok",
            "commit": stats.commit,
            "store": {
                "head": head,
                "writable": failure is None and not self.primary,
                "failure": failure,
                "packs": self._store.maintenance.packs(),
            },
            "read_model": {"commit": stats.commit, "behind": behind},
            "faults": stats.faults,
        }

    def _stays_behind(self, mirrored: str | None, head: str | None) -> bool:
        """Whether the read model has been at that commit for long while main was elsewhere: writers bring it along."""
        if mirrored == head:
            self._behind = None
            return False
        found = self._behind
        if found is None or found[0] != mirrored:
            found = self._behind = mirrored, time.monotonic()
        return time.monotonic() - found[1] > _BROUGHT_ALONG
