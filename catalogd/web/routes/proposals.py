"""The calls on proposals."""

from __future__ import annotations

from catalogd import rights
from catalogd.web.bodies import JSON
from catalogd.web.history import DIFF
from catalogd.web.operation import Body, Operation, Reply
from catalogd.web.parameters import AUTHOR, PAGING, REVIEWER, STATE, TOUCHED
from catalogd.web.routes.shared import COMMITTED, CONDITIONAL, PAGED, PROPOSALS, READ, WRITE, json_reply

_ALL = "/v1/proposals"
_ONE = f"{_ALL}/{{number}}"

_HEAD = "9fceb02d0ae598e95dc970b74767f19372d61af8"

# On a replica they are a 403.
_READ = (*READ, 403)

_NOW = json_reply(200, "The proposal as it is now.", "Proposal", ())

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        _ALL,
        "createProposal",
        rights.PROPOSE,
        "proposals.create",
        PROPOSALS,
        "Propose an edit",
        "A merge patch (RFC 7396) for each document, null to delete it; one that is not there is made. What does not "
        "fit the schemas may be proposed all the same: `checks` tells. New repositories, and changes of an "
        "organization, are proposed by readers of the namespace, a change of the policy by admins.",
        (json_reply(201, "It is proposed.", "Proposal", ("Location",)),),
        WRITE,
        body=Body(
            "NewProposal",
            {
                "repositories": {
                    "title": "Say what the images are for",
                    "description": "Both were undescribed.",
                    "changes": [
                        {"namespace": "madams", "repo_name": "repo", "document": {"description": "A base image"}},
                        {"namespace": "madams", "repo_name": "old", "document": None},
                    ],
                },
                "organization": {
                    "title": "Make bob a writer",
                    "changes": [{"namespace": "acme", "document": {"writers": ["bob"]}}],
                },
                "policy": {
                    "title": "Two approvals for library",
                    "changes": [{"policy": {"namespaces": {"library": {"approvals": 2}}}}],
                },
            },
        ),
        writes=True,
    ),
    Operation(
        "GET",
        _ALL,
        "listProposals",
        rights.LIST,
        "proposals.list",
        PROPOSALS,
        "List proposals",
        "The newest first; those of which the caller may read all that they touch.",
        (json_reply(200, "One page.", "ProposalPage", PAGED),),
        _READ,
        parameters=(*PAGING, STATE, TOUCHED, AUTHOR, REVIEWER),
    ),
    Operation(
        "GET",
        _ONE,
        "getProposal",
        rights.LIST,
        "proposals.detail",
        PROPOSALS,
        "Read a proposal",
        "With its checks and conflicts as main is now, its reviews, and what it needs yet, from whom.",
        (json_reply(200, "The proposal.", "Proposal", ()),),
        _READ,
    ),
    Operation(
        "PATCH",
        _ONE,
        "updateProposal",
        rights.REVISE,
        "proposals.revise",
        PROPOSALS,
        "Revise a proposal",
        "For its author, or an admin. `changes` take the place of what it did to the same documents, and leave its "
        "others; they are laid on the newest main. `resolve` says which value fields in conflict take. Either makes a "
        "new revision, for which no approval counts yet. A revision that leaves conflicts is a 409 that has them.",
        (_NOW,),
        CONDITIONAL,
        body=Body(
            "ProposalUpdate",
            {
                "changes": {
                    "head": _HEAD,
                    "changes": [
                        {"namespace": "madams", "repo_name": "repo", "document": {"description": "A better base"}}
                    ],
                },
                "resolve": {
                    "resolve": [
                        {"namespace": "madams", "repo_name": "repo", "pointer": "/description", "take": "theirs"}
                    ]
                },
            },
        ),
        writes=True,
    ),
    Operation(
        "GET",
        f"{_ONE}/diff",
        "diffProposal",
        rights.LIST,
        "proposals.diff",
        PROPOSALS,
        "What a proposal does",
        f"To each file, against the base: field by field; with `Accept: {DIFF}`, as a unified diff.",
        (Reply(200, "What differs.", {JSON: "ProposalDiff", DIFF: {"type": "string"}}),),
        (*_READ, 409),
    ),
    Operation(
        "POST",
        f"{_ONE}/reviews",
        "reviewProposal",
        rights.REVIEW,
        "proposals.review",
        PROPOSALS,
        "Review a proposal",
        "Of the `head` that the caller has seen; of one document or field, if `namespace`, `repo_name` or `pointer` "
        "say so. The last verdict of a reviewer counts, and a comment is none. Nobody approves what they have written.",
        (_NOW,),
        CONDITIONAL,
        body=Body(
            "NewReview",
            {
                "approve": {"verdict": "approve", "head": _HEAD},
                "field": {
                    "verdict": "request_changes",
                    "comment": "It says nothing of what is in it.",
                    "head": _HEAD,
                    "namespace": "madams",
                    "repo_name": "repo",
                    "pointer": "/description",
                },
            },
        ),
        writes=True,
    ),
    Operation(
        "POST",
        f"{_ONE}/reviews/{{review}}/dismiss",
        "dismissReview",
        rights.DISMISS,
        "proposals.dismiss",
        PROPOSALS,
        "Dismiss a request for changes",
        "For an owner of a namespace that it touches, who is not its author. It stays, and blocks no more.",
        (_NOW,),
        WRITE,
        body=Body("Dismissal", {"why": {"comment": "That is done elsewhere."}}, required=False),
        writes=True,
    ),
    Operation(
        "POST",
        f"{_ONE}/merge",
        "mergeProposal",
        rights.MERGE,
        "proposals.merge",
        PROPOSALS,
        "Merge a proposal",
        "Into main as it is now, field by field, in one commit that names who approved. With `head`, only that one. "
        "Where anything keeps it, nothing is changed, and a 409 says `why_not` and has the `conflicts`.",
        (json_reply(200, "It is merged.", "Proposal", COMMITTED),),
        CONDITIONAL,
        body=Body("ProposalMerge", {"head": {"head": _HEAD}}, required=False),
        writes=True,
    ),
    Operation(
        "POST",
        f"{_ONE}/close",
        "closeProposal",
        rights.CLOSE,
        "proposals.close",
        PROPOSALS,
        "Close a proposal",
        "Unmerged; for its author, or an owner of a namespace that it touches.",
        (_NOW,),
        WRITE,
        writes=True,
    ),
    Operation(
        "POST",
        f"{_ONE}/reopen",
        "reopenProposal",
        rights.CLOSE,
        "proposals.reopen",
        PROPOSALS,
        "Open a closed proposal again",
        "With its reviews; for the same.",
        (_NOW,),
        WRITE,
        writes=True,
    ),
)
