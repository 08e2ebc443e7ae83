"""Durability: the journal in front of git's own files, its checkpoints, and what is made again after a power cut."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

from catalogd.errors import NotACatalog
from catalogd.store.files import is_whole
from catalogd.store.git import Git, GitFailed
from catalogd.store.group import Group
from catalogd.store.journal import Journal, Record, sync_file_system
from catalogd.store.objects import object_id
from catalogd.store.refs import Branch
from catalogd.store.snapshot import ObjectCache, Snapshot

log = logging.getLogger(__name__)

# git can do without these and makes them anew; after a power cut they may name what is not there.
_DERIVED = ("pack/multi-pack-index", "info/commit-graph", "info/commit-graphs/commit-graph-chain")


class Redo:
    """The durability of one catalog. All calls want the catalog's lock held."""

    def __init__(self, path: Path, git: Git, branch: Branch, objects: ObjectCache):
        self._git = git
        self._branch = branch
        self._objects = objects
        self._object_directory = git.git_dir / "objects"
        self._path = path
        self._disk = os.open(self._object_directory, os.O_RDONLY)
        self._journal: Journal | None = None

    def open(self) -> None:
        """Open the journal, or make it. Raises OSError where there is one that cannot be read: it may hold writes."""
        try:
            self._journal = Journal(self._path)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            log.warning("no room for the journal (%s): every write is synced in git's own files", error.strerror)

    def close(self) -> None:
        os.close(self._disk)
        if self._journal is not None:
            self._journal.close()

    @property
    def has_journal(self) -> bool:
        """Without one, a pack and main must be synced before anything is acknowledged."""
        return self._journal is not None

    def secure(self, group: Group) -> bool:
        """Make a group durable whose pack is in place and whose parent is main. Raises OSError.

        False where the journal cannot hold it: then its objects are durable, but the move of main has to be synced.
        """
        if self._journal is None:
            return False
        is_merge = any(commit.is_merge for commit in group.commits)
        if not is_merge and self._journal.append(group.parent, group.newest or "", group.made):
            return True
        # It is full, or somebody else has committed, whose objects nobody may have synced; or such are merged.
        self._sync()
        self._journal.reset(group.parent)
        return self._journal.append(group.parent, group.newest or "", group.made)

    def withdraw(self) -> None:
        """Take back a group that was made secure, as main could not be moved to it. Raises OSError."""
        if self._journal is not None:
            self._journal.withdraw()

    def is_settled(self) -> bool:
        """Whether everything is durable in git's own files, and in those of the working tree."""
        return self._journal is None or (self._journal.is_empty() and self._journal.base() == self._branch.read())

    def settled_at(self) -> str | None:
        """A commit at which everything was durable: only what changed since may be torn. None: nothing is known."""
        return None if self._journal is None else self._journal.base()

    def unsettle(self) -> None:
        """Before files of the working tree are replaced without a commit: nothing is known of them until the next
        checkpoint. Raises OSError.
        """
        if self._journal is None or self._journal.base() is None:
            return
        if not self._journal.is_empty():
            self._sync()
        self._journal.reset(None)

    def sync(self) -> None:
        """Write out what git's files have so far; a checkpoint then has little left to do. Needs no lock."""
        self._sync()

    def checkpoint(self) -> None:
        """Make everything durable in git's own files and empty the journal. Raises OSError."""
        if not self.is_settled():
            self.settle()

    def settle(self) -> None:
        """Make everything durable in git's own files, what others have put there too. Raises OSError."""
        main = self._branch.read()
        self._sync()
        if self._journal is not None:
            self._journal.reset(main)

    def _sync(self) -> None:
        try:
            sync_file_system(self._disk)
        except OSError as error:
            # Something of earlier writes may be lost, also where it was only for room; the next call would say nothing.
            raise OSError(errno.EIO, error.strerror) from error

    def replay(self) -> bool:
        """Make again what a power cut took from git's files. Whether anything was lost: then a checkpoint is to follow
        once the files of the working tree are mended. Raises NotACatalog where it cannot be made again.
        """
        records = [] if self._journal is None else list(self._journal.records())
        if not records:
            return False
        is_lost = not all(self._is_there(record) for record in records)
        if is_lost:
            log.warning("the last writes had not reached git's files: %d groups are made again", len(records))
            self._remove_torn()
            # All of them: what could be read may have stood in a pack that was torn elsewhere.
            for record in records:
                self._make_again(record)
        self._move_main(records)
        return is_lost

    def _is_there(self, record: Record) -> bool:
        """Whether git has all objects of a group."""
        try:
            for made in record.commits:
                commit = object_id("commit", made.data)
                snapshot = Snapshot(self._objects, commit, self._objects.tree(self._objects.root_of(commit)))
                for path, data in made.files.items():
                    found = snapshot.read(path)
                    if (found[1] if found else None) != data:
                        return False
        except (KeyError, ValueError, OSError, GitFailed):
            return False
        return True

    def _remove_torn(self) -> None:
        """Remove packs without a whole content, and what git derives from packs."""
        packs = self._object_directory / "pack"
        for pack in packs.glob("pack-*.pack"):
            index = pack.with_suffix(".idx")
            if not (is_whole(pack) and is_whole(index)):
                log.warning("%s was not written out to the disk; it is removed", pack.name)
                for torn in packs.glob(f"{pack.stem}.*"):
                    torn.unlink()
        for index in packs.glob("pack-*.idx"):
            if not index.with_suffix(".pack").exists():
                index.unlink()
        for derived in _DERIVED:
            (self._object_directory / derived).unlink(missing_ok=True)
        self._git.forget()
        self._objects.forget()

    def _make_again(self, record: Record) -> None:
        try:
            group = Group(self._objects, record.parent, follows=False)
            for made in record.commits:
                group.add_again(made)
        except (KeyError, ValueError) as error:
            raise NotACatalog(
                f"The journal holds commit {record.tip}, which cannot be made again: something that it is made from "
                "is lost or broken. Restore the catalog from a clone or a backup."
            ) from error
        group.pack.write(self._object_directory / "pack", durable=True)
        group.keep()

    def _move_main(self, records: list[Record]) -> None:
        tip = records[-1].tip
        main = self._main_or_none()
        if main is None:
            self._branch.set(tip)
        elif main == tip or self._grew(tip, main):
            return
        # A power cut has taken it back, or a kill came before it was moved.
        elif main in {record.parent for record in records} or self._grew(main, tip):
            self._branch.move(main, tip)
        else:
            log.error("main is at %s, which neither holds nor precedes the last commit of the journal, %s", main, tip)

    def _main_or_none(self) -> str | None:
        """The commit of main; None where a power cut has torn the ref, or the commit of a hand that it names."""
        try:
            main = self._branch.read()
            if main is not None:
                self._objects.root_of(main)
        except (NotACatalog, KeyError, ValueError):
            log.warning("main was not written out to the disk; it is set to the last commit of the journal")
            return None
        return main

    def _grew(self, old: str, new: str) -> bool:
        try:
            self._git.run("merge-base", "--is-ancestor", old, new)
        except GitFailed:
            return False
        return True
