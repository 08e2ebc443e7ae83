"""The files of a checkout that a review looks at: all of them, those changed since a revision, or those staged.

For any working tree, catalog or plain clone; nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import git as gitpython
from git.exc import GitError

from catalogd.errors import NotACatalog, NotFound
from catalogd.names import KINDS, POLICY_PATH, schema_path

_DIRECTORIES = ("data", "namespaces", "schemas")
_PLACES = (*_DIRECTORIES, POLICY_PATH)

Files = Iterator[tuple[str, bytes]]


def all_files(root: Path) -> Files:
    """(path, content) of every file below data/, namespaces/ and schemas/, and the policy, git or no git."""
    for directory in _DIRECTORIES:
        for file in sorted((root / directory).rglob("*")):
            if file.is_symlink() or not file.is_dir():
                yield file.relative_to(root).as_posix(), _content(file)
    policy = root / POLICY_PATH
    if policy.is_symlink() or policy.is_file():
        yield POLICY_PATH, _content(policy)


def schemas_beside(root: Path) -> dict[str, bytes]:
    """Kind -> the catalog's own schema, of those that are in a working tree."""
    files = {kind: root / schema_path(kind) for kind in KINDS}
    return {kind: file.read_bytes() for kind, file in files.items() if file.is_file()}


class Checkout:
    """A working tree, or a directory of one. Raises NotACatalog if git does not know it."""

    def __init__(self, root: Path, index_file: str | None = None):
        self._root = root
        try:
            self._git = gitpython.Repo(root, search_parent_directories=True).git(C=str(root))
        except (GitError, OSError, ValueError) as error:
            raise NotACatalog(f"{root} is no git working tree.") from error
        self._git.update_environment(**({"GIT_INDEX_FILE": index_file} if index_file else {}))

    def changed_since(self, revision: str) -> Files:
        """The files that differ from where this branch left `revision`, as they are in the working tree.

        Raises NotFound for a revision that git does not know.
        """
        try:
            base = self._git.merge_base("--end-of-options", revision, "HEAD")
        except GitError as error:
            raise NotFound(
                f"git knows no common ancestor of {revision!r} and HEAD; is the history complete?"
            ) from error
        changed = self._git.diff("--name-only", "-z", "--relative", "--diff-filter=d", base, "--", *_PLACES)
        untracked = self._git.ls_files("--others", "--exclude-standard", "-z", "--", *_PLACES)
        for path in sorted({*_paths(changed), *_paths(untracked)}):
            yield path, _content(self._root / path)

    def staged(self) -> Files:
        """The files that the next commit changes, as it will have them."""
        changed = self._git.diff("--cached", "--name-only", "-z", "--relative", "--diff-filter=d", "--", *_PLACES)
        for path in _paths(changed):
            yield path, self._git.show(f":./{path}", stdout_as_string=False, strip_newline_in_stdout=False)

    def tracked(self) -> list[str]:
        """Every path of the index below the directories of a catalog."""
        return _paths(self._git.ls_files("-z", "--", *_PLACES))


def _paths(output: str) -> list[str]:
    return [path for path in output.split("\0") if path]


def _content(file: Path) -> bytes:
    """A link is its target's name, as git sees it: never followed out of the catalog."""
    return str(file.readlink()).encode() if file.is_symlink() else file.read_bytes()
