"""Every call of the interface, once. Falcon's routes, the check of queries, `/openapi.json`, `/docs` and
docs/api.md come from this table.
"""

from __future__ import annotations

from catalogd.web.bodies import JSON, MERGE_PATCH
from catalogd.web.history import DIFF
from catalogd.web.metrics import CONTENT_TYPE
from catalogd.web.operation import Body, Operation, Reply
from catalogd.web.parameters import (
    AT,
    FROM,
    IS_PUBLIC,
    LABEL,
    NAMESPACE,
    ORDERING,
    PAGING,
    SEARCH,
    SINCE,
    TO,
)
from catalogd.web.representations import DEFAULT_LOGO

REPOSITORIES, TAGS, HISTORY, COMMITS, SERVER = "Repositories", "Tags", "History", "The catalog", "The server"
SECTIONS = {
    REPOSITORIES: "Image repositories: one JSON document each.",
    TAGS: "The tags of a repository and the images they stand for.",
    HISTORY: "What became of one repository. Every change is a commit, and every state can be had again.",
    COMMITS: "Commits over all repositories, and a feed to follow them.",
    SERVER: "For operators and tools. None of these needs credentials.",
}

_ALL = "/v1/repositories"
_NAMESPACE = f"{_ALL}/{{namespace}}"
_ONE = f"{_NAMESPACE}/{{repo_name}}"
_TAG = f"{_ONE}/tags/{{tag}}"

_READ = (400, 401, 404)
_WRITE = (400, 401, 403, 404, 409, 413, 415, 422, 503, 507)
_CONDITIONAL = (*_WRITE, 412)
_BODILESS = (400, 401, 403, 404, 409, 503, 507)

_IMAGE = "a4002247cb22e78c8d9ffeccdf7ea23d7763f53493d4d763cb4dbe58bf3566b5"
_COMMIT = "9fceb02d0ae598e95dc970b74767f19372d61af8"

_VERSIONED = ("Catalog-Commit", "ETag")
_COMMITTED = ("Catalog-Commit",)
_PAGED = ("Catalog-Commit", "Link")
_LISTED = (*PAGING, SEARCH, IS_PUBLIC, LABEL, ORDERING, AT)


def _json(status: int, description: str, schema: str, headers: tuple[str, ...] = _COMMITTED) -> Reply:
    return Reply(status, description, {JSON: schema}, headers)


