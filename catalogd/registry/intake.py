"""Events come in: what they tell is durable before they are acknowledged."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from catalogd import rights
from catalogd.accounts import Account
from catalogd.catalog import Catalog
from catalogd.registry.events import JUNK, NO_PLACE, Read, Sender, events_in, read
from catalogd.state import TAKEN, UNKNOWN, ChangeRow, State

log = logging.getLogger(__name__)

# Events in one transaction: more gain little and make the first wait for the last.
_MOST_AT_ONCE = 1000
# So many names without a place in the catalog are logged, each once.
_MOST_LOGGED = 1000
# After it was said that there are events that make no sense, in seconds.
_QUIET = 60.0


class Intake:
    """Takes a registry's events. Use from any number of threads."""

    def __init__(self, catalog: Catalog, state: State, wake: Callable[[], None]):
        """`wake` is called once changes of tags wait for their commit."""
        self._catalog = catalog
        self._state = state
        self._wake = wake
        self._logged: set[str] = set()
        self._quiet_until = 0.0

    def take(self, account: Account, body: bytes) -> Counter[str]:
        """Take the events of an envelope; durable when this returns. How many had which outcome.

        Outcomes are push, delete, pull; again (taken before), part_of_index (a pull counted with its index), unknown (a
        pull of a repository that the catalog has not); own (the catalog's reading), blob, head, untagged, no_place (a
        name of more than two components) and junk. Raises Unauthenticated, Forbidden, Malformed for what is no
        envelope, NoSpace, Unavailable.
        """
        rights.require_scope(account, rights.REPORT)
        sender = Sender(account.name or "", account.email or "")
        now = datetime.now(UTC)
        events = [read(event, sender, now) for event in events_in(body)]
        counts = Counter(event.why_not for event in events if event.told is None)
        self._log(events, counts)
        told = [event for event in events if event.told is not None]
        for start in range(0, len(told), _MOST_AT_ONCE):
            some = told[start : start + _MOST_AT_ONCE]
            counts.update(
                outcome if outcome != TAKEN else _kind(event)
                for event, outcome in zip(some, self._taken(some), strict=True)
            )
        if counts["push"] or counts["delete"]:
            self._wake()
        return counts

    def _taken(self, events: Sequence[Read]) -> list[str]:
        told = [(event.identity, event.told) for event in events if event.told is not None]
        outcomes = self._state.take_events(told, self._unknown(events))
        # A repository that a push makes leaves the queue after it is there; it may have done so between the two looks.
        missed = [i for i, outcome in enumerate(outcomes) if outcome == UNKNOWN]
        if missed:
            unknown = self._unknown([events[i] for i in missed])
            again = [i for i in missed if told[i][1].name not in unknown]
            found = self._state.take_events([told[i] for i in again], unknown) if again else ()
            for i, outcome in zip(again, found, strict=True):
                outcomes[i] = outcome
        return outcomes

    def _unknown(self, events: Collection[Read]) -> set[tuple[str, str]]:
        names = {event.told.name for event in events if event.told is not None}
        return names - self._catalog.known(names)

    def _log(self, events: list[Read], counts: Counter[str]) -> None:
        """Names are the registry's: quoted, and each once, so that nobody fills the log."""
        if counts[NO_PLACE]:
            fresh = {event.name for event in events if event.why_not == NO_PLACE} - self._logged
            for name in sorted(fresh)[: _MOST_LOGGED - len(self._logged)]:
                self._logged.add(name)
                log.warning("events of %r are counted only: the catalog has no place for such a name", name[:300])
        if counts[JUNK] and time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _QUIET
            log.info("%d events of a registry made no sense; the metrics tell of others", counts[JUNK])


def _kind(event: Read) -> str:
    return event.told.kind if isinstance(event.told, ChangeRow) else "pull"
