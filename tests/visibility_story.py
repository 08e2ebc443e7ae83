"""What happens to a catalog in the tests of visibility: writes by an admin and by hands, each with markers of its own.

A **marker** is a text that nothing else has, so that whoever is shown it has seen the version that it was written in.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from falcon import testing

from catalogd.accounts import Accounts
from catalogd.activity import Activity
from catalogd.catalog import Catalog
from catalogd.settings import Settings
from catalogd.state import State
from catalogd.store import Store
from catalogd.web.app import make_app
from catalogd.web.metrics import Metrics

Name = tuple[str, str]

TEAM, OWN = "team", "nina"
REPOSITORIES: tuple[Name, ...] = ((TEAM, "qv-alpha"), (TEAM, "qv-beta"), (OWN, "qv-gamma"))
FIELDS = ("description", "full_description", "labels", "build_config")
ROLES = ("readers", "writers", "owners")

MARKER = re.compile(r"mk\d{4}[a-z]")
REPO_NAME = re.compile(r"qv-[a-z]+")
IMAGE = "a4002247cb22e78c8d9ffeccdf7ea23d7763f53493d4d763cb4dbe58bf3566b5"


class Story:
    """A catalog with the organization `team`, and the callers that look at it.

    olga owns the team, mia's role in it changes, nina has a namespace of her own, and sam is a stranger to both.
    """

    def __init__(self, root: Path, catalog: Catalog, accounts: Accounts, activity: Activity):
        self.root = root
        self.catalog = catalog
        self.activity = activity
        self.client = testing.TestClient(
            make_app(catalog, accounts, activity, Settings(), Metrics(catalog.health)),
        )
        self.stars: set[tuple[str, Name]] = set()
        self._numbers = itertools.count()
        self._tokens: dict[str, str] = {}
        for user in ("ada", "bea", "olga", "mia", "nina", "sam"):
            accounts.add_user(user, is_admin=user in ("ada", "bea"))
            self._tokens[user] = accounts.create_token(user)[0]
        self._tokens["olga's registry"] = accounts.create_token("olga", scopes=("registry",))[0]
        self._tokens["approver"] = accounts.create_token("bea", scopes=("write", "admin"))[0]
        self._tokens["admin"] = accounts.create_token("ada", scopes=("write", "admin"))[0]
        self._write("POST", "/v1/namespaces", {"namespace": TEAM, "owners": ["olga"]})

    def headers(self, who: str | None) -> dict[str, str]:
        return {} if who is None else {"Authorization": f"Token {self._tokens[who]}"}

    # What happens. Each makes one commit at most.

    def write(self, name: Name, fields: Collection[str] = (), is_public: bool | None = None) -> None:
        """Creates it or changes it; with another visibility, if that is said."""
        body: dict[str, object] = self._marked(fields)
        if is_public is not None:
            body["is_public"] = is_public
        if self.is_there(name):
            self._write("PUT", path_of(name), body, may_fail=True)  # a hand may have broken it
        else:
            self._write("POST", f"/v1/repositories/{name[0]}", {"repo_name": name[1], **body})

    def delete(self, name: Name) -> None:
        self._write("DELETE", path_of(name), may_fail=True)

    def tag(self, name: Name) -> None:
        self._write("PUT", f"{path_of(name)}/tags/{self.marker('t')}", {"image_id": IMAGE}, may_fail=True)

    def untag(self, name: Name) -> None:
        """Takes away the first tag."""
        tags = self.client.simulate_get(f"{path_of(name)}/tags", headers=self.headers("admin")).json
        if isinstance(tags, list) and tags:
            self._write("DELETE", f"{path_of(name)}/tags/{tags[0]['tag']}", may_fail=True)

    def roll_back(self, name: Name, commit: str) -> None:
        self._write("POST", f"{path_of(name)}/rollback", {"commit": commit}, may_fail=True)

    def revert(self, commit: str) -> None:
        self._write("POST", f"/v1/commits/{commit}/revert", may_fail=True)

    def give_mia(self, role: str | None) -> None:
        """mia has this role in the team, and no other."""
        members = {name: ["mia"] if name == role else [] for name in ROLES}
        members["owners"] = sorted([*members["owners"], "olga"])
        self._write("PUT", f"/v1/namespaces/{TEAM}", members, may_fail=True)

    def star(self, user: str, name: Name) -> None:
        reply = self.client.simulate_put(f"{path_of(name)}/star", headers=self.headers(user))
        if reply.status_code == 204:
            self.stars.add((user, name))

    def propose(self, name: Name, fields: Collection[str] = (), is_public: bool | None = None) -> None:
        """As write(), if somebody merges it; its title names it and has a marker of its own."""
        flag = {} if is_public is None else {"is_public": is_public}
        change = {"namespace": name[0], "repo_name": name[1], "document": self._marked(fields) | flag}
        body = {"title": f"Change {name[1]}: {self.marker('p')}", "changes": [change]}
        self._write("POST", "/v1/proposals", body, may_fail=True)

    def merge(self) -> None:
        """The newest proposal, if nothing but an approval keeps it."""
        open_ones = self.client.simulate_get("/v1/proposals", headers=self.headers("admin")).json["results"]
        for proposal in open_ones[:1]:
            path = f"/v1/proposals/{proposal['number']}"
            review = {"verdict": "approve", "head": proposal["head"]}
            self._write("POST", f"{path}/reviews", review, who="approver")
            self._write("POST", f"{path}/merge", may_fail=True)

    def fold(self) -> None:
        self.activity.fold()

    def commit_by_hand(self, names: Sequence[Name], fields: Collection[str], is_public: bool | None) -> None:
        """One commit that changes those of them that are there; its message names them and has a marker of its own."""
        names = [name for name in names if self.is_there(name) and self._is_sound(name)]
        for name in names:
            document = json.loads(self._file(name).read_text()) | self._marked({*fields, "description"})
            if is_public is not None:
                document["is_public"] = is_public
            self._file(name).write_text(json.dumps(document, indent=2) + "\n")
        self._commit(f"Change {' and '.join(repo_name for _, repo_name in names)}: {self.marker('m')}")

    def break_by_hand(self, name: Name) -> None:
        """What was a document is none any more, and has a marker."""
        if self.is_there(name):
            self._file(name).write_text(f'{{"description": "{self.marker("x")}",\n')
            self._commit(f"Break it: {self.marker('m')}")

    # What it stands on

    def is_there(self, name: Name) -> bool:
        return self._file(name).exists()

    def _is_sound(self, name: Name) -> bool:
        """Whether no hand has broken it."""
        return self._file(name).read_text().endswith("}\n")

    def marker(self, kind: str) -> str:
        return f"mk{next(self._numbers):04}{kind}"

    def git(self, *arguments: str) -> str:
        """git as a hand runs it; the hooks' own checks are left out, as they start a Python each."""
        return subprocess.run(
            ["git", "-c", "catalogd.python=/bin/true", *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {f"GIT_{who}_{what}": "hand@example.org" for who in ("AUTHOR", "COMMITTER")
                              for what in ("NAME", "EMAIL")},
        ).stdout  # fmt: skip

    def _marked(self, fields: Collection[str]) -> dict[str, object]:
        made = {
            "description": self.marker("d"),
            "full_description": self.marker("f"),
            "labels": {self.marker("k"): self.marker("v")},
            "build_config": {"code_repo_client": "Simple", "tag_configs": {self.marker("b"): {"branch": "main"}}},
        }
        return {field: value for field, value in made.items() if field in fields}

    def _file(self, name: Name) -> Path:
        return self.root / "data" / name[0] / f"{name[1]}.json"

    def _commit(self, message: str) -> None:
        self.catalog.follow_index()
        if self.git("status", "--porcelain", "data"):
            self.git("commit", "-qm", message, "--", "data")

    def _write(
        self, method: str, path: str, body: object = None, *, may_fail: bool = False, who: str = "admin"
    ) -> None:
        reply = self.client.simulate_request(method, path, json=body, headers=self.headers(who))
        assert reply.status_code < 300 or (may_fail and reply.status_code in (404, 409, 422)), reply.text


def path_of(name: Name) -> str:
    return f"/v1/repositories/{name[0]}/{name[1]}"


@contextmanager
def a_story(directory: Path) -> Iterator[Story]:
    """A story that begins: nothing has happened yet."""
    root = directory / "catalog"
    Store.create(root)
    catalog = Catalog.open(root)
    try:
        with State(directory / "state.db") as state:
            activity = Activity(catalog, state)
            yield Story(root, catalog, Accounts(state, email_domain="users.example.org"), activity)
    finally:
        catalog.close()
