"""The component schemas of proposals."""

from __future__ import annotations

from catalogd.check import ERROR, WARNING
from catalogd.documents import schema
from catalogd.names import NAMESPACE_KIND, REPOSITORY_KIND
from catalogd.proposals import STATES, VERDICTS
from catalogd.proposals.asked import MOST_CHANGES, MOST_TEXT, MOST_TITLE
from catalogd.web.schemas.shared import (
    ANY,
    BOOLEAN,
    COMMIT,
    COUNT,
    POINTER,
    TEXT,
    TIME,
    Schema,
    any_object,
    closed,
    object_of,
    page_of,
    ref,
)

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_MOMENT: Schema = {"type": "string", "format": "date-time", "examples": ["2014-11-19T05:54:22.741Z"]}
_NUMBER: Schema = {"type": "integer", "minimum": 1}
_HEAD: Schema = {**COMMIT, "description": "The id of the head that the caller has seen; any other is a 412."}
_VERDICT: Schema = {"type": "string", "enum": list(VERDICTS)}
_FILE: dict[str, Schema] = {
    "path": {"type": "string", "description": "The file in the catalog."},
    "namespace": {**_TEXT_OR_NULL, "description": "null for what is the whole catalog's."},
    "repo_name": {**_TEXT_OR_NULL, "description": "null for what is no repository."},
}


def components() -> dict[str, Schema]:
    """By name."""
    return {**_requests(), **_proposals(), **_parts()}


def conflict_schema() -> Schema:
    """A field that main and a proposal have changed, each in its own way."""
    return object_of(
        {**_FILE, "pointer": POINTER, "base": ANY, "ours": ANY, "theirs": ANY}, optional=("base", "ours", "theirs")
    )


def _requests() -> dict[str, Schema]:
    title: Schema = {
        "type": "string",
        "pattern": r"^[^\u0000-\u001f]*[^\s\u0000-\u001f\u0085][^\u0000-\u001f]*$",
        "maxLength": MOST_TITLE,
        "description": "One line.",
    }
    description: Schema = {**TEXT, "maxLength": MOST_TEXT, "default": ""}
    changes: Schema = {
        "type": "array",
        "items": ref("ProposedChange"),
        "minItems": 1,
        "maxItems": MOST_CHANGES,
        "description": "One for each document.",
    }
    said = {"title": title, "description": description, "changes": changes}
    names = _names()
    take: Schema = {"enum": ["ours", "theirs"], "description": "The value of main, or that of the proposal."}
    pointer: Schema = {**POINTER, **TEXT}
    resolution = closed({**names, "pointer": pointer, "take": take}, optional=tuple(names))
    review = {
        "verdict": _VERDICT,
        "comment": {**TEXT, "maxLength": MOST_TEXT, "description": "Needed unless it is an approval."},
        "head": _HEAD,
        **names,
        "pointer": {**pointer, "type": ["string", "null"]},
    }
    return {
        "NewProposal": closed(said, optional=("description",)),
        "ProposedChange": _change(names),
        "ProposalUpdate": closed(
            {**said, "resolve": {"type": "array", "items": resolution, "minItems": 1}, "head": _HEAD},
            optional=(*said, "resolve", "head"),
        ),
        "NewReview": closed(review, optional=("comment", *names, "pointer")),
        "Dismissal": closed({"comment": {**TEXT, "maxLength": MOST_TEXT}}, optional=("comment",)),
        "ProposalMerge": closed({"head": _HEAD}, optional=("head",)),
    }


def _names() -> dict[str, Schema]:
    repository: dict[str, Schema] = schema.openapi_schema(REPOSITORY_KIND)["properties"]
    organization: dict[str, Schema] = schema.openapi_schema(NAMESPACE_KIND)["properties"]
    return {"namespace": organization["namespace"], "repo_name": repository["repo_name"]}


def _change(names: dict[str, Schema]) -> Schema:
    patch: Schema = {**any_object("null"), "description": "A merge patch (RFC 7396); null deletes."}
    policy: Schema = {**any_object(), "description": "A merge patch of `policy.json`."}
    none: Schema = {"type": "null", "description": "As replies have it; it may be left out."}
    organization = {"namespace": names["namespace"], "repo_name": none, "document": patch}
    return {
        "anyOf": [
            closed({**names, "document": patch}),
            closed(organization, optional=("repo_name",)),
            closed({"policy": policy}),
        ],
        "description": "Of a repository, of an organization, or of the policy.",
    }


