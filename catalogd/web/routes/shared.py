"""What the tables of calls share: sections, statuses of errors, replies."""

from __future__ import annotations

from catalogd.web.bodies import JSON
from catalogd.web.operation import Reply

REPOSITORIES, TAGS, HISTORY, STARS = "Repositories", "Tags", "History", "Stars"
NAMESPACES, PROPOSALS, COMMITS, GIT = "Namespaces", "Proposals", "The catalog", "Git"
REGISTRY, ACCOUNT, USERS, SERVER = "The registry", "The account", "Users", "The server"
SECTIONS = {
    REPOSITORIES: "Image repositories: one JSON document each.",
    TAGS: "The tags of a repository and the images they stand for.",
    HISTORY: "What became of one repository. Every change is a commit, and every state can be had again.",
    STARS: "What a user likes to find again.",
    NAMESPACES: "Organizations: namespaces with members, who stand in a document of the catalog. A user's own name is "
    "a namespace too, which needs no document.",
    PROPOSALS: "Edits that others look at before they are made. Who may read may propose.\n\n"
    "To propose is to send merge patches of one document or many. The proposal then says what does not fit the catalog "
    "yet (`checks`), whose approval is missing (`required`), and all that keeps it from being merged (`why_not`). Its "
    "author revises it, with other `changes`, as often as need be.\n\n"
    "Each revision has a `head`, the id of a commit. A review, and a merge if it likes, say which head they mean; so "
    "nothing comes in that nobody has looked at. Approvals of owners and admins count while the head is the same. A "
    "request for changes blocks until its reviewer approves, or another owner dismisses it.\n\n"
    "To merge is to make one commit on main as it is then, field by field. A field that main has changed too, "
    "otherwise, is a conflict, shown with both values; a revision says in `resolve` which of them to take.\n\n"
    "How many approvals a namespace asks for, and what of it is changed by proposals only, stands in `policy.json` in "
    "the catalog. Who may not read all that a proposal touches does not see the proposal. Replicas have none.",
    COMMITS: "Commits over all repositories, and a feed to follow them.",
    GIT: "The catalog as a git repository, for git itself.",
    REGISTRY: "What a container registry tells and asks, and what its clients look for.",
    ACCOUNT: "The account of the caller: password and tokens.",
    USERS: "All accounts, for admins.",
    SERVER: "For operators and tools. All but those on `/v1/sync` need no credentials.",
}

READ = (400, 401, 404)
WRITE = (400, 401, 403, 404, 409, 413, 415, 422, 503, 507)
# What makes something anew finds nothing missing.
CREATE = tuple(status for status in WRITE if status != 404)
CONDITIONAL = (*WRITE, 412)
BODILESS = (400, 401, 403, 404, 409, 503, 507)
# Of what concerns accounts: the state database may be out of reach.
ACCOUNTS_READ = (400, 401, 403, 404, 503)

VERSIONED = ("Catalog-Commit", "ETag")
COMMITTED = ("Catalog-Commit",)
PAGED = ("Catalog-Commit", "Link")


def json_reply(status: int, description: str, schema: str, headers: tuple[str, ...] = COMMITTED) -> Reply:
    return Reply(status, description, {JSON: schema}, headers)


NOT_MODIFIED = Reply(304, "The caller has this version already.", {}, VERSIONED)
SAME_FILE = Reply(304, "The caller has it already.", {}, ("ETag",))
GONE = Reply(204, "It is gone.", {}, COMMITTED)
