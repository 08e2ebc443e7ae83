"""Another git repository, by its URL: main is fetched from there, and pushed there.

What is fetched stands under a ref of its own until somebody takes it in. No git that serves the catalog shows that ref,
and main is not touched here. Credentials of the URL reach git in its environment, never in arguments, which every user
of the machine can see.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from catalogd.errors import Conflict, Unavailable
from catalogd.giturl import credentials, is_path, origin, without_credentials
from catalogd.store.git import Child, Git
from catalogd.store.locks import clear_stale
from catalogd.store.refs import BRANCH

FETCHED = "refs/catalogd/remote/main"

# After so many seconds a git is ended, and one over HTTP that gets less than a byte in so many. The other side may
# think for a while before it sends the first one.
_LONGEST = 600.0
_SILENCE = 90
# How long a git that is ended may take to remove its temporary files, in seconds.
_GRACE = 2.0
_LONGEST_MESSAGE = 500

# GIT_ALLOW_PROTOCOL outweighs all configuration; `ext::` never runs.
_ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
_CONFIGURATION = {
    "core.autocrlf": "false",
    "core.fsync": "committed",
    "core.hooksPath": "/dev/null",  # they guard main, and no other ref is touched here
    "fetch.fsckObjects": "true",
    "fetch.unpackLimit": "1",  # a pack each time, which is one file to sync
    "transfer.unpackLimit": "1",
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": str(_SILENCE),
    "push.followTags": "false",
    "push.gpgSign": "false",
}
# git asks it for a user and a password, and tells it later whether they were right.
_HELPER = (
    '!f() { test "$1" = get || exit 0; '
    r"""printf 'username=%s\npassword=%s\n' "$CATALOGD_GIT_USER" "$CATALOGD_GIT_PASSWORD"; }; f"""
)

_NO_MAIN = "couldn't find remote ref"
# What says that main has moved there, so that a push was rejected: git, before it has sent anything, or a server where
# somebody else was faster in between.
_MOVED = re.compile(r"non-fast-forward|fetch first|stale info|but expected|incorrect old value|already exists")
_OVERTAKEN = "failed to update ref"
_LINE = re.compile(r"^([ +\-*!=])\t[^\t]*\t(.*)$", re.MULTILINE)


class RemoteFailed(Unavailable):
    """The other repository cannot be reached, or refuses, or answers with something that git does not take."""

    def __init__(self, detail: str):
        super().__init__(detail, retry_after=10)


class Rejected(Conflict):
    """main has moved there, so that the push would not be a fast-forward. Fetch first."""


class Remote:
    """main of another repository. Threads may share it; one git runs at a time.

    `address` is its URL as it may be shown.
    """

    def __init__(self, git: Git, url: str, *, longest: float = _LONGEST):
        self._git = git
        self._errand = _Errand(url, longest)
        self.address = self._errand.address
        self._turn = threading.Lock()

    def close(self) -> None:
        """End what runs; from now on everything raises RemoteFailed."""
        self._errand.close()

    def fetched(self) -> str | None:
        """The commit that the last fetch has found, by whatever process."""
        return self._git.run("for-each-ref", "--format=%(objectname)", FETCHED).decode().strip() or None

    def fetch(self) -> str | None:
        """The newest commit of its main, whose objects are in the catalog now; None if it has no main yet.

        Raises RemoteFailed.
        """
        options = (
            "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--no-recurse-submodules", "--no-prune",
            "--no-show-forced-updates",
        )  # fmt: skip
        with self._turn:
            self._clear_lock()
            status, _, said = self._run("fetch", *options, "--", self._errand.url, f"+{BRANCH}:{FETCHED}")
            if status == 0:
                return self.fetched()
        if _NO_MAIN in said:
            return None
        raise self._errand.failure("fetch from", said)

    def push(self, commit: str) -> None:
        """Move its main to a commit that contains it. Raises Rejected, RemoteFailed."""
        options = ("--porcelain", "--no-verify", "--recurse-submodules=no", "--no-progress")
        with self._turn:
            status, reported, said = self._run("push", *options, "--", self._errand.url, f"{commit}:{BRANCH}")
        if status == 0:
            return
        refused = [reason for flag, reason in _LINE.findall(reported) if flag == "!"]
        if any(_MOVED.search(said if _OVERTAKEN in reason else reason) for reason in refused):
            raise Rejected(f"main has moved at {self.address}.")
        raise self._errand.failure("push to", "\n".join([*refused, said]))

    def _run(self, *arguments: str) -> tuple[int, str, str]:
        return self._errand.run(lambda options, env: self._git.begin(*options, *arguments, env=env))

    def _clear_lock(self) -> None:
        """A git that was killed leaves its lock on the ref, and all later ones would refuse."""
        private = self._git.git_dir / "catalogd"
        lock = (self._git.git_dir / FETCHED).with_name("main.lock")
        clear_stale(lock, private / "scratch", self._git.git_dir.parent)


def has_main(url: str, *, longest: float = 60.0) -> bool:
    """Whether the other repository has a branch main. Raises RemoteFailed."""
    errand = _Errand(url, longest)
    status, listed, said = errand.run(
        lambda before, env: Git.begin_anywhere(*before, "ls-remote", "--", errand.url, BRANCH, env=env)
    )
    if status:
        raise errand.failure("read", said)
    return bool(listed.strip())


def clone(url: str, directory: Path, *, longest: float = 6 * 3600.0) -> None:
    """Make `directory` a clone of the other repository's main, with a working tree. Raises RemoteFailed.

    A failure leaves whatever was made.
    """
    errand = _Errand(url, longest)
    options = ("--quiet", "--single-branch", "--branch=main", "--no-tags", "--no-local")
    status, _, said = errand.run(
        lambda before, env: Git.begin_anywhere(*before, "clone", *options, "--", errand.url, str(directory), env=env)
    )
    if status:
        raise errand.failure("clone", said)


class _Errand:
    """Runs git against one URL: its credentials, its time limit, and its end from outside."""

    def __init__(self, url: str, longest: float):
        self.address = without_credentials(url)
        self.url = os.path.abspath(url) if is_path(url) else self.address
        self._longest = longest
        self._environment = dict(_ENVIRONMENT)
        self._configuration = dict(_CONFIGURATION)
        self._secrets: list[str] = []
        self._use_credentials(url)
        self._guard = threading.Lock()
        self._running: Child | None = None
        self._is_closed = False

    def _use_credentials(self, url: str) -> None:
        given = credentials(url)
        if given is None:
            return
        if given.password is None:
            self._configuration[f"credential.{origin(url)}.username"] = given.user
            return
        self._environment |= {"CATALOGD_GIT_USER": given.user, "CATALOGD_GIT_PASSWORD": given.password}
        # The empty one takes back the user's own helpers, which would store these. git asks ours for this host only,
        # so that nobody to whom it is redirected gets them.
        self._configuration |= {"credential.helper": "", f"credential.{origin(url)}.helper": _HELPER}
        self._secrets = [secret for secret in (given.password, url) if secret]

    def close(self) -> None:
        with self._guard:
            self._is_closed = True
            if self._running is not None:
                _signal(self._running, signal.SIGTERM)

    def run(self, begin: Callable[[list[str], dict[str, str]], Child]) -> tuple[int, str, str]:
        """(exit status, output, what was said on standard error) of the git that `begin(options, env)` starts."""
        options = [part for key, value in self._configuration.items() for part in ("-c", f"{key}={value}")]
        with self._guard:
            if self._is_closed:
                raise RemoteFailed("The server stops.")
            child = self._running = begin(options, self._environment)
        try:
            output, said = child.process.communicate(timeout=self._longest)
        except subprocess.TimeoutExpired:
            raise RemoteFailed(f"{self.address} has not answered within {self._longest:g} seconds.") from None
        finally:
            with self._guard:
                self._running = None
            if child.process.returncode is None:
                _end(child)
        if self._is_closed:
            raise RemoteFailed("The server stops.")
        return child.process.returncode, output.decode("utf-8", "replace"), said.decode("utf-8", "replace")

    def failure(self, what: str, said: str) -> RemoteFailed:
        """The error of a git that failed, with what it said, in one line and without a secret."""
        for secret in self._secrets:
            said = said.replace(secret, "***")
        words = " ".join("".join(char if char.isprintable() else " " for char in said).split())
        return RemoteFailed(f"Cannot {what} {self.address}: {words[:_LONGEST_MESSAGE] or 'git says nothing'}")


def _end(child: Child) -> None:
    """End a git that runs still, with all that it has started."""
    _signal(child, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.process.wait(_GRACE)
    _signal(child, signal.SIGKILL)
    child.process.communicate()


def _signal(child: Child, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)
