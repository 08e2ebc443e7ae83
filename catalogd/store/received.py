"""What a push brings to any repository, bare or not: for a pre-receive hook, while git still has it in quarantine.

git tells its children in their environment where the quarantine is, so nothing here names it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import git as gitpython
from git.exc import GitError

from catalogd.errors import Malformed, NotACatalog
from catalogd.names import KINDS, schema_path

# What people push to be merged, by now or by a review. Tags and notes change no document.
_BRANCHES = ("refs/heads/", "refs/for/")
_DIRECTORIES = ("data", "namespaces")


@dataclass(frozen=True)
class ReceivedFile:
    """A file that a branch adds or changes. `mode` is git's, in octal, `size` in bytes; -1 for what is no file."""

    path: str
    mode: str
    object_id: str
    size: int


class Received:
    """The objects of one repository, with those of the push. Raises NotACatalog where git does not know one."""

    def __init__(self, root: Path):
        self._git = gitpython.Git(str(root))
        self._run("rev-parse", "--git-dir")
        self._nothing = self._run("hash-object", "-t", "tree", "--stdin").decode().strip()

    def branches(self, told: str) -> Iterator[tuple[str, str, str]]:
        """(ref, base, commit) of each branch that the push brings, from the lines that git tells a pre-receive hook.

        `base` is what the branch is compared with: where it left the main branch, of that itself its commit so far.
        Raises Malformed.
        """
        main = self._ask("symbolic-ref", "-q", "HEAD")
        for line in told.splitlines():
            words = line.split(" ", 2)
            if len(words) != 3:
                raise Malformed("Standard input must have the lines that git gives to a pre-receive hook: OLD NEW REF.")
            old, new, ref = words
            if ref.startswith(_BRANCHES) and not _is_zero(new):
                yield ref, self._base(old, new, ref == main), new

    def changed(self, base: str, commit: str) -> list[ReceivedFile]:
        """The files that differ from `base`, without those that are gone."""
        raw = self._run(
            "diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--diff-filter=d", base, commit
        )
        fields = raw.decode("utf-8", "surrogateescape").split("\0")
        found = [(path, *head.split(" ")[1:4:2]) for head, path in zip(fields[::2], fields[1::2], strict=False)]
        sizes = self._sizes([object_id for _, _, object_id in found])
        return [ReceivedFile(path, mode, object_id, sizes[object_id]) for path, mode, object_id in found]

    def contents(self, files: Iterable[ReceivedFile]) -> Iterator[tuple[str, bytes]]:
        """(path, content) of files, one after the other."""
        chosen = list(files)
        with _lines(file.object_id for file in chosen) as asked:
            process = self._git.execute(["git", "cat-file", "--batch"], istream=asked, as_process=True)
            for file in chosen:
                process.stdout.readline()
                yield file.path, process.stdout.read(file.size)
                process.stdout.read(1)
            process.wait()

    def paths(self, commit: str) -> list[str]:
        """All paths of the documents at a commit."""
        listed = self._run("ls-tree", "-r", "-z", "--name-only", commit, "--", *(f"{name}/" for name in _DIRECTORIES))
        return [path for path in listed.decode("utf-8", "surrogateescape").split("\0") if path]

    def schemas(self, commit: str, most_bytes: int) -> dict[str, bytes]:
        """Kind -> the catalog's own schema at a commit, of those that are there and not larger than that."""
        found = {}
        for kind in KINDS:
            listed = self._run("ls-tree", "-l", commit, "--", schema_path(kind)).decode().split()
            if len(listed) > 3 and listed[1] == "blob" and int(listed[3]) <= most_bytes:
                found[kind] = self._run("cat-file", "blob", listed[2])
        return found

    def _base(self, old: str, new: str, is_main: bool) -> str:
        if is_main:
            return self._nothing if _is_zero(old) else old
        return self._ask("merge-base", "HEAD", new) or (self._nothing if _is_zero(old) else old)

    def _sizes(self, object_ids: list[str]) -> dict[str, int]:
        with _lines(object_ids) as asked:
            told = self._run("cat-file", "--batch-check", istream=asked).decode().splitlines()
        sizes = {}
        for line in told:
            object_id, kind, *size = line.split(" ")
            sizes[object_id] = int(size[0]) if kind == "blob" else -1  # a submodule's commit is not here
        return sizes

    def _ask(self, *command: str) -> str | None:
        try:
            return self._run(*command).decode().strip() or None
        except NotACatalog:
            return None

    def _run(self, *command: str, istream: BinaryIO | None = None) -> bytes:
        try:
            return self._git.execute(
                ["git", *command], istream=istream, stdout_as_string=False, strip_newline_in_stdout=False
            )
        except GitError as error:
            raise NotACatalog(f"git {command[0]} failed: {getattr(error, 'stderr', '') or error}") from error


@contextmanager
def _lines(words: Iterable[str]) -> Iterator[BinaryIO]:
    """A file of lines, as a pipe would fill up while git writes its answers."""
    with tempfile.TemporaryFile() as file:
        file.writelines(f"{word}\n".encode() for word in words)
        file.seek(0)
        yield file


def _is_zero(object_id: str) -> bool:
    return not object_id.strip("0")
