"""What the use cases of proposals share: who sees one, what is told of it, how what happens to it is recorded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from catalogd import rights
from catalogd.catalog import Caller, Catalog
from catalogd.catalog.base import UseCases, roles_in
from catalogd.catalog.protection import policy_in
from catalogd.documents import Role
from catalogd.errors import Conflict, Forbidden, NotFound, PreconditionFailed, ReadOnly
from catalogd.people import People
from catalogd.proposals import required as rules
from catalogd.proposals.outcome import Outcomes
from catalogd.proposals.register import Register
from catalogd.proposals.shapes import APPROVE, MERGED, OPEN, Changed, Proposal, Required, View
from catalogd.store import Reading, Signature, Snapshot, rfc3339

log = logging.getLogger(__name__)

Main = Reading | Snapshot

DAMAGED = "Some of its content is lost; catalogd doctor says more."


class ProposalUseCases(UseCases):
    """The parts that the use cases of proposals stand on."""

    def __init__(self, catalog: Catalog, people: People, clock: Callable[[], float] = time.time):
        super().__init__(catalog.mirror, clock)
        self._catalog = catalog
        self._people = people
        self._repository = self._store.proposals
        self._register = Register(self._repository, self._model.newest_merged)
        self._outcomes = Outcomes(self._store, people.are_users)

    # Who sees and may do what

    def _proposal(self, caller: Caller, number: int, main: Main) -> Proposal:
        """Raises NotFound for what is not there or not to be seen, ReadOnly."""
        self._require_primary()
        found = self._register.proposals().get(number)
        if found is None or not self._seen_of(self._visibility(caller), [found], main):
            raise NotFound(f"There is no proposal {number}.")
        return found

    def _require_primary(self) -> None:
        if self._store.primary:
            raise ReadOnly(self._store.primary)

    def _seen_of(self, visibility: rights.Visibility, proposals: Iterable[Proposal], main: Main) -> list[Proposal]:
        """Those of which a caller may read all that any revision touches: on main now, at its base, and at its head."""
        if visibility.everything:
            return list(proposals)
        asked = list(proposals)
        revisions = [revision for proposal in asked for revision in proposal.revisions]
        since = self._model.visible_since({change.path for revision in revisions for change in revision.touched})
        places = self._model.places({revision.base for revision in revisions})

        def is_seen(change: Changed, base: str) -> bool:
            repository = change.repository
            if repository is None:
                return change.namespace is not None and change.namespace in visibility.namespaces
            if repository[0] in visibility.namespaces:
                return True
            # What is not there may be hidden. What was hidden after the base may not be seen as it was there.
            was_seen = change.path in since and places.get(base, -1) >= since[change.path]
            blobs = change.old, change.new, main.id_of(change.path)
            return change.old is not None and was_seen and all(map(self._outcomes.is_public, blobs))

        return [
            proposal
            for proposal in asked
            if all(is_seen(change, each.base) for each in proposal.revisions for change in each.touched)
        ]

    def _role(self, caller: Caller, namespace: str | None, main: Main) -> Role:
        """What the caller is in a namespace; None is the policy and the schemas, which are the admins'."""
        if namespace is None:
            return Role.OWNER if rights.administers(caller.account) else Role.NONE
        return rights.role(caller.account, namespace, roles_in(main, namespace))

    def _is_somewhere(self, caller: Caller, least: Role, proposal: Proposal, main: Main) -> bool:
        return any(self._role(caller, namespace, main) >= least for namespace in proposal.namespaces)

    def _require_in_reach(self, caller: Caller, proposal: Proposal) -> None:
        """Raises Forbidden for a token that is confined to another namespace than the one that it touches."""
        confined = caller.account.namespace
        if confined is not None and proposal.namespaces != [confined]:
            raise Forbidden(f"The token is confined to the namespace {confined}; this proposal touches others.")

    def _is_author(self, caller: Caller, proposal: Proposal) -> bool:
        return caller.account.name == proposal.author

    # What is told of one

    def _view(self, caller: Caller, proposal: Proposal, main: Main) -> View:
        return self._seen(self._visibility(caller), proposal, main, self._admins())

    def _seen(self, visibility: rights.Visibility, proposal: Proposal, main: Main, admins: frozenset[str]) -> View:
        if proposal.state != OPEN:
            return View(proposal, None, (), (), rules.ended(proposal))
        try:
            merging = self._outcomes.of(proposal, main)
        except KeyError as error:
            log.error("proposal %d lacks %s", proposal.number, error.args[0])
            return View(proposal, None, (), rules.blocking(proposal), (DAMAGED,))
        try:
            required = self._required(proposal, main, admins)
        except Conflict as error:  # what is asked for nobody knows; what is proposed can be read all the same
            return View(proposal, merging, (), rules.blocking(proposal), (error.detail,))
        why_not = rules.why_not(proposal, merging, required)
        told = tuple(as_told(each, visibility) for each in required)
        return View(proposal, merging, told, rules.blocking(proposal), why_not)

    def _required(self, proposal: Proposal, main: Main, admins: frozenset[str]) -> tuple[Required, ...]:
        def roles(namespace: str) -> Mapping[str, Role] | None:
            return roles_in(main, namespace)

        approvers = {review.reviewer for review in proposal.reviews if review.verdict == APPROVE}
        active = self._people.active(approvers) if approvers else frozenset()
        return rules.required(proposal, policy_in(main), roles, admins, active, self._outcomes.pointers)

    def _admins(self) -> frozenset[str]:
        return self._people.admins()

    # What happens to one

    @contextmanager
    def _held(self, caller: Caller, number: int) -> Iterator[tuple[Proposal, Snapshot]]:
        """(the proposal, main), while nobody else writes to any. Raises NotFound, ReadOnly, Unavailable."""
        with self._writing() as main:
            yield self._settled(self._proposal(caller, number, main)), main

    @contextmanager
    def _writing(self) -> Iterator[Snapshot]:
        """Main, while nobody else writes to proposals. Raises ReadOnly, Unavailable."""
        self._require_primary()
        with self._repository.lock.held():
            # Here, so that the read model has what others have merged while they held the lock.
            self._mirror.check()
            yield self._store.snapshot()

    def _settled(self, proposal: Proposal) -> Proposal:
        """What a merge that died before it was recorded has left is recorded now. Hold the lock."""
        if proposal.state == MERGED:
            return proposal
        commit = self._model.merge_of(proposal.number, [revision.head for revision in proposal.revisions])
        if commit is None:
            return proposal
        by = Signature("catalogd", "")
        return self._record(by, proposal, f"Merge proposal {proposal.number}", state=MERGED, commit=commit)

    def _record(
        self, by: Signature, proposal: Proposal, message: str, *, revision: str | None = None, **changes: Any
    ) -> Proposal:
        """The proposal with these members changed, durably. Hold the lock. Raises NoSpace, StoreFailed."""
        now = self._now()
        changed = replace(proposal, updated_at=now, **changes)
        if changed.state != proposal.state:
            is_open = changed.state == OPEN
            changed = replace(changed, ended_by=None if is_open else by.name, ended_at=None if is_open else now)
        self._register.record(changed, by, message, revision)
        self._repository.keep_house()
        return changed

    def _now(self) -> str:
        return rfc3339(self._clock())


def signature(caller: Caller) -> Signature:
    """Who the caller is, for a commit."""
    return Signature(caller.account.name or "anonymous", caller.account.email or "")


def require_open(proposal: Proposal) -> None:
    """Raises Conflict."""
    if proposal.state != OPEN:
        raise Conflict(f"The proposal {proposal.number} is {proposal.state}.")


def require_head(proposal: Proposal, head: object) -> None:
    """Raises PreconditionFailed where a caller has seen another head."""
    if head != proposal.head:
        raise PreconditionFailed(f"The head of the proposal is {proposal.head} now; read it again.")


def describe(change: Changed) -> str:
    """What a change is of, as people call it."""
    repository = change.repository
    if repository is not None:
        return "/".join(repository)
    return f"the namespace {change.namespace}" if change.namespace else change.path


def as_told(required: Required, visibility: rights.Visibility) -> Required:
    """Who owns a namespace is told to its members only."""
    namespace = required.namespace
    known = visibility.everything if namespace is None else visibility.covers(namespace, False)
    return required if known else replace(required, owners=None)
