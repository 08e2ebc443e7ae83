"""Queries on the commits of main. `seq` is a commit's place among them, counted from 1 and after its parents.

Lines of history that were merged stand one after the other. What a commit of them changed is shown from what it began
from; what main had before and after it is what the commits left that have their place before it.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from catalogd.errors import Malformed, NotFound
from catalogd.readmodel import schema
from catalogd.readmodel.connections import Connections
from catalogd.readmodel.paging import window
from catalogd.readmodel.shapes import (
    CREATED,
    WHOLE,
    Blame,
    CommitEntry,
    HistoryEntry,
    NetChange,
    Position,
    Rows,
    SeenChange,
    Stats,
    Visibility,
)

# A commit in a list comes with at most so many of its changes; an import can have made 100,000.
CHANGES_SHOWN = 100

_PREFIX = re.compile(r"[0-9a-fA-F]{7,64}")

# Stands for a visible_from that has not come yet.
_NEVER = 2**62

# What the caller may see of the changes: all, or what has been public since, or all of some namespaces: of their
# documents and of the organization itself.
_READABLE = "(:everything OR file.namespace IN (SELECT value FROM json_each(:namespaces)))"
_SEEN = f"(change.seq >= file.visible_from OR {_READABLE})"

# What of these he may see with what was there before: not the change by which something hidden became public.
_WHOLE = (
    f"(change.seq > file.visible_from OR change.seq = file.visible_from AND change.action = '{CREATED}' OR {_READABLE})"
)

# Of commits with more changes than these nobody looks whether a caller may see them all: only whether they are public.
_MOST_LOOKED_AT = 1000

# Whether the caller may see all that a commit changed, before and after, and so its message, which may name any of it,
# and who approved that. By cases, because SQLite would count even where the other side of an OR has decided.
_COMPLETE = f"""CASE
    WHEN :everything OR commit_.changes = commit_.whole_changes THEN 1
    WHEN commit_.changes > {_MOST_LOOKED_AT} THEN 0
    ELSE commit_.changes = (
        SELECT count(*) FROM change JOIN file ON file.id = change.file WHERE change.seq = commit_.seq AND {_WHOLE}
    )
END"""

# Commits of which the public sees nothing, for the changes that some namespaces' readers see.
_PRIVATE_COMMITS = """
    SELECT DISTINCT commit_.seq FROM file
    JOIN change ON change.file = file.id AND change.seq < coalesce(file.visible_from, :never)
    JOIN commit_ ON commit_.seq = change.seq AND commit_.public_changes = 0
    WHERE file.namespace IN (SELECT value FROM json_each(:namespaces))
"""
_PUBLIC_COMMITS = "SELECT seq FROM commit_ WHERE public_changes > 0"
_ALL_COMMITS = "SELECT seq FROM commit_ WHERE changes > 0"

# The documents as they were at :seq: those not touched since, and of the others their last change until then.
# Both halves come in the order of file_by_name, so that SQLite merges them.
_AS_NOW = """
    SELECT namespace, repo_name, path, blob FROM file
    WHERE {within} repo_name IS NOT NULL AND last_seq <= :seq AND is_shown AND (is_public OR {readable})
"""
_AS_THEN = """
    SELECT namespace, repo_name, path, change.new FROM file JOIN change ON change.id = (
        SELECT id FROM change WHERE file = file.id AND seq <= :seq ORDER BY seq DESC LIMIT 1
    )
    WHERE {within} repo_name IS NOT NULL AND first_seq <= :seq AND last_seq > :seq AND change.is_shown
    AND (visible_from <= :seq OR {readable})
