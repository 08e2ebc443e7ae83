"""Accounts: users, their passwords and their tokens; and who a request comes from.

What an account may do is decided in `rights.py`, how secrets are kept in `credentials.py`.
"""

from catalogd.accounts.account import (
    ANONYMOUS,
    DEFAULT_SCOPES,
    SCOPE_ADMIN,
    SCOPE_CATALOG,
    SCOPE_READ,
    SCOPE_REGISTRY,
    SCOPE_WRITE,
    SCOPES,
    Account,
    TokenInfo,
    UserInfo,
)
from catalogd.accounts.accounts import Accounts

__all__ = [
    "ANONYMOUS", "DEFAULT_SCOPES", "SCOPES", "SCOPE_ADMIN", "SCOPE_CATALOG", "SCOPE_READ", "SCOPE_REGISTRY",
    "SCOPE_WRITE", "Account", "Accounts", "TokenInfo", "UserInfo",
]  # fmt: skip
