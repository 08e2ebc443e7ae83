"""The whole table of rights, walked: every call of the interface, made by everybody, on what is public and what is not.

The table stands here and is not made from the code: who changes who may do what has to say so twice. Each call is one
that would succeed, so that nothing but rights can refuse it. What a call has used up is made anew for the next one.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import argon2
import pytest
from falcon import testing
from web_site import IMAGE, OTHER_IMAGE, Site

from catalogd.state import State
from catalogd.web.routes import OPERATIONS

SECURITY = Path(__file__).parents[2] / "docs" / "security.md"
BY_ID = {operation.id: operation for operation in OPERATIONS}

# What each call answers. The target is what it is about: see World.target; "-" is nothing in particular. The columns
# are CALLERS, in their order.
TABLE = """\
                                   by role                 | owner: a scope  | admin: a scope      | confin. | password
operation           target         ano str rea wri own adm | rea wri reg cat | rea wri adm reg cat | her els | own adm

createRepository    team           401 403 403 201 201 201 | 403 201 403 403 | 403 201 201 403 403 | 201 403 | 201 201
createRepository    stranger's     401 201 403 403 403 201 | 403 403 403 403 | 403 201 201 403 403 | 403 403 | 403 201
listRepositories    team           200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
listAllRepositories -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getRepository       public         200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getRepository       private        404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
getRepository       own            404 200 404 404 404 200 | 404 404 404 404 | 200 200 200 404 404 | 404 404 | 404 200
getRepository       deleted        404 404 404 404 404 404 | 404 404 404 404 | 404 404 404 404 404 | 404 404 | 404 404
updateRepository    public         401 403 403 200 200 200 | 403 200 403 403 | 403 200 200 403 403 | 200 403 | 200 200
updateRepository    private        401 404 403 200 200 200 | 403 200 404 404 | 403 200 200 404 404 | 200 404 | 200 200
updateRepository    own            401 200 404 404 404 200 | 404 404 404 404 | 403 200 200 404 404 | 404 404 | 404 200
patchRepository     public         401 403 403 200 200 200 | 403 200 403 403 | 403 200 200 403 403 | 200 403 | 200 200
patchRepository     private        401 404 403 200 200 200 | 403 200 404 404 | 403 200 200 404 404 | 200 404 | 200 200
deleteRepository    public         401 403 403 403 204 204 | 403 204 403 403 | 403 204 204 403 403 | 204 403 | 204 204
deleteRepository    private        401 404 403 403 204 204 | 403 204 404 404 | 403 204 204 404 404 | 204 404 | 204 204
deleteRepository    own            401 204 404 404 404 204 | 404 404 404 404 | 403 204 204 404 404 | 404 404 | 404 204
mergeTagConfigs     public         401 403 403 200 200 200 | 403 200 403 403 | 403 200 200 403 403 | 200 403 | 200 200
mergeTagConfigs     private        401 404 403 200 200 200 | 403 200 404 404 | 403 200 200 404 404 | 200 404 | 200 200
listTags            public         200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
listTags            private        404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
getTag              public         200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getTag              private        404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
putTag              public         401 403 403 200 200 200 | 403 200 403 403 | 403 200 200 403 403 | 200 403 | 200 200
putTag              private        401 404 403 200 200 200 | 403 200 404 404 | 403 200 200 404 404 | 200 404 | 200 200
deleteTag           public         401 403 403 204 204 204 | 403 204 403 403 | 403 204 204 403 403 | 204 403 | 204 204
deleteTag           private        401 404 403 204 204 204 | 403 204 404 404 | 403 204 204 404 404 | 204 404 | 204 204
getHistory          public         200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getHistory          private        404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
getHistory          deleted        200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getHistory          deleted-secret 404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
diffRepository      public         200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
diffRepository      private        404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
diffRepository      deleted        200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
diffRepository      deleted-secret 404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
blameRepository     public         200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
blameRepository     private        404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
rollbackRepository  public         401 403 403 403 200 200 | 403 200 403 403 | 403 200 200 403 403 | 200 403 | 200 200
rollbackRepository  private        401 404 403 403 200 200 | 403 200 404 404 | 403 200 200 404 404 | 200 404 | 200 200
rollbackRepository  deleted        401 403 403 403 200 200 | 403 200 403 403 | 403 200 200 403 403 | 200 403 | 200 200
rollbackRepository  deleted-secret 401 404 403 403 200 200 | 403 200 404 404 | 403 200 200 404 404 | 200 404 | 200 200
starRepository      public         401 204 204 204 204 204 | 403 204 403 403 | 403 204 204 403 403 | 204 403 | 204 204
starRepository      private        401 404 204 204 204 204 | 403 204 404 404 | 403 204 204 404 404 | 204 404 | 204 204
unstarRepository    public         401 204 204 204 204 204 | 403 204 403 403 | 403 204 204 403 403 | 204 403 | 204 204
unstarRepository    private        401 404 204 204 204 204 | 403 204 404 404 | 403 204 204 404 404 | 204 404 | 204 204