_NOT_MODIFIED = Reply(304, "The caller has this version already.", {}, _VERSIONED)
_GONE = Reply(204, "It is gone.", {}, _COMMITTED)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        _NAMESPACE,
        "createRepository",
        "repositories.create",
        REPOSITORIES,
        "Create a repository",
        "`namespace` may be left out of the body, else it is that of the path. One that exists is a 409.",
        (_json(201, "Created.", "CreatedRepository", (*_VERSIONED, "Location")),),
        _WRITE,
        body=Body(
            "NewRepository",
            {
                "plain": {
                    "repo_name": "repo",
                    "description": "A repo docker image repository",
                    "namespace": "madams",
                    "is_public": True,
                },
                "automated": {
                    "repo_name": "site",
                    "description": "Built from a source",
                    "labels": {"team": "web"},
                    "build_config": {
                        "code_repo_client": "GitHub",
                        "code_repo_namespace": "madams",
                        "code_repo_name": "site",
                    },
                },
            },
        ),
        writes=True,
    ),
    Operation(
        "GET",
        _NAMESPACE,
        "listRepositories",
        "repositories.list_namespace",
        REPOSITORIES,
        "List the repositories of a namespace",
        "Those that the caller may read. A namespace without repositories is an empty list.",
        (_json(200, "One page.", "RepositoryPage", _PAGED),),
        _READ,
        parameters=_LISTED,
    ),
    Operation(
        "GET",
        _ALL,
        "listAllRepositories",
        "repositories.list_all",
        REPOSITORIES,
        "List repositories of all namespaces",
        "Those that the caller may read.",
        (_json(200, "One page.", "RepositoryPage", _PAGED),),
        _READ,
        parameters=(NAMESPACE, *_LISTED),
    ),
    Operation(
        "GET",
        _ONE,
        "getRepository",
        "repositories.detail",
        REPOSITORIES,
        "Read a repository",
        "All of it but its tags. The `ETag` is for `If-None-Match` here and for `If-Match` when writing.",
        (_json(200, "The repository.", "RepositoryDetail", _VERSIONED), _NOT_MODIFIED),
        _READ,
        parameters=(AT,),
        headers=("If-None-Match",),
    ),
    Operation(
        "PUT",
        _ONE,
        "updateRepository",
        "repositories.update",
        REPOSITORIES,
        "Update a repository",
        "Fields that are left out keep their value. Unknown, derived and read-only fields are a 422. If "
        "nothing changes, no commit is made.",
        (_json(200, "Updated.", "UpdatedRepository", _VERSIONED),),
        _CONDITIONAL,
        headers=("If-Match",),
        body=Body("RepositoryUpdate", {"description": {"description": "A better description"}}),
        writes=True,
    ),
    Operation(
        "PATCH",
        _ONE,
        "patchRepository",
        "repositories.patch",
        REPOSITORIES,
        "Update a repository by merge patch",
        "RFC 7396: objects are merged, null removes.",
        (_json(200, "Updated.", "UpdatedRepository", _VERSIONED),),
        _CONDITIONAL,
        headers=("If-Match",),
        body=Body(
            "RepositoryPatch",
            {"label": {"labels": {"team": "web", "old": None}}},
            (MERGE_PATCH, JSON),
        ),
        writes=True,
    ),
    Operation(
        "DELETE",
        _ONE,
        "deleteRepository",
        "repositories.delete",
        REPOSITORIES,
        "Delete a repository",
        "Its history stays, and a rollback brings it back.",
        (_GONE,),
        (*_BODILESS, 412),
        headers=("If-Match",),
        writes=True,
    ),
    Operation(
        "POST",
        f"{_ONE}/tag-configs-merge",
        "mergeTagConfigs",
        "repositories.merge_tag_configs",
        REPOSITORIES,
        "Merge into the tag settings of an automated repository",
        "The body is merged into `build_config.tag_configs`.",
        (_json(200, "The repository as it is now.", "RepositoryDetail", _VERSIONED),),
        _CONDITIONAL,
        headers=("If-Match",),
        body=Body("TagConfigs", {"one": {"latest": {"branch": "main", "dockerfile_location": "/"}}}),
        writes=True,
    ),
    Operation(
        "GET",
        f"{_ONE}/tags",
        "listTags",
        "tags.list",
        TAGS,
        "List the tags of a repository",
        "All of them, sorted, as a bare array.",
        (_json(200, "The tags.", "TagList", _VERSIONED), _NOT_MODIFIED),
        _READ,
        parameters=(AT,),
        headers=("If-None-Match",),
    ),
    Operation(
        "GET",
        _TAG,
        "getTag",
        "tags.read",
        TAGS,
        "Read one tag",
        "The image that it stands for, and what else is known of it.",
        (_json(200, "The tag.", "Tag"),),
        _READ,
        parameters=(AT,),
    ),
    Operation(
        "PUT",
        _TAG,
        "putTag",
        "tags.put",
        TAGS,
        "Set one tag",
        "Creates the tag or makes it stand for another image.",
        (
            _json(201, "Created.", "Tag", (*_COMMITTED, "Location")),
            _json(200, "Changed, or so already.", "Tag"),
        ),
        _CONDITIONAL,
        headers=("If-Match",),
        body=Body("NewTag", {"image": {"image_id": _IMAGE, "architectures": ["amd64"]}}),
        writes=True,
    ),
    Operation(
        "DELETE",
        _TAG,
        "deleteTag",
        "tags.delete",
        TAGS,
        "Delete one tag",
        "The image itself is not touched.",
        (_GONE,),
        (*_BODILESS, 412),
        headers=("If-Match",),
        writes=True,
    ),
    Operation(
        "GET",
        f"{_ONE}/history",
        "getHistory",
        "history.list",
        HISTORY,
        "List the commits that changed a repository",
        "Newest first; also of a repository that is deleted.",
        (_json(200, "One page.", "HistoryPage", _PAGED),),
        _READ,
        parameters=PAGING,
    ),
    Operation(
        "GET",
        f"{_ONE}/diff",
        "diffRepository",
        "history.diff",
        HISTORY,
        "Compare two states of a repository",
        f"Field by field; with `Accept: {DIFF}`, as a unified diff of the files.",
        (Reply(200, "What differs.", {JSON: "Diff", DIFF: {"type": "string"}}, _COMMITTED),),
        _READ,
        parameters=(FROM, TO),
    ),
    Operation(
        "GET",
        f"{_ONE}/blame",
        "blameRepository",
        "history.blame",
        HISTORY,
        "Who last changed each field",
        "By JSON pointer of the field.",
        (_json(200, "The last change of each field.", "Blame"),),
        _READ,
    ),
    Operation(
        "POST",
        f"{_ONE}/rollback",
        "rollbackRepository",
        "history.rollback",
        HISTORY,
        "Bring back an earlier state",
        "The document becomes what it was at that commit, in a new commit. Restores a deleted repository. "
        "Counters stay.",
        (_json(200, "The repository as it is now.", "RepositoryDetail", _VERSIONED),),
        _CONDITIONAL,
        headers=("If-Match",),
        body=Body("Rollback", {"commit": {"commit": _COMMIT}}),
        writes=True,
    ),
    Operation(
        "GET",
        "/v1/commits",
        "listCommits",
        "commits.list",
        COMMITS,
        "List the commits of the catalog",
        "Newest first. Changes to repositories that the caller may not read are left out.",
        (_json(200, "One page.", "CommitPage", _PAGED),),
        _READ,
        parameters=PAGING,
    ),
    Operation(
        "GET",
        "/v1/commits/{commit}",
        "getCommit",
        "commits.read",
        COMMITS,
        "Read one commit",
        "With what it changed, field by field; `count` is of all changes, of which a page is shown.",
        (_json(200, "The commit.", "Commit", _PAGED),),
        _READ,
        parameters=PAGING,
    ),
    Operation(
        "POST",
        "/v1/commits/{commit}/revert",
        "revertCommit",
        "commits.revert",
        COMMITS,
        "Undo one commit",
        "In a new commit. If later commits changed the same fields, a 409 names them.",
        (_json(201, "The commit that undoes it.", "Commit", (*_COMMITTED, "Location")),),
        (*_BODILESS, 413, 415, 422),
        writes=True,
    ),
    Operation(
        "GET",
        "/v1/changes",
        "listChanges",
        "commits.changes",
        COMMITS,
        "What changed after a commit",
        "The repositories whose documents differ between `since` and now, each once; the document is null "
        "where it is gone. A `since` that is not known is a 410: list all repositories then, and go on from "
        "the `Catalog-Commit` of that list.",
        (_json(200, "The changes.", "Changes"),),
        (*_READ, 410),
        parameters=(SINCE,),
    ),
    Operation(
        "GET",
        "/healthz",
        "getHealth",
        "operations.healthz",
        SERVER,
        "Whether the server is well",
        "200 while it can serve, 503 when it cannot.",
        (_json(200, "It serves.", "Health"), _json(503, "It cannot serve.", "Health")),
        (400,),
        authenticated=False,
    ),
    Operation(
        "GET",
        "/metrics",
        "getMetrics",
        "operations.metrics",
        SERVER,
        "Metrics for Prometheus",
        "In its text format.",
        (Reply(200, "The metrics.", {CONTENT_TYPE.partition(";")[0]: {"type": "string"}}),),
        (400,),
        authenticated=False,
    ),
    Operation(
        "GET",
        "/openapi.json",
        "getDescription",
        "operations.openapi",
        SERVER,
        "This description",
        "OpenAPI 3.1.",
        (Reply(200, "The description.", {JSON: {"type": "object"}}, ("ETag",)),),
        (400,),
        authenticated=False,
    ),
    Operation(
        "GET",
        "/docs",
        "getDocs",
        "operations.docs",
        SERVER,
        "This description as a page",
        "To read it and to try it.",
        (Reply(200, "The page.", {"text/html": {"type": "string"}}, ("ETag",)),),
        (400,),
        authenticated=False,
    ),
    Operation(
        "GET",
        DEFAULT_LOGO,
        "getDefaultLogo",
        "operations.logo",
        SERVER,
        "The logo of repositories without one",
        "A small PNG.",
        (
            Reply(
                200,
                "The image.",
                {"image/png": {"type": "string", "contentMediaType": "image/png"}},
                ("ETag",),
            ),
        ),
        (400,),
        authenticated=False,
    ),
)
