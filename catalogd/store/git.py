"""Everything that we ask of C git, through GitPython: opening, configuration, plumbing, reading objects.

GitPython never sits on the path of a write (it re-serialises every directory and syncs nothing), and is never given a
string of a user's: only ids, refs and paths that were checked.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

import git as gitpython
from git.exc import GitError

from catalogd.errors import CatalogdError, NotACatalog, Unavailable

# `git repack --cruft` came with 2.37.
MINIMUM_VERSION = (2, 37)
# Bytes of objects that are taken from git at once where many are read.
_READ_AHEAD = 256 << 10


class GitFailed(CatalogdError):
    """A git command failed; the detail has its message."""


class Child(NamedTuple):
    """A git that was started. GitPython ends it when `keeper` is no longer held."""

    process: subprocess.Popen[bytes]
    keeper: object


class ObjectTooLarge(CatalogdError):
    """An object is larger than may be read here. `size` is in bytes."""

    def __init__(self, object_id: str, size: int):
        super().__init__(f"The object {object_id} has {size:,} bytes.")
        self.size = size


class MissingObject(Unavailable, KeyError):
    """git has no object of that id, or not the whole of it."""

    _RETRY_AFTER = 60

    def __init__(self, object_id: str):
        super().__init__(
            f"git cannot read the object {object_id}. `catalogd doctor` tells what else is damaged; "
            "restore the catalog from a clone or a backup.",
            self._RETRY_AFTER,
        )

    def __str__(self) -> str:
        return self.detail  # KeyError would quote it


class Git:
    """C git on one repository. Threads may share it. `most` is how many bytes of which kind of object are read."""

    def __init__(self, root: Path, *, bare: bool = False, most: Mapping[str, int] | None = None):
        self._most = most or {}
        try:
            self._repository = gitpython.Repo(root)
        except (GitError, OSError, ValueError) as error:
            raise NotACatalog(f"{root} is no git {'repository' if bare else 'working tree'}: {error}") from error
        if self._repository.bare != bare:
            raise NotACatalog(f"{root} is not the top of a git working tree.")
        if not bare and Path(self._repository.working_dir).resolve() != root.resolve():
            raise NotACatalog(f"{root} is not the top of a git working tree.")
        self.git_dir = Path(self._repository.git_dir)
        self._git = self._repository.git
        # A hook's environment names another index or directory; ours must not be led there.
        tree = {} if bare else {"GIT_WORK_TREE": str(root)}
        self._git.update_environment(GIT_DIR=str(self.git_dir), GIT_INDEX_FILE=str(self.git_dir / "index"), **tree)
        self._environment = {"GIT_DIR": str(self.git_dir), **tree}
        self._root = root
        self._reading = threading.Lock()
        self._reader: subprocess.Popen[bytes] | None = None

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

    @staticmethod
    def init_bare(directory: Path) -> None:
        """Make an empty bare repository with the branch main, for its owner only. Raises NotACatalog."""
        try:
            gitpython.Repo.init(directory, bare=True, initial_branch="main").close()
        except (GitError, OSError) as error:
            raise NotACatalog(f"git cannot make a repository in {directory}: {error}") from error

    def close(self) -> None:
        """End the git children."""
        self.forget()
        self._git.clear_cache()
        self._repository.close()

    def configure(self, values: dict[str, str]) -> None:
        """Set configuration values ("section.key" → value) of this repository."""
        for key, value in values.items():
            self.run("config", key, value)

    def configuration(self) -> dict[str, str]:
        """All that is configured, by key ("section.key" in lower case)."""
        listed = self.run("config", "--list", "-z").decode("utf-8", "surrogateescape").split("\0")
        return {key: value for key, _, value in (line.partition("\n") for line in listed if line)}

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

    def begin(self, *arguments: str, env: dict[str, str]) -> Child:
        """Start a git command on this repository that may take long; see begin_anywhere()."""
        return self.begin_anywhere(*arguments, env=self._environment | env)

    @staticmethod
    def begin_anywhere(*arguments: str, env: dict[str, str]) -> Child:
        """Start a git command in a session of its own: it can be ended with all that it starts, and asks nobody.

        It does not work in the catalog's directory, where whoever finds a lock would take it for the owner.
        """
        started = gitpython.Git("/").execute(["git", *arguments], as_process=True, env=env, start_new_session=True)
        assert started.proc is not None
        return Child(started.proc, started)

    def forget(self) -> None:
        """End the child that reads objects: what it knows of the packs is no longer true."""
        with self._reading:
            self._end_reader()

    def read_object(self, object_id: str) -> tuple[str, bytes]:
        """(kind, content) of an object, by a `git cat-file --batch` that stays.

        Raises MissingObject, ObjectTooLarge.
        """
        with self._reading:
            try:
                return self._ask(object_id)
            except OSError:
                self._end_reader()  # it was killed; a new one starts
                return self._ask(object_id)

    @contextmanager
    def objects(self, object_ids: Iterable[str]) -> Iterator[Iterator[tuple[str, bytes]]]:
        """(id, content) of many objects in their order: git reads ahead in a process of its own.

        It ends at one that git cannot read: read_object() says why.
        """
        with tempfile.TemporaryFile() as asked:
            asked.writelines(f"{object_id}\n".encode() for object_id in object_ids)
            asked.seek(0)
            child = self._cat_file("--buffer", stdin=asked, bufsize=_READ_AHEAD)
        try:
            assert child.stdout is not None
            yield _answers(child.stdout)
        finally:
            child.kill()
            child.communicate()

    def _ask(self, object_id: str) -> tuple[str, bytes]:
        if self._reader is None:
            self._reader = self._cat_file()
        asked, answers = self._reader.stdin, self._reader.stdout
        assert asked is not None and answers is not None
        asked.write(object_id.encode() + b"\n")
        asked.flush()
        words = answers.readline().split()
        if len(words) != 3:
            if words[1:] == [b"missing"]:
                raise MissingObject(object_id)
            raise BrokenPipeError("git cat-file has ended")
        found, kind, size = words[0], words[1].decode(), int(words[2])
        if size > self._most.get(kind, size):
            self._end_reader()  # or all of it would have to be read
            raise ObjectTooLarge(object_id, size)
        data = answers.read(size + 1)[:-1]
        if len(data) != size or not found.startswith(object_id.encode()):
            raise BrokenPipeError("git cat-file has ended in the middle of an answer, or answers another question")
        return kind, data

    def _cat_file(
        self, *options: str, stdin: IO[bytes] | int = subprocess.PIPE, bufsize: int = -1
    ) -> subprocess.Popen[bytes]:
        # Not GitPython's: it leaves what git says on standard error unread, and of torn packs git says so much that
        # it waits for a reader in the end.
        return subprocess.Popen(
            ["git", f"--git-dir={self.git_dir}", "cat-file", "--batch", *options],
            cwd=self._root,
            bufsize=bufsize,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _end_reader(self) -> None:
        if self._reader is not None:
            self._reader.kill()
            self._reader.communicate()
            self._reader = None


def _answers(stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    while len(words := stream.readline().split()) == 3:  # of one that is missing git says two
        found, size = words[0].decode(), int(words[2])
        data = stream.read(size + 1)
        if len(data) != size + 1:
            return
        yield found, data[:-1]


def fsck(git: Git) -> list[str]:
    """What `git fsck --strict` finds wrong with the objects; [] if nothing."""
    try:
        output = git.run("fsck", "--strict", "--no-dangling", "--no-progress")
    except GitFailed as error:
        return [error.detail]
    return output.decode("utf-8", "replace").splitlines()


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
