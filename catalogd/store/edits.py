"""What callers ask of the store: an edit, drafted against a snapshot, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from catalogd.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Draft:
    """The commit that an edit wants: a message, and each path's new content or None to remove it."""

    message: str
    files: Mapping[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Edit:
    """What one caller wants as one commit.

    `draft` makes the commit from the catalog as it is: it reads what it needs through the Reading, checks its
    preconditions, raises a CatalogdError where they fail, and returns None (or unchanged files) where there is
    nothing to do. It is called once without the catalog's lock, and again, under the lock, only if something it has
    read was changed meanwhile. So it must depend on nothing else that changes, and should not be slow.

    `trailers` end the commit's message, as in `git interpret-trailers`; one with several values comes several times.
    `merges` is a commit that the catalog has and main has not: it becomes the second parent, and the draft's files say
    what main does not have of it yet.
    """

    author: str
    email: str
    draft: Callable[[Reading], Draft | None]
    trailers: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    merges: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an edit: main's commit that has it, and whether this edit made that commit."""

    commit: str
    changed: bool


class Reading:
    """A snapshot that remembers what was read from it."""

    def __init__(self, snapshot: Snapshot):
        self._snapshot = snapshot
        self.seen: dict[str, str | None] = {}

    @property
    def commit(self) -> str | None:
        """The commit that is read; None where earlier edits of the same group come in between."""
        return self._snapshot.commit

    def id_of(self, path: str) -> str | None:
        """The id of the blob or tree at `path`, or None."""
        found = self._snapshot.id_of(path)
        self.seen[path] = found
        return found

    def read(self, path: str) -> tuple[str, bytes] | None:
        """(blob id, content) of a file, or None."""
        self.id_of(path)
        return self._snapshot.read(path)

    def names(self, directory: str) -> list[str]:
        """The names in a directory."""
        self.id_of(directory)
        return self._snapshot.names(directory)

    def still_holds(self, snapshot: Snapshot) -> bool:
        """Whether all that was read is the same in another snapshot."""
        if snapshot.root.id == self._snapshot.root.id:
            return True
        return all(snapshot.id_of(path) == seen for path, seen in self.seen.items())
