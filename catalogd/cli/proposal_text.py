"""How proposals read in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from catalogd.catalog import FieldConflict
from catalogd.check import Finding
from catalogd.check_formats import safe
from catalogd.cli.merging import conflict_in_words
from catalogd.cli.terminal import echo
from catalogd.proposals import (
    APPROVE,
    COMMENT,
    OPEN,
    REQUEST_CHANGES,
    Changed,
    Proposal,
    Required,
    Review,
    View,
)
from catalogd.store import short

_WIDTH = 72
_MOST_SHOWN = 50
_SAID = {APPROVE: "approves", REQUEST_CHANGES: "asks for changes", COMMENT: "comments"}


def tell_line(view: View) -> None:
    """One of a list."""
    proposal = view.proposal
    by = f"{proposal.number:5}  {proposal.state:6}  {proposal.updated_at[:19]}Z  {proposal.author[:16]:16}"
    echo(f"{by}  {proposal.title[:_WIDTH]}")
    touched = [_called(change) for change in proposal.changes]
    what = ", ".join(touched[:3]) + (f" and {len(touched) - 3} more" if len(touched) > 3 else "")
    echo(f"{'':7}{what}: {_in_short(view)}")


def tell_outcome(view: View) -> None:
    """What has become of a proposal, and what keeps it from being merged."""
    _tell_title(view.proposal)
    _tell_state(view)


def tell_whole(view: View) -> None:
    """All there is to know, but for the differences."""
    proposal, revisions = view.proposal, len(view.proposal.revisions)
    _tell_title(proposal)
    by = f"by {proposal.author} <{proposal.email}>, {proposal.created_at[:19]}Z"
    echo(f"  {by}" + (f", {revisions} revisions" if revisions > 1 else ""))
    _tell_state(view)
    if proposal.description:
        echo()
        for line in proposal.description.rstrip("\n").split("\n"):
            echo(f"    {line}".rstrip())
    echo()
    for change in proposal.changes:
        verb = "creates" if change.old is None else "deletes" if change.new is None else "updates"
        echo(f"  {verb} {_called(change)}")
    if view.required:
        echo()
        for required in view.required:
            echo(f"  {_asked(required)}")
    if proposal.reviews:
        echo()
    for review in proposal.reviews:
        _tell_review(review, proposal)


def why_not_merged(view: View) -> str:
    """Each reason, with each field in conflict and each finding, for standard error."""
    lines = [f"catalogd: The proposal {view.proposal.number} cannot be merged:"]
    return "\n".join([*lines, *(f"  {safe(line)}" for line in _against(view))])


def why_not_resolved(conflicts: Iterable[FieldConflict]) -> str:
    """The fields that are in conflict still, for standard error."""
    lines = ["catalogd: These fields were changed on main too; say of each which value it takes (proposal resolve):"]
    return "\n".join([*lines, *(f"  {safe(line)}" for line in _conflicts(conflicts))])


def _in_short(view: View) -> str:
    if view.proposal.state != OPEN:
        commit = view.proposal.commit
        return f"{view.proposal.state} by {view.proposal.ended_by}" + (f", in commit {short(commit)}" if commit else "")
    if view.merging is None:
        return " ".join(view.why_not)
    missing = sum(required.missing for required in view.required)
    found = [
        f"{len(view.merging.conflicts)} in conflict" if view.merging.conflicts else "",
        "" if view.merging.fits else "does not fit",
        "changes requested" if view.blocked_by else "",
        f"{missing} approval{'' if missing == 1 else 's'} missing" if missing else "",
    ]
    if view.is_mergeable:
        return "can be merged"
    return ", ".join(filter(None, found)) or " ".join(view.why_not)


def _tell_title(proposal: Proposal) -> None:
    echo(f"proposal {proposal.number}: {proposal.title}")
    echo(f"  head {proposal.head}, on {short(proposal.revision.base)}")


def _tell_state(view: View) -> None:
    proposal = view.proposal
    if proposal.state != OPEN:
        commit = f", in commit {short(proposal.commit)}" if proposal.commit else ""
        echo(f"  {proposal.state} by {proposal.ended_by}, {(proposal.ended_at or '')[:19]}Z{commit}")
    elif view.is_mergeable:
        echo("  can be merged")
    else:
        echo("  cannot be merged yet:")
        for line in _against(view):
            echo(f"    {line}")


def _against(view: View) -> Iterator[str]:
    yield from view.why_not
    if view.merging is not None:
        yield from _conflicts(view.merging.conflicts)
        yield from _findings(view.merging.findings)


def _conflicts(conflicts: Iterable[FieldConflict]) -> Iterator[str]:
    path = ""
    found = list(conflicts)
    for conflict in found[:_MOST_SHOWN]:
        if conflict.path != path:
            path = conflict.path
            yield f"{path}:"
        yield conflict_in_words(conflict)
    if len(found) > _MOST_SHOWN:
        yield f"and {len(found) - _MOST_SHOWN:,} more"


def _findings(findings: Iterable[Finding]) -> Iterator[str]:
    found = list(findings)
    for finding in found[:_MOST_SHOWN]:
        at = f"{finding.pointer}: " if finding.pointer else ""
        yield f"{finding.path}:{finding.line}: {at}{finding.detail}"
        if finding.mend:
            yield f"    {finding.mend}"
    if len(found) > _MOST_SHOWN:
        yield f"and {len(found) - _MOST_SHOWN:,} more"


def _asked(required: Required) -> str:
    where = required.namespace or "policy and schemas"
    if not required.approvals:
        return f"{where}: needs no approval"
    number = f"{required.approvals} approval{'' if required.approvals == 1 else 's'}"
    owners = f" of {', '.join(required.owners)} or an admin" if required.owners else " of an admin"
    if required.owners is None:
        owners = " of an owner or an admin"
    given = f"; given by {', '.join(required.given_by)}" if required.given_by else ""
    return f"{where}: needs {number}{owners}{given}"


def _tell_review(review: Review, proposal: Proposal) -> None:
    head = "" if review.head == proposal.head else f", of the earlier head {short(review.head)}"
    about = " ".join(part for part in (review.path, review.pointer) if part)
    gone = f"; dismissed by {review.dismissed_by}" if review.dismissed_by else ""
    said = f"{review.reviewer} {_SAID[review.verdict]}{f', on {about}' if about else ''}{head}{gone}"
    echo(f"  {review.id}  {review.created_at[:19]}Z  {said}")
    for line in review.comment.rstrip("\n").split("\n") if review.comment else ():
        echo(f"       {line}".rstrip())


def _called(change: Changed) -> str:
    if change.repository:
        return "/".join(change.repository)
    return f"namespace {change.namespace}" if change.namespace else change.path


def say(text: str) -> None:
    """Text that is safe already, to standard error."""
    click.echo(text, err=True)
