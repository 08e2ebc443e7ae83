"""Users, tokens and authentication on one state."""

from __future__ import annotations

from catalogd.accounts.logins import Logins
from catalogd.accounts.tokens import Tokens
from catalogd.accounts.users import Users


class Accounts(Users, Tokens, Logins):
    """All there is to do with accounts. Use from any number of threads."""
