"""The tables as the newest version of the schema has them.

user      name, email, is_admin, password_hash, created_at, is_active
token     id, user, name, digest, scopes, namespace, created_at, expires_at, last_used_at
star      user, namespace, repo_name, starred_at
activity  id, namespace, repo_name, batch, stars, pulls, pulled_at
                                    counted, and not in the documents yet: see activity.py
registry_event, index_pull, registry_change, deleted_tag
                                    what a registry has told, and what of that waits: see registry.py
meta      key, value                schema_version, accounts_version (SQLite only): see migrations.py
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

_NAME = String(128)
_TIME = String(24)
_DIGEST = String(135)  # that of sha512, the longest that there is
# A number that the database gives. SQLite gives none to a column that is no INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

users = Table(
    "user",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("email", String(254)),
    Column("is_admin", Boolean, nullable=False),
    Column("password_hash", Text),
    Column("created_at", _TIME, nullable=False),
    Column("is_active", Boolean, nullable=False),
)

tokens = Table(
    "token",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user", ForeignKey("user.name", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("namespace", _NAME),
    Column("created_at", _TIME, nullable=False),
    Column("expires_at", _TIME),
    Column("last_used_at", _TIME),
)

stars = Table(
    "star",
    metadata,
    Column("user", ForeignKey("user.name", ondelete="CASCADE"), primary_key=True),
    Column("namespace", _NAME, primary_key=True),
    Column("repo_name", _NAME, primary_key=True),
    Column("starred_at", _TIME, nullable=False),
    Index("ix_star_repository", "namespace", "repo_name"),
)

NO_BATCH = text("batch IS NULL")

# Each kind of count is a column that is 0 unless said otherwise, so that another one can be added beside it.
activity = Table(
    "activity",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("namespace", _NAME, nullable=False),
    Column("repo_name", _NAME, nullable=False),
    Column("batch", BigInteger),
    Column("stars", Integer, nullable=False, server_default="0"),
    Column("pulls", BigInteger, nullable=False, server_default="0"),
    Column("pulled_at", _TIME),
    # By batch, by the want of one, by both and the repository; and by the repository alone.
    Index("ix_activity_batch", "batch", "namespace", "repo_name"),
    Index("ix_activity_repository", "namespace", "repo_name"),
    # What is counted goes into the one row that a repository has without a batch.
    Index(
        "ix_activity_waiting",
        "namespace",
        "repo_name",
        unique=True,
        sqlite_where=NO_BATCH,
        postgresql_where=NO_BATCH,
    ),
    sqlite_autoincrement=True,  # an id is never used again, as PostgreSQL's are not
)

# Events that were taken, so that none is taken twice; the numbers ascend, so that the oldest can be dropped.
registry_event = Table(
    "registry_event",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("digest", LargeBinary(16), nullable=False, unique=True),
)

# When a client has pulled an index of a repository, and an image, last.
index_pull = Table(
    "index_pull",
    metadata,
    Column("namespace", _NAME, primary_key=True),
    Column("repo_name", _NAME, primary_key=True),
    Column("client", LargeBinary(16), primary_key=True),
    Column("index_at", _TIME),
    Column("child_at", _TIME),
    sqlite_with_rowid=False,
)

# Pushes and deletes that wait for their commit; those that one will bring have its `delivery`.
registry_change = Table(
    "registry_change",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("namespace", _NAME, nullable=False),
    Column("repo_name", _NAME, nullable=False),
    Column("kind", String(6), nullable=False),  # push or delete
    Column("tag", String(128)),
    Column("digest", _DIGEST),
    Column("media_type", String(255)),
    Column("at", _TIME, nullable=False),
    Column("size", BigInteger),  # bytes
    Column("image_id", _DIGEST),
    Column("actor", Text),
    Column("account", _NAME),
    Column("email", String(254)),
    Column("delivery", String(32), index=True),
    sqlite_autoincrement=True,
)

# When a tag was deleted, so that an older push does not bring it back.
deleted_tag = Table(
    "deleted_tag",
    metadata,
    Column("namespace", _NAME, primary_key=True),
    Column("repo_name", _NAME, primary_key=True),
    Column("tag", String(128), primary_key=True),
    Column("at", _TIME, nullable=False),
    sqlite_with_rowid=False,
)

meta = Table("meta", metadata, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))