listNamespaces      -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
createNamespace     -              401 403 403 403 403 201 | 403 403 403 403 | 403 403 201 403 403 | 403 403 | 403 201
getNamespace        team           200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
updateNamespace     team           401 403 403 403 200 200 | 403 200 403 403 | 403 200 200 403 403 | 403 403 | 200 200
patchNamespace      team           401 403 403 403 200 200 | 403 200 403 403 | 403 200 200 403 403 | 403 403 | 200 200
deleteNamespace     empty          401 403 403 403 204 204 | 403 204 403 403 | 403 204 204 403 403 | 403 403 | 204 204
getNamespaceHistory team           401 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200

createProposal      public         401 201 201 201 201 201 | 403 201 403 403 | 403 201 201 403 403 | 201 403 | 201 201
createProposal      private        401 404 201 201 201 201 | 403 201 403 403 | 403 201 201 403 403 | 201 403 | 201 201
createProposal      own            401 201 404 404 404 201 | 403 404 403 403 | 403 201 201 403 403 | 404 403 | 404 201
createProposal      new            401 404 201 201 201 201 | 403 201 403 403 | 403 201 201 403 403 | 201 403 | 201 201
createProposal      team           401 403 201 201 201 201 | 403 201 403 403 | 403 201 201 403 403 | 201 403 | 201 201
createProposal      policy         401 403 403 403 403 201 | 403 403 403 403 | 403 403 201 403 403 | 403 403 | 403 201
listProposals       -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getProposal         proposal       200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getProposal         hidden         404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
diffProposal        proposal       200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
diffProposal        hidden         404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
updateProposal      proposal       401 200 403 403 403 200 | 403 403 403 403 | 403 403 200 403 403 | 403 403 | 403 200
updateProposal      hidden         401 404 200 403 403 200 | 403 403 403 403 | 403 403 200 403 403 | 403 404 | 403 200
reviewProposal      proposal       401 403 200 200 200 200 | 403 200 403 403 | 403 200 200 403 403 | 403 403 | 200 200
reviewProposal      hidden         401 404 403 200 200 200 | 403 200 403 403 | 403 200 200 403 403 | 403 403 | 200 200
dismissReview       blocked        401 403 403 403 200 200 | 403 200 403 403 | 403 200 200 403 403 | 403 403 | 200 200
mergeProposal       proposal       401 200 403 200 200 200 | 403 200 403 403 | 403 200 200 403 403 | 200 403 | 200 200
mergeProposal       hidden         401 404 200 200 200 200 | 403 200 403 403 | 403 200 200 403 403 | 200 404 | 200 200
closeProposal       proposal       401 200 403 403 200 200 | 403 200 403 403 | 403 200 200 403 403 | 200 403 | 200 200
closeProposal       hidden         401 404 200 403 200 200 | 403 200 403 403 | 403 200 200 403 403 | 200 404 | 200 200
reopenProposal      closed         401 200 403 403 200 200 | 403 200 403 403 | 403 200 200 403 403 | 200 403 | 200 200

