"""Lists of documents: from filters, a search and an order to a count and the ids of a page."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from catalogd.readmodel import schema, search
from catalogd.readmodel.shapes import Visibility

# What a list can be ordered by; "-" in front turns the whole order round.
ORDERINGS = ("repo_name", *schema.TIMES, *schema.COUNTERS)

# Up to so many matches are looked up and sorted, in some 2 ms; of more, an index that is in order already is read.
_FEW = 2_000
# Counts that are kept: some hundred bytes each.
_MOST_COUNTS = 1000


class Counts:
    """How many documents lists have, kept for as long as the documents are those of one commit.

    Else each page of a large catalog would be counted anew, which takes longer than to find it. Who writes documents
    says in the same transaction of which commit they are.
    """

    def __init__(self) -> None:
        self._known: tuple[str | None, dict[object, int]] = (None, {})

    def at(self, commit: str | None) -> dict[object, int]:
        """Those of the documents of a commit, to be looked into and added to in a transaction that sees these."""
        known, counts = self._known
        if known != commit or len(counts) >= _MOST_COUNTS:
            counts = {}
            self._known = (commit, counts)
        return counts


class ListQuery:
    """The filters of a list as SQL. Column names stand in it, values never.

    What few documents match is looked up from the matches. Of a word that very many have, a page is read from the index
    of its order, which ends as soon as the page is full, and what is counted are the few that the caller may not see.
    """

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
        self._hidden = ""
        self._is_search = self._match(text)
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

    def find(
        self, connection: sqlite3.Connection, ordering: str | None, limit: int, offset: int, counts: dict[object, int]
    ) -> tuple[int, list[int]]:
        """(how many pass all filters, the ids of a page of them); `counts` as from Counts."""
        # Whoever may see them.
        query = f"SELECT count(*) FROM {_matching('search')}"
        matches = self._counted(connection, query, counts) if self._is_search else 0
        if matches > _FEW:
            found = self._ranked if ordering is None else self._ordered
            return self._count_frequent(connection, matches, counts), found(connection, ordering, limit, offset)
        query = f"SELECT count(*) FROM {self._source()} {self._filter(self._matched())}"
        return self._counted(connection, query, counts), self._ids(connection, self._page(ordering), limit, offset)

    def _page(self, ordering: str | None) -> str:
        return (
            f"SELECT document.id FROM {self._source()} {self._filter(self._matched())}"
            f" ORDER BY {self._order(ordering)} LIMIT :limit OFFSET :offset"
        )

    # -- what very many documents match

    def _count_frequent(self, connection: sqlite3.Connection, matches: int, counts: dict[object, int]) -> int:
        if len(self._conditions) == (1 if self._hidden else 0):  # no filter but the caller's visibility
            hidden = 0
            if self._hidden:
                query = f"SELECT count(*) FROM document WHERE {self._hidden} AND {_among(_matched_by('search'))}"
                hidden = self._counted(connection, query, counts)
            return matches - hidden
        query = f"SELECT count(*) FROM document {self._filter(_among(_matched_by('search')))}"
        return self._counted(connection, query, counts)

    def _ordered(
        self, connection: sqlite3.Connection, ordering: str | None, limit: int, offset: int, *conditions: str
    ) -> list[int]:
        where = self._filter(*(conditions or (_among(_matched_by("search")),)))
        query = f"SELECT document.id FROM document {where} ORDER BY {self._order(ordering)} LIMIT :limit OFFSET :offset"
        return self._ids(connection, query, limit, offset)

    def _ranked(self, connection: sqlite3.Connection, _: str | None, limit: int, offset: int) -> list[int]:
        """First what is found in the name, then what in the description too: each only if the page is not full yet."""
        found: list[int] = []
        before: list[str] = []
        for rank in ("in_name", "in_summary", "search"):
            conditions = [self._of_rank(connection, rank), *(f"NOT {_among(other)}" for other in before)]
            more = self._ordered(connection, "repo_name", limit - len(found), offset, *conditions)
            found += more
            if len(found) == limit:
                break
            if more:
                offset = 0
            elif offset:
                offset -= self._number(connection, f"SELECT count(*) FROM document {self._filter(*conditions)}")
            before = [_matched_by(rank)]
        return found

    def _of_rank(self, connection: sqlite3.Connection, rank: str) -> str:
        """The condition for what matches in the fields of a rank."""
        some = f"SELECT document_text.rowid FROM {_matching(rank)} LIMIT {_FEW + 1}"
        ids = [row[0] for row in connection.execute(some, self.parameters)]
        if len(ids) > _FEW:
            return _among(_matched_by(rank))
        self.parameters[f"ids_{rank}"] = json.dumps(ids)
        return f"document.id IN (SELECT value FROM json_each(:ids_{rank}))"

    def _counted(self, connection: sqlite3.Connection, query: str, counts: dict[object, int]) -> int:
        if "among" in self.parameters:  # as long as all that somebody has starred, and hardly asked for again
            return self._number(connection, query)
        key = (query, *self.parameters.items())
        if key not in counts:
            counts[key] = self._number(connection, query)
        return counts[key]

    def _number(self, connection: sqlite3.Connection, query: str) -> int:
        return int(connection.execute(query, self.parameters).fetchone()[0])

    def _ids(self, connection: sqlite3.Connection, query: str, limit: int, offset: int) -> list[int]:
        # In one row: with each, SQLite would let other threads run, and wait for them.
        rows = connection.execute(
            f"SELECT json_group_array(id) FROM ({query})", {**self.parameters, "limit": limit, "offset": offset}
        )
        ids: list[int] = json.loads(rows.fetchone()[0])
        return ids

    # -- from what is asked to SQL

    def _match(self, text: str | None) -> bool:
        query = None if text is None else search.query(text)
        if query is None:
            return False
        self.parameters |= {
            "search": query,
            "in_name": f"{{repo_name}} : ({query})",
            "in_summary": f"{{repo_name description}} : ({query})",
        }
        return True

    def _source(self) -> str:
        # CROSS JOIN: from the matches to their documents, never the other way round.
        joined = "document_text CROSS JOIN document ON document.id = document_text.rowid"
        return joined if self._is_search else "document"

    def _matched(self) -> str:
        return "document_text MATCH :search" if self._is_search else ""

    def _label(self, number: int, key: str, value: str | None) -> None:
        condition = f"key = :key{number}" if value is None else f"key = :key{number} AND value = :value{number}"
        self._where(f"document.id IN (SELECT document FROM label WHERE {condition})")
        self.parameters.update({f"key{number}": key, f"value{number}": value})

    def _limit_to(self, visibility: Visibility, namespace: str | None) -> None:
        if visibility.everything or namespace in visibility.namespaces:
            return
        if namespace is not None or not visibility.namespaces:
            self._where("is_public = 1")
            self._hidden = "is_public = 0"
            return
        self._where(
            "(is_public = 1 OR namespace IN (SELECT value FROM json_each(:namespaces)))",
            namespaces=json.dumps(sorted(visibility.namespaces)),
        )
        self._hidden = "is_public = 0 AND namespace NOT IN (SELECT value FROM json_each(:namespaces))"

    def _where(self, condition: str, **parameters: object) -> None:
        self._conditions.append(condition)
        self.parameters.update(parameters)

    def _filter(self, *matched: str) -> str:
        conditions = [*filter(None, matched), *self._conditions]
        return f"WHERE {' AND '.join(conditions)}" if conditions else ""

    def _order(self, ordering: str | None) -> str:
        if ordering is None and self._is_search:
            # No statistics of all the texts, as bm25 would: they would tell what stands in those that are hidden.
            ranks = (f"document.id IN ({_matched_by(rank)}) DESC" for rank in ("in_name", "in_summary"))
            return f"{', '.join(ranks)}, namespace, document.repo_name"
        column = (ordering or "repo_name").removeprefix("-")
        if column not in ORDERINGS:
            raise ValueError(f"a list cannot be ordered by {column!r}")
        turn = " DESC" if ordering and ordering.startswith("-") else ""
        first = "" if column == "repo_name" else f"document.{column}{turn} NULLS LAST, "
        return f"{first}namespace{turn}, document.repo_name{turn}"


def _matching(fields: str) -> str:
    """What matches in the fields that a parameter names, as a source of rows."""
    return f"document_text WHERE document_text MATCH :{fields}"


def _matched_by(fields: str) -> str:
    return f"SELECT rowid FROM {_matching(fields)}"


def _among(ids: str) -> str:
    # With "+" SQLite goes along an index in order and looks into the ids, not the other way round.
    return f"+document.id IN ({ids})"
