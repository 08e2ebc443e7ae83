"""The tables as the newest version of the schema has them.

user      name, email, is_admin, password_hash, created_at, is_active
token     id, user, name, digest, scopes, namespace, created_at, expires_at, last_used_at
meta      key, value      schema_version: see migrations.py
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, MetaData, String, Table, Text

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

meta = Table("meta", metadata, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))
