"""What goes in and what comes out.

Times are text, RFC 3339 in UTC with milliseconds and Z: as wide as each other, so that they sort and compare
as they are.
"""

from __future__ import annotations

from dataclasses import dataclass


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
