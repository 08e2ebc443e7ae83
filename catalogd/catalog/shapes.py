"""What the use cases are asked with, and what they answer. Documents are complete (every default filled in)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from catalogd.accounts import Account

# The blob ids that a write may replace; "*" is any, as long as there is one.
IfMatch = frozenset[str] | str


class Caller(NamedTuple):
    """Who asks, and the id of the request, which the commit will carry."""

    account: Account
    request_id: str


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A list of repositories. `ordering` is one of ORDERINGS, with "-" in front to turn it round.

    `among` are the (namespace, repo_name) to which it is limited, if it is.
    """

    namespace: str | None = None
    search: str | None = None
    is_public: bool | None = None
    labels: tuple[tuple[str, str | None], ...] = ()
    ordering: str | None = None
    at: str | None = None
    page: int = 1
    page_size: int = 20
    among: tuple[tuple[str, str], ...] | None = None


ORDERINGS = ("repo_name", "created_at", "updated_at", "pushed_at", "download", "repo_starred_count")


class Found(NamedTuple):
    """A document without its tags; its blob's id; the commit that was read.

    `batch` is the newest batch of activity that the document counts; None for one of the past, where that is no matter.
    """

    document: Mapping[str, Any]
    blob: str
    commit: str
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class TagsFound:
    """The tags of a document, sorted by tag."""

    tags: list[dict[str, Any]]
    blob: str
    commit: str


@dataclass(frozen=True, slots=True)
class Written:
    """A document as a write left it, tags included; the commit that has it."""

    document: dict[str, Any]
    blob: str
    commit: str
    created: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class TagWritten:
    """A tag as a write left it."""

    tag: dict[str, Any]
    created: bool
    changed: bool
    blob: str
    commit: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, and how many there are in all; `batch` as in Found."""

    count: int
    results: Sequence[Any]
    commit: str
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class OrganizationFound:
    """An organization as the caller may see it: a document without its members, unless he may see those.

    `role` is the caller's, in words; None if he has none. `blob` is the id of what is shown.
    """

    document: dict[str, Any]
    role: str | None
    blob: str
    commit: str

    @property
    def shows_members(self) -> bool:
        return "owners" in self.document
