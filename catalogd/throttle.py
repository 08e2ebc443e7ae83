"""Slows down those who guess passwords, by address and by account, without locking out those who know them.

Each failure beyond a few doubles the pause before the next attempt is looked at, up to half a minute. An address that
has logged in to an account before is not slowed down by the failures of others on it; tokens are not slowed down at
all. All of it is in memory, each process for itself, and forgotten after a while without failures.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from catalogd.errors import TooManyAttempts, Unauthenticated

# How many failures are free: of one address on one account, of all addresses on one account, of one address on all.
_FREE_OF_BOTH, _FREE_OF_ACCOUNT, _FREE_OF_ADDRESS = 5, 10, 20
_LONGEST_PAUSE = 30.0
# Seconds without a failure after which those before are forgotten.
_FORGOTTEN_AFTER = 900.0
# Bounds of the memory: some hundred bytes each. The ones longest unused are forgotten first.
_MOST_COUNTED = 50_000
_MOST_KNOWN = 10_000


@dataclass(slots=True)
class _Failures:
    free: int
    count: int = 0
    last: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next attempt is looked at; 0 or less for now."""
        if now - self.last > _FORGOTTEN_AFTER:
            self.count = 0
        if self.count < self.free:
            return 0.0
        return self.last + min(2.0 ** min(self.count - self.free, 16), _LONGEST_PAUSE) - now


class _Counted(NamedTuple):
    """An attempt that was counted, and when the failure before it was: what there was is to be had again."""

    failures: _Failures
    at: float
    last_before: float


class Throttle:
    """Counts failed logins. Use from any number of threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._guard = threading.Lock()
        self._failures: OrderedDict[Hashable, _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    @contextmanager
    def attempt(self, user: str, address: str) -> Iterator[None]:
        """Around one check of a password. Raises TooManyAttempts before it, if it is too soon.

        Unauthenticated out of the block is a failure; to leave it is a success; any other error says nothing.
        """
        source = network_of(address)
        counted = self._begin(user, source)
        try:
            yield
        except Unauthenticated:
            raise
        except BaseException:
            self._take_back(counted)
            raise
        self._take_back(counted)
        self._remember(user, source)

    def _begin(self, user: str, source: str) -> list[_Counted]:
        """Counts the attempt as failed from the start, so that many at once are not all free.

        One that is not looked at leaves no trace: who has to wait cannot make others forgotten with many names.
        """
        free = {("both", user, source): _FREE_OF_BOTH, ("address", source): _FREE_OF_ADDRESS}
        with self._guard:
            now = self._clock()
            if (user, source) not in self._known:
                free["account", user] = _FREE_OF_ACCOUNT
            wait = max((self._failures[key].wait(now) for key in free if key in self._failures), default=0.0)
            if wait > 0:
                seconds = math.ceil(wait)
                raise TooManyAttempts(
                    f"Too many logins have failed; try again in {seconds} s, or use a token.", seconds
                )
            return [self._count(key, most, now) for key, most in free.items()]

    def _count(self, key: Hashable, free: int, now: float) -> _Counted:
        failures = self._failures.setdefault(key, _Failures(free))
        self._failures.move_to_end(key)
        while len(self._failures) > _MOST_COUNTED:
            self._failures.popitem(last=False)
        counted = _Counted(failures, now, failures.last)
        failures.count += 1
        failures.last = now
        return counted

    def _take_back(self, counted: list[_Counted]) -> None:
        with self._guard:
            for failures, at, last_before in counted:
                failures.count = max(0, failures.count - 1)
                if failures.last == at:
                    failures.last = last_before

    def _remember(self, user: str, source: str) -> None:
        with self._guard:
            self._failures.pop(("both", user, source), None)
            self._known[user, source] = None
            self._known.move_to_end((user, source))
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)


def network_of(address: str) -> str:
    """What one caller is taken to have of the network: an IPv4 address, or the 64 bits of an IPv6 one (RFC 4291)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)
