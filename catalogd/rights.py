"""Who may do what. The one module that decides; everything else asks here.

A **role** says where somebody may do something: reader, writer or owner of a namespace. It comes from the
organization's document, from the user's own name (which is a namespace of theirs, unless an organization has it),
or from being an admin, who is an owner everywhere.

A **scope** says what a token is for. A token never has more than its user: what it may do is what both the role
of the user and the scopes of the token allow. One that is confined to a namespace has no role in any other.

Each call of the interface needs one **right** of the table below; docs/security.md shows it call by call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from catalogd.accounts import SCOPE_ADMIN, SCOPE_CATALOG, SCOPE_READ, SCOPE_REGISTRY, SCOPE_WRITE, Account
from catalogd.documents import Role
from catalogd.errors import Forbidden, Unauthenticated

_READING = frozenset({SCOPE_READ, SCOPE_WRITE, SCOPE_ADMIN})
_WRITING = frozenset({SCOPE_WRITE, SCOPE_ADMIN})
_ADMINISTERING = frozenset({SCOPE_ADMIN})
_ANY: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Right:
    """What a call needs: one of the scopes (none: any credentials do), and a role in the namespace.

    `unconfined`: no token that is confined to a namespace will do. Credentials are not looked at unless the right
    `takes` them, and may be missing unless it `needs` them.
    """

    name: str
    words: str
    scopes: frozenset[str] = _ANY
    role: Role = Role.NONE
    unconfined: bool = False
    takes_credentials: bool = True
    needs_credentials: bool = True

    @property
    def least_scope(self) -> str | None:
        """The scope to ask for; those that give more do as well."""
        return next(
            (scope for scope in (SCOPE_READ, SCOPE_WRITE, SCOPE_ADMIN, SCOPE_REGISTRY) if scope in self.scopes), None
        )


OPEN = Right("open", "Anybody. Credentials are not looked at.", takes_credentials=False, needs_credentials=False)
LOG_IN = Right("log in", "Who knows the password.", takes_credentials=False, needs_credentials=False)
LIST = Right("list", "Anybody; it shows what the caller may read.", _READING, Role.READER, needs_credentials=False)
READ = Right(
    "read", "Anybody, if it is public; else a reader of the namespace.", _READING, Role.READER, needs_credentials=False
)
BELONG = Right("belong", "A reader of the namespace.", _READING, Role.READER)
STAR = Right("star", "Any user who may read it.", _WRITING)
WRITE = Right("write", "A writer of the namespace.", _WRITING, Role.WRITER)
OWN = Right("own", "An owner of the namespace.", _WRITING, Role.OWNER)
GOVERN = Right(
    "govern", "An owner of the namespace, with a token that is not confined to it.", _WRITING, Role.OWNER,
    unconfined=True,
)  # fmt: skip
IDENTIFY = Right("identify", "Any user.")
KEEP = Right("keep", "Any user, with a token that is not confined to a namespace.", _READING, unconfined=True)
MANAGE = Right(
    "manage", "Any user, with a password or a token that is not confined to a namespace.", _WRITING, unconfined=True
)
CLONE = Right(
    "clone", "An admin with a token of the scope `read`, or anybody with one of the scope `catalog`.", unconfined=True
)
TELL = Right(
    "tell", "An admin, or a forge whose webhook is signed with `sync_secret`.", _ADMINISTERING, unconfined=True,
    needs_credentials=False,
)  # fmt: skip
PUSH = Right(
    "push", "An admin, or anybody whose token has the scope `catalog` too; and for each change, whoever may make it by "
    "another call.", _WRITING, unconfined=True,
)  # fmt: skip
PROPOSE = Right("propose", "Any user who may read what it touches.", _WRITING, Role.READER)
REVIEW = Right(
    "review", "Any user who sees it, to comment; else a user with a role in a namespace that it touches.", _WRITING,
    Role.READER, unconfined=True,
)  # fmt: skip
REVISE = Right("revise", "The author, or an admin.", _WRITING, Role.READER)
CLOSE = Right("close", "The author, or an owner of a namespace that it touches.", _WRITING, Role.READER)
DISMISS = Right(
    "dismiss", "An owner of a namespace that it touches, who is not its author.", _WRITING, Role.OWNER, unconfined=True
)
MERGE = Right(
    "merge", "An author, or a writer of a namespace that it touches, once nothing stands against it.", _WRITING,
    Role.WRITER,
)  # fmt: skip
REPORT = Right(
    "report", "A registry: anybody with a token of the scope `registry`.", frozenset({SCOPE_REGISTRY}), unconfined=True
)
GRANT = Right("grant", "Anybody; it is good for what the caller may do in the catalog.", needs_credentials=False)
EXCHANGE = Right("exchange", "Who knows a password or a token.", takes_credentials=False, needs_credentials=False)
ADMINISTER = Right("administer", "An admin.", _ADMINISTERING, unconfined=True)

RIGHTS = (
    OPEN, LOG_IN, LIST, READ, BELONG, STAR, WRITE, OWN, GOVERN, PROPOSE, REVISE, CLOSE, REVIEW, DISMISS,
    MERGE, IDENTIFY, KEEP, MANAGE, CLONE, PUSH, TELL, REPORT, GRANT, EXCHANGE, ADMINISTER,
)  # fmt: skip

_ROLE_WORDS = {Role.READER: "a reader", Role.WRITER: "a writer", Role.OWNER: "an owner"}


@dataclass(frozen=True)
class Visibility:
    """What an account sees: what is public; if `everything`, all; else also all of the `namespaces`."""

    everything: bool
    namespaces: frozenset[str] = frozenset()

    def covers(self, namespace: str, is_public: bool) -> bool:
        return is_public or self.everything or namespace in self.namespaces


_ONLY_PUBLIC = Visibility(everything=False)
_EVERYTHING = Visibility(everything=True)


def visibility(account: Account, roles_of: Callable[[str], Mapping[str, Role]]) -> Visibility:
    """What the account sees, in the form by which the read model filters.

    `roles_of` tells a user's roles by namespace, as organizations give them; it is asked only where that matters. A
    namespace that is an organization's must be in it also where the user has no role there, if it is the user's name.
    """
    if account.name is None or not sees_private(account):
        return _ONLY_PUBLIC
    if account.is_admin:
        return _EVERYTHING if account.namespace is None else Visibility(False, frozenset({account.namespace}))
    theirs = {account.name: Role.OWNER, **roles_of(account.name)}
    seen = frozenset(namespace for namespace, role in theirs.items() if role >= Role.READER)
    return Visibility(False, seen if account.namespace is None else seen & {account.namespace})


def role(account: Account, namespace: str, roles: Mapping[str, Role] | None) -> Role:
    """What the account is in a namespace, whatever its scopes.

    `roles` are those of the organization of that name, by user; None if there is no such organization.
    """
    if account.name is None or account.namespace not in (None, namespace):
        return Role.NONE
    if account.is_admin:
        return Role.OWNER
    if roles is not None:
        return roles.get(account.name, Role.NONE)
    return Role.OWNER if account.name == namespace else Role.NONE


def sees_private(account: Account) -> bool:
    """Whether the scopes let the account see anything but what is public."""
    return bool(account.scopes & _READING)


def may_read(account: Account, namespace: str, is_public: bool, roles: Mapping[str, Role] | None) -> bool:
    """Whether the account may know that this repository exists."""
    if is_public:
        return True
    return sees_private(account) and role(account, namespace, roles) >= Role.READER


def may_write(account: Account, namespace: str, roles: Mapping[str, Role] | None) -> bool:
    """Whether the account may change the repositories of a namespace and create new ones."""
    return bool(account.scopes & WRITE.scopes) and role(account, namespace, roles) >= WRITE.role


def may_beyond(account: Account, right: Right) -> bool:
    """Whether the account has a right also where no namespace of the catalog is: admins have, unless confined."""
    return account.is_admin and account.namespace is None and bool(account.scopes & right.scopes)


def with_implied(scopes: frozenset[str]) -> frozenset[str]:
    """The scopes with those that they include: to write is to read, and to administer is both."""
    least = {SCOPE_READ: _READING, SCOPE_WRITE: _WRITING}
    return scopes | {scope for scope, gives in least.items() if scopes & gives}


def require_somebody(account: Account) -> None:
    """Raises Unauthenticated for anonymous."""
    if account.is_anonymous:
        raise Unauthenticated("Credentials are needed for this: a token, or a user and password.")


def require_scope(account: Account, right: Right) -> None:
    """Raises Unauthenticated for anonymous, Forbidden for a token without a scope that the right needs, or confined
    where none such will do.

    What can be said before it is known what the call is about.
    """
    require_somebody(account)
    if right.scopes and not account.scopes & right.scopes:
        raise Forbidden(f"The token must have the scope {right.least_scope}.")
    if right.unconfined and account.namespace is not None:
        # It would be good for more than the namespace, or for what outlasts it: a robot's could make somebody an owner.
        raise Forbidden(
            f"This needs a token that is not confined to a namespace, as this one is to {account.namespace}."
        )


def require(account: Account, right: Right, namespace: str, roles: Mapping[str, Role] | None) -> None:
    """Raises Unauthenticated for anonymous, Forbidden for an account that has not the right in the namespace."""
    require_scope(account, right)
    if role(account, namespace, roles) >= right.role:
        return
    if account.namespace not in (None, namespace):
        raise _confined(account, namespace)
    raise Forbidden(f"This needs {_ROLE_WORDS[right.role]} of the namespace {namespace}, which {account.name} is not.")


def may_star(account: Account, namespace: str) -> bool:
    """Whether the account may star in the namespace what it may read there, and take its stars back."""
    return bool(account.scopes & STAR.scopes) and account.namespace in (None, namespace)


def require_star(account: Account, namespace: str) -> None:
    """For one that the account may read. Raises Unauthenticated, Forbidden."""
    require_scope(account, STAR)
    if not may_star(account, namespace):
        raise _confined(account, namespace)


def administers(account: Account) -> bool:
    """Whether it is an admin whose credentials are good for that."""
    return account.is_admin and SCOPE_ADMIN in account.scopes


def require_admin(account: Account) -> None:
    """Raises Unauthenticated for anonymous, Forbidden for any other that may not administer."""
    if account.is_anonymous:
        require_scope(account, ADMINISTER)
    if not administers(account):
        raise Forbidden("This needs an admin, with a token that has the scope admin.")
    require_scope(account, ADMINISTER)


def require_clone(account: Account) -> None:
    """For the catalog with all that is private and was. Raises Unauthenticated, Forbidden."""
    require_scope(account, CLONE)
    if SCOPE_CATALOG not in account.scopes and not (account.is_admin and sees_private(account)):
        raise Forbidden("To clone the whole catalog needs an admin, or a token with the scope catalog.")


def require_push(account: Account) -> None:
    """To push at all: who names an object by its id could read it so. Raises Unauthenticated, Forbidden."""
    require_scope(account, PUSH)
    require_clone(account)


def _confined(account: Account, namespace: str) -> Forbidden:
    return Forbidden(f"The token is confined to the namespace {account.namespace}; this is {namespace}.")
