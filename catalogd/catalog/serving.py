"""Use cases of git clients: the whole catalog, and all proposals, for those who may read all of it."""

from __future__ import annotations

from typing import BinaryIO

from catalogd import rights
from catalogd.catalog.base import UseCases
from catalogd.catalog.shapes import Caller
from catalogd.errors import NotFound, ReadOnly
from catalogd.store import IsWanted


class Serving(UseCases):
    """What git clients ask for."""

    def advertise(self, caller: Caller, protocol: str | None, is_wanted: IsWanted) -> bytes:
        """What git is told first. Raises Unauthenticated, Forbidden, Malformed, Unavailable, ClientGone."""
        rights.require_clone(caller.account)
        return self._store.upload_pack.advertise(protocol, self._store.head(), is_wanted)

    def upload_pack(self, caller: Caller, protocol: str | None, asked: bytes, is_wanted: IsWanted) -> BinaryIO:
        """The answer to what git asks, as a file that the caller closes. Raises as advertise()."""
        rights.require_clone(caller.account)
        return self._store.upload_pack.answer(protocol, asked, self._store.head(), is_wanted)

    def advertise_proposals(self, caller: Caller, protocol: str | None, is_wanted: IsWanted) -> bytes:
        """As advertise(), and raises NotFound where nothing was ever proposed, ReadOnly on a replica."""
        self._require_proposals(caller)
        proposals = self._store.proposals
        return proposals.upload_pack.advertise(protocol, proposals.head(), is_wanted)

    def upload_proposals(self, caller: Caller, protocol: str | None, asked: bytes, is_wanted: IsWanted) -> BinaryIO:
        """As upload_pack(). Raises as advertise_proposals()."""
        self._require_proposals(caller)
        proposals = self._store.proposals
        return proposals.upload_pack.answer(protocol, asked, proposals.head(), is_wanted)

    def _require_proposals(self, caller: Caller) -> None:
        rights.require_clone(caller.account)
        if self._store.primary:
            raise ReadOnly(self._store.primary)
        if self._store.proposals.head() is None:
            raise NotFound("There are no proposals yet.")
