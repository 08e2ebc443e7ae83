"""Use case of a push for review: it opens a proposal, or is the next revision of one."""

from __future__ import annotations

from catalogd import rights
from catalogd.catalog import Caller, PushedRevision
from catalogd.proposals import asked
from catalogd.proposals.base import Main, describe, require_open, signature
from catalogd.proposals.proposing import Proposing, require_room_for
from catalogd.proposals.shapes import OPEN, Changed, Proposal, Revision


class Pushed(Proposing):
    """What authors do by `git push origin HEAD:refs/for/main`."""

    def push(self, caller: Caller, pushed: PushedRevision, site: str = "") -> str:
        """What the pusher is told; `site` is the address of this server.

        The option `proposal` names the one that is revised. Without it, that is the caller's open one whose head the
        pushed commits stand on; else a new one is opened. Raises Unauthenticated, Forbidden, NotFound, Invalid,
        Conflict, ReadOnly, and what the store raises.
        """
        rights.require_scope(caller.account, rights.PROPOSE)
        with self._writing() as main:
            self._repository.begin()
            for path, _, _ in pushed.changes:
                self._require_may_propose(caller, path, main)
            proposal = self._meant(caller, pushed, main)
            if proposal is None:
                self._require_room(caller.account.name)
                texts = asked.texts(pushed.options)
                title = texts["title"] if "title" in texts else _title(pushed)
                description = texts["description"] if "description" in texts else _description(pushed)
                self._repository.take_in(pushed.bring)
                number = self._register.next_number()
                self._opened(caller, number, title, description, self._pushed(caller, pushed))
                said = "is opened"
            else:
                number = proposal.number
                said = self._followed_up(caller, proposal, pushed)
        return f"catalogd: proposal {number} {said}: {site}/v1/proposals/{number}"

    def _meant(self, caller: Caller, pushed: PushedRevision, main: Main) -> Proposal | None:
        """The proposal that is revised, None for a new one. Raises NotFound, Forbidden, Conflict."""
        number = pushed.options.get("proposal")
        if number is not None:
            proposal = self._settled(self._proposal(caller, int(number), main))
            self._require_author(caller, proposal)
            require_open(proposal)
            return proposal
        # Of several that stand on each other it is the last.
        order = {commit: place for place, commit in enumerate(pushed.commits)}
        theirs = [p for p in self._register.proposals().values() if p.state == OPEN and self._is_author(caller, p)]
        on_the_way = sorted((p for p in theirs if p.head in order), key=lambda p: order[p.head], reverse=True)
        return next((p for p in on_the_way if self._settled(p).state == OPEN), None)

    def _followed_up(self, caller: Caller, proposal: Proposal, pushed: PushedRevision) -> str:
        texts = asked.texts(pushed.options)
        if pushed.head != proposal.head:
            revision = self._pushed(caller, pushed)
            require_room_for(proposal, revision)  # before anything of it is kept
            self._repository.take_in(pushed.bring)
            self._add(caller, proposal, revision, **texts)
            return "is revised"
        if texts:
            self._record(signature(caller), proposal, f"Reword proposal {proposal.number}", **texts)
            return "is reworded"
        return "has these commits already"

    def _pushed(self, caller: Caller, pushed: PushedRevision) -> Revision:
        authors = sorted(pushed.authors | {signature(caller).name})
        changes, steps = (tuple(Changed(*each) for each in found) for found in (pushed.changes, pushed.steps))
        return Revision(pushed.base, pushed.head, tuple(authors), self._now(), True, changes, steps)


def _title(pushed: PushedRevision) -> str:
    subject = " ".join(pushed.message[0].split())[: asked.MOST_TITLE]
    if subject:
        return asked.title(subject)
    return f"Change {describe(Changed(*pushed.changes[0]))}"


def _description(pushed: PushedRevision) -> str:
    return asked.text(pushed.message[1][: asked.MOST_TEXT], "/description")
