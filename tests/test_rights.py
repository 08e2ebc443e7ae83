"""The table of rights: who sees what, who may write where."""

from __future__ import annotations

import pytest

from catalogd.accounts import ANONYMOUS, Account
from catalogd.errors import Forbidden, Unauthenticated
from catalogd.rights import (
    Visibility,
    may_administer,
    may_read,
    may_write,
    require_admin,
    require_write,
    visibility,
)


def account(*scopes: str, namespace: str | None = None, is_admin: bool = False) -> Account:
    return Account("ann", "ann@example.org", is_admin, frozenset(scopes), namespace)


READER, WRITER = account("read"), account("write")
ADMIN = account("admin", is_admin=True)
CONFINED = account("read", "write", namespace="team")
REGISTRY = account("registry", "catalog")
EVERYBODY = [ANONYMOUS, READER, WRITER, ADMIN, CONFINED, REGISTRY]


@pytest.mark.parametrize("who", EVERYBODY)
def test_everybody_reads_what_is_public(who):
    assert may_read(who, "other", True)


@pytest.mark.parametrize("who", [READER, WRITER, ADMIN])
def test_scopes_read_write_and_admin_read_everything(who):
    assert may_read(who, "other", False)
    assert visibility(who).everything


@pytest.mark.parametrize("who", [ANONYMOUS, REGISTRY, account()])
def test_without_one_of_these_scopes_private_repositories_do_not_exist(who):
    assert not may_read(who, "ann", False)
    assert visibility(who) == Visibility(everything=False, namespaces=frozenset())


def test_a_confined_token_sees_the_private_repositories_of_its_namespace_only():
    assert may_read(CONFINED, "team", False)
    assert not may_read(CONFINED, "team-b", False)
    assert visibility(CONFINED) == Visibility(everything=False, namespaces=frozenset({"team"}))


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("namespace", ["team", "other"])
@pytest.mark.parametrize("is_public", [True, False])
def test_what_one_may_read_is_what_the_read_model_shows(who, namespace, is_public):
    seen = visibility(who)
    shown = is_public or seen.everything or namespace in seen.namespaces
    assert may_read(who, namespace, is_public) == shown


@pytest.mark.parametrize("who", [WRITER, ADMIN])
def test_scopes_write_and_admin_write_to_any_namespace(who):
    assert may_write(who, "other")
    require_write(who, "other")


@pytest.mark.parametrize("who", [READER, REGISTRY, account()])
def test_without_one_of_these_scopes_a_write_is_forbidden_and_the_scope_named(who):
    assert not may_write(who, "ann")
    with pytest.raises(Forbidden, match="scope write"):
        require_write(who, "ann")


def test_a_confined_token_writes_to_its_namespace_only():
    require_write(CONFINED, "team")
    assert not may_write(CONFINED, "other")
    with pytest.raises(Forbidden, match="confined to the namespace team"):
        require_write(CONFINED, "other")


def test_nobody_who_may_not_read_a_private_repository_may_write_it():
    for who in EVERYBODY:
        for namespace in ("team", "other"):
            assert may_read(who, namespace, False) or not may_write(who, namespace)


def test_anonymous_is_asked_for_credentials():
    assert not may_write(ANONYMOUS, "team")
    for require in (lambda: require_write(ANONYMOUS, "team"), lambda: require_admin(ANONYMOUS)):
        with pytest.raises(Unauthenticated, match="Credentials are needed"):
            require()


def test_only_an_admin_administers():
    require_admin(ADMIN)
    for who in (READER, WRITER, CONFINED, REGISTRY, account("admin")):
        assert not may_administer(who)
        with pytest.raises(Forbidden):
            require_admin(who)


def test_a_confined_token_never_administers():
    assert not may_administer(account("admin", namespace="team", is_admin=True))