listCommits         -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getCommit           public         200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getCommit           private        404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
revertCommit        public         401 403 403 403 201 201 | 403 201 403 403 | 403 201 201 403 403 | 201 403 | 201 201
revertCommit        private        401 404 403 403 201 201 | 403 201 404 404 | 403 201 201 404 404 | 201 404 | 201 201
listChanges         public         200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200

getGitRefs          -              401 403 403 403 403 200 | 403 403 403 200 | 200 200 200 403 200 | 403 403 | 403 200
gitUploadPack       -              401 403 403 403 403 200 | 403 403 403 200 | 200 200 200 403 200 | 403 403 | 403 200
gitReceivePack      -              401 403 403 403 403 200 | 403 403 403 403 | 403 200 200 403 403 | 403 403 | 403 200
getProposalGitRefs  -              401 403 403 403 403 200 | 403 403 403 200 | 200 200 200 403 200 | 403 403 | 403 200
proposalGitUploadPack -            401 403 403 403 403 200 | 403 403 403 200 | 200 200 200 403 200 | 403 403 | 403 200
getPublicGitRefs    -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
publicGitUploadPack -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200

generateApiToken    -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getMe               -              401 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
listStarred         -              401 200 200 200 200 200 | 200 200 403 403 | 200 200 200 403 403 | 403 403 | 200 200
listMyTokens        -              401 200 200 200 200 200 | 200 200 403 403 | 200 200 200 403 403 | 403 403 | 200 200
changePassword      -              401 204 204 204 204 204 | 403 204 403 403 | 403 204 204 403 403 | 403 403 | 204 204
createToken         -              401 201 201 201 201 201 | 403 201 403 403 | 403 201 201 403 403 | 403 403 | 201 201
revokeToken         -              401 204 204 204 204 204 | 403 204 403 403 | 403 204 204 403 403 | 403 403 | 204 204

listUsers           -              401 403 403 403 403 200 | 403 403 403 403 | 403 403 200 403 403 | 403 403 | 403 200
createUser          -              401 403 403 403 403 201 | 403 403 403 403 | 403 403 201 403 403 | 403 403 | 403 201
getUser             -              401 403 403 403 403 200 | 403 403 403 403 | 403 403 200 403 403 | 403 403 | 403 200
updateUser          -              401 403 403 403 403 200 | 403 403 403 403 | 403 403 200 403 403 | 403 403 | 403 200
deleteUser          -              401 403 403 403 403 204 | 403 403 403 403 | 403 403 204 403 403 | 403 403 | 403 204

getSync             -              401 403 403 403 403 200 | 403 403 403 403 | 403 403 200 403 403 | 403 403 | 403 200
syncCatalog         -              401 403 403 403 403 202 | 403 403 403 403 | 403 403 202 403 403 | 403 403 | 403 202
takeRegistryEvents  -              401 403 403 403 403 403 | 403 403 202 403 | 403 403 403 202 403 | 403 403 | 403 202
getRegistryVersion  -              401 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
listRegistryNames   -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
listRegistryTags    public         200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
listRegistryTags    private        404 404 200 200 200 200 | 200 200 404 404 | 200 200 200 404 404 | 200 404 | 200 200
pingRegistry        -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
searchRegistry      -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200

getRegistryToken    -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
postRegistryToken   -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getHealth           -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getMetrics          -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getDescription      -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getDocs             -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
getDefaultLogo      -              200 200 200 200 200 200 | 200 200 200 200 | 200 200 200 200 200 | 200 200 | 200 200
"""


@dataclass(frozen=True)
class Row:
    """What one call answers each caller, by the caller's name."""

    operation: str
    target: str
    statuses: dict[str, int]

    def __str__(self) -> str:
        return f"{self.operation}-{self.target}"


