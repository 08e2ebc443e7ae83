"""From proposals to the JSON of the interface. E-mail addresses are in none of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from catalogd.catalog import FieldConflict
from catalogd.check import ERROR, Finding
from catalogd.names import parse_document_path, parse_namespace_path
from catalogd.proposals import Changed, FileDiff, Merging, Proposal, Required, Review, Revision, View
from catalogd.web.representations import field_changes, present

JSON = dict[str, Any]

# Of each document so many faults are told.
_MOST_FAULTS = 20


def row(view: View, base_url: str) -> JSON:
    """A proposal in a list. `base_url` is the start of absolute links."""
    proposal = view.proposal
    return {
        "number": proposal.number,
        "url": f"{base_url}{path_of(proposal)}",
        "title": proposal.title,
        "description": proposal.description,
        "author": proposal.author,
        "state": proposal.state,
        "created_at": proposal.created_at,
        "updated_at": proposal.updated_at,
        "ended_by": proposal.ended_by,
        "ended_at": proposal.ended_at,
        "commit": proposal.commit,
        "head": proposal.head,
        "base": proposal.revision.base,
        "revision": len(proposal.revisions),
        "mergeable": view.is_mergeable,
        "namespaces": [namespace for namespace in proposal.namespaces if namespace is not None],
        "changes": [_file(change.path) | {"action": _action(change)} for change in proposal.changes],
    }


def detail(view: View, base_url: str) -> JSON:
    """All of a proposal: what a merge would meet, what is said of it, and what it was before."""
    proposal = view.proposal
    return row(view, base_url) | {
        "checks": _checks(proposal, view.merging) if view.merging else [],
        "conflicts": conflicts(view.merging.conflicts) if view.merging else [],
        "required": [_required(each) for each in view.required],
        "why_not": list(view.why_not),
        "blocked_by": [review.id for review in view.blocked_by],
        "reviews": [_review(each, proposal) for each in proposal.reviews],
        "revisions": [_revision(each) for each in proposal.revisions],
    }


def path_of(proposal: Proposal) -> str:
    """The URL path of a proposal."""
    return f"/v1/proposals/{proposal.number}"


def conflicts(found: Iterable[FieldConflict]) -> list[JSON]:
    """Each field with its values; a side on which it is absent is left out."""
    return [
        _file(each.path)
        | present({"pointer": each.pointer, "base": each.base, "ours": each.ours, "theirs": each.theirs})
        for each in found
    ]


def difference(proposal: Proposal, files: Iterable[FileDiff]) -> list[JSON]:
    """Field by field what a proposal does to each file; `fields` is empty for what is no document."""
    actions = {change.path: _action(change) for change in proposal.changes}
    return [_file(each.path) | {"action": actions[each.path], "fields": field_changes(each.fields)} for each in files]


def _file(path: str | None) -> JSON:
    """A file of the catalog, and whose document it is; nulls for what is none."""
    if path is None:
        return {"path": None, "namespace": None, "repo_name": None}
    namespace, repo_name = parse_document_path(path) or (parse_namespace_path(path), None)
    return {"path": path, "namespace": namespace, "repo_name": repo_name}


def _action(change: Changed) -> str:
    if change.old is None:
        return "create"
    return "delete" if change.new is None else "update"


def _checks(proposal: Proposal, merging: Merging) -> list[JSON]:
    """One for each file that is changed, and for each other that has a fault because of that."""
    found: dict[str, list[Finding]] = {change.path: [] for change in proposal.changes}
    for finding in merging.findings:
        found.setdefault(finding.path, []).append(finding)
    return [
        _file(path)
        | {
            "ok": not any(finding.severity == ERROR for finding in findings),
            "faults": [_fault(finding) for finding in islice(findings, _MOST_FAULTS)],
        }
        for path, findings in found.items()
    ]


def _fault(finding: Finding) -> JSON:
    return {
        "pointer": finding.pointer,
        "line": finding.line,
        "severity": finding.severity,
        "detail": finding.detail,
        "mend": finding.mend,
    }


def _required(required: Required) -> JSON:
    return {
        "namespace": required.namespace,
        "approvals": required.approvals,
        "missing": required.missing,
        "given_by": list(required.given_by),
        "owners": None if required.owners is None else list(required.owners),
    }


def _review(review: Review, proposal: Proposal) -> JSON:
    return {
        "id": review.id,
        "reviewer": review.reviewer,
        "verdict": review.verdict,
        "comment": review.comment,
        "head": review.head,
        "current": review.head == proposal.head,
        **_file(review.path),
        "pointer": review.pointer,
        "created_at": review.created_at,
        "dismissed_by": review.dismissed_by,
    }


def _revision(revision: Revision) -> JSON:
    return {
        "head": revision.head,
        "base": revision.base,
        "authors": list(revision.authors),
        "created_at": revision.created_at,
        "pushed": revision.pushed,
    }