"""


class HistoryQueries:
    """Reads the history; each call is one read transaction."""

    _connections: Connections

    def history(
        self, path: str, floor_seq: int, visibility: Visibility, page: int, page_size: int
    ) -> Rows[HistoryEntry]:
        """A page of the changes of a file since the commit `floor_seq`, newest first.

        Where the file was there before the floor, the change at the floor counts as its creation: give 0 for all of the
        history, or visible_from() for what the public may know. `visibility` decides only what is `complete`.
        """
        limit, offset = window(page, page_size)
        with self._connections.snapshot() as connection:
            commit, file = schema.mirrored(connection), _file_id(connection, path)
            parameters = {**_parameters(visibility), "file": file, "floor": floor_seq, "limit": limit, "offset": offset}
            (count,) = connection.execute(
                "SELECT count(*) FROM change WHERE file = :file AND seq >= :floor", parameters
            ).fetchone()
            rows = connection.execute(
                "SELECT mine.seq, commit_.id, author, email, committed_at, message, proposal, reviewed_by, action,"
                " fields,"
                f" coalesce(begun, old), new, {_COMPLETE}"
                " FROM change AS mine JOIN commit_ ON commit_.seq = mine.seq"
                " WHERE mine.file = :file AND mine.seq >= :floor ORDER BY mine.seq DESC LIMIT :limit OFFSET :offset",
                parameters,
            ).fetchall()
        return Rows(count, [_history_entry(row, floor_seq) for row in rows], commit)

    def lines_of(self, trailer: str, wanted: Collection[str]) -> set[str]:
        """Those of the `wanted` values of a trailer that main has. It looks at each commit, newest first."""
        found: set[str] = set()
        begin = f"{trailer}: "
        with self._connections.reader() as connection:
            rows = connection.execute(
                "SELECT message FROM commit_ WHERE instr(message, ?) ORDER BY seq DESC", (f"\n{begin}",)
            )
            for (message,) in rows:
                lines = message.splitlines()
                found.update({line.removeprefix(begin) for line in lines if line.startswith(begin)} & set(wanted))
                if len(found) == len(wanted):
                    break
        return found

    def visible_from(self, path: str) -> int | None:
        """Since which commit a document has been public without a break; None if it is private, or was when deleted.

        A document that is deleted while it is public, and comes back public, has no break.
        """
        with self._connections.reader() as connection:
            row = connection.execute("SELECT visible_from FROM file WHERE path = ?", (path,)).fetchone()
        return None if row is None else row[0]

    def visible_since(self, paths: Iterable[str]) -> dict[str, int]:
        """Path -> visible_from() of each of these that is public, or was when deleted."""
        with self._connections.reader() as connection:
            return dict(
                connection.execute(
                    "SELECT path, visible_from FROM file WHERE path IN (SELECT value FROM json_each(?))"
                    " AND visible_from IS NOT NULL",
                    (json.dumps(list(paths)),),
                )
            )

    def places(self, commits: Iterable[str]) -> dict[str, int]:
        """Commit -> its seq, of those that main has."""
        with self._connections.reader() as connection:
            return dict(
                connection.execute(
                    "SELECT id, seq FROM commit_ WHERE id IN (SELECT value FROM json_each(?))",
                    (json.dumps(list(commits)),),
                )
            )

    def commits(self, visibility: Visibility, page: int, page_size: int) -> Rows[CommitEntry]:
        """A page of the commits that made a change which the caller may see, newest first.

        Each has the first CHANGES_SHOWN of those changes; changes_of() has all of them.
        """
        count, listed = _commits_seen(visibility)
        limit, offset = window(page, page_size)
        parameters = {**_parameters(visibility), "never": _NEVER, "limit": limit, "offset": offset}
        with self._connections.snapshot() as connection:
            total = connection.execute(count, parameters).fetchone()[0]
            found = connection.execute(f"{listed} ORDER BY seq DESC LIMIT :limit OFFSET :offset", parameters)
            entries = [_commit_entry(connection, seq, visibility) for (seq,) in found.fetchall()]
            return Rows(total, [entry for entry in entries if entry is not None], schema.mirrored(connection))

    def commit(self, seq: int, visibility: Visibility) -> CommitEntry | None:
        """One commit, as in commits(); None if the caller may see none of its changes.

        Who sees everything sees one without any as well: a merge, say.
        """
        with self._connections.snapshot() as connection:
            entry = _commit_entry(connection, seq, visibility)
        return entry if entry is not None and (entry.changes or visibility.everything) else None

    def changes_of(self, seq: int, visibility: Visibility, page: int, page_size: int) -> Rows[SeenChange]:
        """A page of a commit's changes that the caller may see."""
        with self._connections.snapshot() as connection:
            count = _count(connection, seq, visibility, _SEEN)
            changes = _seen_changes(connection, seq, visibility, *window(page, page_size))
            return Rows(count, changes, schema.mirrored(connection))

    def resolve(self, prefix: str) -> Position:
        """The commit with this id, or the only one whose id begins so.

        Raises Malformed for what is no beginning of a commit's id of at least 7 digits, or that of several; NotFound.
        """
        if not _PREFIX.fullmatch(prefix):
            raise Malformed("A commit must be given by its id: at least its first 7 hexadecimal digits.")
        with self._connections.reader() as connection:
            # "g" is greater than any digit that can follow.
            found = connection.execute(
                "SELECT seq, id FROM commit_ WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2", (prefix.lower(),)
            ).fetchall()
        if not found:
            raise NotFound(f"There is no commit {prefix}.")
        if len(found) > 1:
            raise Malformed(f"More than one commit begins with {prefix}; give more of its digits.")
        return Position(*found[0])

    def at_time(self, time: str) -> Position | None:
        """The newest commit not after `time` (RFC 3339, UTC, milliseconds, Z); None if all are after it.

        Newest is the last on the line, also where a clock was wrong and commits before it claim a later time.
        """
        with self._connections.reader() as connection:
            row = connection.execute(
                "SELECT seq, id FROM commit_ WHERE settled_at <= ? ORDER BY settled_at DESC, seq DESC LIMIT 1",
                (time,),
            ).fetchone()
        return None if row is None else Position(*row)

    def state_at(self, seq: int, path: str) -> str | None:
        """The blob of a file in a commit; None if it was not there."""
        with self._connections.reader() as connection:
            row = connection.execute(
                "SELECT new FROM change WHERE file = (SELECT id FROM file WHERE path = ?) AND seq <= ?"
                " ORDER BY seq DESC LIMIT 1",
                (path, seq),
            ).fetchone()
        return None if row is None else row[0]

    def paths_at(
        self, seq: int, namespace: str | None, visibility: Visibility, page: int, page_size: int
    ) -> Rows[tuple[str, str]]:
        """A page of the (path, blob) of the documents of a commit, by namespace and name, without broken ones.

        Only those that the caller may see both as they were then and as they are now, or were when deleted.
        """
        limit, offset = window(page, page_size)
        parameters = {
            **_parameters(visibility),
            "seq": seq,
            "namespace": namespace,
            "limit": limit,
            "offset": offset,
        }
        within = "" if namespace is None else "namespace = :namespace AND"
        seen = f"{_AS_NOW} UNION ALL {_AS_THEN}".format(within=within, readable=_READABLE)
        with self._connections.snapshot() as connection:
            (count,) = connection.execute(f"SELECT count(*) FROM ({seen})", parameters).fetchone()
            rows = connection.execute(
                f"{seen} ORDER BY namespace, repo_name LIMIT :limit OFFSET :offset", parameters
            ).fetchall()
            return Rows(count, [(path, blob) for _, _, path, blob in rows], schema.mirrored(connection))

    def last_change(self, path: str, floor_seq: int, until_seq: int | None = None) -> int | None:
        """The last commit from `floor_seq` to `until_seq`, or the newest, that changed a file; None: none did."""
        with self._connections.reader() as connection:
            row = connection.execute(
                "SELECT max(seq) FROM change WHERE file = (SELECT id FROM file WHERE path = ?) AND seq >= ?"
                " AND seq <= ifnull(?, seq)",
                (path, floor_seq, until_seq),
            ).fetchone()
        found: int | None = row[0]
        return found

    def net_changes(
        self, from_seq: int, to_seq: int, visibility: Visibility, most: int | None = None
    ) -> list[NetChange]:
        """The files that differ between two commits, sorted by path, no more than `most`; the two may stand in either
        order.

        `visibility` decides only what is told of their last commits.
        """
        if from_seq > to_seq:
            return [
                NetChange(path, old, new, was_public, is_public, last)
                for path, new, old, is_public, was_public, last in self.net_changes(to_seq, from_seq, visibility, most)
            ]
        with self._connections.snapshot() as connection:
            rows = connection.execute(
                "SELECT path, first.old, last.new, first.was_public, last.is_public, last.seq FROM ("
                " SELECT file, min(id) AS first, max(id) AS last FROM change WHERE seq > ? AND seq <= ? GROUP BY file"
                ") AS touched"
                " JOIN change AS first ON first.id = touched.first JOIN change AS last ON last.id = touched.last"
                " JOIN file ON file.id = touched.file"
                " WHERE first.old IS NOT last.new ORDER BY path LIMIT ifnull(?, -1)",
                (from_seq, to_seq, most),
            ).fetchall()
            last = _blames(connection, {row[-1] for row in rows}, visibility)
        return [NetChange(path, old, new, bool(was), bool(now), last[seq]) for path, old, new, was, now, seq in rows]

    def blame(self, path: str, floor_seq: int, visibility: Visibility) -> dict[str, Blame]:
        """JSON pointer -> the newest commit that changed it, since the document was created or came back.

        That creation stands under "", for all pointers that are not named. Nothing before `floor_seq` is named: the
        change there counts as the creation. Empty for a document that is not there. `visibility` decides only what is
        told of the commits.
        """
        with self._connections.snapshot() as connection:
            file = _file_id(connection, path)
            born = _born(connection, file, floor_seq)
            rows = connection.execute(
                "SELECT CASE WHEN seq = :born THEN '' ELSE field.value END AS pointer, max(seq)"
                " FROM change, json_each(change.fields) AS field WHERE file = :file AND seq >= :born GROUP BY pointer",
                {"born": born, "file": file},
            ).fetchall()
            blames = _blames(connection, {seq for _, seq in rows}, visibility)
        return {pointer: blames[seq] for pointer, seq in rows}

    def merge_of(self, proposal: int, heads: Iterable[str]) -> str | None:
        """The commit of main that merged the proposal of this number by one of these heads; None if none did."""
        with self._connections.reader() as connection:
            row = connection.execute(
                "SELECT id FROM commit_ WHERE proposal = ? AND proposal_head IN (SELECT value FROM json_each(?))"
                " ORDER BY seq LIMIT 1",
                (proposal, json.dumps(list(heads))),
            ).fetchone()
        return None if row is None else row[0]

    def newest_merged(self) -> int:
        """The highest number of a proposal that main has merged; 0 if none was."""
        with self._connections.reader() as connection:
            row = connection.execute("SELECT max(proposal) FROM commit_ WHERE proposal_head IS NOT NULL").fetchone()
        return row[0] or 0

    def stats(self) -> Stats:
        """How many documents, commits and faults there are, and the mirrored commit."""
        with self._connections.reader() as connection:
            row = connection.execute(
                "SELECT commit_id, (SELECT count(*) FROM document), (SELECT coalesce(max(seq), 0) FROM commit_),"
                " (SELECT count(*) FROM fault) FROM meta"
            ).fetchone()
        return Stats(*row)


