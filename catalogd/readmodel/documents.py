"""Queries on the documents of the mirrored commit."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence

from catalogd.documents import Stored
from catalogd.readmodel import schema
from catalogd.readmodel.connections import Connections
from catalogd.readmodel.listing import Counts, ListQuery
from catalogd.readmodel.paging import window
from catalogd.readmodel.shapes import PathFault, Row, Summaries, Tags, Visibility

# Stands between summaries: no JSON has it, in a string neither.
_SEPARATOR = b"\x1e"


class DocumentQueries:
    """Reads documents; each call is one read transaction."""

    _connections: Connections
    _counts: Counts

    def mirrored(self) -> str | None:
        """The id of the commit that the documents are of; None for an empty read model."""
        with self._connections.reader() as connection:
            return schema.mirrored(connection)

    def get(self, namespace: str, repo_name: str, *, private: bool = True) -> Row | None:
        """A document without its tags; without `private` only one that is public.

        To find a private one that way takes as long as to find none: it is not read.
        """
        row = self._connections.row(
            "SELECT CAST(summary AS BLOB), blob, commit_id, batch FROM document, meta"
            " WHERE namespace = ? AND repo_name = ? AND (is_public OR ?)",
            (namespace, repo_name, private),
        )
        return None if row is None else Row(Stored((namespace, repo_name), row[0]), *row[1:])

    def is_public(self, namespace: str, repo_name: str) -> bool:
        """Whether there is such a document, and it is public."""
        with self._connections.reader() as connection:
            row = connection.execute(
                "SELECT is_public FROM document WHERE namespace = ? AND repo_name = ?", (namespace, repo_name)
            ).fetchone()
        return row is not None and bool(row[0])

    def tags(self, namespace: str, repo_name: str) -> Tags | None:
        """The tags of a document, whoever asks: the caller looks at `is_public`."""
        with self._connections.reader() as connection:
            row = connection.execute(
                "SELECT tags, is_public, blob, commit_id"
                " FROM document JOIN tag_list ON tag_list.document = document.id, meta"
                " WHERE namespace = ? AND repo_name = ?",
                (namespace, repo_name),
            ).fetchone()
        return None if row is None else Tags(json.loads(row[0]), bool(row[1]), row[2], row[3])

    def list(
        self,
        namespace: str | None,
        search: str | None,
        is_public: bool | None,
        labels: Sequence[tuple[str, str | None]],
        ordering: str | None,
        visibility: Visibility,
        page: int,
        page_size: int,
        among: Sequence[tuple[str, str]] | None = None,
    ) -> Summaries:
        """A page (from 1) of the documents that pass all filters, without their tags; a page past the end is empty.

        `among` are the (namespace, repo_name) to which the list is limited; None does not limit it.
        A label without a value asks for its key alone. `ordering` is one of ORDERINGS, "-" in front turns it round;
        without one, a search has first what it finds in the name, then what in the description too, and all else is
        ordered by name. What has no such time comes last either way.
        """
        query = ListQuery(namespace, search, is_public, labels, visibility, among)
        limit, offset = window(page, page_size)
        with self._connections.snapshot() as connection:
            commit, batch = connection.execute("SELECT commit_id, batch FROM meta").fetchone()
            count, ids = query.find(connection, ordering, limit, offset, self._counts.at(commit))
            documents = _documents(connection, ids)
        return Summaries(count, documents, commit, batch)

    def batch(self) -> int:
        """The newest batch of activity that the documents count; 0 if none."""
        with self._connections.reader() as connection:
            return int(connection.execute("SELECT batch FROM meta").fetchone()[0])

    def blobs(self) -> Iterator[tuple[tuple[str, str], str]]:
        """((namespace, repo_name), blob) of every document."""
        with self._connections.reader() as connection:
            rows = connection.execute("SELECT namespace, repo_name, blob FROM document").fetchall()
        for namespace, repo_name, blob in rows:
            yield (namespace, repo_name), blob

    def faults(self) -> Sequence[PathFault]:
        """The documents of the mirrored commit that cannot be shown, sorted by path."""
        with self._connections.reader() as connection:
            return [PathFault(*row) for row in connection.execute("SELECT path, detail FROM fault ORDER BY path")]


def _documents(connection: sqlite3.Connection, ids: list[int]) -> list[Stored]:
    """Those of these ids, in their order. In one row: with each SQLite lets other threads run, and waits for them."""
    names, summaries = connection.execute(
        "SELECT json_group_array(json_array(id, namespace, repo_name)), CAST(group_concat(summary, char(30)) AS BLOB)"
        " FROM document WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    ).fetchone()
    texts = summaries.split(_SEPARATOR) if summaries else []
    found = {row[0]: Stored((row[1], row[2]), text) for row, text in zip(json.loads(names), texts, strict=True)}
    return [found[number] for number in ids]
