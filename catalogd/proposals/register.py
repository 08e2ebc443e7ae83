"""All proposals as they are now, in memory: the register follows main of the repository of proposals."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType

from catalogd.errors import Conflict, StoreFailed
from catalogd.proposals import form
from catalogd.proposals.shapes import Proposal
from catalogd.store import ProposalRepository, Signature

log = logging.getLogger(__name__)


class Register:
    """The proposals of one catalog, by number. Threads share it; other processes may write beside us."""

    def __init__(self, repository: ProposalRepository, newest_merged: Callable[[], int]):
        """`newest_merged` is the highest number that the history of main has."""
        self._repository = repository
        self._newest_merged = newest_merged
        self._guard = threading.Lock()
        self._at: str | None = None
        self._read: dict[str, tuple[str, Proposal]] = {}
        self._proposals: Mapping[int, Proposal] = {}
        self._newest = 0

    def proposals(self) -> Mapping[int, Proposal]:
        """Those that can be read, the oldest first. Raises StoreFailed where none can."""
        with self._guard:
            self._follow()
            return self._proposals

    def next_number(self) -> int:
        """The number of the next one: what main names is taken, though its file be lost. Hold the repository's lock."""
        with self._guard:
            self._follow()
            return 1 + max(self._newest, self._newest_merged())

    def record(self, proposal: Proposal, author: Signature, message: str, revision: str | None = None) -> None:
        """What has become of a proposal, durably. `revision` is the head of a new revision.

        Hold the lock of the repository. Raises NoSpace, StoreFailed.
        """
        path = form.path_of(proposal.number)
        self._repository.record(proposal.number, path, form.dumps(proposal), author, message, revision)

    def _follow(self) -> None:
        head = self._repository.head()
        if head == self._at:
            return
        read: dict[str, tuple[str, Proposal]] = {}
        try:
            snapshot = self._repository.snapshot(head)
            there = snapshot.names(form.DIRECTORY)
        except KeyError as error:
            log.error("the repository of proposals lacks %s", error.args[0])
            raise StoreFailed("The repository of proposals is damaged; catalogd doctor says more.") from error
        for name in there:
            path = f"{form.DIRECTORY}/{name}"
            number, blob = form.number_of(name), snapshot.id_of(path)
            if number is None or blob is None:
                continue
            self._newest = max(self._newest, number)
            known = self._read.get(name)
            if known is not None and known[0] == blob:
                read[name] = known
                continue
            try:
                proposal = form.loads(self._repository.blob(blob))
                if proposal.number == number:
                    read[name] = blob, proposal
            except (Conflict, KeyError) as error:
                log.error("%s cannot be read: %s", path, error)
        self._read = read
        by_number = {proposal.number: proposal for _, proposal in read.values()}
        self._proposals, self._at = MappingProxyType(dict(sorted(by_number.items()))), head
