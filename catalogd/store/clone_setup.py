"""The hooks and the merge driver in a repository that catalogd does not serve: a clone, or a git server's bare one."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import git as gitpython
from git.exc import GitCommandError

from catalogd.errors import AlreadyExists, Conflict, NotACatalog
from catalogd.store import hooks
from catalogd.store.attributes import ATTRIBUTES_CONTENT, merge_driver

_CHECKS = {"pre-commit": "check --staged", "pre-receive": "check --received"}


class Clone:
    """Any repository that `root` is in. Raises NotACatalog where git knows none."""

    def __init__(self, root: Path):
        try:
            git = gitpython.Git(str(root))
            self._bare = git.rev_parse("--is-bare-repository") == "true"
            self.top = Path(git.rev_parse("--absolute-git-dir" if self._bare else "--show-toplevel"))
            self._git = gitpython.Git(str(self.top))
            self._private = Path(self._git.rev_parse("--path-format=absolute", "--git-common-dir"))
        except GitCommandError as error:
            raise NotACatalog(f"{root} is no git repository that can be used: {error.stderr.strip()}") from error

    def install(self, force: bool = False) -> list[str]:
        """Set up the hooks and the driver; what was written, in words. A hook of ours is brought up to date.

        Raises AlreadyExists, before anything is written, where there is a hook of somebody else and not `force`, and
        Conflict where the hooks are not this repository's own.
        """
        directory = self._hooks()
        wanted = {self._place(directory, name): name for name in self._names(directory)}
        foreign = {place: name for place, name in wanted.items() if os.path.lexists(place) and not hooks.is_ours(place)}
        if foreign and not force:
            place, name = next(iter(foreign.items()))
            command = f"{shlex.quote(sys.executable)} -P -m catalogd {_CHECKS[name]}"
            raise AlreadyExists(
                f"{place} is somebody else's hook. Have it run this, too: {command} (or replace it, with --force)."
            )
        for place, name in wanted.items():
            hooks.write(place, hooks.PLAIN_HOOKS[name])
        for key, value in {"catalogd.python": sys.executable, **merge_driver()}.items():
            self._git.config("--local", key, value)
        return [*map(str, wanted), "merge.catalogd.driver in git's configuration", *self._attributes()]

    def _names(self, directory: Path) -> list[str]:
        """Those of the hooks that can have a use here; a served catalog has its own for commits."""
        is_served = directory == self._private / "catalogd" / "hooks"
        return ["pre-receive"] if self._bare or is_served else ["pre-commit", "pre-receive"]

    def _hooks(self) -> Path:
        """Where git looks for hooks here."""
        try:
            scope = self._git.config("--show-scope", "--get", "core.hooksPath").split()[0]
        except GitCommandError:
            scope = "local"
        directory = Path(self._git.rev_parse("--path-format=absolute", "--git-path", "hooks"))
        if scope not in ("local", "worktree"):
            raise Conflict(
                f"core.hooksPath is {directory} for more repositories than this one. "
                "Give this one a directory of its own first: git config core.hooksPath .git/hooks"
            )
        return directory

    @staticmethod
    def _place(directory: Path, name: str) -> Path:
        """Gitea's own hook runs all that are in a directory beside it."""
        several = directory / f"{name}.d"
        return several / "catalogd" if several.is_dir() else directory / name

    def _attributes(self) -> list[str]:
        """The attributes where the files have none: in a bare repository git looks for them nowhere else."""
        if self._git.check_attr("merge", "--", "data/a/b.json").endswith(": catalogd"):
            return []
        file = self._private / "info" / "attributes"
        file.parent.mkdir(exist_ok=True)
        with file.open("ab") as stream:
            stream.write(ATTRIBUTES_CONTENT)
        return [str(file)]
