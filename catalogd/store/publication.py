"""The public repository: a second one of git's, with what everybody may see of main and nothing else.

It has its own commits, trees and packs and borrows no object, since git hands out whatever a repository has to whoever
knows its id. Each of its commits says nothing but that main has moved, as a message or an author might name what is
hidden.
It is derived from main and may be deleted at will; what it has shown once stays in its history until it is begun anew.

<catalog>/.git/catalogd/public.git    bare, branch main
<catalog>/.git/catalogd/public.of     the commit of main that it shows
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from catalogd.store.children import Children
from catalogd.store.edits import Edit
from catalogd.store.files import read_or_none, replace_durably
from catalogd.store.git import Git
from catalogd.store.group import COMMITTER_EMAIL, Group
from catalogd.store.history import COMMITTER
from catalogd.store.locks import CatalogLock
from catalogd.store.maintenance import Maintenance
from catalogd.store.refs import Branch
from catalogd.store.serving import UploadPack
from catalogd.store.snapshot import ObjectCache

_NAME, _OF, _LOCK = "public.git", "public.of", "public.lock"
# Bytes of files that one commit takes: those of a large catalog need not all be in memory at once.
_AT_ONCE = 8 << 20
# What is kept in memory of it: it is written from time to time, and read by git alone.
_TREE_ENTRIES, _BLOB_BYTES = 20_000, 1 << 20


class Publication:
    """The public repository of one catalog. Hold its lock to write."""

    def __init__(self, private: Path, scratch: Path, children: Children, lock_timeout: float):
        self._directory = private / _NAME
        self._of = private / _OF
        self._scratch = scratch
        self.lock = CatalogLock(private / _LOCK, lock_timeout)
        self.upload_pack = UploadPack(self._directory, scratch, children)
        self._opened: tuple[Git, ObjectCache, Branch] | None = None

    def close(self) -> None:
        self.upload_pack.close()
        self._let_go()
        self.lock.close()

    def shows(self) -> str | None:
        """The commit of main that it shows; None if it has to be begun anew."""
        if not self._directory.is_dir():
            return None
        shown = read_or_none(self._of)
        return shown.decode("ascii", "replace").strip() if shown else None

    def head(self) -> str | None:
        """Its own newest commit."""
        return self._open()[2].read()

    def begin_anew(self) -> None:
        """Forget all that was ever shown. Hold the lock."""
        self._let_go()
        self._of.unlink(missing_ok=True)
        shutil.rmtree(self._directory, ignore_errors=True)
        Git.init_bare(self._directory)

    def show(self, commit: str, files: Iterable[tuple[str, bytes | None]]) -> None:
        """Show main as it is at `commit`: each path and its new content, or None where there is nothing (more) to see.

        Many files become several commits, none of which is shown before the last one is there. Hold the lock. Raises
        OSError; what was begun is done again then.
        """
        branch = self._open()[2]
        shown = newest = branch.read()
        for some in _some_at_once(files):
            newest = self._commit(newest, some)
        if newest is None:
            newest = self._commit(None, {})
        if newest != shown:
            branch.move(shown, newest)
        replace_durably(self._of, commit.encode() + b"\n")
        Maintenance(self._open()[0], self._directory / "objects" / "pack").fold_many()

    def _commit(self, parent: str | None, files: Mapping[str, bytes | None]) -> str:
        """A commit that main is not at yet; `parent` where there is nothing to change."""
        group = Group(self._open()[1], parent, follows=False)
        changed = {path: data for path, data in files.items() if group.changes(path, data)}
        if changed or parent is None:
            edit = Edit(COMMITTER, COMMITTER_EMAIL, lambda _: None)
            group.add(edit, f"Publish {len(changed)} change{'' if len(changed) == 1 else 's'}", changed)
            group.pack.write(self._directory / "objects" / "pack", durable=True)
            group.keep()
        assert group.newest is not None
        return group.newest

    def _open(self) -> tuple[Git, ObjectCache, Branch]:
        if self._opened is None:
            git = Git(self._directory, bare=True)
            self._opened = git, ObjectCache(git, _TREE_ENTRIES, _BLOB_BYTES), Branch(self._directory, self._scratch)
        return self._opened

    def _let_go(self) -> None:
        if self._opened is not None:
            git, _, branch = self._opened
            branch.close()
            git.close()
            self._opened = None


def _some_at_once(files: Iterable[tuple[str, bytes | None]]) -> Iterator[dict[str, bytes | None]]:
    some: dict[str, bytes | None] = {}
    size = 0
    for path, data in files:
        some[path] = data
        size += len(path) + len(data or b"")
        if size >= _AT_ONCE:
            yield some
            some, size = {}, 0
    if some:
        yield some
