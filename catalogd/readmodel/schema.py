"""The tables of the read model."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

# A file with another number is deleted and filled anew. Raise it with every change of the tables or of what is in them.
FORMAT = 5

# Tells the file from SQLite databases of other programs: "ctlg".
APPLICATION = 0x63746C67

TIMES = ("created_at", "updated_at", "pushed_at")
COUNTERS = ("download", "repo_starred_count")

_TABLES = """
CREATE TABLE meta (
    commit_id TEXT,                         -- the commit that the documents are of
    batch     INTEGER NOT NULL              -- the newest batch of activity that the documents count; 0: none
) STRICT;
INSERT INTO meta VALUES (NULL, 0);

-- One row a path that any commit of main ever touched, as the newest commit left it.
CREATE TABLE file (
    id           INTEGER PRIMARY KEY,
    path         TEXT NOT NULL UNIQUE,
    namespace    TEXT,                      -- of documents and organizations
    repo_name    TEXT,                      -- of documents
    blob         TEXT,                      -- NULL: deleted
    is_public    INTEGER NOT NULL DEFAULT 0,
    is_shown     INTEGER NOT NULL DEFAULT 0, -- whether it is a document that can be shown
    first_seq    INTEGER,
    last_seq     INTEGER,
    visible_from INTEGER                    -- since this commit it has been public without a break; NULL: it is not
) STRICT;
CREATE INDEX file_by_name ON file (namespace, repo_name);

CREATE TABLE commit_ (
    seq            INTEGER PRIMARY KEY,     -- its place among the commits of main, from 1, after its parents
    id             TEXT NOT NULL UNIQUE,
    author         TEXT NOT NULL,
    email          TEXT NOT NULL,
    committed_at   TEXT NOT NULL,
    settled_at     TEXT NOT NULL,           -- the earliest time at which main got this or any later commit
    message        TEXT NOT NULL,
    proposal       INTEGER,                 -- the number of the proposal that brought it; NULL: none
    proposal_head  TEXT,                    -- of the merge of a proposal: the head that was merged
    reviewed_by    TEXT NOT NULL,           -- JSON array of the names of those who approved
    changes        INTEGER NOT NULL,        -- how many changes it made
    public_changes INTEGER NOT NULL,        -- how many of them anyone may see: those since their file's visible_from
    whole_changes  INTEGER NOT NULL         -- and how many of these anyone may see with what was there before
) STRICT;
CREATE INDEX commit_by_time ON commit_ (settled_at, seq);
CREATE INDEX commit_by_proposal_head ON commit_ (proposal_head) WHERE proposal_head IS NOT NULL;
CREATE INDEX commit_with_changes ON commit_ (seq) WHERE changes > 0;
CREATE INDEX commit_with_public_changes ON commit_ (seq) WHERE public_changes > 0;

CREATE TABLE change (
    id         INTEGER PRIMARY KEY,         -- ascending in the order of commits, and of paths within a commit
    seq        INTEGER NOT NULL,
    file       INTEGER NOT NULL,
    action     TEXT NOT NULL,               -- created, updated, deleted, restored
    old        TEXT,                        -- as the commits before this one left it
    new        TEXT,
    begun      TEXT,                        -- what the commit began from where that is not `old`: on a merged line
    was_public INTEGER NOT NULL,
    is_public  INTEGER NOT NULL,
    is_shown   INTEGER NOT NULL,            -- of the new version, as in file
    fields     TEXT NOT NULL                -- JSON array of JSON pointers
) STRICT;
CREATE INDEX change_by_commit ON change (seq);
CREATE INDEX change_by_file ON change (file, seq);

-- The documents of the mirrored commit. `id` is that of the file.
CREATE TABLE document (
    id                 INTEGER PRIMARY KEY,
    namespace          TEXT NOT NULL,
    repo_name          TEXT NOT NULL,
    is_public          INTEGER NOT NULL,
    created_at         TEXT,
    updated_at         TEXT,
    pushed_at          TEXT,
    download           INTEGER NOT NULL,
    repo_starred_count INTEGER NOT NULL,
    blob               TEXT NOT NULL,
    summary            TEXT NOT NULL        -- JSON of the complete document without its tags
) STRICT;
CREATE UNIQUE INDEX document_by_name ON document (namespace, repo_name);

-- Apart from the document: up to a megabyte that an edit of anything else need not rewrite.
CREATE TABLE tag_list (
    document INTEGER PRIMARY KEY,
    tags     TEXT NOT NULL                  -- JSON array
) STRICT;

CREATE TABLE label (
    document INTEGER NOT NULL,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (key, value, document)
) STRICT, WITHOUT ROWID;

-- `rowid` is the document's. Without content of its own: to delete, the old text is given again.
CREATE VIRTUAL TABLE document_text USING fts5 (
    repo_name, description, full_description, content = '', tokenize = 'unicode61', prefix = '2'
);
-- Merge what edits leave little by little; at 16 pieces, the default, one edit would have to merge them all at once.
INSERT INTO document_text (document_text, rank) VALUES ('crisismerge', 200);

-- The organizations of the mirrored commit. `id` is that of the file.
CREATE TABLE organization (
    id          INTEGER PRIMARY KEY,
    namespace   TEXT NOT NULL UNIQUE,
    blob        TEXT NOT NULL,
    document    TEXT NOT NULL               -- JSON of the complete document
) STRICT;

CREATE TABLE member (
    user         TEXT NOT NULL,
    organization INTEGER NOT NULL,
    role         INTEGER NOT NULL,          -- 1 reader, 2 writer, 3 owner: the highest that the document gives
    PRIMARY KEY (user, organization)
) STRICT, WITHOUT ROWID;
CREATE INDEX member_by_organization ON member (organization);

CREATE TABLE fault (
    path   TEXT PRIMARY KEY,
    detail TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""


def ordering_indexes() -> dict[str, str]:
    """Name -> definition of the indexes that lists are read from.

    They hold all that finding a page needs, so that skipping the pages before it touches no document.
    """
    indexes = {"document_listed": "document (namespace, repo_name, is_public)"}
    for column in TIMES + COUNTERS:
        indexes[f"document_by_{column}"] = f"document ({column}, namespace, repo_name, is_public)"
        indexes[f"document_in_namespace_by_{column}"] = f"document (namespace, {column}, repo_name, is_public)"
    return indexes


def create(connection: sqlite3.Connection) -> None:
    """Create the tables in an empty file, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _statements(_TABLES):
        connection.execute(statement)
    create_ordering_indexes(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def create_ordering_indexes(connection: sqlite3.Connection) -> None:
    for name, definition in ordering_indexes().items():
        connection.execute(f"CREATE INDEX {name} ON {definition}")


def drop_ordering_indexes(connection: sqlite3.Connection) -> None:
    for name in ordering_indexes():
        connection.execute(f"DROP INDEX {name}")


def format_of(connection: sqlite3.Connection) -> int | None:
    """The format of the file's tables; None for an empty file, 0 for a database of something else.

    Raises sqlite3.DatabaseError for a file that is damaged or no database.
    """
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
        return None
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        return 0
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def mirrored(connection: sqlite3.Connection) -> str | None:
    """The id of the commit that the documents are of; None for an empty read model."""
    commit: str | None = connection.execute("SELECT commit_id FROM meta").fetchone()[0]
    return commit


def _statements(script: str) -> Iterator[str]:
    """executescript() would commit first, and each statement by itself."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
