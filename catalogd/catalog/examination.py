"""What `catalogd doctor` looks at: that git, the working tree, the documents and the read model agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from catalogd import names
from catalogd.catalog.base import UseCases
from catalogd.check import ERROR, check
from catalogd.store import GitFailed, MissingObject

# How long the index may be behind main while others write, in seconds.
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing that was looked at, what was found wrong with it, and what to do about that."""

    what: str
    faults: list[str]
    advice: str


class Examination(UseCases):
    """Whether the catalog as a whole is well, and its repair."""

    def repair(self) -> None:
        """Make anew what can be made anew from git: the read model, and the index where it is behind."""
        self._mirror.make_anew()
        self._store.follow_index()

    def examine(self) -> Iterator[Examined]:
        """Look at everything; slow where the catalog is large."""
        yield Examined(
            "git's objects (git fsck --strict)",
            self._store.fsck(),
            "Restore the catalog from a clone or a backup.",
        )
        yield Examined(
            "the branch", [] if self._store.is_checked_out() else ["the working tree is not on main"],
            "Run git checkout main: while another branch is checked out, the files do not follow main.",
        )  # fmt: skip
        yield Examined(
            "working tree and index (git status)", _told(self._status),
            "Commit these changes or restore the files: the API refuses to write to them.",
        )  # fmt: skip
        yield Examined(
            "documents", _told(self._document_faults), "Mend them by hand (catalogd check) or roll them back."
        )
        yield Examined("read model", _told(self._read_model_faults), "Run catalogd doctor --repair.")

    def _status(self) -> list[str]:
        """What git says of files and index once these are at main; a server that writes may be between two."""
        until = time.monotonic() + _PATIENCE
        while True:
            head = self._store.head()
            is_at_main = self._store.follow_index()
            said = self._store.status()
            if not said or (is_at_main and head == self._store.head()) or time.monotonic() > until:
                return said
            time.sleep(0.05)

    def _document_faults(self) -> list[str]:
        snapshot = self._store.snapshot()

        def files() -> Iterator[tuple[str, bytes]]:
            for directory in ("data", "namespaces"):
                yield from ((path, found[1]) for path in snapshot.walk(directory) if (found := snapshot.read(path)))
            if snapshot.id_of(names.POLICY_PATH) is not None:
                policy = snapshot.read(names.POLICY_PATH)
                yield names.POLICY_PATH, policy[1] if policy else b""

        site = {kind: found[1] for kind in names.KINDS if (found := snapshot.read(names.schema_path(kind)))}
        findings = [finding for finding in check(files(), site) if finding.severity == ERROR]
        return [f"{f.path}:{f.line}: {f.pointer} {f.detail}" for f in findings]

    def _read_model_faults(self) -> list[str]:
        with self._store.lock.held():
            return self._differences()

    def _differences(self) -> list[str]:
        snapshot = self._store.snapshot()
        if self._model.mirrored() != snapshot.commit:
            return [f"it mirrors {self._model.mirrored()}, main is at {snapshot.commit}"]
        faulty = {fault.path for fault in self._model.faults()}
        wanted = {
            path: snapshot.id_of(path)
            for path in snapshot.walk("data")
            if names.parse_document_path(path) and path not in faulty
        }
        found = {names.document_path(*name): blob for name, blob in self._model.blobs()}
        return [
            f"{path} is not as in git"
            for path in sorted(wanted.keys() | found.keys())
            if wanted.get(path) != found.get(path)
        ]


def _told(look: Callable[[], list[str]]) -> list[str]:
    """What a look finds, and where damaged objects end it, that."""
    try:
        return look()
    except (GitFailed, MissingObject) as error:
        return [error.detail]
