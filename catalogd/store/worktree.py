"""The files of the working tree: they follow main, and what a hand has not committed is never touched.

A replacement is written beside the tree (`.git/catalogd/scratch`) before the commit and renamed into it after, so a
full disk is met while nothing is lost yet, and nobody ever reads half a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from catalogd.errors import EditedByHand, Fault
from catalogd.store.files import read_or_none
from catalogd.store.history import Change
from catalogd.store.objects import object_id


class WorkTree:
    """The checked-out files of one catalog. All methods want the catalog's lock held."""

    def __init__(self, root: Path, scratch: Path):
        self._root = root
        self._scratch = scratch

    def require_unedited(self, path: str, committed: str | None) -> None:
        """Raise EditedByHand unless the file is what main has there: the blob of that id, or no file."""
        found = self._blob_id(path)
        if found == committed:
            return
        if found is None:
            what = "was deleted by hand and that is not committed"
        elif committed is None:
            what = "is in the working tree but not committed"
        else:
            what = "was edited by hand and that is not committed"
        raise EditedByHand(
            f"The file {path} {what}; commit it or restore it (git restore) first.", [Fault("", f"{path} {what}")]
        )

    def prepare(self, files: Mapping[str, bytes | None]) -> Prepared:
        """Write the new files beside the tree and make their directories. Raises OSError; leaves nothing behind."""
        prepared = Prepared(self._root, {})
        try:
            for number, (path, data) in enumerate(files.items()):
                prepared.sources[path] = None if data is None else self._write_scratch(number, data)
                if data is not None:
                    (self._root / path).parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            prepared.discard()
            raise
        return prepared

    def follow(self, changes: Iterable[Change], blob: Callable[[str], bytes], *, torn: bool = False) -> list[str]:
        """Bring files from each change's old blob to its new one; returns the paths that a hand has edited.

        With `torn`, also mend files that are a beginning of the new content: a power cut leaves those.
        """
        kept = []
        for change in changes:
            found = self._blob_id(change.path)
            if found == change.new:
                continue
            new = blob(change.new) if change.new else None
            if found != change.old and not (torn and self._is_torn(change.path, new)):
                kept.append(change.path)
                continue
            self.prepare({change.path: new}).put_in_place()
        return kept

    def _is_torn(self, path: str, whole: bytes | None) -> bool:
        found = read_or_none(self._root / path)
        return found is not None and whole is not None and whole.startswith(found.rstrip(b"\0"))

    def _blob_id(self, path: str) -> str | None:
        try:
            data = read_or_none(self._root / path)
        except IsADirectoryError:
            return "directory"
        return None if data is None else object_id("blob", data)

    def _write_scratch(self, number: int, data: bytes) -> Path:
        source = self._scratch / f"{os.getpid()}-file-{number}"
        try:
            source.write_bytes(data)
        except OSError:
            source.unlink(missing_ok=True)
            raise
        return source


class Prepared:
    """Files that wait to be renamed into the working tree; None marks one to be removed."""

    def __init__(self, root: Path, sources: dict[str, Path | None]):
        self._root = root
        self.sources = sources

    def put_in_place(self) -> None:
        """Rename them all into the tree. Raises OSError."""
        for path, source in self.sources.items():
            target = self._root / path
            if source is not None:
                os.replace(source, target)
            else:
                target.unlink(missing_ok=True)
                self._remove_if_empty(target.parent)

    def discard(self) -> None:
        """Remove what was prepared."""
        for path, source in self.sources.items():
            if source is not None:
                source.unlink(missing_ok=True)
                self._remove_if_empty((self._root / path).parent)

    def _remove_if_empty(self, directory: Path) -> None:
        try:
            while directory.parent != self._root and directory != self._root:
                directory.rmdir()
                directory = directory.parent
        except OSError:
            return  # not empty, or not there: either is fine
