"""What goes into the read model and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from catalogd.documents import Stored

T = TypeVar("T")

CREATED, UPDATED, DELETED, RESTORED = "created", "updated", "deleted", "restored"

# The JSON pointer of a document as a whole.
WHOLE = ""


class Change(Protocol):
    """One path that a commit changed; `old` and `new` are blob ids, None where there was no file."""

    @property
    def path(self) -> str: ...
    @property
    def old(self) -> str | None: ...
    @property
    def new(self) -> str | None: ...
    @property
    def others(self) -> Sequence[str | None]: ...


class Commit(Protocol):
    """A commit of main; `committed_at`, and `came_at` when main got it, are RFC 3339 in UTC with milliseconds.

    `proposal` and `reviewed_by` are of the proposal that brought it; only the merge itself has a `proposal_head`.
    """

    @property
    def id(self) -> str: ...
    @property
    def author(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def committer(self) -> str: ...
    @property
    def committed_at(self) -> str: ...
    @property
    def came_at(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def proposal(self) -> int | None: ...
    @property
    def proposal_head(self) -> str | None: ...
    @property
    def reviewed_by(self) -> Sequence[str]: ...
    @property
    def changes(self) -> Sequence[Change]: ...


class Visibility(Protocol):
    """What a caller sees: what is public, or everything, or also the private documents of some namespaces."""

    @property
    def everything(self) -> bool: ...
    @property
    def namespaces(self) -> frozenset[str]: ...


class Rows(NamedTuple, Generic[T]):
    """One page of a list: how many there are in all, those of the page, and the commit that was mirrored."""

    count: int  # type: ignore[assignment]  # hides tuple's own count(), which nobody asks
    rows: list[T]
    commit: str | None


class Summaries(NamedTuple):
    """One page of complete documents without their tags, as Rows; `batch` as in Row."""

    count: int  # type: ignore[assignment]  # as in Rows
    rows: list[Stored]
    commit: str | None
    batch: int


class Row(NamedTuple):
    """A complete document without its tags; `batch` is the newest batch of activity that it counts."""

    document: Stored
    blob: str
    commit: str
    batch: int


class Tags(NamedTuple):
    """The tags of a document, sorted by tag."""

    tags: list[dict[str, Any]]
    is_public: bool
    blob: str
    commit: str


class OrganizationRow(NamedTuple):
    """A complete document of an organization, members and all, and its blob."""

    document: dict[str, Any]
    blob: str


class Position(NamedTuple):
    """A commit and its place among those of main, counted from 1."""

    seq: int
    id: str


class HistoryEntry(NamedTuple):
    """One commit's change of one document. `fields` are JSON pointers; [""] is the document as a whole.

    `complete` if the caller may see all that the commit changed, and all that was there before.
    """

    seq: int
    commit: str
    author: str
    email: str
    committed_at: str
    message: str
    proposal: int | None
    reviewed_by: list[str]
    action: str
    fields: list[str]
    old: str | None
    new: str | None
    complete: bool


class SeenChange(NamedTuple):
    """A change as the caller may see it: what was private before has no `old` and counts as created."""

    path: str
    namespace: str | None
    repo_name: str | None
    action: str
    fields: list[str]
    old: str | None
    new: str | None


class CommitEntry(NamedTuple):
    """A commit, with the first of its changes that the caller may see; `complete` as in HistoryEntry."""

    seq: int
    id: str
    author: str
    email: str
    committed_at: str
    message: str
    proposal: int | None
    reviewed_by: list[str]
    changes: list[SeenChange]
    complete: bool


class Blame(NamedTuple):
    """The commit that gave a field its value, and who approved that, if a proposal brought it.

    That is not told where the caller may not see all that the commit changed: members of a namespace are not public.
    """

    commit: str
    author: str
    committed_at: str
    proposal: int | None
    reviewed_by: list[str]


class NetChange(NamedTuple):
    """How a path differs between two commits. The flags say whether a document was public there; `last` is the last
    commit between them that touched it.
    """

    path: str
    old: str | None
    new: str | None
    was_public: bool
    is_public: bool
    last: Blame


class PathFault(NamedTuple):
    """A document of the mirrored commit that cannot be shown, and why."""

    path: str
    detail: str


class Stats(NamedTuple):
    """How much the read model holds, and what it mirrors."""

    commit: str | None
    documents: int
    commits: int
    faults: int