@dataclass(frozen=True)
class Caller:
    """A column of the table: a user, and what the credentials are good for. Without scopes it is the password."""

    user: str | None
    scopes: tuple[str, ...] = ()
    confined: str | None = None


FULL = ("read", "write")
CALLERS = {
    "anonymous": Caller(None),
    "stranger": Caller("sten", FULL),
    "reader": Caller("rita", FULL),
    "writer": Caller("will", FULL),
    "owner": Caller("olga", FULL),
    "admin": Caller("ada", (*FULL, "admin")),
    **{f"owner, {scope}": Caller("olga", (scope,)) for scope in (*FULL, "registry", "catalog")},
    **{f"admin, {scope}": Caller("ada", (scope,)) for scope in (*FULL, "admin", "registry", "catalog")},
    "owner, confined here": Caller("olga", FULL, "here"),
    "owner, confined elsewhere": Caller("olga", FULL, "elsewhere"),
    "owner, password": Caller("olga"),
    "admin, password": Caller("ada"),
}
# The first columns differ in the role, the others in the credentials of an owner and an admin.
ROLES = dict(itertools.islice(CALLERS.items(), 6))
CREDENTIALS = {name: caller for name, caller in CALLERS.items() if name not in ROLES}
USERS = ("ada", "olga", "will", "rita", "sten")
MEMBERS = {"readers": ["rita"], "writers": ["will"], "owners": ["olga"]}

PASSWORD = "correct horse battery"
# As cheap as Argon2 can be: the walk logs in a hundred times, and it is no test of passwords.
CHEAP_HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


def rows() -> Iterator[Row]:
    for line in TABLE.splitlines()[2:]:
        operation, target, *statuses = line.replace("|", " ").split() or ("", "")
        if operation:
            yield Row(operation, target, dict(zip(CALLERS, map(int, statuses), strict=True)))


ROWS = list(rows())
NOT_THERE = "0" * 40
NO_REPOSITORY, POLICY = "none", "policy.json"


# --- what the calls are about


@dataclass(frozen=True)
class Target:
    """What a call is about: a namespace, and perhaps a repository, its first commit and its last, and a proposal."""

    namespace: str
    repo_name: str = NO_REPOSITORY
    first: str = NOT_THERE
    last: str = NOT_THERE
    # Of a proposal: which, and its head.
    number: int = 0
    head: str = NOT_THERE


