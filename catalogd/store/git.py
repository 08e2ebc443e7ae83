"""Everything that we ask of C git, through GitPython: opening, configuration, plumbing, reading objects.

GitPython never sits on the path of a write (it re-serialises every directory and syncs nothing), and is never given a
string of a user's: only ids, refs and paths that were checked.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import git as gitpython
from git.exc import GitError

from catalogd.errors import CatalogdError, NotACatalog

MINIMUM_VERSION = (2, 31)


class GitFailed(CatalogdError):
    """A git command failed; the detail has its message."""


class Git:
    """C git on one catalog. Threads may share it."""

    def __init__(self, root: Path):
        try:
            self._repository = gitpython.Repo(root)
        except (GitError, OSError, ValueError) as error:
            raise NotACatalog(f"{root} is no git working tree: {error}") from error
        if self._repository.bare or Path(self._repository.working_dir).resolve() != root.resolve():
            raise NotACatalog(f"{root} is not the top of a git working tree.")
        self.git_dir = Path(self._repository.git_dir)
        self._git = self._repository.git
        # A hook's environment names another index or directory; ours must not be led there.
        self._git.update_environment(
            GIT_DIR=str(self.git_dir), GIT_WORK_TREE=str(root), GIT_INDEX_FILE=str(self.git_dir / "index")
        )
        self._reading = threading.Lock()

    @staticmethod
    def init(root: Path) -> None:
        """Make an empty repository with the branch main. Raises NotACatalog if git is too old or refuses."""
        version = gitpython.Git().version_info[:2]
        if version < MINIMUM_VERSION:
            raise NotACatalog(f"git {'.'.join(map(str, MINIMUM_VERSION))} or newer is needed, this is {version}.")
        try:
            gitpython.Repo.init(root, initial_branch="main").close()
        except (GitError, OSError) as error:
            raise NotACatalog(f"git cannot make a repository in {root}: {error}") from error

    def close(self) -> None:
        """End the git children."""
        self._git.clear_cache()
        self._repository.close()

    def configure(self, values: dict[str, str]) -> None:
        """Set configuration values ("section.key" → value) of this repository."""
        with self._repository.config_writer() as writer:
            for key, value in values.items():
                section, _, option = key.rpartition(".")
                writer.set_value(section, option, value)

    def config(self, key: str) -> str | None:
        """A configuration value, or None."""
        section, _, option = key.rpartition(".")
        with self._repository.config_reader() as reader:
            value = reader.get_value(section, option, "")
        return str(value) or None

    def run(self, *arguments: str, stdin: bytes | None = None, env: dict[str, str] | None = None) -> bytes:
        """The output of `git *arguments`. Raises GitFailed."""
        return self.execute(["git", *arguments], stdin=stdin, env=env)

    def execute(self, command: list[str], *, stdin: bytes | None = None, env: dict[str, str] | None = None) -> bytes:
        """The output of a whole command that starts git, e.g. under `nice`. Raises GitFailed."""
        with _as_file(stdin) as istream:
            try:
                return self._git.execute(
                    command, istream=istream, env=env, stdout_as_string=False, strip_newline_in_stdout=False
                )
            except GitError as error:
                raise GitFailed(_message(error)) from error

    @contextmanager
    def stream(self, *arguments: str) -> Iterator[BinaryIO]:
        """The output of a git command while it runs. Read it all, or the child is ended. Raises GitFailed."""
        process = self._git.execute(["git", *arguments], as_process=True)
        try:
            yield process.stdout
            process.wait()
        except GitError as error:
            raise GitFailed(_message(error)) from error
        finally:
            process.stdout.close()
            process.__del__()  # GitPython's way to end a process that runs still: terminate it and wait

    def read_object(self, object_id: str) -> tuple[str, bytes]:
        """(kind, content) of an object, by a `git cat-file --batch` that stays. Raises KeyError if there is none."""
        with self._reading:
            try:
                _, kind, _, data = self._git.get_object_data(object_id)
            except ValueError as error:
                raise KeyError(object_id) from error
            except (BrokenPipeError, OSError):
                self._git.clear_cache()  # the child was killed; a new one starts with the next call
                _, kind, _, data = self._git.get_object_data(object_id)
        return os.fsdecode(kind), data  # GitPython gives the kind as bytes, whatever its annotation says


@contextmanager
def _as_file(data: bytes | None) -> Iterator[BinaryIO | None]:
    if data is None:
        yield None
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file


def _message(error: GitError) -> str:
    stderr = getattr(error, "stderr", "") or str(error)
    return " ".join(str(stderr).replace("stderr:", "").strip().strip("'").split())
