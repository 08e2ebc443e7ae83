"""What a reply names, and the calls that take it: the links of the OpenAPI description.

By them a program, or a test that makes its calls up, gets from a reply to calls that make sense after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from catalogd.web.operation import Operation

_PATH_PARAMETER = re.compile(r"{(\w+)}")

# Runtime expressions of OpenAPI 3.1, section 4.8.20.4.
_COMMIT = "$response.header.Catalog-Commit"


class _Named(NamedTuple):
    """Parameters by name, and where a reply has the value of each. Without `calls` they lead to every call on a path
    that has these parameters and no others. `bodies`, by call, are what else the reply says.
    """

    parameters: Mapping[str, str]
    calls: tuple[str, ...] = ()
    bodies: Mapping[str, object] = {}


def _from(place: str, *names: str) -> dict[str, str]:
    return {name: f"{place}{name}" for name in names}


_HERE = _from("$request.path.", "namespace", "repo_name")
_BODY, _ROW = "$response.body#/", "$response.body#/results/0/"
_NOW = {"rollbackRepository": {"commit": _COMMIT}}
_REPOSITORY = _Named(_from(_BODY, "namespace", "repo_name"), bodies=_NOW)
_MADE = _Named({"commit": _COMMIT})
_LATER = _Named({"since": _COMMIT}, ("listChanges",))
_COMMIT_IN_ROW = _Named(_from(_ROW, "commit"))
_ORGANIZATION = _Named({"namespace": f"{_BODY}namespace"})
_LISTED = (_Named(_from(_ROW, "namespace", "repo_name")), _LATER)
_HEAD = {"head": f"{_BODY}head"}
_PROPOSAL = _Named(
    {"number": f"{_BODY}number"},
    bodies={
        "updateProposal": {**_HEAD, "title": "Say it in other words"},
        "reviewProposal": {**_HEAD, "verdict": "comment", "comment": "Why?"},
        "mergeProposal": _HEAD,
    },
)
_VERSIONED = {"If-Match": "$response.header.ETag"}

_LINKS: dict[tuple[str, int], tuple[_Named, ...]] = {
    ("createRepository", 201): (_REPOSITORY, _MADE),
    ("listRepositories", 200): _LISTED,
    ("listAllRepositories", 200): _LISTED,
    ("getRepository", 200): (
        _Named({**_HERE, **_VERSIONED}, ("updateRepository", "patchRepository", "deleteRepository")),
    ),
    ("updateRepository", 200): (_REPOSITORY, _MADE),
    ("patchRepository", 200): (_REPOSITORY, _MADE),
    ("deleteRepository", 204): (_Named(_HERE, ("getRepository", "getHistory", "listTags")), _MADE),
    ("rollbackRepository", 200): (_REPOSITORY,),
    ("listTags", 200): (_Named({**_HERE, "tag": f"{_BODY}0/tag"}),),
    ("putTag", 201): (_Named({**_HERE, "tag": f"{_BODY}tag"}), _Named(_HERE, ("listTags", "listRegistryTags")), _MADE),
    ("deleteTag", 204): (_Named({**_HERE, "tag": "$request.path.tag"}, ("getTag",)), _MADE),
    ("getHistory", 200): (
        _COMMIT_IN_ROW,
        _Named(
            _HERE, ("rollbackRepository",), bodies={"rollbackRepository": {"commit": f"{_ROW}commit"}}
        ),
    ),
    ("createNamespace", 201): (_ORGANIZATION, _MADE),
    ("listNamespaces", 200): (_Named(_from(_ROW, "namespace")),),
    ("updateNamespace", 200): (_ORGANIZATION,),
    ("deleteNamespace", 204): (_Named(_from("$request.path.", "namespace"), ("getNamespace",)), _MADE),
    ("createProposal", 201): (_PROPOSAL,),
    ("updateProposal", 200): (_PROPOSAL,),
    ("listProposals", 200): (_Named(_from(_ROW, "number")),),
    ("reviewProposal", 200): (_Named({"number": f"{_BODY}number", "review": f"{_BODY}reviews/0/id"}), _PROPOSAL),
    ("mergeProposal", 200): (_MADE,),
    ("closeProposal", 200): (_Named({"number": f"{_BODY}number"}, ("reopenProposal",)),),
    ("listCommits", 200): (_COMMIT_IN_ROW,),
    ("revertCommit", 201): (_MADE,),
    ("createUser", 201): (_Named({"user": f"{_BODY}name"}),),
    ("listUsers", 200): (_Named({"user": f"{_ROW}name"}),),
    ("deleteUser", 204): (_Named(_from("$request.path.", "user"), ("getUser",)),),
    ("createToken", 201): (_Named({"token": f"{_BODY}id"}),),
    ("listMyTokens", 200): (_Named({"token": f"{_ROW}id"}),),
}  # fmt: skip


def links(operation: Operation, status: int, operations: Iterable[Operation]) -> dict[str, Any]:
    """Link objects by name, for one reply of an operation; `operations` are those that they may lead to."""
    found: dict[str, Any] = {}
    for named in _LINKS.get((operation.id, status), ()):
        for target in operations:
            if target.id not in named.calls and (named.calls or not _is_on(target, named.parameters)):
                continue
            link: dict[str, Any] = {"operationId": target.id, "parameters": dict(named.parameters)}
            if target.id in named.bodies:
                link["requestBody"] = named.bodies[target.id]
            found[target.id] = link
    return found


def _is_on(target: Operation, parameters: Mapping[str, str]) -> bool:
    return set(_PATH_PARAMETER.findall(target.path)) == set(parameters)
