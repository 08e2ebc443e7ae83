"""A catalog, its accounts and its proposals, as their use cases see them; callers by name."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from catalogd.accounts import Account, Accounts
from catalogd.catalog import Caller, Catalog
from catalogd.people import People
from catalogd.proposals import Proposals, View
from catalogd.sample import sample_files
from catalogd.state import State
from catalogd.store import Store

USERS = ("ada", "bert", "rita", "sten", "olga", "will")
ADMINS = ("root", "rule")


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


class ReviewSite:
    """acme is owned by ada and bert, has the writer will and the reader rita; other is olga's; sten has no role."""

    def __init__(self, root: Path):
        """A new one, or what one has left there."""
        self.root = root
        if root.exists():
            self.open()
            return
        Store.create(root)
        self.open()
        schemas = {path: data for path, data in sample_files().items() if path.startswith("schemas/")}
        self.catalog.begin(self.as_("root"), schemas or {"README.md": b"A catalog.\n"})
        for user in (*USERS, *ADMINS):
            self.accounts.add_user(user, email=f"{user}@example.org", is_admin=user in ADMINS, password=None)
        acme = {"namespace": "acme", "owners": ["ada", "bert"], "writers": ["will"], "readers": ["rita"]}
        for organization in (acme, {"namespace": "other", "owners": ["olga"]}):
            self.people.create_organization(self.as_("root"), organization)
        self.catalog.create(self.as_("ada"), "acme", {"repo_name": "web", "description": "old", "labels": {"a": "1"}})
        self.catalog.create(self.as_("ada"), "acme", {"repo_name": "secret", "is_public": False})
        self.catalog.create(self.as_("olga"), "other", {"repo_name": "db", "description": "data"})

    def open(self) -> None:
        self.catalog = Catalog.open(self.root)
        self.state = State(self.root / ".git" / "catalogd" / "state.db")
        self.accounts = Accounts(self.state, email_domain="example.org")
        self.people = People(self.catalog, self.accounts)
        self.proposals = Proposals(self.catalog, self.people)

    def close(self) -> None:
        self.catalog.close()
        self.state.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def as_(self, name: str, namespace: str | None = None) -> Caller:
        is_admin = name in ADMINS
        scopes = frozenset({"read", "write", *(["admin"] if is_admin else [])})
        return Caller(Account(name, f"{name}@example.org", is_admin, scopes, namespace), f"request-of-{name}")

    def propose(self, who: str, *changes: dict, title: str = "A change") -> View:
        return self.proposals.open(self.as_(who), {"title": title, "changes": list(changes)})

    def review(self, who: str, view: View, verdict: str, comment: str = "words") -> View:
        body = {"verdict": verdict, "comment": comment, "head": view.proposal.head}
        return self.proposals.review(self.as_(who), view.proposal.number, body)

    def approve(self, who: str, view: View) -> View:
        return self.review(who, view, "approve")

    def merge(self, who: str, view: View) -> View:
        return self.proposals.merge(self.as_(who), view.proposal.number)

    def seen(self, who: str, view: View) -> View:
        return self.proposals.get(self.as_(who), view.proposal.number)

    def document(self, namespace: str = "acme", repo_name: str = "web") -> dict[str, Any]:
        return self.catalog.detail(self.as_("root"), namespace, repo_name).document

    def update(self, who: str, namespace: str = "acme", repo_name: str = "web", **fields: object) -> None:
        self.catalog.update(self.as_(who), namespace, repo_name, fields, patch=True)

    def commit_by_hand(self, path: str, content: str, message: str = "By hand") -> None:
        """What an operator does in the catalog itself, whatever its rules are."""
        self.catalog.follow_index()
        (self.root / path).write_text(content)
        git(self.root, "add", path)
        who = ("-c", "user.name=Hand", "-c", "user.email=hand@example.org", "-c", "core.hooksPath=/dev/null")
        git(self.root, *who, "commit", "-qm", message)

    def log(self, form: str = "%B") -> list[str]:
        return git(self.root, "log", "-z", f"--format={form}", "main").strip("\0").split("\0")


def web(**document: object) -> dict:
    """A change of acme/web."""
    return change("acme", "web", **document)


def change(namespace: str, repo_name: str, **document: object) -> dict:
    return {"namespace": namespace, "repo_name": repo_name, "document": document}