class World:
    """A catalog with the organization `team`, a user in each role there, and what the calls are about."""

    def __init__(self, site: Site, state: State):
        self.site = site
        self.state = state
        self._numbers = itertools.count()
        self._tokens: dict[tuple[Caller, str | None], str] = {}
        self._targets: dict[str, Target] = {}
        for user in USERS:
            site.accounts.add_user(user, is_admin=user == "ada")
        self.reset_passwords()
        self._organization("team")

    # Callers

    def headers(self, caller: Caller, namespace: str) -> dict[str, str]:
        if caller.user is None:
            return {}
        if not caller.scopes:
            return {"Authorization": f"Basic {basic(caller.user, PASSWORD)}"}
        return {"Authorization": f"Token {self._token(caller, namespace)}"}

    def reset_passwords(self) -> None:
        for user in USERS:
            self.state.set_password_hash(user, CHEAP_HASH)

    def _token(self, caller: Caller, namespace: str) -> str:
        confined = namespace if caller.confined == "here" else caller.confined
        if (caller, confined) not in self._tokens:
            made, _ = self.site.accounts.create_token(caller.user or "", scopes=caller.scopes, namespace=confined)
            self._tokens[caller, confined] = made
        return self._tokens[caller, confined]

    # Targets

    def target(self, name: str) -> Target:
        """The target of that name: as a call has left it that was refused, else a new one."""
        if name not in self._targets:
            self._targets[name] = self._made(name)
        return self._targets[name]

    def use_up(self, name: str) -> None:
        """A call has changed the target."""
        self._targets.pop(name, None)

    def new_name(self) -> str:
        return f"n{next(self._numbers):04}"

    def _made(self, name: str) -> Target:
        if name in ("-", "team"):
            return Target("team")
        if name in ("policy", "new"):
            return Target("team", POLICY if name == "policy" else self.new_name())
        if name in ("proposal", "hidden", "blocked", "closed"):
            return self._proposal(name)
        if name == "stranger's":
            return Target("sten")
        if name == "empty":
            return Target(self._organization(self.new_name()))
        target = self._repository("sten" if name == "own" else "team", is_public=name in ("public", "deleted"))
        if name.startswith("deleted"):
            self.admin("DELETE", f"/v1/repositories/{target.namespace}/{target.repo_name}")
        return target

    def _repository(self, namespace: str, is_public: bool) -> Target:
        repo_name = self.new_name()
        path = f"/v1/repositories/{namespace}"
        first = self.admin("POST", path, {"repo_name": repo_name, "is_public": is_public})
        last = self.admin("PUT", f"{path}/{repo_name}/tags/v1", {"image_id": IMAGE})
        return Target(namespace, repo_name, commit_of(first), commit_of(last))

    def _proposal(self, name: str) -> Target:
        """Of the stranger, on what is public; a hidden one of the reader, on what is private. An admin approves it."""
        target = self._repository("team", is_public=name != "hidden")
        change = {"namespace": "team", "repo_name": target.repo_name, "document": {"description": "proposed"}}
        made = self._as("rita" if name == "hidden" else "sten", "", {"title": "Describe it", "changes": [change]})
        path, head = f"/{made.json['number']}", made.json["head"]
        if name == "blocked":
            self._as("rita", f"{path}/reviews", {"verdict": "request_changes", "comment": "Why?", "head": head})
        else:
            self.admin("POST", f"/v1/proposals{path}/reviews", {"verdict": "approve", "head": head})
        if name == "closed":
            self.admin("POST", f"/v1/proposals{path}/close")
        return replace(target, number=made.json["number"], head=head)

    def _as(self, user: str, path: str, body: object) -> testing.Result:
        """A call on proposals by a user."""
        headers = self.headers(Caller(user, FULL), "team")
        reply = self.site.anonymous.simulate_post(f"/v1/proposals{path}", json=body, headers=headers)
        assert reply.status_code < 300, reply.text
        return reply

    def _organization(self, namespace: str) -> str:
        self.admin("POST", "/v1/namespaces", {"namespace": namespace, **MEMBERS})
        return namespace

    def admin(self, method: str, path: str, body: object = None) -> testing.Result:
        reply = self.site.client.simulate_request(method, path, json=body)
        assert reply.status_code < 300, reply.text
        return reply

    # What calls change

    def contents(self) -> tuple[object, ...]:
        """What a call that is refused leaves as it is: main, proposals, how many users, tokens and stars there are."""
        users = [user.name for user in self.state.users()]
        stars = sum(len(self.state.starred(user)) for user in USERS)
        store = self.site.catalog.store
        return store.head(), store.proposals.head(), len(users), len(self.state.tokens()), stars


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def commit_of(reply: testing.Result) -> str:
    return reply.headers["catalog-commit"]


@pytest.fixture(scope="module")
def world(site: Site, state: State) -> World:
    return World(site, state)


# --- the calls


@dataclass(frozen=True)
class Call:
    """What is sent: the names in the path beside those of the target, the query, the body."""

    names: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    # In place of JSON.
    data: bytes | None = None
    content_type: str | None = None


Make = Callable[[World, Caller, Target], Call]


def plain(world: World, caller: Caller, target: Target) -> Call:
    return Call({"commit": target.last})


def with_body(**body: object) -> Make:
    return lambda world, caller, target: Call(body=body)


def with_new(member: str) -> Make:
    """A body of one member with a value that nothing had before."""
    return lambda world, caller, target: Call(body={member: world.new_name()})


def rollback(world: World, caller: Caller, target: Target) -> Call:
    return Call(body={"commit": target.first})