def _file_id(connection: sqlite3.Connection, path: str) -> int | None:
    row = connection.execute("SELECT id FROM file WHERE path = ?", (path,)).fetchone()
    return None if row is None else row[0]


def _parameters(visibility: Visibility) -> dict[str, object]:
    return {"everything": visibility.everything, "namespaces": json.dumps(sorted(visibility.namespaces))}


def _commits_seen(visibility: Visibility) -> tuple[str, str]:
    """(query for their number, query for their seqs) of the commits of which the caller sees a change."""
    if visibility.everything:
        seen = [_ALL_COMMITS]
    elif visibility.namespaces:
        seen = [_PUBLIC_COMMITS, _PRIVATE_COMMITS]
    else:
        seen = [_PUBLIC_COMMITS]
    count = " + ".join(f"(SELECT count(*) FROM ({query}))" for query in seen)
    return f"SELECT {count}", " UNION ALL ".join(seen)


def _commit_entry(connection: sqlite3.Connection, seq: int, visibility: Visibility) -> CommitEntry | None:
    row = connection.execute(
        "SELECT seq, id, author, email, committed_at, message, proposal, reviewed_by, changes, whole_changes"
        " FROM commit_ WHERE seq = ?",
        (seq,),
    ).fetchone()
    if row is None:
        return None
    *head, reviewed_by, made, whole = row
    changes = _seen_changes(connection, seq, visibility, CHANGES_SHOWN, 0)
    # As _COMPLETE: counted only where it is neither everybody's nor nobody's.
    is_complete = visibility.everything or made == whole
    if not is_complete and visibility.namespaces and made <= _MOST_LOOKED_AT:
        is_complete = _count(connection, seq, visibility, _WHOLE) == made
    return CommitEntry._make((*head, json.loads(reviewed_by), changes, is_complete))


