"""The calls on the catalog as a whole, and on the server."""

from __future__ import annotations

from catalogd import rights
from catalogd.web.bodies import JSON
from catalogd.web.metrics import CONTENT_TYPE
from catalogd.web.operation import Operation, Reply
from catalogd.web.parameters import PAGING, SINCE
from catalogd.web.representations import DEFAULT_LOGO
from catalogd.web.routes.shared import BODILESS, COMMITS, COMMITTED, PAGED, READ, SERVER, json_reply

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/v1/commits",
        "listCommits",
        rights.LIST,
        "commits.list",
        COMMITS,
        "List the commits of the catalog",
        "Newest first. Changes to repositories that the caller may not read are left out.",
        (json_reply(200, "One page.", "CommitPage", PAGED),),
        READ,
        parameters=PAGING,
    ),
    Operation(
        "GET",
        "/v1/commits/{commit}",
        "getCommit",
        rights.LIST,
        "commits.read",
        COMMITS,
        "Read one commit",
        "With what it changed, field by field; `count` is of all changes, of which a page is shown.",
        (json_reply(200, "The commit.", "Commit", PAGED),),
        READ,
        parameters=PAGING,
    ),
    Operation(
        "POST",
        "/v1/commits/{commit}/revert",
        "revertCommit",
        rights.OWN,
        "commits.revert",
        COMMITS,
        "Undo one commit",
        "In a new commit. If later commits changed the same fields, a 409 names them.",
        (json_reply(201, "The commit that undoes it.", "Commit", (*COMMITTED, "Location")),),
        (*BODILESS, 413, 415, 422),
        writes=True,
    ),
    Operation(
        "GET",
        "/v1/changes",
        "listChanges",
        rights.LIST,
        "commits.changes",
        COMMITS,
        "What changed after a commit",
        "The repositories whose documents differ between `since` and now, each once; the document is null "
        "where it is gone. A `since` that is not known is a 410: list all repositories then, and go on from "
        "the `Catalog-Commit` of that list.",
        (json_reply(200, "The changes.", "Changes"),),
        (*READ, 410),
        parameters=(SINCE,),
    ),
    Operation(
        "GET",
        "/v1/sync",
        "getSync",
        rights.ADMINISTER,
        "sync.show",
        SERVER,
        "What is known of the primary or the upstream",
        "As in `/healthz`, and with an upstream each field in conflict with its values. A server that has neither "
        "answers 409.",
        (json_reply(200, "What is known.", "SyncReport", ()),),
        (400, 401, 403, 409),
    ),
    Operation(
        "POST",
        "/v1/sync",
        "syncCatalog",
        rights.TELL,
        "sync.tell",
        SERVER,
        "Look at the primary or the upstream at once",
        "The server looks by itself too, but less often; many calls at once make one look. Takes "
        "the webhooks of forges: `X-Hub-Signature-256` of GitHub, `X-Gitea-Signature`, `X-Gitlab-Token`. What the body "
        "says does not matter. A server that has neither a primary nor an upstream answers 409.",
        (json_reply(202, "It looks.", "Sync", ()),),
        (400, 401, 403, 409, 413),
        writes=True,
        for_replicas=True,
    ),
    Operation(
        "GET",
        "/healthz",
        "getHealth",
        rights.OPEN,
        "operations.healthz",
        SERVER,
        "Whether the server is well",
        "200 while it can serve, 503 when it cannot.",
        (json_reply(200, "It serves.", "Health"), json_reply(503, "It cannot serve.", "Health")),
        (400,),
    ),
    Operation(
        "GET",
        "/metrics",
        "getMetrics",
        rights.OPEN,
        "operations.metrics",
        SERVER,
        "Metrics for Prometheus",
        "In its text format.",
        (Reply(200, "The metrics.", {CONTENT_TYPE.partition(";")[0]: {"type": "string"}}),),
        (400,),
    ),
    Operation(
        "GET",
        "/openapi.json",
        "getDescription",
        rights.OPEN,
        "operations.openapi",
        SERVER,
        "This description",
        "OpenAPI 3.1.",
        (Reply(200, "The description.", {JSON: {"type": "object"}}, ("ETag",)),),
        (400,),
    ),
    Operation(
        "GET",
        "/docs",
        "getDocs",
        rights.OPEN,
        "operations.docs",
        SERVER,
        "This description as a page",
        "To read it and to try it.",
        (Reply(200, "The page.", {"text/html": {"type": "string"}}, ("ETag",)),),
        (400,),
    ),
    Operation(
        "GET",
        DEFAULT_LOGO,
        "getDefaultLogo",
        rights.OPEN,
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
    ),
)
