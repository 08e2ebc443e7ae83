"""A replica: it fetches main from its primary and takes it in, again and again, and knows how far behind it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalogd.errors import CatalogdError, EditedByHand
from catalogd.lookout import Failed, Failure, Lookout
from catalogd.store import RemoteFailed

_UNREACHABLE = Failure("unreachable", "The primary cannot be reached, or refuses; the log says why.")
_EMPTY = Failure("empty", "The primary has no branch main.")
_DIVERGED = Failure(
    "diverged", "The catalog here has commits that the primary has not, so it cannot follow.", lasts=True
)
_EDITED = Failure("edited", "A file here was edited by hand and has changed on the primary; git status here names it.")
_UNABLE = Failure("unable", "What was fetched could not be taken in; the log says why.")


class Follower(Lookout):
    """Follows one primary."""

    part = "following"
    _fetched: str | None = None

    def _look(self) -> None:
        try:
            fetched = self._remote.fetch()
        except (RemoteFailed, OSError) as error:
            raise Failed(_UNREACHABLE, str(error)) from error
        with self._guard:
            self._checked_at = self._clock()
            self._fetched = fetched
        if fetched is None:
            raise Failed(_EMPTY, f"{self._remote.address} has no main")
        try:
            self._take_in(fetched)
        except EditedByHand as error:
            raise Failed(_EDITED, error.detail) from error
        except (CatalogdError, OSError) as error:
            raise Failed(_UNABLE, str(error)) from error

    def _take_in(self, fetched: str) -> None:
        head = self._store.head()
        if head == fetched:
            return
        if head is not None and not self._store.contains(fetched, head):
            detail = f"main is at {head} here and at {fetched} on {self._remote.address}, and neither follows the other"
            if self._store.contains(head, fetched):
                detail = f"main is at {head} here, which is ahead of {fetched} on {self._remote.address}"
            raise Failed(_DIVERGED, detail)
        self._store.take_in(head, fetched, from_primary=True)

    def told(self) -> dict[str, Any]:
        """As Lookout's, with the commit that was fetched last."""
        return {**super().told(), "fetched": self._fetched}

    def hear(self, told: Mapping[str, Any]) -> None:
        """As Lookout's."""
        super().hear(told)
        self._fetched = told["fetched"]

    def status(self) -> dict[str, Any]:
        """{primary, commit, behind_seconds, behind_commits, checked_at, failure}; what is not known is None.

        `commit` is the newest of the primary's that is known here, at `checked_at`. `behind_seconds` ago this server
        had all that the primary had, so it is no further behind than that.
        """
        with self._guard:
            fetched, checked_at, ago, failure = self._fetched, self._checked(), self._ago(), self._failure
        return {
            "primary": self._catalog.primary or self._remote.address,
            "commit": fetched,
            "behind_seconds": ago,
            "behind_commits": self._count(self._head(), fetched),
            "checked_at": checked_at,
            "failure": failure and failure.words,
        }
