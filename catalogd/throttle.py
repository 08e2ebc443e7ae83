"""Slows down those who guess passwords, by address and by account, without locking out those who know them.

Each failure beyond a few doubles the pause before the next attempt is looked at, up to half a minute. An address that
has logged in to an account before is not slowed down by the failures of others on it; tokens are not slowed down at
all. All of it is in memory, which the workers of one server share; failures are forgotten after a while without any.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from catalogd.errors import TooManyAttempts, Unauthenticated
from catalogd.shared.table import Table

# How many failures are free: of one address on one account, of all addresses on one account, of one address on all.
_FREE_OF_BOTH, _FREE_OF_ACCOUNT, _FREE_OF_ADDRESS = 5, 10, 20
_LONGEST_PAUSE = 30.0
# Seconds without a failure after which those before are forgotten.
_FORGOTTEN_AFTER = 900.0
# Bounds of the memory: 32 bytes each. Where there is no place for a new one, the oldest of some is forgotten.
_MOST_COUNTED = 50_000
_MOST_KNOWN = 10_000


_FREE = {"both": _FREE_OF_BOTH, "account": _FREE_OF_ACCOUNT, "address": _FREE_OF_ADDRESS}


class _Counted(NamedTuple):
    """An attempt that was counted, and when the failure before it was: what there was is to be had again."""

    key: tuple[str, ...]
    at: float
    last_before: float


class Throttle:
    """Counts failed logins. Use from any number of threads."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, mutex: AbstractContextManager[object] | None = None
    ):
        """`mutex` is between the processes that are forked from this one, where these count together."""
        self._clock = clock
        self._guard = mutex or threading.Lock()
        self._failures = Table(_MOST_COUNTED)
        self._known = Table(_MOST_KNOWN)

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
        keys: list[tuple[str, ...]] = [("both", user, source), ("address", source)]
        with self._guard:
            now = self._clock()
            if self._known.get((user, source)) is None:
                keys.append(("account", user))
            wait = max(self._wait(key, now) for key in keys)
            if wait > 0:
                seconds = math.ceil(wait)
                raise TooManyAttempts(
                    f"Too many logins have failed; try again in {seconds} s, or use a token.", seconds
                )
            return [self._count(key, now) for key in keys]

    def _wait(self, key: tuple[str, ...], now: float) -> float:
        """Seconds until the next attempt is looked at; 0 or less for now."""
        count, last = self._failures_of(key, now)
        beyond = count - _FREE[key[0]]
        return last + min(2.0 ** min(beyond, 16), _LONGEST_PAUSE) - now if beyond >= 0 else 0.0

    def _failures_of(self, key: tuple[str, ...], now: float) -> tuple[int, float]:
        """(how many, when the last one was)."""
        count, last = self._failures.get(key) or (0, 0.0)
        return (0 if now - last > _FORGOTTEN_AFTER else count), last

    def _count(self, key: tuple[str, ...], now: float) -> _Counted:
        count, last = self._failures_of(key, now)
        self._failures.set(key, count + 1, now)
        return _Counted(key, now, last)

    def _take_back(self, counted: list[_Counted]) -> None:
        with self._guard:
            for key, at, last_before in counted:
                found = self._failures.get(key)
                if found is not None:
                    count, last = found
                    self._failures.set(key, max(0, count - 1), last_before if last == at else last)

    def _remember(self, user: str, source: str) -> None:
        with self._guard:
            self._failures.drop(("both", user, source))
            self._known.set((user, source), 1, self._clock())


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
