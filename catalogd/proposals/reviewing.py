"""Use cases of reviewers: say what they think of a head, and put aside a request for changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from catalogd import rights
from catalogd.catalog import Caller
from catalogd.documents import Role
from catalogd.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from catalogd.proposals import asked
from catalogd.proposals.base import ProposalUseCases, require_head, require_open, signature
from catalogd.proposals.shapes import APPROVE, COMMENT, REQUEST_CHANGES, VERDICTS, Proposal, Review, View

_MEMBERS = ("verdict", "comment", "head", "namespace", "repo_name", "pointer")
# Who may only comment must not keep others from approving.
_MOST_REVIEWS, _MOST_WITH_COMMENT = 1000, 500
_VERBS = {APPROVE: "Approve", REQUEST_CHANGES: "Request changes of", COMMENT: "Comment on"}


class Reviewing(ProposalUseCases):
    """What reviewers do with proposals."""

    def review(self, caller: Caller, number: int, body: object) -> View:
        """What the caller says of the head that he has seen. The last word of a reviewer counts.

        Raises Unauthenticated, Forbidden, NotFound, Invalid, Conflict, PreconditionFailed, and what the store raises.
        """
        rights.require_scope(caller.account, rights.REVIEW)
        given = asked.members(body, _MEMBERS, ("verdict", "head"))
        verdict, comment = given["verdict"], asked.text(given.get("comment", ""), "/comment")
        if verdict not in VERDICTS:
            fault = f"must be one of {', '.join(VERDICTS)}"
            raise Invalid(f"The verdict {fault}.", [Fault("/verdict", fault)])
        if verdict != APPROVE and not comment.strip():
            fault = "is required: what should be otherwise" if verdict == REQUEST_CHANGES else "is required"
            raise Invalid(f"The comment {fault}.", [Fault("/comment", fault)])
        with self._held(caller, number) as (proposal, main):
            require_open(proposal)
            require_head(proposal, given["head"])
            if verdict != COMMENT and not self._is_somewhere(caller, Role.READER, proposal, main):
                raise Forbidden("This is for who has a role in a namespace that it touches; comment instead.")
            by = signature(caller)
            if verdict == APPROVE and by.name in proposal.authors:
                raise Forbidden("Nobody approves what they have written themselves.")
            if verdict == APPROVE and None in proposal.namespaces and _is_admin_without_scope(caller):
                raise Forbidden("An admin approves a change of the policy or the schemas with a token of scope admin.")
            _require_room(proposal, verdict)
            review = Review(
                id=len(proposal.reviews) + 1,
                reviewer=by.name,
                verdict=verdict,
                comment=comment,
                head=proposal.head,
                created_at=self._now(),
                path=_path(given, proposal),
                pointer=_pointer(given),
                operator=caller.account.is_admin and not self._people.are_users([by.name]),
            )
            message = f"{_VERBS[verdict]} proposal {number}"
            return self._view(caller, self._record(by, proposal, message, reviews=(*proposal.reviews, review)), main)

    def dismiss(self, caller: Caller, number: int, review_id: int, body: object = None) -> View:
        """Put a request for changes aside. `body` may have a `comment`, which is kept as a review of its own.

        Raises Unauthenticated, Forbidden, NotFound, Conflict, Invalid, and what the store raises.
        """
        rights.require_scope(caller.account, rights.DISMISS)
        given = asked.members({} if body is None else body, ("comment",))
        comment = asked.text(given.get("comment", ""), "/comment")
        with self._held(caller, number) as (proposal, main):
            require_open(proposal)
            reviews = {review.id: review for review in proposal.reviews}
            if review_id not in reviews:
                raise NotFound(f"The proposal {number} has no review {review_id}.")
            review, by = reviews[review_id], signature(caller)
            if review.verdict != REQUEST_CHANGES:
                raise Conflict("Only requests for changes are dismissed.")
            if by.name in proposal.authors or not self._is_somewhere(caller, Role.OWNER, proposal, main):
                raise Forbidden("This is for an owner of a namespace that it touches, who is not its author.")
            if review.dismissed_by is None:
                reviews[review_id] = replace(review, dismissed_by=by.name)
            if comment.strip():
                _require_room(proposal, COMMENT)
                new = len(reviews) + 1
                reviews[new] = Review(new, by.name, COMMENT, comment, proposal.head, self._now())
            message = f"Dismiss review {review_id} of proposal {number}"
            return self._view(caller, self._record(by, proposal, message, reviews=tuple(reviews.values())), main)


def _is_admin_without_scope(caller: Caller) -> bool:
    """The approval would count as an admin's, who the credentials do not make anybody."""
    return caller.account.is_admin and not rights.administers(caller.account)


def _require_room(proposal: Proposal, verdict: object) -> None:
    """Raises Conflict."""
    most = _MOST_WITH_COMMENT if verdict == COMMENT else _MOST_REVIEWS
    if len(proposal.reviews) >= most:
        raise Conflict(f"The proposal has {len(proposal.reviews):,} reviews, which are the most that one can have.")


def _path(given: dict[str, Any], proposal: Proposal) -> str | None:
    """The file that a review is about. Raises Invalid."""
    if "namespace" not in given:
        return None
    path = asked.path_at(given, "")
    if path not in {change.path for change in proposal.changes}:
        raise Invalid("The proposal does not change that.", [Fault("/namespace", "names what it does not change")])
    return path


def _pointer(given: dict[str, Any]) -> str | None:
    """Raises Invalid."""
    pointer = given.get("pointer")
    if pointer is None:
        return None
    if not isinstance(pointer, str) or len(pointer) > 1000 or (pointer and not pointer.startswith("/")):
        fault = "must be a JSON pointer, such as /description"
        raise Invalid(f"The pointer {fault}.", [Fault("/pointer", fault)])
    return pointer
