"""Queries on the documents of the mirrored commit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from catalogd.documents import Stored
from catalogd.readmodel import schema, search
from catalogd.readmodel.connections import Connections
from catalogd.readmodel.paging import window
from catalogd.readmodel.shapes import PathFault, Row, Summaries, Tags, Visibility

# What a list can be ordered by; "-" in front turns the whole order round.
ORDERINGS = ("repo_name", *schema.TIMES, *schema.COUNTERS)


class DocumentQueries:
    """Reads documents; each call is one read transaction."""

    _connections: Connections

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
            count = connection.execute(query.count(), query.parameters).fetchone()[0]
            shown = {**query.parameters, "limit": limit, "offset": offset}
            ids = [found for (found,) in connection.execute(query.page(ordering), shown).fetchall()]
            found = connection.execute(
                "SELECT id, namespace, repo_name, CAST(summary AS BLOB) FROM document"
                " WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps(ids),),
            )
            documents = {row[0]: Stored(row[1:3], row[3]) for row in found.fetchall()}
        return Summaries(count, [documents[number] for number in ids], commit, batch)

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


class ListQuery:
    """The filters of a list as SQL. Column names stand in it, values never."""

    def __init__(
        self,
        namespace: str | None,
        text: str | None,
        is_public: bool | None,
        labels: Sequence[tuple[str, str | None]],
        visibility: Visibility,
        among: Sequence[tuple[str, str]] | None,
    ):
        self.parameters: dict[str, object] = {}
        self._conditions: list[str] = []
        self._source = "document"
        self._match(text)
        if among is not None:
            self._where(
                "(namespace, document.repo_name) IN (SELECT value ->> 0, value ->> 1 FROM json_each(:among))",
                among=json.dumps(among),
            )
        if namespace is not None:
            self._where("namespace = :namespace", namespace=namespace)
        if is_public is not None:
            self._where("is_public = :is_public", is_public=int(is_public))
        for number, (key, value) in enumerate(labels):
            self._label(number, key, value)
        self._limit_to(visibility, namespace)

    def count(self) -> str:
        return f"SELECT count(*) FROM {self._source} {self._filter()}"

    def page(self, ordering: str | None) -> str:
        return (
            f"SELECT document.id FROM {self._source} {self._filter()}"
            f" ORDER BY {self._order(ordering)} LIMIT :limit OFFSET :offset"
        )

    def _match(self, text: str | None) -> None:
        query = None if text is None else search.query(text)
        if query is None:
            return
        # CROSS JOIN: from the matches to their documents, never the other way round.
        self._source = "document_text CROSS JOIN document ON document.id = document_text.rowid"
        self._where("document_text MATCH :search", search=query)
        self.parameters |= {
            "in_name": f"{{repo_name}} : ({query})",
            "in_summary": f"{{repo_name description}} : ({query})",
        }

    def _label(self, number: int, key: str, value: str | None) -> None:
        condition = f"key = :key{number}" if value is None else f"key = :key{number} AND value = :value{number}"
        self._where(f"document.id IN (SELECT document FROM label WHERE {condition})")
        self.parameters.update({f"key{number}": key, f"value{number}": value})

    def _limit_to(self, visibility: Visibility, namespace: str | None) -> None:
        if visibility.everything or namespace in visibility.namespaces:
            return
        if namespace is not None or not visibility.namespaces:
            self._where("is_public = 1")
            return
        self._where(
            "(is_public = 1 OR namespace IN (SELECT value FROM json_each(:namespaces)))",
            namespaces=json.dumps(sorted(visibility.namespaces)),
        )

    def _where(self, condition: str, **parameters: object) -> None:
        self._conditions.append(condition)
        self.parameters.update(parameters)

    def _filter(self) -> str:
        return f"WHERE {' AND '.join(self._conditions)}" if self._conditions else ""

    def _order(self, ordering: str | None) -> str:
        if ordering is None and "search" in self.parameters:
            # No statistics of all the texts, as bm25 would: they would tell what stands in those that are hidden.
            found = "document.id IN (SELECT rowid FROM document_text WHERE document_text MATCH :{})"
            return f"{found.format('in_name')} DESC, {found.format('in_summary')} DESC, namespace, document.repo_name"
        column = (ordering or "repo_name").removeprefix("-")
        if column not in ORDERINGS:
            raise ValueError(f"a list cannot be ordered by {column!r}")
        turn = " DESC" if ordering and ordering.startswith("-") else ""
        first = "" if column == "repo_name" else f"document.{column}{turn} NULLS LAST, "
        return f"{first}namespace{turn}, document.repo_name{turn}"
