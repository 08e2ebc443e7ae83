"""Use cases of git clients: the whole catalog, for those who may read all of it."""

from __future__ import annotations

from typing import BinaryIO

from catalogd import rights
from catalogd.catalog.base import UseCases
from catalogd.catalog.shapes import Caller
from catalogd.store import IsWanted


class Serving(UseCases):
    """What git clients ask for."""

    def advertise(self, caller: Caller, protocol: str | None, is_wanted: IsWanted) -> bytes:
        """What git is told first. Raises Unauthenticated, Forbidden, Malformed, Unavailable, ClientGone."""
        rights.require_clone(caller.account)
        return self._store.upload_pack.advertise(protocol, is_wanted)

    def upload_pack(self, caller: Caller, protocol: str | None, asked: bytes, is_wanted: IsWanted) -> BinaryIO:
        """The answer to what git asks, as a file that the caller closes. Raises as advertise()."""
        rights.require_clone(caller.account)
        return self._store.upload_pack.answer(protocol, asked, self._store.head(), is_wanted)
