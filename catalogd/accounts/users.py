"""Users and their passwords."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from catalogd.accounts.account import DEFAULT_SCOPES, SCOPE_ADMIN, UserInfo
from catalogd.accounts.base import OnState
from catalogd.accounts.checks import checked_email, no_user, now, stamp
from catalogd.accounts.tokens import new_row
from catalogd.credentials import check_password
from catalogd.errors import AlreadyExists, Conflict
from catalogd.names import check_name, fault_in_name
from catalogd.state import Change, UserRow

FIRST_ADMIN = "admin"


class Users(OnState):
    """Who has an account."""

    def add_user(
        self, name: str, *, email: str | None = None, is_admin: bool = False, password: str | None = None
    ) -> UserInfo:
        """A new user. Raises Malformed for the name, Invalid for the e-mail or for a password of fewer than 8 or more
        than 1024 characters, AlreadyExists.
        """
        check_name(name, "user")
        checked_email(email)
        if password is not None:
            check_password(password)
        hashed = None if password is None else self._passwords.hash(password)
        user = UserRow(name, email, is_admin, hashed, stamp(now()))
        if not self._state.insert_user(user):
            raise AlreadyExists(f"There is a user {name} already.")
        return self._user_info(user)

    def list_users(self) -> list[UserInfo]:
        """All users by name."""
        return [self._user_info(user) for user in self._state.users()]

    def user(self, name: str) -> UserInfo:
        """Raises NotFound."""
        return self._user_info(self._existing(name))

    def are_users(self, names: Iterable[str]) -> set[str]:
        """Those of the names that users have."""
        return self._state.user_names([name for name in names if not fault_in_name(name)])

    def change_user(self, name: str, *, keep_admin: bool = True, **changes: Any) -> UserInfo:
        """Changes any of `email`, `is_admin`, `is_active`, `password`; None takes an e-mail or password away.

        With `keep_admin` the last active admin stays one. Raises Invalid, NotFound, Conflict.
        """
        self._existing(name)  # asked first, so that a wrong name costs no hash
        if "email" in changes:
            checked_email(changes["email"])
        if "password" in changes:
            changes["password_hash"] = self._hashed(changes.pop("password"))
        self._done(self._state.update_user(name, changes, keep_admin=keep_admin), name)
        return self.user(name)

    def require_removable(self, name: str, *, keep_admin: bool) -> None:
        """What `remove_user` would refuse now. Raises NotFound, Conflict."""
        self._existing(name)
        admins = [user.name for user in self._state.users() if user.is_admin and user.is_active]
        if keep_admin and admins == [name]:
            self._done(Change.LAST_ADMIN, name)

    def remove_user(self, name: str, *, keep_admin: bool = False) -> None:
        """Removes the user with all its tokens and stars. Raises NotFound, Conflict as change_user."""
        if fault_in_name(name):
            raise no_user(name)
        self._done(self._state.delete_user(name, keep_admin=keep_admin), name)

    def set_password(self, name: str, password: str) -> None:
        """Raises Invalid for a password of fewer than 8 or more than 1024 characters, NotFound."""
        check_password(password)
        self._existing(name)
        if not self._state.set_password_hash(name, self._passwords.hash(password)):
            raise no_user(name)

    def ensure_admin(self) -> tuple[str, str] | None:
        """Makes the user `admin` with a token if there is no user at all: (name, token); otherwise None."""
        user = UserRow(FIRST_ADMIN, None, True, None, stamp(now()))
        token, row = new_row(FIRST_ADMIN, "first", DEFAULT_SCOPES | {SCOPE_ADMIN}, None, None)
        return (FIRST_ADMIN, token) if self._state.insert_first_user(user, row) else None

    def _hashed(self, password: object) -> str | None:
        if password is None:
            return None
        assert isinstance(password, str)
        check_password(password)
        return self._passwords.hash(password)

    @staticmethod
    def _done(change: Change, name: str) -> None:
        if change is Change.NO_USER:
            raise no_user(name)
        if change is Change.LAST_ADMIN:
            raise Conflict(f"{name} is the last admin; make somebody else one first.")

    def _user_info(self, user: UserRow) -> UserInfo:
        has_password = user.password_hash is not None
        return UserInfo(user.name, self._email(user), user.is_admin, user.is_active, has_password, user.created_at)
