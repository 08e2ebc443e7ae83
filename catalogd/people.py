"""Use cases on people: their own account, all accounts, and the organizations whose members they are.

Users and organizations share one space of names, since either is a namespace; what keeps them apart is here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, BinaryIO

from catalogd import names, rights
from catalogd.accounts import (
    DEFAULT_SCOPES,
    SCOPE_ADMIN,
    Account,
    Accounts,
    TokenInfo,
    UserInfo,
)
from catalogd.catalog import Caller, Catalog, IfMatch, OrganizationFound, Proposer
from catalogd.documents import Role
from catalogd.errors import AlreadyExists, Fault, Forbidden, Invalid
from catalogd.store import IsWanted


class People:
    """Users and organizations of one catalog."""

    def __init__(self, catalog: Catalog, accounts: Accounts):
        self._catalog = catalog
        self._accounts = accounts

    # The caller's own account

    def me(self, account: Account) -> tuple[UserInfo, dict[str, Role]]:
        """(the user, their role by namespace as organizations give them and the credentials may know).

        Raises Unauthenticated.
        """
        rights.require_scope(account, rights.IDENTIFY)
        roles = self._catalog.roles_of(_name(account)) if rights.sees_private(account) else {}
        seen = {space: role for space, role in roles.items() if account.namespace in (None, space)}
        return self._accounts.user(_name(account)), seen

    def change_my_password(self, account: Account, current: str | None, password: str, address: str) -> None:
        """Raises Unauthenticated, Forbidden, and as Accounts.change_password.

        A first password is set only with credentials that give all that it will give, for as long as it will.
        """
        rights.require_scope(account, rights.MANAGE)
        if not self._accounts.user(_name(account)).has_password:
            _require_all_of_the_user(account)
        self._accounts.change_password(_name(account), current, password, address)

    def my_tokens(self, account: Account) -> list[TokenInfo]:
        """Oldest first. Raises Unauthenticated, Forbidden."""
        rights.require_scope(account, rights.KEEP)
        return self._accounts.list_tokens(_name(account))

    def make_my_token(
        self,
        account: Account,
        name: str,
        scopes: Iterable[str] | None,
        namespace: str | None,
        expires: datetime | None,
    ) -> tuple[str, TokenInfo]:
        """A token that is good for no more, and no longer, than the credentials that it is made with.

        Raises Unauthenticated, Forbidden, and as Accounts.create_token.
        """
        rights.require_scope(account, rights.MANAGE)
        granted = rights.with_implied(account.scopes)
        chosen = frozenset(granted & DEFAULT_SCOPES if scopes is None else scopes)
        if not chosen <= granted:
            raise Forbidden(f"The credentials do not have these scopes: {', '.join(sorted(chosen - granted))}.")
        if not chosen <= DEFAULT_SCOPES and not account.is_admin:
            raise Forbidden("Only an admin makes tokens with other scopes than read and write.")
        ends = None if account.expires_at is None else datetime.fromisoformat(account.expires_at)
        if ends is not None and (expires is None or expires > ends):
            expires = ends
        return self._accounts.create_token(_name(account), name, chosen, namespace, expires)

    def revoke_my_token(self, account: Account, token_id: str) -> None:
        """Raises Unauthenticated, Forbidden, NotFound."""
        rights.require_scope(account, rights.MANAGE)
        self._accounts.revoke_token(token_id, _name(account))

    # All accounts

    def users(self, account: Account) -> list[UserInfo]:
        """All users, by name. Raises Unauthenticated, Forbidden."""
        rights.require_admin(account)
        return self._accounts.list_users()

    def user(self, account: Account, name: str) -> UserInfo:
        """Raises Unauthenticated, Forbidden, NotFound."""
        rights.require_admin(account)
        return self._accounts.user(name)

    def add_user(
        self,
        account: Account,
        name: str,
        *,
        email: str | None = None,
        is_admin: bool = False,
        password: str | None = None,
        take_over: bool = False,
    ) -> UserInfo:
        """A new user, to whom the namespace of that name belongs.

        Raises Unauthenticated, Forbidden, Malformed, and AlreadyExists where a user or an organization has the name,
        or where, without `take_over`, the namespace has a past or organizations name such a user.
        """
        rights.require_admin(account)
        names.check_name(name, "user")
        if self._catalog.is_organization(name):
            raise AlreadyExists(f"There is an organization {name} already; a user needs a name of their own.")
        left = None if take_over else self._catalog.awaits(name)
        if left is not None:
            raise AlreadyExists(f"{left}: this user would get what is left of that. Say take_over if it is meant.")
        return self._accounts.add_user(name, email=email, is_admin=is_admin, password=password)

    def change_user(self, account: Account, name: str, changes: Mapping[str, Any]) -> UserInfo:
        """Changes any of email, is_admin, is_active and password. Raises as Accounts.change_user, and Forbidden."""
        rights.require_admin(account)
        return self._accounts.change_user(name, **changes)

    def remove_user(self, caller: Caller, name: str, *, keep_admin: bool = True) -> str | None:
        """Removes a user: the account, the tokens and stars, and the name from every organization.

        What is in the user's namespace stays, for admins. Returns the commit, None if there was nothing to commit.
        Raises Unauthenticated, Forbidden, NotFound, and Conflict for the last admin and the last owner of a namespace.
        """
        rights.require_admin(caller.account)
        # All that may be refused comes first; then the roles, as a name without an account has no use for them.
        self._accounts.require_removable(name, keep_admin=keep_admin)
        commit = self._catalog.forget_member(caller, name)
        self._accounts.remove_user(name, keep_admin=keep_admin)
        return commit

    def are_users(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are users."""
        return self._accounts.are_users(names)

    def active(self, names: Collection[str]) -> frozenset[str]:
        """Those of the names that are users who may log in."""
        return frozenset(user.name for user in self._accounts.list_users() if user.is_active and user.name in names)

    def admins(self) -> frozenset[str]:
        """The names of all admins who may log in."""
        return frozenset(user.name for user in self._accounts.list_users() if user.is_admin and user.is_active)

    # Organizations

    def create_organization(self, caller: Caller, body: object) -> OrganizationFound:
        """Raises as Catalog.create_organization, and AlreadyExists where a user has the name."""
        rights.require_admin(caller.account)
        namespace = body.get("namespace") if isinstance(body, dict) else None
        if isinstance(namespace, str) and self._accounts.are_users([namespace]):
            raise AlreadyExists(f"There is a user {namespace} already; an organization needs a name of its own.")
        return self._catalog.create_organization(caller, body, self._accounts.are_users)

    def update_organization(
        self, caller: Caller, namespace: str, body: object, *, patch: bool, if_match: IfMatch | None = None
    ) -> tuple[OrganizationFound, bool]:
        """As Catalog.update_organization."""
        known = self._accounts.are_users
        return self._catalog.update_organization(caller, namespace, body, known, patch=patch, if_match=if_match)

    def grant(self, caller: Caller, namespace: str, user: str, role: Role) -> tuple[OrganizationFound, bool]:
        """As Catalog.grant."""
        return self._catalog.grant(caller, namespace, user, role, self._accounts.are_users)

    def receive_pack(
        self, caller: Caller, body: Iterable[bytes], proposer: Proposer, is_wanted: IsWanted
    ) -> tuple[BinaryIO, bool]:
        """As Catalog.receive_pack."""
        return self._catalog.receive_pack(caller, body, self._accounts.are_users, proposer, is_wanted)

    def owners(self) -> list[tuple[str, list[str]]]:
        """(namespace, its owners) by name, for who may see everything: organizations, and users with repositories."""
        roles = dict(self._catalog.all_roles())
        for namespace in self._accounts.are_users(self._catalog.namespaces_with_repositories()):
            roles.setdefault(namespace, {namespace: Role.OWNER})
        # A hand may have written what is no name.
        return [
            (
                namespace,
                [user for user, role in members.items() if role is Role.OWNER and not names.fault_in_name(user)],
            )
            for namespace, members in sorted(roles.items())
        ]


def _name(account: Account) -> str:
    assert account.name is not None  # rights.require_scope has seen to that
    return account.name


def _require_all_of_the_user(account: Account) -> None:
    """Or a token that is good for little, or not for long, would become a password that is good for all."""
    if account.expires_at is not None or (account.is_admin and SCOPE_ADMIN not in account.scopes):
        fault = Fault(
            "/password", "is set for the first time with a token that has all of the user's scopes and no end"
        )
        raise Invalid("This token cannot set a first password; an admin can.", [fault])
