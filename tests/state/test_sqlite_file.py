"""The SQLite file: what is in it, who may read it, and who waits for whom."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time

import pytest
from account_tools import DOMAIN, PASSWORD, only_sqlite, sha256, used

from catalogd.accounts import Accounts
from catalogd.errors import BadSettings, NotACatalog
from catalogd.state import State

A_WHILE = 0.2  # seconds that another process is at work


def everything_on_disk(file) -> bytes:
    return b"".join(path.read_bytes() for path in file.parent.iterdir())


@only_sqlite
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


@only_sqlite
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
        "mysql://u:pw@h/d",
        "postgresql+psycopg2://u:pw@h/d",
        "postgresql://u:pw@h:port/d",
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


@only_sqlite
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


@only_sqlite
def test_a_write_waits_for_another_process_that_is_writing(accounts, file):
    blocker = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    release = threading.Timer(A_WHILE, lambda: blocker.execute("COMMIT"))
    release.start()
    accounts.add_user("bob")
    release.join()
    blocker.close()
    assert [user.name for user in accounts.list_users()] == ["ann", "bob"]


def test_opening_waits_for_another_process_that_opens_for_the_first_time(file):
    blocker = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(A_WHILE, lambda: blocker.execute("COMMIT"))
    release.start()
    State(file).close()
    release.join()
    blocker.close()


def test_opening_waits_for_a_reader_of_a_database_that_is_not_in_wal_mode_yet(file):
    blocker = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    blocker.executescript("CREATE TABLE other (x); INSERT INTO other VALUES (1); BEGIN; SELECT * FROM other;")
    blocker.execute("SELECT * FROM other").fetchall()
    release = threading.Timer(A_WHILE, lambda: blocker.execute("COMMIT"))
    release.start()
    State(file).close()
    release.join()
    blocker.close()
