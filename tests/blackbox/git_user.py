"""Somebody with git, an empty home and perhaps a token."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from served_catalog import Served, environment

_NUMBERS = itertools.count(1)
EMAIL_DOMAIN = "users.noreply.catalogd.invalid"


class GitUser:
    """A user of a served catalog. Commits are in the user's own name unless git's environment says otherwise."""

    def __init__(self, served: Served, directory: Path, name: str = "admin", token: str | None = None):
        self.served = served
        self.directory = directory
        self.name = name
        self.token = token
        self.email = f"{name}@{EMAIL_DOMAIN}"

    def url(self, token: str | None = None, name: str | None = None, repository: str = "catalog") -> str:
        token, name = token or self.token, name or self.name
        credentials = f"{name}:{token}@" if token else ""
        return "http://{}{}:{}/{}.git".format(credentials, *self.served.address, repository)

    def environment(self, **more: str) -> dict[str, str]:
        me = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
              for what, value in (("NAME", self.name), ("EMAIL", self.email))}  # fmt: skip
        return {**environment(self.directory), **me, "GIT_TERMINAL_PROMPT": "0", **more}

    def run(self, *arguments: str, cwd: Path | None = None, stdin: bytes = b"", **env: str) -> tuple[int, str]:
        """(exit status, what git says)."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.directory,
            input=stdin,
            capture_output=True,
            env=self.environment(**env),
        )
        return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")

    def git(self, *arguments: str, check: bool = True, cwd: Path | None = None, stdin: bytes = b"", **env: str) -> str:
        status, said = self.run(*arguments, cwd=cwd, stdin=stdin, **env)
        assert not check or status == 0, f"git {' '.join(arguments)}: {said}"
        return said

    def clone(self, url: str | None = None, *options: str, version: int = 2, into: str = "") -> Clone:
        into = into or f"clone{next(_NUMBERS)}"
        self.git("-c", f"protocol.version={version}", "clone", "-q", *options, url or self.url(), into)
        return Clone(self, self.directory / into)


class Clone:
    """A user's clone of the catalog."""

    def __init__(self, user: GitUser, path: Path):
        self.user = user
        self.path = path

    def git(self, *arguments: str, check: bool = True, stdin: bytes = b"", **env: str) -> str:
        return self.user.git(*arguments, check=check, cwd=self.path, stdin=stdin, **env)

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    def write(self, path: str, content: Mapping[str, Any] | bytes | str) -> None:
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Mapping):
            content = json.dumps(content, indent=2) + "\n"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def read(self, path: str) -> dict[str, Any]:
        return json.loads((self.path / path).read_text())

    def edit(self, path: str, **fields: Any) -> None:
        """Set fields of a document; None removes one."""
        document = {**self.read(path), **fields}
        self.write(path, {key: value for key, value in document.items() if value is not None})

    def commit(self, message: str = "Edit", **env: str) -> str:
        """All that is there, as one commit. Its id."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, **env)
        return self.head

    def push(self, *arguments: str) -> tuple[bool, str]:
        """(whether it was taken, what was said)."""
        status, said = self.user.run("push", *(arguments or ("origin", "main")), cwd=self.path)
        return status == 0, said

    def pushes(self, *arguments: str) -> str:
        """Push, which must be taken. What was said."""
        taken, said = self.push(*arguments)
        assert taken, said
        return said


def document(namespace: str, repo_name: str, **more: Any) -> dict[str, Any]:
    return {"namespace": namespace, "repo_name": repo_name, **more, "tags": more.get("tags", [])}
