"""Tokens: what they are, what they give, and how they end."""

from __future__ import annotations

import string
import time
from datetime import UTC, datetime, timedelta

import pytest
from account_tools import ADDRESS, DOMAIN, PASSWORD, Watched, a_token, a_user, ago, only_sqlite, refused, sha256, used

from catalogd.accounts import Accounts, TokenInfo
from catalogd.credentials import is_token, new_token
from catalogd.errors import Invalid, Malformed, NotFound
from catalogd.state import State, TokenRow


def test_a_token_is_recognisable_and_carries_a_checksum(accounts):
    token, _ = accounts.create_token("ann")
    assert token.startswith("catd_") and len(token) == 5 + 32 + 6
    assert set(token[5:]) <= set(string.ascii_letters + string.digits)
    assert is_token(token)


def test_any_change_of_one_character_breaks_the_checksum():
    token = new_token()
    for place in range(5, len(token)):
        other = "A" if token[place] != "A" else "B"
        assert not is_token(token[:place] + other + token[place + 1 :])


def test_a_token_gives_the_account_of_its_user_with_its_scopes(accounts):
    token, info = accounts.create_token("ann", "ci", ["write", "read"], namespace="team")
    account = accounts.authenticate_token(token)
    assert (account.name, account.email, account.is_admin) == ("ann", f"ann@{DOMAIN}", False)
    assert (account.scopes, account.namespace) == ({"read", "write"}, "team")
    assert (info.user, info.name, info.scopes, info.namespace) == ("ann", "ci", ("read", "write"), "team")


def test_a_token_reads_and_writes_unless_said_otherwise(accounts):
    _, info = accounts.create_token("ann")
    assert (info.scopes, info.namespace, info.expires_at, info.last_used_at) == (
        ("read", "write"),
        None,
        None,
        None,
    )


def test_tokens_are_listed_oldest_first_and_without_the_token(accounts):
    accounts.add_user("bob")
    made = []
    for user, name in (("ann", "1"), ("bob", "2"), ("ann", "3")):
        made.append(accounts.create_token(user, name))
        time.sleep(0.002)
    assert [info.name for info in accounts.list_tokens()] == ["1", "2", "3"]
    assert accounts.list_tokens("ann") == [made[0][1], made[2][1]]
    assert not any(token[5:] in repr(accounts.list_tokens()) for token, _ in made)


@only_sqlite
@pytest.mark.parametrize(
    "token",
    [
        "",
        "catd_",
        "x",
        "catd_" + "0" * 38,
        new_token() + "\n",
        new_token()[5:],
        "catd_" + "٣" * 38,
        "\ud800",
        "catd_" * 1_000_000,
    ],
    ids=range(9),
)
def test_what_cannot_be_a_token_is_refused_without_a_query(accounts, state, token):
    with Watched(state) as watched:
        refused(accounts.authenticate_token, token)
    assert watched.queries == 0


def test_a_token_costs_one_query(accounts, state):
    token, _ = accounts.create_token("ann")
    with Watched(state) as watched:
        accounts.authenticate_token(token)
    assert watched.queries == 1


def test_a_token_of_another_catalog_is_refused(accounts, tmp_path):
    with State(tmp_path / "other.db") as other:
        _, token = Accounts(other, email_domain=DOMAIN).ensure_admin()
    refused(accounts.authenticate_token, token)


@pytest.mark.slow
def test_a_token_stops_when_it_expires(accounts):
    token, info = accounts.create_token("ann", expires=datetime.now(UTC) + timedelta(milliseconds=400))
    assert accounts.authenticate_token(token).name == "ann"
    time.sleep(0.45)
    refused(accounts.authenticate_token, token)
    assert accounts.list_tokens() == [
        TokenInfo(**{**vars(info), "last_used_at": accounts.list_tokens()[0].last_used_at})
    ]


def test_an_expiry_in_another_time_zone_is_kept_in_utc(accounts):
    zone = datetime.strptime("+0930", "%z").tzinfo
    _, info = accounts.create_token("ann", expires=datetime(2999, 1, 1, 9, 30, tzinfo=zone))
    assert info.expires_at == "2999-01-01T00:00:00.000Z"


@only_sqlite
def test_an_expiry_in_the_past_or_without_a_zone_is_refused(accounts):
    for expires in (datetime.now(UTC) - timedelta(seconds=1), datetime.now() + timedelta(days=1)):
        with pytest.raises(Invalid, match="in the future, with a time zone"):
            accounts.create_token("ann", expires=expires)


@only_sqlite
@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "READ"], "read"])
def test_unknown_scopes_and_none_are_refused(accounts, scopes):
    with pytest.raises(Invalid, match="one or more of read, write, admin, registry, catalog"):
        accounts.create_token("ann", scopes=scopes)


@only_sqlite
@pytest.mark.parametrize("name", ["x" * 101, "a\nb", "\x1b[31m", "\ud800"])
def test_the_name_of_a_token_is_fit_to_be_shown(accounts, name):
    with pytest.raises(Invalid, match="printable"):
        accounts.create_token("ann", name)


