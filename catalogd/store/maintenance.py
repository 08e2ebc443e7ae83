"""Housekeeping of the object store. Every group of commits is a pack of its own, and git looks into each of them."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalogd.errors import CatalogdError
from catalogd.store.git import Git

log = logging.getLogger(__name__)

# Nothing younger is ever dropped: a commit by hand makes its objects long before main reaches them.
_KEEP_UNREACHABLE = "2.weeks.ago"
# More packs than that make git look long for an object.
_MOST_PACKS = 64
# Of a repository that borrows objects: packs of its own up to this size are folded until they make one as large.
_SMALL = "8m"


class Maintenance:
    """Runs beside reads and writes: git never removes what it did not find when it began."""

    def __init__(self, git: Git, pack_directory: Path, *, borrows: bool = False):
        """`borrows`: other repositories lend it objects; those stay where they are."""
        self._git = git
        self._borrows = borrows
        self._pack_directory = pack_directory

    def packs(self) -> int:
        """How many packs there are."""
        return sum(1 for _ in self._pack_directory.glob("pack-*.idx"))

    def has_bitmap(self) -> bool:
        """Whether a clone is told by a bitmap what main reaches; else git walks all history for each."""
        return any(self._pack_directory.glob("pack-*.bitmap"))

    def fold(self) -> None:
        """Fold small packs into larger ones, each at least twice the next, and index the history by path."""
        with self._alone():
            if self._borrows:
                self._fold_own()
                return
            self._nicely("repack", "--geometric=2", "-d", "-q")
            if self.packs():
                # By itself: `repack --write-midx` takes away the bitmap even of a pack that it leaves as it is.
                self._nicely("multi-pack-index", "write")
            self._nicely("commit-graph", "write", "--reachable", "--changed-paths", "--split")

    def fold_many(self) -> None:
        """Fold where there are many packs. Where that fails it is logged, and tried again next time."""
        try:
            if self.packs() > _MOST_PACKS:
                self.fold()
        except (CatalogdError, OSError):
            log.exception("the packs in %s could not be folded", self._pack_directory)

    def full(self) -> None:
        """One pack with a bitmap, one commit graph; what is unreachable for two weeks is dropped."""
        expiration = f"--cruft-expiration={_KEEP_UNREACHABLE}"
        with self._alone():
            self._nicely("repack", "-a", "-d", "--cruft", expiration, "--write-bitmap-index", "-q")
            self._nicely("prune", f"--expire={_KEEP_UNREACHABLE}")
            self._nicely("commit-graph", "write", "--reachable", "--changed-paths", "--split=replace")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time, of all threads and processes: git fails over packs that another one takes away meanwhile."""
        descriptor = os.open(self._pack_directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _fold_own(self) -> None:
        """All objects of its own stay, though a lender should have them, too: it need not keep what it does not reach.

        `repack --local` leaves those out, and fails where a pack of the lender has the same name.
        """
        self._nicely("multi-pack-index", "write")
        self._nicely("multi-pack-index", "repack", f"--batch-size={_SMALL}")
        self._nicely("multi-pack-index", "expire")

    def _nicely(self, *arguments: str) -> None:
        nice = shutil.which("nice")
        self._git.execute([*([nice, "-n", "10"] if nice else []), "git", *arguments])
