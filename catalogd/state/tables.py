"""The tables as the newest version of the schema has them.

user      name, email, is_admin, password_hash, created_at, is_active
token     id, user, name, digest, scopes, namespace, created_at, expires_at, last_used_at
star      user, namespace, repo_name, starred_at
activity  id, namespace, repo_name, batch, stars    counted, and not in the documents yet: see activity.py
meta      key, value                                schema_version: see migrations.py
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

_NAME = String(128)
_TIME = String(24)

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

# Each kind of count is a column that is 0 unless said otherwise, so that another one can be added beside it.
activity = Table(
    "activity",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("namespace", _NAME, nullable=False),
    Column("repo_name", _NAME, nullable=False),
    Column("batch", BigInteger),
    Column("stars", Integer, nullable=False, server_default="0"),
    # By batch, by the want of one, by both and the repository; and by the repository alone.
    Index("ix_activity_batch", "batch", "namespace", "repo_name"),
    Index("ix_activity_repository", "namespace", "repo_name"),
    sqlite_autoincrement=True,  # an id is never used again, as PostgreSQL's are not
)

meta = Table("meta", metadata, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))
