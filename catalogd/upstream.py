"""Keeps the catalog and its upstream together: takes in what was merged there, and pushes what was written here."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from catalogd.accounts import Account
from catalogd.catalog import Caller, FieldConflict, Unfit, Unjoinable, Unrelated
from catalogd.choices import Choices
from catalogd.documents import ABSENT
from catalogd.errors import CatalogdError, EditedByHand
from catalogd.lookout import Failed, Failure, Lookout
from catalogd.store import Moved, Rejected, RemoteFailed

log = logging.getLogger(__name__)

_CHOICES = "choices"
# Whoever merges: the catalog itself.
_SELF = Account("catalogd", "catalogd@localhost", is_admin=True, scopes=frozenset(), namespace=None)
# Others push to the upstream, and write here, while we merge: so many times at once it is tried again.
_TURNS = 8
# How soon what is written here is pushed, in seconds.
_NOTICE = 0.5
# Of the fields in conflict so many are shown and logged.
_MOST_SHOWN = 100
# What a field in conflict is on a side that is not told of.
_ABSENT = dict.fromkeys(("base", "ours", "theirs"), ABSENT)

_UNREACHABLE = Failure("unreachable", "The upstream cannot be reached, or refuses; the log says why.")
_BUSY = Failure("busy", "The upstream moves faster than what is written here can be merged; it is tried again.")
_CONFLICT = Failure(
    "conflict",
    "Fields were changed both here and on the upstream, each in its own way; `catalogd sync` names and settles them.",
    lasts=True,
)
_UNFIT = Failure("unfit", "The upstream has files that do not fit the catalog; `catalogd sync` names them.", lasts=True)
_UNRELATED = Failure("unrelated", "The upstream has a history of its own, without a commit of this one.", lasts=True)
_EDITED = Failure("edited", "A file here was edited by hand and has changed on the upstream; git status here names it.")
_UNABLE = Failure("unable", "What the upstream has could not be taken in; the log says why.")

_FAILURES: dict[type[CatalogdError], Failure] = {
    RemoteFailed: _UNREACHABLE,
    Rejected: _BUSY,
    Moved: _BUSY,
    Unjoinable: _CONFLICT,
    Unfit: _UNFIT,
    Unrelated: _UNRELATED,
    EditedByHand: _EDITED,
}


class Upstream(Lookout):
    """One upstream of one catalog. Nothing that is written here waits for it, and nothing is lost while it is away."""

    part = "upstream"
    _theirs: str | None = None
    _conflicts: Sequence[FieldConflict] = ()

    def wait(self) -> None:
        """As Lookout's, and until something is written here."""
        until = self._monotonic() + self._pause()
        while not self._woken.wait(min(_NOTICE, max(0.0, until - self._monotonic()))):
            if self._is_written() or self._monotonic() >= until:
                return

    def _is_written(self) -> bool:
        """Whether main is elsewhere than the upstream, or cannot be read: then the look tells why."""
        try:
            return not self._failures and self._store.head() != self._theirs
        except (CatalogdError, OSError):
            return True

    def sync(self, sides: Mapping[str, str] | None = None) -> None:
        """Bring both sides together now. `sides` chooses for paths, or directories of such, whose value a field in
        conflict gets: OURS or THEIRS; what was chosen before counts too.

        Raises Unjoinable with the conflicts that are left, Unfit, Unrelated, Rejected or Moved where others are faster,
        RemoteFailed, and what the store raises.
        """
        for turn in range(_TURNS):
            theirs = self._remote.fetch()
            with self._guard:
                self._checked_at, self._theirs = self._clock(), theirs
            try:
                if theirs is not None:
                    self._join(theirs, Choices(self._store.private / _CHOICES, sides or {}))
                self._push(theirs)
                return
            except (Rejected, Moved):
                if turn == _TURNS - 1:
                    raise

    def _join(self, theirs: str, choices: Choices) -> None:
        try:
            self._catalog.join(Caller(_SELF, f"sync-{theirs[:12]}"), theirs, choices.decide)
        except Unjoinable:
            choices.keep()
            raise
        choices.forget()

    def _push(self, theirs: str | None) -> None:
        head = self._store.head()
        if head is None or head == theirs:
            return
        self._remote.push(head)
        with self._guard:
            self._theirs = head

    def _look(self) -> None:
        try:
            self.sync()
        except (CatalogdError, OSError) as error:
            conflicts = error.conflicts if isinstance(error, Unjoinable) else ()
            if list(conflicts) != list(self._conflicts):
                self._tell(conflicts)
            failure = next((how for kind, how in _FAILURES.items() if isinstance(error, kind)), _UNABLE)
            raise Failed(failure, _in_words(error)) from error
        with self._guard:
            self._conflicts = ()

    def _tell(self, conflicts: Sequence[FieldConflict]) -> None:
        for conflict in conflicts[:_MOST_SHOWN]:
            where = f"{conflict.path} {conflict.pointer}".strip()
            log.warning("conflict with the upstream: %r was changed on both sides", where)
        with self._guard:
            self._conflicts = conflicts

    def told(self) -> dict[str, Any]:
        """As Lookout's, with the upstream's commit, and the fields in conflict."""
        with self._guard:
            theirs, conflicts = self._theirs, self._conflicts
        return {**super().told(), "theirs": theirs, "conflicts": [_as_json(conflict) for conflict in conflicts]}

    def hear(self, told: Mapping[str, Any]) -> None:
        """As Lookout's."""
        super().hear(told)
        with self._guard:
            self._theirs = told["theirs"]
            self._conflicts = [FieldConflict(**{**_ABSENT, **conflict}) for conflict in told["conflicts"]]

    def report(self) -> dict[str, Any]:
        """{upstream: status(), conflicts: the fields that keep the two sides apart, as the last look has found them}.

        Each with path, pointer, base, ours and theirs, as in FieldConflict.
        """
        with self._guard:
            conflicts = self._conflicts
        shown = ("path", "pointer", "base", "ours", "theirs")
        return {
            **super().report(),
            "conflicts": [{name: getattr(conflict, name) for name in shown} for conflict in conflicts],
        }

    def status(self) -> dict[str, Any]:
        """{upstream, commit, ahead, behind, together_seconds, checked_at, failure, conflicts, conflicting}.

        `commit` is the newest of the upstream's that is known here, at `checked_at`; `ahead` and `behind` are how many
        commits it has not and we have not. `together_seconds` ago both sides had all. `conflicting` are the fields in
        conflict of what is public, with their paths and pointers, `conflicts` the number of all. What is not known is
        None.
        """
        with self._guard:
            theirs, checked_at, ago = self._theirs, self._checked(), self._ago()
            failure, conflicts = self._failure, self._conflicts
        head = self._head()
        public = [conflict for conflict in conflicts if conflict.is_public][:_MOST_SHOWN]
        return {
            "upstream": self._remote.address,
            "commit": theirs,
            "ahead": self._count(theirs, head),
            "behind": self._count(head, theirs),
            "together_seconds": ago,
            "checked_at": checked_at,
            "failure": failure and failure.words,
            "conflicts": len(conflicts),
            "conflicting": [{"path": conflict.path, "pointer": conflict.pointer} for conflict in public],
        }


def _as_json(conflict: FieldConflict) -> dict[str, Any]:
    return {name: value for name, value in asdict(conflict).items() if value is not ABSENT}


def _in_words(error: Exception) -> str:
    if not isinstance(error, CatalogdError):
        return str(error)
    if isinstance(error, Unjoinable):  # each field has had a line of its own
        return error.detail
    return " ".join([error.detail, *(f"{fault.detail} ({fault.pointer or 'whole'});" for fault in error.faults[:5])])
