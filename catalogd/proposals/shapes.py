"""What a proposal is, and what is told of one."""

from __future__ import annotations

from dataclasses import dataclass

from catalogd import names
from catalogd.catalog import OURS, THEIRS, FieldConflict
from catalogd.check import ERROR, Finding
from catalogd.documents import FieldChange

OPEN, MERGED, CLOSED = "open", "merged", "closed"
STATES = (OPEN, MERGED, CLOSED)

APPROVE, REQUEST_CHANGES, COMMENT = "approve", "request_changes", "comment"
VERDICTS = (APPROVE, REQUEST_CHANGES, COMMENT)

THEIRS_OR_OURS = (THEIRS, OURS)


@dataclass(frozen=True, slots=True)
class Changed:
    """A path that a revision changes; the ids of its blobs at the base and at the head, None where there is no file."""

    path: str
    old: str | None
    new: str | None

    @property
    def repository(self) -> tuple[str, str] | None:
        """(namespace, repo_name), where it is the document of one."""
        return names.parse_document_path(self.path)

    @property
    def namespace(self) -> str | None:
        """The namespace whose document or repository it is; None for the policy and the schemas."""
        return names.namespace_of(self.path)

    @property
    def is_organization(self) -> bool:
        return names.parse_namespace_path(self.path) is not None


@dataclass(frozen=True, slots=True)
class Revision:
    """What was proposed at a time. `base` is a commit of main; `head` is on top of it.

    `authors` made it and what it stands on. `pushed`: its commits come into main as they are; `steps` is what these do
    where it is not what all of them do.
    """

    base: str
    head: str
    authors: tuple[str, ...]
    created_at: str
    pushed: bool
    changes: tuple[Changed, ...]
    steps: tuple[Changed, ...] = ()

    @property
    def touched(self) -> tuple[Changed, ...]:
        """All that it or any of its commits changes."""
        return *self.changes, *self.steps


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody said of a head. `pointer` is a JSON pointer into the document at `path`, where it is about a field.

    `dismissed_by` is an owner who has put aside a request for changes. `operator`: it was given at the catalog's shell,
    by who is no user.
    """

    id: int
    reviewer: str
    verdict: str
    comment: str
    head: str
    created_at: str
    path: str | None = None
    pointer: str | None = None
    dismissed_by: str | None = None
    operator: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as its file has it: the last of `revisions` is the one that would be merged.

    `ended_by` merged or closed it, `ended_at`; `commit` is main's that has it.
    """

    number: int
    title: str
    description: str
    author: str
    email: str
    state: str
    created_at: str
    updated_at: str
    revisions: tuple[Revision, ...]
    reviews: tuple[Review, ...] = ()
    ended_by: str | None = None
    ended_at: str | None = None
    commit: str | None = None

    @property
    def revision(self) -> Revision:
        return self.revisions[-1]

    @property
    def head(self) -> str:
        return self.revision.head

    @property
    def changes(self) -> tuple[Changed, ...]:
        return self.revision.changes

    @property
    def authors(self) -> frozenset[str]:
        """All whose words are in it: none of them approves it."""
        return frozenset({self.author, *(name for revision in self.revisions for name in revision.authors)})

    @property
    def namespaces(self) -> list[str | None]:
        """The namespaces that it or one of its commits touches, by name; None, which is last, for the policy and the
        schemas.
        """
        found = {change.namespace for change in self.revision.touched}
        return sorted(found, key=lambda name: (name is None, name or ""))


@dataclass(frozen=True, slots=True)
class Required:
    """The approvals that a namespace asks for (None: the policy and the schemas, whose approvers are admins).

    `approvals` is how many, `given_by` who has approved. `owners` are those who may, without the authors, but for
    admins, who always may; None where the caller may not know them.
    """

    namespace: str | None
    approvals: int
    given_by: tuple[str, ...]
    owners: tuple[str, ...] | None

    @property
    def missing(self) -> int:
        return max(0, self.approvals - len(self.given_by))


@dataclass(frozen=True, slots=True)
class Merging:
    """What a merge of a proposal into main would do: the paths that it would change.

    `paths` means nothing where there are `conflicts`. `findings` are those of `check` in what would come of it.
    """

    paths: tuple[str, ...]
    conflicts: tuple[FieldConflict, ...]
    findings: tuple[Finding, ...]

    @property
    def fits(self) -> bool:
        return not any(finding.severity == ERROR for finding in self.findings)


@dataclass(frozen=True, slots=True)
class View:
    """A proposal as a caller sees it. Of one that is not open, or damaged, `merging` is None and `required` empty.

    `blocked_by` are the requests for changes that still stand. `why_not` says in sentences what keeps it from being
    merged; nothing does where it is empty.
    """

    proposal: Proposal
    merging: Merging | None
    required: tuple[Required, ...]
    blocked_by: tuple[Review, ...]
    why_not: tuple[str, ...]

    @property
    def is_mergeable(self) -> bool:
        return self.merging is not None and not self.why_not


@dataclass(frozen=True, slots=True)
class FileDiff:
    """What a proposal does to one file, against its base. `fields` is empty of what is no document."""

    path: str
    fields: tuple[FieldChange, ...]
    unified: str


@dataclass(frozen=True, slots=True)
class ProposalQuery:
    """Which proposals are listed, the newest first. `reviewer` is somebody whose approval an open one waits for."""

    state: str | None = OPEN
    namespace: str | None = None
    author: str | None = None
    reviewer: str | None = None
    page: int = 1
    page_size: int = 20