def token_to_make(world: World, caller: Caller, target: Target) -> Call:
    # Whoever may make tokens makes none that can do more.
    return Call(body={"scopes": [caller.scopes[-1] if caller.scopes else "write"]})


def token_to_revoke(world: World, caller: Caller, target: Target) -> Call:
    _, info = world.site.accounts.create_token(caller.user or "rita")
    return Call({"token": info.id})


def password(world: World, caller: Caller, target: Target) -> Call:
    world.reset_passwords()
    return Call(body={"current_password": PASSWORD, "password": PASSWORD})


def git_request(world: World, caller: Caller, target: Target) -> Call:
    return Call(data=b"0000", content_type="application/x-git-upload-pack-request")


def with_proposals(make: Make) -> Make:
    def made(world: World, caller: Caller, target: Target) -> Call:
        proposals = world.site.catalog.store.proposals
        with proposals.lock.held():
            proposals.begin()
        return make(world, caller, target)

    return made


def git_refs(world: World, caller: Caller, target: Target) -> Call:
    return Call(query={"service": "git-upload-pack"})


def a_push(world: World, caller: Caller, target: Target) -> Call:
    return Call(data=b"0000", content_type="application/x-git-receive-pack-request")


def login(world: World, caller: Caller, target: Target) -> Call:
    return Call(body={"username": caller.user or "rita", "password": PASSWORD})


def registry_login(world: World, caller: Caller, target: Target) -> Call:
    form = {"grant_type": "password", "username": caller.user or "rita", "password": PASSWORD}
    return Call(data=urlencode(form).encode(), content_type="application/x-www-form-urlencoded")


def a_proposal(world: World, caller: Caller, target: Target) -> Call:
    change: dict[str, Any] = {"namespace": target.namespace, "document": {"description": world.new_name()}}
    if target.repo_name == POLICY:
        change = {"policy": {"approvals": 2}}
    elif target.repo_name != NO_REPOSITORY:
        change["repo_name"] = target.repo_name
    return Call(body={"title": "Describe it", "changes": [change]})


def a_review(world: World, caller: Caller, target: Target) -> Call:
    return Call(body={"verdict": "approve", "head": target.head})


def a_user(world: World, caller: Caller, target: Target) -> Call:
    user = world.new_name()
    world.site.accounts.add_user(user)
    return Call({"user": user})


def a_user_to_change(world: World, caller: Caller, target: Target) -> Call:
    return replace(a_user(world, caller, target), body={"email": "new@example.org"})


# How each call is made that is more than its path.
CALLS: dict[str, Make] = {
    "createRepository": with_new("repo_name"),
    "updateRepository": with_new("description"),
    "patchRepository": with_new("description"),
    "mergeTagConfigs": with_body(latest={"branch": "main"}),
    "putTag": with_body(image_id=OTHER_IMAGE),
    "rollbackRepository": rollback,
    "createNamespace": with_new("namespace"),
    "updateNamespace": with_new("description"),
    "patchNamespace": with_new("description"),
    "createProposal": a_proposal,
    "updateProposal": with_new("title"),
    "reviewProposal": a_review,
    "listChanges": lambda world, caller, target: Call(query={"since": target.first}),
    "getGitRefs": git_refs,
    "getPublicGitRefs": git_refs,
    "getProposalGitRefs": with_proposals(git_refs),
    "gitUploadPack": git_request,
    "gitReceivePack": a_push,
    "proposalGitUploadPack": with_proposals(git_request),
    "publicGitUploadPack": git_request,
    "generateApiToken": login,
    "postRegistryToken": registry_login,
    "changePassword": password,
    "createToken": token_to_make,
    "revokeToken": token_to_revoke,
    "createUser": with_new("name"),
    "getUser": a_user,
    "takeRegistryEvents": with_body(events=[]),
    "updateUser": a_user_to_change,
    "deleteUser": a_user,
}


