"""What a proposal needs before it is merged, by the rules of its catalog. Pure: what main says comes in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from catalogd.documents import Role
from catalogd.documents.policy import Policy, Rules, covers
from catalogd.proposals.shapes import (
    APPROVE,
    COMMENT,
    MERGED,
    OPEN,
    REQUEST_CHANGES,
    Changed,
    Merging,
    Proposal,
    Required,
    Review,
)

# Policy and schemas are the whole catalog's; no policy lets them in without an admin.
_OF_THE_CATALOG = Rules(approvals=1)

# The pointers that a change of a document touches; None where it makes or removes one.
PointersOf = Callable[[Changed], Collection[str] | None]
# Member -> role in the organization of a name; None if there is none.
RolesIn = Callable[[str], Mapping[str, Role] | None]


def required(
    proposal: Proposal,
    policy: Policy,
    roles_in: RolesIn,
    admins: Collection[str],
    active: Collection[str],
    pointers_of: PointersOf,
) -> tuple[Required, ...]:
    """What each namespace that it touches asks for, by the owners and the policy that main has. All names are told.

    `active` are those of its reviewers who are users that may log in: nobody else approves.
    """
    approvals = _approvals(proposal, active)
    return tuple(
        _required(namespace, proposal, policy, roles_in, admins, pointers_of, approvals)
        for namespace in proposal.namespaces
    )


def standing(reviews: Iterable[Review]) -> list[Review]:
    """The last word of each reviewer, but for comments and what was dismissed."""
    last = {review.reviewer: review for review in reviews if review.verdict != COMMENT}
    return [review for review in last.values() if review.dismissed_by is None]


def blocking(proposal: Proposal) -> tuple[Review, ...]:
    """The requests for changes that stand, whatever head they were made of."""
    return tuple(review for review in standing(proposal.reviews) if review.verdict == REQUEST_CHANGES)


def approvers(found: Iterable[Required]) -> tuple[str, ...]:
    """All whose approval counts, by name."""
    return tuple(sorted({name for each in found for name in each.given_by}))


def why_not(proposal: Proposal, merging: Merging, found: Iterable[Required]) -> tuple[str, ...]:
    """What keeps an open proposal from being merged, in sentences; nothing if nothing does."""
    reasons = []
    if merging.conflicts:
        fields = "1 field was" if len(merging.conflicts) == 1 else f"{len(merging.conflicts)} fields were"
        reasons.append(f"{fields} changed on main too, otherwise: say which value to take, or revise it.")
    elif not merging.fits:
        paths = sorted({finding.path for finding in merging.findings})
        reasons.append(f"What it makes does not fit the catalog: {', '.join(paths[:5])}.")
    elif not merging.paths:
        reasons.append("main has all of it already; close it.")
    reasons += [_missing(each) for each in found if each.missing]
    reasons += [f"{review.reviewer} has asked for changes." for review in blocking(proposal)]
    return tuple(reasons)


def ended(proposal: Proposal) -> tuple[str, ...]:
    """Why one that is not open is not merged (again)."""
    return () if proposal.state == OPEN else (f"It is {'merged already' if proposal.state == MERGED else 'closed'}.",)


def _required(
    namespace: str | None,
    proposal: Proposal,
    policy: Policy,
    roles_in: RolesIn,
    admins: Collection[str],
    pointers_of: PointersOf,
    approvals: Mapping[str, Review],
) -> Required:
    rules = _OF_THE_CATALOG if namespace is None else policy.of(namespace)
    owners: set[str] = set()
    if namespace is not None:
        roles = roles_in(namespace)
        # A user's own name is a namespace of theirs, unless an organization has it.
        owners = {namespace} if roles is None else {user for user, role in roles.items() if role is Role.OWNER}
    given = sorted(name for name, review in approvals.items() if review.operator or name in admins or name in owners)
    is_green = namespace is not None and _is_on_green(namespace, proposal, rules, pointers_of)
    names_members = any(each.is_organization and each.namespace == namespace for each in proposal.changes)
    # Whatever the policy says, nobody makes himself an owner.
    needed = 0 if is_green else max(rules.approvals, int(names_members))
    return Required(namespace, needed, tuple(given), tuple(sorted(owners - proposal.authors)))


def _approvals(proposal: Proposal, active: Collection[str]) -> dict[str, Review]:
    return {
        review.reviewer: review
        for review in standing(proposal.reviews)
        if review.verdict == APPROVE and review.head == proposal.head and review.reviewer not in proposal.authors
        if review.operator or review.reviewer in active
    }


def _is_on_green(namespace: str, proposal: Proposal, rules: Rules, pointers_of: PointersOf) -> bool:
    if not rules.on_green:
        return False
    for change in proposal.revision.touched:
        if change.namespace != namespace:
            continue
        pointers = pointers_of(change) if change.repository else None
        if pointers is None or not all(covers(rules.on_green, pointer) for pointer in pointers):
            return False
    return True


def _missing(found: Required) -> str:
    number = f"{found.missing} approval{'' if found.missing == 1 else 's'}"
    if found.namespace is None:
        return f"It changes what is the whole catalog's: {number} of an admin missing."
    return f"{found.namespace}: {number} of an owner or an admin missing."
