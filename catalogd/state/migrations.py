"""Brings a database from the version it has to the newest.

Each step says its tables itself and is never changed once it is released: `tables.py` says what all of them lead to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    inspect,
    select,
    text,
)

from catalogd.errors import NotACatalog
from catalogd.state.database import Database
from catalogd.state.tables import meta, metadata

Step = Callable[[Connection], None]


def _to_version_1(connection: Connection) -> None:
    tables = MetaData()
    Table(
        "user",
        tables,
        Column("name", String(128), primary_key=True),
        Column("email", String(254)),
        Column("is_admin", Boolean, nullable=False),
        Column("password_hash", Text),
        Column("created_at", String(24), nullable=False),
        Column("is_active", Boolean, nullable=False),
    )
    Table(
        "token",
        tables,
        Column("id", String(32), primary_key=True),
        Column("user", ForeignKey("user.name", ondelete="CASCADE"), nullable=False, index=True),
        Column("name", String(100), nullable=False),
        Column("digest", String(64), nullable=False, unique=True),
        Column("scopes", Text, nullable=False),
        Column("namespace", String(128)),
        Column("created_at", String(24), nullable=False),
        Column("expires_at", String(24)),
        Column("last_used_at", String(24)),
    )
    Table("meta", tables, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))
    tables.create_all(connection, checkfirst=False)


def _to_version_2(connection: Connection) -> None:
    """Stars, and what is counted."""
    tables = MetaData()
    Table("user", tables, Column("name", String(128), primary_key=True))  # to refer to
    star = Table(
        "star",
        tables,
        Column("user", ForeignKey("user.name", ondelete="CASCADE"), primary_key=True),
        Column("namespace", String(128), primary_key=True),
        Column("repo_name", String(128), primary_key=True),
        Column("starred_at", String(24), nullable=False),
        Index("ix_star_repository", "namespace", "repo_name"),
    )
    activity = Table(
        "activity",
        tables,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("namespace", String(128), nullable=False),
        Column("repo_name", String(128), nullable=False),
        Column("batch", BigInteger),
        Column("stars", Integer, nullable=False, server_default="0"),
        Index("ix_activity_batch", "batch", "namespace", "repo_name"),
        Index("ix_activity_repository", "namespace", "repo_name"),
        sqlite_autoincrement=True,
    )
    tables.create_all(connection, [star, activity], checkfirst=False)


def _to_version_3(connection: Connection) -> None:
    """Pulls beside stars, in one row of what waits; and what a registry tells."""
    _count_pulls(connection)
    tables = MetaData()
    number = BigInteger().with_variant(Integer, "sqlite")
    Table(
        "registry_event",
        tables,
        Column("number", number, primary_key=True),
        Column("digest", LargeBinary(16), nullable=False, unique=True),
    )
    Table(
        "index_pull",
        tables,
        Column("namespace", String(128), primary_key=True),
        Column("repo_name", String(128), primary_key=True),
        Column("client", LargeBinary(16), primary_key=True),
        Column("index_at", String(24)),
        Column("child_at", String(24)),
        sqlite_with_rowid=False,
    )
    Table(
        "registry_change",
        tables,
        Column("id", number, primary_key=True),
        Column("namespace", String(128), nullable=False),
        Column("repo_name", String(128), nullable=False),
        Column("kind", String(6), nullable=False),
        Column("tag", String(128)),
        Column("digest", String(135)),
        Column("media_type", String(255)),
        Column("at", String(24), nullable=False),
        Column("size", BigInteger),
        Column("image_id", String(135)),
        Column("actor", Text),
        Column("account", String(128)),
        Column("email", String(254)),
        Column("delivery", String(32), index=True),
        sqlite_autoincrement=True,
    )
    Table(
        "deleted_tag",
        tables,
        Column("namespace", String(128), primary_key=True),
        Column("repo_name", String(128), primary_key=True),
        Column("tag", String(128), primary_key=True),
        Column("at", String(24), nullable=False),
        sqlite_with_rowid=False,
    )
    tables.create_all(connection, checkfirst=False)


def _count_pulls(connection: Connection) -> None:
    # One row of each repository that has several without a batch takes what they add up to.
    for statement in (
        """UPDATE activity SET stars = (
            SELECT sum(other.stars) FROM activity AS other
            WHERE other.batch IS NULL
            AND other.namespace = activity.namespace AND other.repo_name = activity.repo_name
        ) WHERE batch IS NULL""",
        """DELETE FROM activity WHERE batch IS NULL AND id NOT IN (
            SELECT min(id) FROM activity WHERE batch IS NULL GROUP BY namespace, repo_name
        )""",
        "ALTER TABLE activity ADD COLUMN pulls BIGINT DEFAULT '0' NOT NULL",
        "ALTER TABLE activity ADD COLUMN pulled_at VARCHAR(24)",
        "CREATE UNIQUE INDEX ix_activity_waiting ON activity (namespace, repo_name) WHERE batch IS NULL",
    ):
        connection.execute(text(statement))


def _to_version_4(connection: Connection) -> None:
    """SQLite counts the changes of users and tokens, whoever makes them, so that what was read of them can be kept."""
    if connection.dialect.name != "sqlite":
        return
    connection.execute(text("INSERT INTO meta (key, value) VALUES ('accounts_version', '1')"))
    for table in ("user", "token"):
        for change in ("INSERT", "UPDATE", "DELETE"):
            connection.exec_driver_sql(
                f'CREATE TRIGGER {table}_{change.lower()} AFTER {change} ON "{table}" BEGIN'
                " UPDATE meta SET value = value + 1 WHERE key = 'accounts_version'; END"
            )


# The first leads to version 1, each of the others one version further.
STEPS: tuple[Step, ...] = (_to_version_1, _to_version_2, _to_version_3, _to_version_4)
SCHEMA_VERSION = len(STEPS)

_VERSION = select(meta.c.value).where(meta.c.key == "schema_version")


def migrate(database: Database, steps: Sequence[Step] = STEPS) -> None:
    """Takes the steps that the database lacks, all or none; of several processes one does it, the others wait.

    Raises NotACatalog for a database of a newer catalogd or with tables of something else.
    """
    with database.reading() as connection:
        if _version(connection, len(steps)) == len(steps):
            return
    with database.writing() as connection:
        database.lock_out_others(connection)
        version = _version(connection, len(steps))
        if version == 0:
            _check_empty(connection)
        for step in steps[version:]:
            step(connection)
        connection.execute(delete(meta).where(meta.c.key == "schema_version"))
        connection.execute(insert(meta), {"key": "schema_version", "value": str(len(steps))})


def _version(connection: Connection, newest: int) -> int:
    """0 for a database that has none of our tables yet."""
    if not inspect(connection).has_table(meta.name):
        return 0
    version = int(connection.execute(_VERSION).scalar_one_or_none() or 0)
    if version > newest:
        raise NotACatalog(
            f"The state database has version {version}; this catalogd knows versions up to {newest}."
            " It was written by a newer catalogd: use that one."
        )
    return version


def _check_empty(connection: Connection) -> None:
    taken = metadata.tables.keys() & set(inspect(connection).get_table_names())
    if taken:
        names = ", ".join(sorted(taken))
        raise NotACatalog(f"The state database has tables that are not catalogd's: {names}. Give it one of its own.")