def make_call(world: World, operation: str, headers: dict[str, str], target: Target, call: Call) -> testing.Result:
    names = {
        "namespace": target.namespace,
        "repo_name": target.repo_name,
        "tag": "v1",
        "number": str(target.number),
        "review": "1",
        **call.names,
    }
    return world.site.anonymous.simulate_request(
        BY_ID[operation].method,
        BY_ID[operation].path.format_map(names),
        params=call.query,
        json=call.body,
        body=call.data,
        content_type=call.content_type,
        headers=headers,
    )


def walk(world: World, row: Row, callers: dict[str, Caller]) -> dict[str, int]:
    """What each caller is answered. Whoever is refused has changed nothing."""
    statuses = {}
    for name, caller in callers.items():
        target = world.target(row.target)
        call = CALLS.get(row.operation, plain)(world, caller, target)
        headers = world.headers(caller, target.namespace)
        before = world.contents()
        reply = make_call(world, row.operation, headers, target, call)
        statuses[name] = reply.status_code
        if reply.status_code >= 300:
            assert world.contents() == before, f"{name} was refused and has changed something: {reply.text}"
        elif BY_ID[row.operation].writes:
            world.use_up(row.target)
    return statuses


# --- the tests


def test_every_call_has_a_row_and_every_row_a_call() -> None:
    assert {row.operation for row in ROWS} == BY_ID.keys()


def test_no_row_is_there_twice() -> None:
    assert len({str(row) for row in ROWS}) == len(ROWS)


def test_a_call_on_a_repository_has_rows_for_public_and_private_ones() -> None:
    for operation in OPERATIONS:
        targets = {row.target for row in ROWS if row.operation == operation.id}
        assert "{repo_name}" not in operation.path or targets >= {"public", "private"}, operation.id


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize(
    "callers",
    [pytest.param(ROLES, id="by role"), pytest.param(CREDENTIALS, id="by credentials", marks=pytest.mark.slow)],
)
def test_each_caller_is_answered_as_the_table_says(world: World, row: Row, callers: dict[str, Caller]) -> None:
    assert walk(world, row, callers) == {name: row.statuses[name] for name in callers}


SAME_ID = {"X-Request-Id": "same"}
READ_OR_NOT = [row for row in ROWS if 404 in row.statuses.values() and row.target in ("private", "deleted-secret")]


@pytest.mark.parametrize("row", READ_OR_NOT, ids=str)
def test_what_one_may_not_read_is_refused_to_the_byte_as_what_is_not_there(world: World, row: Row) -> None:
    there = world.target(row.target)
    missing = Target(there.namespace, world.new_name(), there.first, NOT_THERE)
    for name in (name for name, status in row.statuses.items() if status == 404):
        caller = CALLERS[name]
        for one, other in zip(
            *(refusals(world, row.operation, caller, target) for target in (there, missing)), strict=True
        ):
            assert one == other, f"{name} can tell them apart"


def refusals(world: World, operation: str, caller: Caller, target: Target) -> Iterator[str]:
    call = CALLS.get(operation, plain)(world, caller, target)
    for variant in variants(operation, call, target):
        yield refusal(world, operation, caller, target, variant)


def variants(operation: str, call: Call, target: Target) -> Iterator[tuple[Call, dict[str, str]]]:
    """The call, and the same with what may be refused before, or after, the rights are looked at."""
    yield call, {}
    headers, parameters = BY_ID[operation].headers, [parameter.name for parameter in BY_ID[operation].parameters]
    for header in headers:
        yield call, {header: '"0123456789012345678901234567890123456789"'}
        yield call, {header: "*"}
    for name in {"at", "from", "to"} & set(parameters):
        for moment in (target.first, target.last, NOT_THERE, "2001-01-01T00:00:00Z", "2101-01-01T00:00:00Z"):
            yield replace(call, query={name: moment}), {}
    if "page" in parameters:
        yield replace(call, query={"page": "7"}), {}
    if BY_ID[operation].body:
        yield replace(call, body={"commit": NOT_THERE}), {}
        yield replace(call, body=["nonsense"]), {}


