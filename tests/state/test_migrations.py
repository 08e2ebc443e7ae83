"""From an empty or older database to the newest version, once, by one process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from account_tools import THEN, a_user, run_by_hand
from sqlalchemy import inspect, text

from catalogd.errors import NotACatalog
from catalogd.state import SCHEMA_VERSION, State, TokenRow, UserRow
from catalogd.state.database import Database
from catalogd.state.migrations import STEPS, migrate
from catalogd.state.tables import metadata

# What catalogd made before it knew stars, with a user and a token.
VERSION_1 = """
CREATE TABLE meta ("key" VARCHAR(64) NOT NULL, value TEXT NOT NULL, PRIMARY KEY ("key"));
CREATE TABLE "user" (
    name VARCHAR(128) NOT NULL, email VARCHAR(254), is_admin BOOLEAN NOT NULL, password_hash TEXT,
    created_at VARCHAR(24) NOT NULL, is_active BOOLEAN NOT NULL, PRIMARY KEY (name)
);
CREATE TABLE token (
    id VARCHAR(32) NOT NULL, "user" VARCHAR(128) NOT NULL, name VARCHAR(100) NOT NULL, digest VARCHAR(64) NOT NULL,
    scopes TEXT NOT NULL, namespace VARCHAR(128), created_at VARCHAR(24) NOT NULL, expires_at VARCHAR(24),
    last_used_at VARCHAR(24), PRIMARY KEY (id),
    FOREIGN KEY("user") REFERENCES "user" (name) ON DELETE CASCADE, UNIQUE (digest)
);
CREATE INDEX ix_token_user ON token ("user");
INSERT INTO meta VALUES ('schema_version', '1');
INSERT INTO "user" VALUES ('ann', 'ann@example.org', true, '$argon2id$', '2020-01-01T00:00:00.000Z', true);
INSERT INTO token VALUES ('id', 'ann', 'ci', 'digest', 'read', 'team', '2020-01-01T00:00:00.000Z', NULL, NULL);
"""
# What it made with stars, and what it left where batches were released.
VERSION_2 = """
CREATE TABLE star (
    "user" VARCHAR(128) NOT NULL, namespace VARCHAR(128) NOT NULL, repo_name VARCHAR(128) NOT NULL,
    starred_at VARCHAR(24) NOT NULL, PRIMARY KEY ("user", namespace, repo_name),
    FOREIGN KEY("user") REFERENCES "user" (name) ON DELETE CASCADE
);
CREATE INDEX ix_star_repository ON star (namespace, repo_name);
CREATE TABLE activity (
    id {number}, namespace VARCHAR(128) NOT NULL,
    repo_name VARCHAR(128) NOT NULL, batch BIGINT, stars INTEGER DEFAULT '0' NOT NULL
);
CREATE INDEX ix_activity_batch ON activity (batch, namespace, repo_name);
CREATE INDEX ix_activity_repository ON activity (namespace, repo_name);
INSERT INTO activity (namespace, repo_name, batch, stars) VALUES
    ('team', 'app', NULL, 2), ('team', 'lib', NULL, 1), ('team', 'app', 7, 4), ('team', 'app', NULL, -5),
    ('other', 'app', NULL, 3), ('team', 'app', 7, 1), ('team', 'app', NULL, 1);
