"""Accounts on a real state database: what is kept, what is refused, and that processes agree at once."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import sqlite3
import statistics
import string
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import event, inspect

from catalogd.accounts import SCOPES, Accounts, TokenInfo
from catalogd.credentials import is_token, new_token
from catalogd.errors import (
    AlreadyExists,
    BadSettings,
    Malformed,
    NotACatalog,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from catalogd.state import SCHEMA_VERSION, State, TokenRow
from catalogd.state.database import Database
from catalogd.state.migrations import STEPS, migrate

DOMAIN = "users.example.invalid"
REFUSED = "The credentials are wrong, expired or revoked."
PASSWORD = "correct horse battery"
A_HASH_TAKES_LONGER = 0.02  # seconds


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
def state(file):
    with State(file) as opened:
        yield opened


@pytest.fixture
def database(file):
    """An up-to-date database, open below the state."""
    State(file).close()
    opened = Database(file)
    yield opened
    opened.close()


@pytest.fixture
def accounts(state):
    made = Accounts(state, email_domain=DOMAIN)
    made.add_user("ann")
    return made


def everything_on_disk(file) -> bytes:
    return b"".join(path.read_bytes() for path in file.parent.iterdir())


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def refused(authenticate, *credentials) -> None:
    with pytest.raises(Unauthenticated) as caught:
        authenticate(*credentials)
    assert caught.value.detail == REFUSED


def best_time(attempt: Callable[[], None]) -> float:
    """Seconds of the quickest of some attempts: what it costs, whatever else the machine does."""

    def seconds() -> float:
        began = time.perf_counter()
        attempt()
        return time.perf_counter() - began

    return min(seconds() for _ in range(5))


# --- the first admin


def test_an_empty_state_gets_an_admin_with_a_token_once(state):
    accounts = Accounts(state, email_domain=DOMAIN)
    name, token = accounts.ensure_admin()
    account = accounts.authenticate_token(token)
    assert (name, account.name, account.is_admin) == ("admin", "admin", True)
    assert account.scopes == {"read", "write", "admin"}
    assert accounts.ensure_admin() is None
    assert len(accounts.list_tokens()) == 1


def test_where_there_is_any_user_no_admin_is_made(accounts):
    assert accounts.ensure_admin() is None
    assert [user.name for user in accounts.list_users()] == ["ann"]


def make_admin(file, start, made) -> None:
    start.wait()
    with State(file) as state:
        made.put(Accounts(state, email_domain=DOMAIN).ensure_admin())


@pytest.mark.slow
def test_of_several_processes_that_start_on_no_database_one_makes_the_admin(file):
    context = multiprocessing.get_context("spawn")
    start, made = context.Barrier(6), context.Queue()
    processes = [context.Process(target=make_admin, args=(file, start, made)) for _ in range(6)]
    for process in processes:
        process.start()
    results = [made.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sum(result is not None for result in results) == 1


# --- users


def test_users_are_listed_by_name_with_an_address_even_where_none_was_given(accounts):
    accounts.add_user("zoe", email="zoe@example.org", is_admin=True)
    accounts.add_user("bob")
    shown = [(user.name, user.email, user.is_admin, user.has_password) for user in accounts.list_users()]
    assert shown == [
        ("ann", f"ann@{DOMAIN}", False, False),
        ("bob", f"bob@{DOMAIN}", False, False),
        ("zoe", "zoe@example.org", True, False),
    ]


def test_a_user_is_added_once(accounts):
    with pytest.raises(AlreadyExists, match="There is a user ann already"):
        accounts.add_user("ann")


@pytest.mark.parametrize("name", ["", "Ann", "a b", "../x", "ann\n", "con", "x.lock", "a" * 129, "änn", "\udc80"])
def test_the_name_of_a_user_has_the_grammar_of_a_namespace(accounts, name):
    with pytest.raises(Malformed, match="The user is not a valid name"):
        accounts.add_user(name)


@pytest.mark.parametrize(
    "email",
    ["", "ann", "@x", "a@", "a@x>", "a b@x", "a@x\n", "a@x.org\0", "a@b@c", "\ud800@x", "a@" + "x" * 260],
)
def test_what_git_could_not_write_as_an_address_is_refused(accounts, email):
    with pytest.raises(Malformed, match="e-mail"):
        accounts.add_user("eve", email=email)


def test_removing_a_user_revokes_its_tokens(accounts):
    token, _ = accounts.create_token("ann")
    accounts.remove_user("ann")
    refused(accounts.authenticate_token, token)
    assert accounts.list_tokens() == []
    accounts.add_user("ann")
    refused(accounts.authenticate_token, token)


@pytest.mark.parametrize("name", ["nobody", "", "No Name", "x" * 5000, "\udc80"])
def test_what_is_done_to_a_user_that_is_not_there_is_refused(accounts, name):
    for act in (
        lambda: accounts.remove_user(name),
        lambda: accounts.set_password(name, PASSWORD),
        lambda: accounts.create_token(name),
        lambda: accounts.list_tokens(name),
    ):
        with pytest.raises(NotFound, match="There is no user") as caught:
            act()
        assert len(caught.value.detail) < 1000 and caught.value.detail.isprintable()


# --- tokens


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


class Watched:
    """Counts the statements that a state runs."""

    def __init__(self, state: State):
        self._engine = state._database._engine
        self.queries = 0

    def _count(self, *_args: object) -> None:
        self.queries += 1

    def __enter__(self):
        event.listen(self._engine, "before_cursor_execute", self._count)
        return self

    def __exit__(self, *_exc: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._count)


def test_a_token_costs_one_query(accounts, state):
    token, _ = accounts.create_token("ann")
    with Watched(state) as watched:
        accounts.authenticate_token(token)
    assert watched.queries == 1


def test_a_token_of_another_catalog_is_refused(accounts, tmp_path):
    with State(tmp_path / "other.db") as other:
        _, token = Accounts(other, email_domain=DOMAIN).ensure_admin()
    refused(accounts.authenticate_token, token)


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


def test_an_expiry_in_the_past_or_without_a_zone_is_refused(accounts):
    for expires in (datetime.now(UTC) - timedelta(seconds=1), datetime.now() + timedelta(days=1)):
        with pytest.raises(Malformed, match="in the future, with a time zone"):
            accounts.create_token("ann", expires=expires)


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "READ"], "read"])
def test_unknown_scopes_and_none_are_refused(accounts, scopes):
    with pytest.raises(Malformed, match="one or more of read, write, admin, registry, catalog"):
        accounts.create_token("ann", scopes=scopes)


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", "\x1b[31m", "\ud800"])
def test_the_name_of_a_token_is_fit_to_be_shown(accounts, name):
    with pytest.raises(Malformed, match="printable"):
        accounts.create_token("ann", name)


def test_the_namespace_of_a_token_must_be_one(accounts):
    with pytest.raises(Malformed, match="The namespace is not a valid name"):
        accounts.create_token("ann", namespace="../x")


def test_the_scope_admin_is_for_unconfined_tokens_of_admins(accounts):
    accounts.add_user("root", is_admin=True)
    with pytest.raises(Malformed, match="ann is no admin"):
        accounts.create_token("ann", scopes=["admin"])
    with pytest.raises(Malformed, match="confined to a namespace"):
        accounts.create_token("root", scopes=["admin"], namespace="team")
    token, _ = accounts.create_token("root", scopes=["admin"])
    assert accounts.authenticate_token(token).is_admin


def test_an_admins_token_without_the_scope_is_no_admins(accounts):
    accounts.add_user("root", is_admin=True)
    token, _ = accounts.create_token("root", scopes=["read", "write"])
    assert not accounts.authenticate_token(token).is_admin


def test_a_token_is_never_more_than_its_user_even_if_the_database_says_so(accounts, state):
    token = new_token()
    row = TokenRow("id", "ann", "", sha256(token), "read admin", None, "2020-01-01T00:00:00.000Z")
    assert state.insert_token(row)
    account = accounts.authenticate_token(token)
    assert not account.is_admin and account.scopes == {"read"}


def test_a_user_that_is_not_active_is_refused_in_every_way(accounts, file):
    token, _ = accounts.create_token("ann")
    accounts.set_password("ann", PASSWORD)
    with sqlite3.connect(file) as connection:
        connection.execute('UPDATE "user" SET is_active = 0')
    refused(accounts.authenticate_token, token)
    refused(accounts.authenticate_password, "ann", PASSWORD)


@pytest.mark.parametrize("token_id", ["none", "", "\udc80", "x\n" * 1000])
def test_revoking_a_token_that_is_not_there_is_refused(accounts, token_id):
    with pytest.raises(NotFound, match="There is no token with the id"):
        accounts.revoke_token(token_id)


# --- passwords


def test_a_password_gives_all_that_the_user_may(accounts):
    accounts.add_user("root", is_admin=True)
    for user in ("ann", "root"):
        accounts.set_password(user, PASSWORD)
    ann, root = (accounts.authenticate_password(user, PASSWORD) for user in ("ann", "root"))
    assert not ann.is_admin and ann.scopes == set(SCOPES) - {"admin"} and ann.namespace is None
    assert root.is_admin and root.scopes == set(SCOPES)


def test_a_new_password_replaces_the_old_one(accounts):
    accounts.set_password("ann", PASSWORD)
    accounts.set_password("ann", "пароль с пробелами")
    refused(accounts.authenticate_password, "ann", PASSWORD)
    assert accounts.authenticate_password("ann", "пароль с пробелами").name == "ann"


@pytest.mark.parametrize(
    "password",
    ["", "7 chars", "x" * 1025, "x" * 10_000_000, "lone \ud800 surrogate", new_token()],
    ids=["empty", "short", "long", "endless", "surrogate", "token"],
)
def test_an_unfit_password_is_refused_quickly(accounts, password):
    def attempt() -> None:
        with pytest.raises(Malformed, match="The password must"):
            accounts.set_password("ann", password)

    assert best_time(attempt) < A_HASH_TAKES_LONGER


@pytest.mark.parametrize("password", ["x" * 10_000_000, "lone \ud800 surrogate"], ids=["endless", "surrogate"])
def test_what_no_password_can_be_is_refused_quickly_at_login(accounts, password):
    accounts.set_password("ann", PASSWORD)
    attempt = partial(refused, accounts.authenticate_password, "ann", password)
    assert best_time(attempt) < A_HASH_TAKES_LONGER


def test_every_failed_login_is_told_in_the_same_words(accounts):
    accounts.set_password("ann", PASSWORD)
    accounts.add_user("bob")
    for user, password in (
        ("ann", "wrong"),
        ("ann", ""),
        ("bob", ""),
        ("bob", PASSWORD),
        ("nobody", PASSWORD),
    ):
        refused(accounts.authenticate_password, user, password)
    refused(accounts.authenticate_password, "\ud800", PASSWORD)


@pytest.mark.slow
def test_a_user_that_does_not_exist_takes_as_long_as_a_wrong_password(accounts):
    accounts.set_password("ann", PASSWORD)
    accounts.add_user("bob")

    def seconds(user: str) -> float:
        began = time.perf_counter()
        refused(accounts.authenticate_password, user, "wrong password")
        return time.perf_counter() - began

    rounds = [[seconds(user) for user in ("ann", "nobody", "bob")] for _ in range(7)]
    wrong, missing, without = (statistics.median(times) for times in zip(*rounds, strict=True))
    assert missing == pytest.approx(wrong, rel=0.6)
    assert without == pytest.approx(wrong, rel=0.6)


def test_basic_takes_a_password_or_a_token_of_that_very_user(accounts):
    accounts.add_user("bob")
    accounts.set_password("ann", PASSWORD)
    token, _ = accounts.create_token("ann", scopes=["read"])
    assert accounts.authenticate_basic("ann", PASSWORD).name == "ann"
    assert accounts.authenticate_basic("ann", token).scopes == {"read"}
    for user in ("bob", "nobody", ""):
        refused(accounts.authenticate_basic, user, token)
    refused(accounts.authenticate_basic, "ann", "wrong password")


# --- what is kept


def test_neither_a_token_nor_a_password_is_anywhere_in_the_database(accounts, file):
    token, info = accounts.create_token("ann")
    accounts.set_password("ann", PASSWORD)
    accounts.authenticate_token(token)
    kept = everything_on_disk(file)
    assert info.id.encode() in kept and b"$argon2id$" in kept and sha256(token).encode() in kept
    assert token.encode() not in kept and token[5:-6].encode() not in kept and PASSWORD.encode() not in kept


def test_the_database_is_for_its_owner_only(file):
    with State(file) as state:
        Accounts(state, email_domain=DOMAIN).ensure_admin()
        modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


def test_a_database_that_was_restored_readable_by_all_is_closed_to_them(file):
    State(file).close()
    file.chmod(0o644)
    State(file).close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_database_is_durable_and_checks_its_references(state):
    with state._database.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


def test_accounts_are_there_after_a_restart(file):
    with State(file) as state:
        _, token = Accounts(state, email_domain=DOMAIN).ensure_admin()
    with State(file) as state:
        assert Accounts(state, email_domain=DOMAIN).authenticate_token(token).name == "admin"


def test_a_url_opens_the_same_database_as_a_path(file):
    with State(file) as state:
        _, token = Accounts(state, email_domain=DOMAIN).ensure_admin()
    with State(f"sqlite:///{file}") as state:
        assert Accounts(state, email_domain=DOMAIN).authenticate_token(token).name == "admin"


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "nosuchdb://u:pw@h/d",
    ],
)
def test_a_url_that_cannot_be_used_is_a_bad_setting_and_its_password_is_not_shown(url):
    with pytest.raises(BadSettings, match="state_url") as caught:
        State(url)
    assert "pw" not in caught.value.detail


def test_a_file_that_is_no_database_or_cannot_be_opened_says_so(tmp_path):
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"this is no database, but long enough to be looked at" * 100)
    with pytest.raises(NotACatalog, match="not a database"):
        State(junk)
    with pytest.raises(NotACatalog, match="No such file"):
        State(tmp_path / "none" / "state.db")
    with pytest.raises(NotACatalog):
        State(tmp_path)


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(file):
    State(file).close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE key = 'schema_version'")
    with pytest.raises(NotACatalog, match=r"version 999; .* newer catalogd"):
        State(file)


def test_a_database_of_an_older_version_is_brought_up_to_date_once(database):
    taken = []
    newer = [lambda connection, step=step: taken.append(step) for step in ("one", "two")]
    for _ in range(2):
        migrate(database, (*STEPS, *newer))
    assert taken == ["one", "two"]
    with pytest.raises(NotACatalog, match=f"version {SCHEMA_VERSION + 2}; .* up to {SCHEMA_VERSION}"):
        migrate(database)


def test_a_migration_that_fails_changes_nothing(database):
    def makes_half(connection) -> None:
        connection.exec_driver_sql("CREATE TABLE half (x INTEGER)")

    def fails(connection) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        migrate(database, (*STEPS, makes_half, fails))
    with database.reading() as connection:
        assert not inspect(connection).has_table("half")
    migrate(database)


def test_a_database_with_tables_of_something_else_is_left_alone(file):
    with sqlite3.connect(file) as connection:
        connection.execute('CREATE TABLE "user" (id INTEGER)')
    with pytest.raises(NotACatalog, match="tables that are not catalogd's: user"):
        State(file)
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("user",)]


# --- several at once


def test_what_one_state_does_holds_in_another_on_the_same_file_at_once(accounts, file):
    with State(file) as second:
        other = Accounts(second, email_domain=DOMAIN)
        token, info = accounts.create_token("ann")
        assert other.authenticate_token(token).name == "ann"
        other.revoke_token(info.id)
        refused(accounts.authenticate_token, token)

        accounts.set_password("ann", PASSWORD)
        assert other.authenticate_password("ann", PASSWORD).name == "ann"
        other.remove_user("ann")
        refused(accounts.authenticate_password, "ann", PASSWORD)


def test_many_threads_on_two_states_make_and_use_tokens_at_once(accounts, file):
    with State(file) as second:
        both = (accounts, Accounts(second, email_domain=DOMAIN))

        def work(number: int) -> str:
            name = f"user{number}"
            here, there = both[number % 2], both[1 - number % 2]
            here.add_user(name)
            token, info = there.create_token(name)
            assert all(here.authenticate_token(token).name == name for _ in range(20))
            if number % 3 == 0:
                here.revoke_token(info.id)
                refused(there.authenticate_token, token)
            return name

        with ThreadPoolExecutor(24) as pool:
            names = set(pool.map(work, range(48)))
        assert {user.name for user in accounts.list_users()} == names | {"ann"}
        assert len(accounts.list_tokens()) == 32


def test_of_many_who_add_the_same_user_one_succeeds(accounts):
    def add(_number: int) -> bool:
        try:
            accounts.add_user("same")
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(add, range(32))) == 1


def test_more_threads_than_connections_all_get_an_answer(accounts):
    token, _ = accounts.create_token("ann")
    with ThreadPoolExecutor(64) as pool:
        assert {account.name for account in pool.map(lambda _: accounts.authenticate_token(token), range(640))} == {
            "ann"
        }


# --- the use of a token


def used(accounts, token_id: str) -> str | None:
    return next(info.last_used_at for info in accounts.list_tokens() if info.id == token_id)


def set_last_used(file, stamp: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE token SET last_used_at = ?", (stamp,))


def ago(seconds: float) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_the_use_of_a_token_is_noted_at_most_once_a_minute(accounts, file):
    token, info = accounts.create_token("ann")
    assert used(accounts, info.id) is None
    began = ago(0)
    accounts.authenticate_token(token)
    assert used(accounts, info.id) >= began

    recent, old = ago(50), ago(70)
    set_last_used(file, recent)
    accounts.authenticate_token(token)
    assert used(accounts, info.id) == recent
    set_last_used(file, old)
    accounts.authenticate_token(token)
    assert used(accounts, info.id) >= began


def test_a_token_works_quickly_while_another_process_holds_the_write_lock(accounts, file, caplog):
    token, info = accounts.create_token("ann")
    blocker = sqlite3.connect(file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        began = time.perf_counter()
        with caplog.at_level(logging.WARNING):
            for _ in range(100):
                assert accounts.authenticate_token(token).name == "ann"
        assert time.perf_counter() - began < 2
    finally:
        blocker.close()
    assert used(accounts, info.id) is None
    assert [record.getMessage() for record in caplog.records] == [
        "the use of a token could not be noted: database is locked"
    ]


def test_a_write_waits_for_another_process_that_is_writing(accounts, file):
    blocker = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, lambda: blocker.execute("COMMIT"))
    release.start()
    accounts.add_user("bob")
    release.join()
    blocker.close()
    assert [user.name for user in accounts.list_users()] == ["ann", "bob"]


def test_opening_waits_for_another_process_that_opens_for_the_first_time(file):
    blocker = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.5, lambda: blocker.execute("COMMIT"))
    release.start()
    State(file).close()
    release.join()
    blocker.close()


def test_opening_waits_for_a_reader_of_a_database_that_is_not_in_wal_mode_yet(file):
    blocker = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    blocker.executescript("CREATE TABLE other (x); INSERT INTO other VALUES (1); BEGIN; SELECT * FROM other;")
    blocker.execute("SELECT * FROM other").fetchall()
    release = threading.Timer(0.5, lambda: blocker.execute("COMMIT"))
    release.start()
    State(file).close()
    release.join()
    blocker.close()


def test_a_database_that_cannot_be_used_is_unavailable_and_its_error_has_no_secrets(accounts, file):
    token, _ = accounts.create_token("ann")
    with sqlite3.connect(file) as connection:
        connection.execute("ALTER TABLE token RENAME TO elsewhere")
    with pytest.raises(Unavailable) as caught:
        accounts.authenticate_token(token)
    assert sha256(token) not in str(caught.value.__cause__)