def _proposals() -> dict[str, Schema]:
    change = object_of({**_FILE, "action": {"enum": ["create", "update", "delete"]}})
    shown: dict[str, Schema] = {
        "number": _NUMBER,
        "url": {"type": "string", "format": "uri"},
        "title": _TEXT,
        "description": _TEXT,
        "author": _TEXT,
        "state": {"type": "string", "enum": list(STATES)},
        "created_at": _MOMENT,
        "updated_at": _MOMENT,
        "ended_by": {**_TEXT_OR_NULL, "description": "Who merged or closed it."},
        "ended_at": TIME,
        "commit": {"anyOf": [COMMIT, {"type": "null"}], "description": "The commit of main that merged it."},
        "head": {**COMMIT, "description": "The commit of its newest revision."},
        "base": {**COMMIT, "description": "The commit of main that this revision stands on."},
        "revision": {**_NUMBER, "description": "How many revisions there are."},
        "mergeable": {**BOOLEAN, "description": "Whether nothing keeps it from being merged now."},
        "namespaces": {**_TEXTS, "description": "Those that it touches."},
        "changes": {"type": "array", "items": change},
    }
    blocked: Schema = {"type": "array", "items": _NUMBER, "description": "Reviews that ask for changes, and stand."}
    more: dict[str, Schema] = {
        "checks": {"type": "array", "items": ref("ProposalCheck"), "description": "One for each file of an open one."},
        "conflicts": {"type": "array", "items": conflict_schema()},
        "required": {"type": "array", "items": ref("RequiredApprovals")},
        "why_not": {**_TEXTS, "description": "What keeps it from being merged, in sentences."},
        "blocked_by": blocked,
        "reviews": {"type": "array", "items": ref("Review"), "description": "Oldest first."},
        "revisions": {"type": "array", "items": ref("Revision"), "description": "Oldest first."},
    }
    fields: Schema = {"type": "array", "items": ref("FieldChange"), "description": "Empty for what is no document."}
    return {
        "ProposalRow": object_of(shown),
        "ProposalPage": page_of("ProposalRow", "One page of proposals."),
        "Proposal": object_of({**shown, **more}),
        "ProposalDiff": {
            "type": "array",
            "items": object_of({**change["properties"], "fields": fields}),
            "description": "What it does to each file, against its base.",
        },
    }


def _parts() -> dict[str, Schema]:
    fault = object_of(
        {
            "pointer": POINTER,
            "line": _NUMBER,
            "severity": {"enum": [ERROR, WARNING]},
            "detail": _TEXT,
            "mend": {**_TEXT, "description": "What to do about it; empty where that goes without saying."},
        }
    )
    about = {name: {**value, "type": ["string", "null"]} for name, value in _FILE.items()}
    review: dict[str, Schema] = {
        "id": _NUMBER,
        "reviewer": _TEXT,
        "verdict": _VERDICT,
        "comment": _TEXT,
        "head": COMMIT,
        "current": {**BOOLEAN, "description": "Whether the proposal still has that head."},
        **about,
        "pointer": {**POINTER, "type": ["string", "null"]},
        "created_at": _MOMENT,
        "dismissed_by": _TEXT_OR_NULL,
    }
    owners: Schema = {
        "anyOf": [_TEXTS, {"type": "null"}],
        "description": "Who may approve, beside admins; null for those who may not know.",
    }
    return {
        "ProposalCheck": object_of({**_FILE, "ok": BOOLEAN, "faults": {"type": "array", "items": fault}}),
        "RequiredApprovals": object_of(
            {
                "namespace": {**_TEXT_OR_NULL, "description": "null: the policy and the schemas, for admins."},
                "approvals": {**COUNT, "description": "How many are needed."},
                "missing": COUNT,
                "given_by": _TEXTS,
                "owners": owners,
            }
        ),
        "Review": object_of(review),
        "Revision": object_of(
            {
                "head": COMMIT,
                "base": COMMIT,
                "authors": _TEXTS,
                "created_at": _MOMENT,
                "pushed": {**BOOLEAN, "description": "Whether its commits came by `git push`."},
            }
        ),
    }