def _blames(connection: sqlite3.Connection, seqs: Iterable[int], visibility: Visibility) -> dict[int, Blame]:
    """What the caller may know of each of the commits, by its place."""
    rows = connection.execute(
        f"SELECT seq, commit_.id, author, committed_at, proposal, reviewed_by, {_COMPLETE}"
        " FROM json_each(:seqs) AS asked JOIN commit_ ON commit_.seq = asked.value",
        {**_parameters(visibility), "seqs": json.dumps(sorted(seqs))},
    )
    return {
        seq: Blame._make((*commit, proposal, json.loads(reviewed_by)) if is_complete else (*commit, None, []))
        for seq, *commit, proposal, reviewed_by, is_complete in rows
    }


def _count(connection: sqlite3.Connection, seq: int, visibility: Visibility, which: str) -> int:
    """How many changes of a commit are _SEEN, or _WHOLE."""
    (number,) = connection.execute(
        f"SELECT count(*) FROM change JOIN file ON file.id = change.file WHERE seq = :seq AND {which}",
        {**_parameters(visibility), "seq": seq},
    ).fetchone()
    return int(number)


def _seen_changes(
    connection: sqlite3.Connection, seq: int, visibility: Visibility, limit: int, offset: int
) -> list[SeenChange]:
    rows = connection.execute(
        "SELECT path, namespace, repo_name, action, fields, coalesce(begun, old), new,"
        f" seq = visible_from AND NOT {_READABLE}"
        f" FROM change JOIN file ON file.id = change.file WHERE seq = :seq AND {_SEEN}"
        " ORDER BY change.id LIMIT :limit OFFSET :offset",
        {**_parameters(visibility), "seq": seq, "limit": limit, "offset": offset},
    )
    return [_seen_change(row) for row in rows]


def _seen_change(row: Sequence[Any]) -> SeenChange:
    path, namespace, repo_name, action, fields, old, new, is_first_seen = row
    if is_first_seen:
        return SeenChange(path, namespace, repo_name, CREATED, [WHOLE], None, new)
    return SeenChange(path, namespace, repo_name, action, json.loads(fields), old, new)


def _history_entry(row: Sequence[Any], floor_seq: int) -> HistoryEntry:
    *head, reviewed_by, action, fields, old, new, complete = row
    change = (CREATED, [WHOLE], None, new) if head[0] == floor_seq else (action, json.loads(fields), old, new)
    return HistoryEntry._make((*head, json.loads(reviewed_by), *change, bool(complete)))


def _born(connection: sqlite3.Connection, file: int | None, floor_seq: int) -> int | None:
    """The commit that last gave the file all of its content, or the floor; None if the file is not there."""
    row = connection.execute(
        "SELECT seq, new FROM change WHERE file = ? AND seq >= ? AND fields = json_array('') ORDER BY seq DESC LIMIT 1",
        (file, floor_seq),
    ).fetchone()
    if row is None:
        return floor_seq
    return None if row[1] is None else row[0]