@only_sqlite
def test_the_namespace_of_a_token_must_be_one(accounts):
    with pytest.raises(Malformed, match="The namespace is not a valid name"):
        accounts.create_token("ann", namespace="../x")


def test_the_scope_admin_is_for_unconfined_tokens_of_admins(accounts):
    accounts.add_user("root", is_admin=True)
    with pytest.raises(Invalid, match="ann is no admin"):
        accounts.create_token("ann", scopes=["admin"])
    with pytest.raises(Invalid, match="confined to a namespace"):
        accounts.create_token("root", scopes=["admin"], namespace="team")
    token, _ = accounts.create_token("root", scopes=["admin"])
    assert accounts.authenticate_token(token).is_admin


def test_an_admins_token_has_only_the_scopes_that_it_was_made_with(accounts):
    accounts.add_user("root", is_admin=True)
    token, _ = accounts.create_token("root", scopes=["read", "write"])
    assert "admin" not in accounts.authenticate_token(token).scopes


def test_a_token_is_never_more_than_its_user_even_if_the_database_says_so(accounts, state):
    token = new_token()
    row = TokenRow("id", "ann", "", sha256(token), "read admin", None, "2020-01-01T00:00:00.000Z")
    assert state.insert_token(row)
    account = accounts.authenticate_token(token)
    assert not account.is_admin and account.scopes == {"read"}


def test_a_user_that_is_not_active_is_refused_in_every_way(accounts, state):
    token, _ = accounts.create_token("ann")
    accounts.set_password("ann", PASSWORD)
    state.update_user("ann", {"is_active": False}, keep_admin=True)
    refused(accounts.authenticate_token, token)
    refused(accounts.authenticate_password, "ann", PASSWORD, ADDRESS)


@pytest.mark.parametrize("token_id", ["none", "", "\udc80", "\0", "x\n" * 1000])
def test_revoking_a_token_that_is_not_there_is_refused(accounts, token_id):
    with pytest.raises(NotFound, match="There is no token with the id"):
        accounts.revoke_token(token_id)


def test_the_use_of_a_token_is_noted_at_most_once_a_minute(accounts, state):
    token, info = accounts.create_token("ann")
    assert used(accounts, info.id) is None
    began = ago(0)
    accounts.authenticate_token(token)
    assert used(accounts, info.id) >= began

    recent, old = ago(50), ago(70)
    state.note_token_used(info.id, recent, not_since=ago(0))
    accounts.authenticate_token(token)
    assert used(accounts, info.id) == recent
    state.note_token_used(info.id, old, not_since=ago(0))
    accounts.authenticate_token(token)
    assert used(accounts, info.id) >= began

    state.note_token_used(info.id, ago(-3600), not_since=ago(-3600))  # while the clock was ahead
    accounts.authenticate_token(token)
    assert began <= used(accounts, info.id) <= ago(0)


# --- as they are kept


@pytest.fixture
def two_users(state):
    for name in ("ann", "bob"):
        state.insert_user(a_user(name))
    return state


def test_a_token_is_deleted_for_its_user_only_where_one_is_named(two_users):
    for token_id in ("one", "two"):
        two_users.insert_token(a_token(token_id, "ann"))
    assert not two_users.delete_token("one", "bob")
    assert two_users.delete_token("one", user="ann")
    assert not two_users.delete_token("one", user="ann")
    assert two_users.delete_token("two")
    assert two_users.tokens() == []


def test_the_tokens_of_a_user_are_counted(two_users):
    for token_id in ("one", "two"):
        two_users.insert_token(a_token(token_id, "ann"))
    assert [two_users.count_tokens(name) for name in ("ann", "bob", "nobody")] == [2, 0, 0]


def at(day: int) -> str:
    return f"2020-01-{day:02}T00:00:00.000Z"


def test_of_the_tokens_with_one_name_those_used_last_are_kept(two_users):
    for row in (
        a_token("old, used of late", "ann", "login", made=at(1), used=at(9)),
        a_token("never used", "ann", "login", made=at(5)),
        a_token("old, never used", "ann", "login", made=at(2)),
        a_token("used before", "ann", "login", made=at(3), used=at(4)),
        a_token("of another name", "ann", "ci", made=at(1)),
        a_token("of another user", "bob", "login", made=at(1)),
    ):
        two_users.insert_token(row)

    def left() -> set[str]:
        return {row.id for row in two_users.tokens()} - {"of another name", "of another user"}

    assert two_users.prune_tokens("ann", "login", 4, now=at(9)) == 0
    assert two_users.prune_tokens("ann", "login", 2, now=at(9)) == 2
    assert left() == {"old, used of late", "never used"}
    assert two_users.prune_tokens("ann", "login", 0, now=at(9)) == 2
    assert left() == set()
    assert len(two_users.tokens()) == 2


def test_a_login_stays_good_though_others_were_used_while_the_clock_was_ahead(two_users):
    for number in range(3):
        two_users.insert_token(a_token(f"ahead {number}", "ann", "login", made=at(1), used=at(20 + number)))
    two_users.insert_token(a_token("new", "ann", "login", made=at(9)))
    assert two_users.prune_tokens("ann", "login", 2, now=at(9)) == 2
    assert {row.id for row in two_users.tokens()} == {"new", "ahead 2"}
