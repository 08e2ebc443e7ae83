"""Who a request comes from, and what is shown of users and tokens."""

from __future__ import annotations

from dataclasses import dataclass

SCOPE_READ, SCOPE_WRITE, SCOPE_ADMIN = "read", "write", "admin"
SCOPE_REGISTRY, SCOPE_CATALOG = "registry", "catalog"
SCOPES = (SCOPE_READ, SCOPE_WRITE, SCOPE_ADMIN, SCOPE_REGISTRY, SCOPE_CATALOG)
DEFAULT_SCOPES = frozenset({SCOPE_READ, SCOPE_WRITE})


@dataclass(frozen=True)
class Account:
    """Who a request comes from, and what the credentials are good for.

    `is_admin` is what the user is; what an admin's token may do is also a matter of its scopes. `namespace` confines
    it to that one; None does not. `expires_at` (RFC 3339) is when the credentials end; None is never.
    """

    name: str | None
    email: str | None
    is_admin: bool
    scopes: frozenset[str]
    namespace: str | None
    expires_at: str | None = None

    @property
    def is_anonymous(self) -> bool:
        return self.name is None


ANONYMOUS = Account(name=None, email=None, is_admin=False, scopes=frozenset(), namespace=None)


@dataclass(frozen=True)
class UserInfo:
    """A user as shown to an admin and to themselves. Times are RFC 3339."""

    name: str
    email: str
    is_admin: bool
    is_active: bool
    has_password: bool
    created_at: str


@dataclass(frozen=True)
class TokenInfo:
    """A token as shown to people: everything but the token. Times are RFC 3339 or None."""

    id: str
    user: str
    name: str
    scopes: tuple[str, ...]
    namespace: str | None
    created_at: str
    expires_at: str | None
    last_used_at: str | None
