"""The table of rights: what a role and the scopes of a token allow, together and never one without the other."""

from __future__ import annotations

import pytest

from catalogd import rights
from catalogd.accounts import ANONYMOUS, Account
from catalogd.documents import Role
from catalogd.errors import Forbidden, Unauthenticated
from catalogd.rights import BELONG, IDENTIFY, KEEP, MANAGE, OWN, READ, STAR, WRITE, Visibility

NOBODYS = None  # there is no organization of that name
TEAM = {"olga": Role.OWNER, "will": Role.WRITER, "rita": Role.READER}


def account(name: str, *scopes: str, namespace: str | None = None, is_admin: bool = False) -> Account:
    return Account(name, f"{name}@example.org", is_admin, frozenset(scopes), namespace)


def full(name: str) -> Account:
    return account(name, "read", "write")


def roles_of(user: str) -> dict[str, Role]:
    """As the read model tells them, of the organizations `team` and `sam`."""
    return {"team": TEAM[user]} if user in TEAM else {"sam": Role.NONE} if user == "sam" else {}


ADMIN = account("ada", "read", "write", "admin", is_admin=True)
EVERYBODY = [
    ANONYMOUS, full("stranger"), full("rita"), full("will"), full("olga"), ADMIN, account("rita", "read"),
    account("olga", "registry", "catalog"), account("ada", "read", is_admin=True),
    account("olga", "write", namespace="team"), account("olga", "write", namespace="other"), full("sam"), account("x"),
]  # fmt: skip


def allowed(who: Account, right: rights.Right, namespace: str = "team", roles=TEAM) -> bool:
    try:
        rights.require(who, right, namespace, roles)
    except (Forbidden, Unauthenticated):
        return False
    return True


@pytest.mark.parametrize("who", EVERYBODY)
def test_everybody_reads_what_is_public(who):
    assert rights.may_read(who, "team", True, TEAM)


@pytest.mark.parametrize(
    ("name", "reads", "writes", "owns"),
    [("stranger", 0, 0, 0), ("rita", 1, 0, 0), ("will", 1, 1, 0), ("olga", 1, 1, 1)],
)
def test_each_role_has_the_rights_of_those_below(name, reads, writes, owns):
    who = full(name)
    assert rights.may_read(who, "team", False, TEAM) == bool(reads)
    assert [allowed(who, right) for right in (BELONG, WRITE, OWN)] == [bool(reads), bool(writes), bool(owns)]


def test_an_admin_is_an_owner_everywhere():
    assert all(allowed(ADMIN, right, namespace, roles) for right in (READ, WRITE, OWN) for namespace, roles in
               (("team", TEAM), ("none", NOBODYS), ("team", {})))  # fmt: skip
    assert rights.visibility(ADMIN, roles_of) == Visibility(everything=True)


def test_a_users_own_name_is_a_namespace_of_theirs():
    assert allowed(full("nina"), OWN, "nina", NOBODYS)
    assert not allowed(full("nina"), WRITE, "olga", NOBODYS)
    assert rights.visibility(full("nina"), roles_of) == Visibility(False, frozenset({"nina"}))


def test_an_organization_of_the_users_name_is_not_theirs_for_that():
    assert not allowed(full("sam"), WRITE, "sam", {})
    assert not rights.may_read(full("sam"), "sam", False, {})
    assert rights.visibility(full("sam"), roles_of) == Visibility(False, frozenset())


@pytest.mark.parametrize("scopes", [(), ("registry",), ("catalog",), ("registry", "catalog")])
def test_without_a_reading_scope_an_owner_sees_only_what_is_public(scopes):
    who = account("olga", *scopes)
    assert not rights.may_read(who, "team", False, TEAM)
    assert rights.visibility(who, roles_of) == Visibility(everything=False)


@pytest.mark.parametrize("right", [WRITE, OWN, STAR])
def test_without_a_writing_scope_an_owner_changes_nothing_and_the_scope_is_named(right):
    with pytest.raises(Forbidden, match="must have the scope write"):
        rights.require(account("olga", "read"), right, "team", TEAM)


def test_the_scope_admin_gives_nothing_to_who_is_no_admin():
    with pytest.raises(Forbidden):
        rights.require_admin(account("olga", "read", "write", "admin"))


def test_an_admin_administers_only_with_the_scope_and_unconfined():
    rights.require_admin(ADMIN)
    for who in (account("ada", "read", "write", is_admin=True), account("ada", "admin", namespace="t", is_admin=True)):
        with pytest.raises(Forbidden, match=r"scope admin|not confined"):
            rights.require_admin(who)


def test_a_confined_token_has_the_role_of_its_user_there_and_none_elsewhere():
    inside, outside = account("olga", "write", namespace="team"), account("olga", "write", namespace="other")
    assert allowed(inside, OWN)
    assert rights.visibility(inside, roles_of) == Visibility(False, frozenset({"team"}))
    assert rights.visibility(outside, roles_of) == Visibility(False, frozenset())
    with pytest.raises(Forbidden, match="confined to the namespace other"):
        rights.require(outside, WRITE, "team", TEAM)
    with pytest.raises(Forbidden, match="confined to the namespace other"):
        rights.require_star(outside, "team")


def test_a_confined_token_of_an_admin_is_good_in_its_namespace_only():
    robot = account("ada", "write", namespace="team", is_admin=True)
    assert allowed(robot, OWN)
    assert not allowed(robot, WRITE, "other", NOBODYS)
    assert rights.visibility(robot, roles_of) == Visibility(False, frozenset({"team"}))


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize(("namespace", "roles"), [("team", TEAM), ("other", NOBODYS), ("sam", {}), ("rita", NOBODYS)])
@pytest.mark.parametrize("is_public", [True, False])
def test_what_one_may_read_is_what_the_read_model_shows(who, namespace, roles, is_public):
    shown = rights.visibility(who, roles_of).covers(namespace, is_public)
    assert rights.may_read(who, namespace, is_public, roles) == shown


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize(("namespace", "roles"), [("team", TEAM), ("other", NOBODYS), ("sam", {})])
def test_nobody_changes_what_they_may_not_read(who, namespace, roles):
    for right in (WRITE, OWN):
        assert rights.may_read(who, namespace, False, roles) or not allowed(who, right, namespace, roles)


def test_anonymous_is_asked_for_credentials():
    for require in (
        lambda: rights.require(ANONYMOUS, WRITE, "team", TEAM),
        lambda: rights.require_admin(ANONYMOUS),
        lambda: rights.require_star(ANONYMOUS, "team"),
        lambda: rights.require_scope(ANONYMOUS, IDENTIFY),
    ):
        with pytest.raises(Unauthenticated, match="Credentials are needed"):
            require()


def test_a_confined_token_knows_its_user_but_manages_nothing_of_theirs():
    robot = account("olga", "read", "write", namespace="team")
    rights.require_scope(robot, IDENTIFY)
    for right in (KEEP, MANAGE):
        with pytest.raises(Forbidden, match="confined"):
            rights.require_scope(robot, right)


def test_every_right_has_words_of_its_own():
    assert (
        len({right.name for right in rights.RIGHTS})
        == len({right.words for right in rights.RIGHTS})
        == len(rights.RIGHTS)
    )
