"""What goes in and what comes out.

Times are text, RFC 3339 in UTC with milliseconds and Z: as wide as each other, so that they sort and compare
as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class UserRow:
    name: str
    email: str | None
    is_admin: bool
    password_hash: str | None
    created_at: str
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class TokenRow:
    """`scopes` are parted by spaces; `digest` is what the token is found by: the token itself is nowhere."""

    id: str
    user: str
    name: str
    digest: str
    scopes: str
    namespace: str | None
    created_at: str
    expires_at: str | None = None
    last_used_at: str | None = None


@dataclass(frozen=True, slots=True)
class StarRow:
    """A repository that a user has starred, and since when."""

    namespace: str
    repo_name: str
    starred_at: str


@dataclass(frozen=True, slots=True)
class PendingRow:
    """What the rows of one repository and one batch add up to; `pulled_at` is when the latest of the pulls was."""

    namespace: str
    repo_name: str
    batch: int | None
    stars: int
    pulls: int = 0
    pulled_at: str | None = None


@dataclass(frozen=True, slots=True)
class PullRow:
    """A pull of a manifest. `client` are 16 bytes that tell clients apart.

    Pulls of one client that are from `since` to `until` may belong together: an index, and images `by_digest` from it.
    """

    namespace: str
    repo_name: str
    client: bytes
    at: str
    since: str
    until: str
    is_index: bool
    by_digest: bool

    @property
    def name(self) -> tuple[str, str]:
        return self.namespace, self.repo_name


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A tag that was pushed or deleted. `id` is 0 until it is kept; `account` and `email` are of who has told it.

    `image_id` (64 hex digits) and `size` (bytes) are there where the event told them; `actor` is who pushed.
    """

    id: int
    namespace: str
    repo_name: str
    kind: str
    tag: str
    digest: str | None
    media_type: str | None
    at: str
    size: int | None
    image_id: str | None
    actor: str | None
    account: str
    email: str

    @property
    def name(self) -> tuple[str, str]:
        return self.namespace, self.repo_name


class Change(Enum):
    """How a change of a user ended; with anything but DONE nothing was changed."""

    DONE = "done"
    NO_USER = "there is no such user"
    LAST_ADMIN = "no active admin would be left"
