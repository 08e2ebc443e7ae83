"""The files of the working tree: they follow main, and what a hand has not committed is never touched.

A replacement is written beside the tree (`.git/catalogd/scratch`) before the commit and renamed into it after, so a
full disk is met while nothing is lost yet, and nobody ever reads half a file.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from catalogd.errors import EditedByHand, Fault
from catalogd.store.files import read_all, remove, write_to_replace
from catalogd.store.history import Change
from catalogd.store.objects import object_id

log = logging.getLogger(__name__)

# What tells that nobody has written a file: inode, time of change in nanoseconds, bytes. None where there is none.
Signature = tuple[int, int, int] | None


class WorkTree:
    """The checked-out files of one catalog. All methods want the catalog's lock held."""

    def __init__(self, root: Path, scratch: Path, before_replacing: Callable[[], None] = lambda: None):
        """`before_replacing` is called before a file is written that no commit is being made of."""
        self._root = str(root)
        self._scratch = str(scratch)
        self._before_replacing = before_replacing
        self._seen: dict[str, Signature] = {}

    def require_unedited(self, path: str, committed: Collection[str | None]) -> None:
        """Raise EditedByHand unless the file is what main has there: a blob of those ids, or no file for None."""
        directory = self._no_directory_above(path)
        if directory is not None:
            what = f"stands where the catalog has the directory {directory}"
            raise EditedByHand(f"A file {what}; move it away first.", [Fault("", f"a file {what}")], path)
        found = self._blob_id(path)
        if found in committed:
            return
        if found is None:
            what = "was deleted by hand and that is not committed"
        elif None in committed:
            what = "is in the working tree but not committed"
        else:
            what = "was edited by hand and that is not committed"
        raise EditedByHand(
            f"The file {path} {what}; commit it or restore it (git restore) first.", [Fault("", f"{path} {what}")], path
        )

    def prepare(self, files: Mapping[str, bytes | None]) -> Prepared:
        """Write the new files beside the tree and make their directories. Raises OSError; leaves nothing behind."""
        prepared = Prepared(self._root, {path: self._seen[path] for path in files})
        self._seen.clear()
        try:
            for number, (path, data) in enumerate(files.items()):
                prepared.sources[path] = None if data is None else self._write_scratch(number, data)
                if data is not None and prepared.expected[path] is None:
                    os.makedirs(os.path.dirname(f"{self._root}/{path}"), exist_ok=True)
        except OSError:
            prepared.discard()
            raise
        return prepared

    def follow(
        self, changes: Iterable[Change], blob: Callable[[str], bytes], was: Mapping[str, set[str | None]] | None = None
    ) -> list[str]:
        """Bring files from each change's old blob to its new one; returns the paths that a hand has edited.

        `was` has what else main had at a path in between: a kill may have left a file at any of these.
        """
        kept = []
        for change in changes:
            found = self._blob_id(change.path)
            if found == change.new:
                continue
            is_mains = found == change.old or found in (was or {}).get(change.path, ())
            if not is_mains or self._no_directory_above(change.path):
                kept.append(change.path)
                continue
            self._replace(change.path, blob(change.new) if change.new else None)
        return kept

    def forget(self) -> None:
        """Forget which files were looked at, where they are not going to be written."""
        self._seen.clear()

    def mend_torn(
        self, now: Mapping[str, str | None], had: Mapping[str, Collection[str | None]], blob: Callable[[str], bytes]
    ) -> None:
        """Bring files to the blob that main has `now` of which only a beginning was written: a power cut leaves those.

        `had` tells what else main had there lately, which may be what was being written.
        """
        for path, current in now.items():
            found = self._read(path)
            if found is None or object_id("blob", found) == current:
                continue
            written = found.rstrip(b"\0")
            if any(whole and blob(whole).startswith(written) for whole in (current, *had.get(path, ()))):
                log.warning("%s was not written out to the disk; it is mended", path)
                self._replace(path, blob(current) if current else None)

    def _replace(self, path: str, data: bytes | None) -> None:
        self._before_replacing()
        self.prepare({path: data}).put_in_place()

    def _no_directory_above(self, path: str) -> str | None:
        """The first part of the path above the file that is there and no directory: nothing is written through it."""
        parts = path.split("/")
        for depth in range(1, len(parts)):
            directory = "/".join(parts[:depth])
            try:
                if not stat.S_ISDIR(os.lstat(f"{self._root}/{directory}").st_mode):
                    return directory
            except FileNotFoundError:
                return None
        return None

    def _blob_id(self, path: str) -> str | None:
        data = self._read(path)
        if data is None:
            return None if self._seen[path] is None else "not a file"
        return object_id("blob", data)

    def _read(self, path: str) -> bytes | None:
        """The content of a plain file, of a link where it leads, as git has it; None where there is neither.

        Remembers what was there.
        """
        self._seen[path] = None
        try:
            # Not through a link, and without waiting for somebody to write into a pipe.
            descriptor = os.open(f"{self._root}/{path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENXIO):
                raise
            found = os.lstat(f"{self._root}/{path}")
            self._seen[path] = signature(found)
            return os.fsencode(os.readlink(f"{self._root}/{path}")) if stat.S_ISLNK(found.st_mode) else None
        try:
            found = os.fstat(descriptor)
            self._seen[path] = signature(found)
            if not stat.S_ISREG(found.st_mode):
                return None
            return read_all(descriptor)
        finally:
            os.close(descriptor)

    def _write_scratch(self, number: int, data: bytes) -> str:
        source = f"{self._scratch}/{os.getpid()}-file-{number}"
        write_to_replace(source, data)
        return source


class Prepared:
    """Files that wait to be renamed into the working tree; None marks one to be removed."""

    def __init__(self, root: str, expected: dict[str, Signature]):
        self._root = root
        self.expected = expected
        self.sources: dict[str, str | None] = {}

    def put_in_place(self) -> None:
        """Rename them all into the tree, except where a hand was quicker. Raises OSError."""
        # The removals last: with its last file a directory goes.
        for path, source in sorted(self.sources.items(), key=lambda item: item[1] is None):
            target = f"{self._root}/{path}"
            if self._signature(target) != self.expected[path]:
                log.warning("%s was edited by hand while it was committed; the file is left as it is", path)
                if source is not None:
                    os.unlink(source)
            elif source is not None:
                os.replace(source, target)
            else:
                remove(target)
                self._remove_if_empty(os.path.dirname(target))

    def discard(self) -> None:
        """Remove what was prepared."""
        for path, source in self.sources.items():
            if source is not None:
                remove(source)
                self._remove_if_empty(os.path.dirname(f"{self._root}/{path}"))

    @staticmethod
    def _signature(target: str) -> Signature:
        try:
            return signature(os.lstat(target))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _remove_if_empty(self, directory: str) -> None:
        try:
            while directory != self._root and (parent := os.path.dirname(directory)) != self._root:
                os.rmdir(directory)
                directory = parent
        except OSError:
            return  # not empty, or not there: either is fine


def signature(found: os.stat_result) -> tuple[int, int, int]:
    """Changes whenever somebody writes or replaces the file."""
    return found.st_ino, found.st_mtime_ns, found.st_size