def refusal(world: World, operation: str, caller: Caller, target: Target, variant: tuple[Call, dict[str, str]]) -> str:
    """All of a reply, with the names of the request made alike."""
    call, headers = variant
    if "{commit}" in BY_ID[operation].path:
        call = replace(call, names={"commit": target.last})
    sent = {**SAME_ID, **world.headers(caller, target.namespace), **headers}
    reply = make_call(world, operation, sent, target, call)
    assert reply.status_code >= 400
    told = json.dumps([reply.status, sorted(reply.headers.items()), reply.text])
    return told.replace(target.repo_name, "NAME").replace(target.last, "COMMIT")


@pytest.mark.parametrize("digits", [7, 12, 40])
def test_a_commit_that_one_may_not_read_is_refused_as_none_also_by_its_first_digits(world: World, digits: int) -> None:
    private = world.target("private").last[:digits]
    missing = NOT_THERE[:digits]
    for commit in (private, private.upper()):
        replies = [world.site.anonymous.simulate_get(f"/v1/commits/{it}", headers=SAME_ID) for it in (commit, missing)]
        assert replies[0].text.replace(commit, missing) == replies[1].text


def by_namespace(reply: testing.Result) -> dict[str, Any]:
    return {row["namespace"]: row for row in reply.json["results"]}


def role_in_team(caller: Caller) -> str:
    return {"ada": "owner", "olga": "owner", "will": "writer", "rita": "reader"}[caller.user or ""]


# Each list, and the query by which the newest repository is on its first page; the feed begins where that was made.
LISTS = {
    "listRepositories": {"ordering": "-created_at"},
    "listAllRepositories": {"ordering": "-created_at"},
    "listCommits": {"page_size": "1"},
    "listChanges": {},
}


@pytest.mark.parametrize(("operation", "query"), LISTS.items())
def test_a_list_shows_what_is_private_to_those_who_may_read_it_and_to_no_others(
    world: World, operation: str, query: dict[str, str]
) -> None:
    (may_read,) = (row.statuses for row in ROWS if str(row) == "getRepository-private")
    world.use_up("private")
    target = world.target("private")
    call = Call(query=query if query else {"since": target.first})
    for name, caller in CALLERS.items():
        headers = world.headers(caller, target.namespace)
        reply = make_call(world, operation, headers, target, call)
        assert (target.repo_name in reply.text) == (may_read[name] == 200), name


@pytest.mark.parametrize("operation", ["listNamespaces", "getNamespace"])
def test_members_are_shown_to_members(world: World, operation: str) -> None:
    (may_read,) = (row.statuses for row in ROWS if str(row) == "getNamespaceHistory-team")
    for name, caller in CALLERS.items():
        reply = make_call(world, operation, world.headers(caller, "team"), Target("team"), Call())
        shown = reply.json if operation == "getNamespace" else by_namespace(reply)["team"]
        assert ("owners" in shown) == (may_read[name] == 200), name
        assert shown["role"] == (role_in_team(caller) if may_read[name] == 200 else None), name


def test_a_change_of_members_is_not_seen_by_others(world: World) -> None:
    path = "/v1/namespaces/team"
    before = world.site.anonymous.simulate_get(path, headers=SAME_ID)
    world.admin("PUT", path, {"readers": ["rita", "sten"]})
    after = world.site.anonymous.simulate_get(path, headers=SAME_ID)
    world.admin("PUT", path, MEMBERS)
    assert after.content == before.content
    assert {**after.headers, "catalog-commit": ""} == {**before.headers, "catalog-commit": ""}


def test_the_table_in_the_documentation_has_every_call() -> None:
    documented = SECURITY.read_text().partition("<!-- rights: generated -->\n")[2].partition("\n<!-- end -->")[0]
    for operation in OPERATIONS:
        assert documented.count(f"`{operation.method} {operation.path}`") == 1, operation.id
