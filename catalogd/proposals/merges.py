"""Use case of the merge: a proposal becomes one commit of main, decided on the very tree that the commit is made on.

The commit says what it is by its trailers: `Proposal`, the number; `Proposal-Head`, which head was merged; a
`Reviewed-by` for each approval that counted; and `Merged-by`. By them, and by nothing else, a proposal is merged: what
the repository of proposals says of it comes afterwards.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from catalogd import rights
from catalogd.catalog import Caller
from catalogd.documents import Role, canonical, loads
from catalogd.errors import CatalogdError, Conflict, Forbidden
from catalogd.names import parse_document_path
from catalogd.proposals import asked
from catalogd.proposals import required as rules
from catalogd.proposals.base import Main, ProposalUseCases, require_head, signature
from catalogd.proposals.outcome import Files
from catalogd.proposals.shapes import MERGED, Proposal, View
from catalogd.store import Draft, Edit, Outcome, Reading

log = logging.getLogger(__name__)

# Roles may change between a look and the commit, but not for ever.
_TRIES = 5


class NotMergeable(Conflict):
    """Something stands against the merge; `view` says what."""

    def __init__(self, view: View):
        super().__init__(f"The proposal {view.proposal.number} cannot be merged. {' '.join(view.why_not)}")
        self.view = view


class _OtherApprovers(Exception):
    """Other approvals count than those that the commit was going to name."""


class Merges(ProposalUseCases):
    """How proposals come into main."""

    def merge(self, caller: Caller, number: int, body: object = None) -> View:
        """`body` may have the `head` that is meant.

        Raises Unauthenticated, Forbidden, NotFound, NotMergeable, Conflict, PreconditionFailed, and what the store
        raises.
        """
        rights.require_scope(caller.account, rights.MERGE)
        given = asked.members({} if body is None else body, ("head",))
        with self._held(caller, number) as (proposal, main):
            if "head" in given:
                require_head(proposal, given["head"])
            if not self._is_author(caller, proposal) and not self._is_somewhere(caller, Role.WRITER, proposal, main):
                raise Forbidden("This is for its author, or a writer of a namespace that it touches.")
            self._require_in_reach(caller, proposal)
            if any(change.is_organization for change in proposal.revision.touched):
                # A robot's token makes nobody an owner, also where the policy asks for no approval.
                rights.require_scope(caller.account, rights.GOVERN)
            commit = self._merged(caller, proposal)
            try:
                by = signature(caller)
                proposal = self._record(by, proposal, f"Merge proposal {number}", state=MERGED, commit=commit)
            except CatalogdError:
                # main has it, and says so; the next who changes it records that.
                log.exception("the proposal %d is merged, but that is not recorded yet", number)
                proposal = replace(proposal, state=MERGED, commit=commit)
            return self._view(caller, proposal, main)

    def _merged(self, caller: Caller, proposal: Proposal) -> str:
        """The commit. Raises NotMergeable, and what the store raises."""
        for _ in range(_TRIES):
            admins = self._admins()
            view = self._seen(self._visibility(caller), proposal, self._store.snapshot(), admins)
            if view.why_not:
                raise NotMergeable(view)
            approvers = rules.approvers(view.required)
            if proposal.revision.pushed:
                self._repository.give(proposal.head, proposal.revision.base)
            try:
                outcome = self._submitted(caller, proposal, approvers, admins)
            except _OtherApprovers:
                continue
            return outcome.commit
        raise Conflict("Who owns what changes too fast; merge again.")

    def _submitted(
        self, caller: Caller, proposal: Proposal, approvers: tuple[str, ...], admins: frozenset[str]
    ) -> Outcome:
        is_pushed = proposal.revision.pushed

        def draft(reading: Reading) -> Draft:
            files, conflicts = self._outcomes.merged(proposal, reading)
            merging = self._outcomes.assessed(proposal, files, conflicts, reading)
            required = self._required(proposal, reading, admins)
            why_not = rules.why_not(proposal, merging, required)
            if why_not:
                raise NotMergeable(replace(self._view(caller, proposal, reading), why_not=why_not))
            if rules.approvers(required) != approvers:
                raise _OtherApprovers
            return Draft(_message(proposal), files if is_pushed else self._stamped(files, reading))

        by = signature(caller)
        name, email = (by.name, by.email) if is_pushed else (proposal.author, proposal.email)
        trailers = {
            "Catalog-Action": f"merge proposals/{proposal.number}",
            "Request-Id": caller.request_id,
            "Proposal": str(proposal.number),
            "Proposal-Head": proposal.head,
            # Without their e-mail, unlike git's custom: everybody may read the messages of public changes.
            "Reviewed-by": approvers,
            "Merged-by": by.name,
        }
        return self._store.submit(Edit(name, email, draft, trailers, merges=proposal.head if is_pushed else None))

    def _stamped(self, files: Files, main: Main) -> Files:
        """With the times of the merge, as any edit has those of its commit."""
        now = self._now()
        return {path: data and self._with_times(path, data, main, now) for path, data in files.items()}

    @staticmethod
    def _with_times(path: str, data: bytes, main: Main, now: str) -> bytes:
        if parse_document_path(path) is None:
            return data
        document = loads(data)
        assert isinstance(document, dict)  # it fits
        is_new = main.id_of(path) is None
        return canonical.dumps(document | {"updated_at": now} | ({"created_at": now} if is_new else {}))


def _message(proposal: Proposal) -> str:
    subject = f"Merge proposal {proposal.number}: {proposal.title}" if proposal.revision.pushed else proposal.title
    return f"{subject}\n\n{proposal.description}".strip()
