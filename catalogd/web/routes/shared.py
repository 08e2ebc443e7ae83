"""What the tables of calls share: sections, statuses of errors, replies."""

from __future__ import annotations

from catalogd.web.bodies import JSON
from catalogd.web.operation import Reply

REPOSITORIES, TAGS, HISTORY, STARS = "Repositories", "Tags", "History", "Stars"
NAMESPACES, COMMITS, GIT = "Namespaces", "The catalog", "Git"
ACCOUNT, USERS, SERVER = "The account", "Users", "The server"
SECTIONS = {
    REPOSITORIES: "Image repositories: one JSON document each.",
    TAGS: "The tags of a repository and the images they stand for.",
    HISTORY: "What became of one repository. Every change is a commit, and every state can be had again.",
    STARS: "What a user likes to find again.",
    NAMESPACES: "Organizations: namespaces with members, who stand in a document of the catalog. A user's own name is "
    "a namespace too, which needs no document.",
    COMMITS: "Commits over all repositories, and a feed to follow them.",
    GIT: "The catalog as a git repository, for git itself.",
    ACCOUNT: "The account of the caller: password and tokens.",
    USERS: "All accounts, for admins.",
    SERVER: "For operators and tools. All but one need no credentials.",
}

READ = (400, 401, 404)
WRITE = (400, 401, 403, 404, 409, 413, 415, 422, 503, 507)
CONDITIONAL = (*WRITE, 412)
BODILESS = (400, 401, 403, 404, 409, 503, 507)
# Of what concerns accounts: the state database may be out of reach, or its disk full.
ACCOUNTS_READ = (400, 401, 403, 404, 503)
ACCOUNTS_WRITE = (*WRITE, 429)

VERSIONED = ("Catalog-Commit", "ETag")
COMMITTED = ("Catalog-Commit",)
PAGED = ("Catalog-Commit", "Link")


def json_reply(status: int, description: str, schema: str, headers: tuple[str, ...] = COMMITTED) -> Reply:
    return Reply(status, description, {JSON: schema}, headers)


NOT_MODIFIED = Reply(304, "The caller has this version already.", {}, VERSIONED)
GONE = Reply(204, "It is gone.", {}, COMMITTED)
