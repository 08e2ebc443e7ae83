"""Proposals: edits that others review before they are merged."""

from catalogd.proposals.merges import NotMergeable
from catalogd.proposals.proposals import Proposals
from catalogd.proposals.proposing import NotResolved
from catalogd.proposals.shapes import (
    APPROVE,
    CLOSED,
    COMMENT,
    MERGED,
    OPEN,
    REQUEST_CHANGES,
    STATES,
    VERDICTS,
    Changed,
    FileDiff,
    Merging,
    Proposal,
    ProposalQuery,
    Required,
    Review,
    Revision,
    View,
)

__all__ = [
    "APPROVE", "CLOSED", "COMMENT", "MERGED", "OPEN", "REQUEST_CHANGES", "STATES", "VERDICTS", "Changed", "FileDiff",
    "Merging", "NotMergeable", "NotResolved", "Proposal", "ProposalQuery", "Proposals", "Required", "Review",
    "Revision", "View",
]  # fmt: skip
