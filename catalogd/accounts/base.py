"""What all use cases on accounts stand on."""

from __future__ import annotations

from catalogd.accounts.checks import no_user
from catalogd.credentials import Passwords
from catalogd.names import fault_in_name
from catalogd.state import State, UserRow
from catalogd.throttle import Throttle


class OnState:
    """Accounts on a state. Use from any number of threads."""

    def __init__(self, state: State, *, email_domain: str, throttle: Throttle | None = None, processes: int = 1):
        self._state = state
        self._email_domain = email_domain
        self._passwords = Passwords(processes)
        self._throttle = throttle or Throttle()

    def _existing(self, name: str) -> UserRow:
        """Raises NotFound."""
        user = None if fault_in_name(name) else self._state.user(name)
        if user is None:
            raise no_user(name)
        return user

    def _email(self, user: UserRow) -> str:
        return user.email or f"{user.name}@{self._email_domain}"