UPDATE meta SET value = '2' WHERE "key" = 'schema_version';
"""
NUMBERS = {True: "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", False: "BIGSERIAL NOT NULL PRIMARY KEY"}
ANN = UserRow("ann", "ann@example.org", True, "$argon2id$", THEN)
HER_TOKEN = TokenRow("id", "ann", "ci", "digest", "read", "team", THEN)


@pytest.fixture
def database(where):
    """An empty database, open below the state."""
    opened = Database(where)
    yield opened
    opened.close()


def _told(indexes: list) -> list:
    """Their conditions as text, which can be compared."""
    return [
        {**index, "dialect_options": {key: str(value) for key, value in index.get("dialect_options", {}).items()}}
        for index in indexes
    ]


def described(database: Database) -> dict[str, object]:
    """Everything that a database says of its tables."""
    with database.reading() as connection:
        inspector = inspect(connection)
        return {
            name: (
                [{**column, "type": str(column["type"])} for column in inspector.get_columns(name)],
                inspector.get_pk_constraint(name),
                inspector.get_foreign_keys(name),
                inspector.get_unique_constraints(name),
                _told(inspector.get_indexes(name)),
            )
            for name in inspector.get_table_names()
        }


def test_a_database_of_version_1_keeps_its_users_and_tokens_and_takes_stars(where):
    run_by_hand(where, VERSION_1)
    for _ in range(2):
        with State(where) as state:
            assert state.users() == [ANN]
            assert state.token_and_user("digest") == (HER_TOKEN, ANN)
            state.star("ann", "team", "app", THEN)
            assert len(state.starred("ann")) == 1


def version_2(where) -> str:
    return VERSION_1 + VERSION_2.format(number=NUMBERS[isinstance(where, Path)])


def test_a_database_of_version_2_has_one_row_of_each_repository_for_what_is_in_no_batch(where):
    run_by_hand(where, version_2(where))
    with State(where) as state:
        counted = {(row.namespace, row.repo_name, row.batch): row.stars for row in state.pending_activity()}
        assert counted == {
            ("team", "app", None): -2,
            ("team", "lib", None): 1,
            ("other", "app", None): 3,
            ("team", "app", 7): 5,
        }
        state.star("ann", "team", "app", THEN)
        state.release_batch(7)
        assert [row.stars for row in state.pending_of([("team", "app")])] == [4]


def test_all_migrations_together_lead_to_the_tables_of_the_queries(database):
    migrate(database)
    migrated = described(database)
    with database.writing() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert migrated == described(database) and len(migrated) == len(metadata.tables)


@pytest.mark.parametrize("before", [1, 2])
def test_an_older_database_becomes_the_same_as_a_new_one(where, database, before):
    run_by_hand(where, VERSION_1 if before == 1 else version_2(where))
    migrate(database)
    old = described(database)
    with database.writing() as connection:
        metadata.drop_all(connection)
    migrate(database)
    assert old == described(database)


@pytest.mark.parametrize("before", ["", VERSION_1], ids=["empty", "version 1"])
def test_of_many_who_open_a_database_at_once_one_migrates_it(where, before):
    run_by_hand(where, before)

    def open_and_use(number: int) -> bool:
        with State(where) as state:
            return state.insert_user(a_user(f"user{number}"))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(open_and_use, range(8)))


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(where):
    State(where).close()
    run_by_hand(where, "UPDATE meta SET value = '999' WHERE \"key\" = 'schema_version'")
    for _ in range(2):
        with pytest.raises(NotACatalog, match=r"version 999; .* newer catalogd"):
            State(where)


def test_each_step_is_taken_once(database):
    taken = []
    newer = [lambda _connection, step=step: taken.append(step) for step in ("one", "two")]
    migrate(database)
    for _ in range(2):
        migrate(database, (*STEPS, *newer))
    assert taken == ["one", "two"]
    with pytest.raises(NotACatalog, match=f"version {SCHEMA_VERSION + 2}; .* up to {SCHEMA_VERSION}"):
        migrate(database)


def test_a_migration_that_fails_changes_nothing(database):
    def makes_half(connection) -> None:
        connection.execute(text("CREATE TABLE half (x INTEGER)"))

    def fails(_connection) -> None:
        raise RuntimeError("broken")

    migrate(database)
    before = described(database)
    with pytest.raises(RuntimeError):
        migrate(database, (*STEPS, makes_half, fails))
    assert described(database) == before
    migrate(database)


def test_a_database_with_tables_of_something_else_is_left_alone(where, database):
    run_by_hand(where, 'CREATE TABLE "user" (id INTEGER)')
    before = described(database)
    with pytest.raises(NotACatalog, match="tables that are not catalogd's: user"):
        State(where)
    assert described(database) == before
