"""What the history gains with each commit: its place, what it changed, and what anyone may see of that."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from catalogd import names
from catalogd.readmodel.projection import Document, ParsedBlobs, batch_of, changed_fields, fault_in
from catalogd.readmodel.shapes import CREATED, DELETED, RESTORED, UPDATED, Change, Commit, Position

# What anyone may see of a change: where a document that was hidden became public, only what came after it.
_NOTHING, _AFTER, _WHOLE = "nothing", "after", "whole"


class File(NamedTuple):
    """What is known of a path from the commits so far."""

    id: int
    namespace: str | None
    repo_name: str | None
    blob: str | None
    is_public: bool
    last_seq: int | None
    visible_from: int | None


class Recorder:
    """Records commits within one write transaction."""

    def __init__(self, connection: sqlite3.Connection, blobs: ParsedBlobs):
        self._execute = connection.execute
        self._blobs = blobs
        self._newest, self._settled_at = self._read_newest()

    @property
    def seq(self) -> int:
        """The place of the newest recorded commit; 0 if there is none."""
        return self._newest.seq

    def record(
        self,
        commit: Commit,
        contents: Callable[[str], bytes],
        parsed: Mapping[str, Document | None] | None = None,
    ) -> int:
        """Add the next commit of main to the history; returns its seq.

        `contents` reads a blob by its id; it is not asked for those in `parsed` (blob id -> the document as strict JSON
        reads it, None for what is no document).
        """
        seq = self.seq + 1
        came_at = as_text(commit.came_at)
        # That of the newest commit is the latest of all.
        if self._settled_at > came_at:
            self._execute("UPDATE commit_ SET settled_at = ?1 WHERE settled_at > ?1", (came_at,))
        self._execute(
            "INSERT INTO commit_ (seq, id, author, email, committed_at, settled_at, message, proposal, proposal_head,"
            " reviewed_by, changes, public_changes, whole_changes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
            (
                seq,
                commit.id,
                as_text(commit.author),
                as_text(commit.email),
                as_text(commit.committed_at),
                came_at,
                as_text(commit.message),
                commit.proposal,
                commit.proposal_head,
                json.dumps([as_text(name) for name in commit.reviewed_by]),
                len(commit.changes),
            ),
        )
        versions = _Versions(self._blobs, contents, parsed or {})
        shown = Counter(self._record_change(seq, change, versions) for change in sorted(commit.changes, key=_path_of))
        if shown[_WHOLE] or shown[_AFTER]:
            self._execute(
                "UPDATE commit_ SET public_changes = ?, whole_changes = ? WHERE seq = ?",
                (shown[_WHOLE] + shown[_AFTER], shown[_WHOLE], seq),
            )
        batch = batch_of(commit)
        if batch:
            # In their order only: one that was made up cannot make those that follow count for nothing.
            self._execute("UPDATE meta SET batch = ?1 WHERE batch = ?1 - 1", (batch,))
        self._newest, self._settled_at = Position(seq, commit.id), came_at
        return seq

    def _read_newest(self) -> tuple[Position, str]:
        """The newest commit, and when all of the history was committed by."""
        row = self._execute("SELECT seq, id, settled_at FROM commit_ ORDER BY seq DESC LIMIT 1").fetchone()
        return (Position(row[0], row[1]), row[2]) if row else (Position(0, ""), "")

    def _record_change(self, seq: int, change: Change, versions: _Versions) -> str:
        """Returns what anyone may see of the change: nothing, what came after it, or the whole."""
        file = self.file(change.path)
        begun = self._begun(file, change)
        old, new = versions.of(file.blob), versions.of(change.new)
        is_shown = _is_shown(file, new)
        # One that cannot be shown is nobody's to see.
        is_public = is_shown and new is not None and new.get("is_public", True) is True
        action = _action(file, change)
        visible_from = _visible_from(file, seq, change, is_public)
        if visible_from is None and file.visible_from is not None:
            self._hide(file)
        self._execute(
            "UPDATE file SET blob = ?, is_public = ?, is_shown = ?, first_seq = coalesce(first_seq, ?), last_seq = ?,"
            " visible_from = ? WHERE id = ?",
            (change.new, is_public, is_shown, seq, seq, visible_from, file.id),
        )
        fields = changed_fields(versions.of(begun) if begun else old, new)
        if change.others and old is not None and new is not None:
            # A merge has changed what it has otherwise than all that it joins.
            sides = [changed_fields(versions.of(side), new) for side in (change.old, *change.others) if side]
            fields = [pointer for pointer in fields if all(pointer in side for side in sides)]
        self._execute(
            "INSERT INTO change (seq, file, action, old, new, begun, was_public, is_public, is_shown, fields)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                seq,
                file.id,
                action,
                file.blob,
                change.new,
                begun,
                file.is_public,
                is_public,
                is_shown,
                json.dumps(fields),
            ),
        )
        self._recorded(file, change, new if is_shown else None)
        if visible_from is None:
            return _NOTHING
        return _WHOLE if visible_from < seq or action == CREATED else _AFTER

    def _recorded(self, file: File, change: Change, shown: Document | None) -> None:
        """Called after each change: `file` as it was before, and what came of it if that can be shown."""

    def _begun(self, file: File, change: Change) -> str | None:
        """What a commit of a merged line began from, if it is to be shown: none that is older than what anyone may see,
        nor where the file appears or goes.
        """
        if change.old in (file.blob, None) or file.blob is None or change.new is None:
            return None
        known = self._execute(
            "SELECT 1 FROM change WHERE file = ? AND new = ? AND seq >= ? LIMIT 1",
            (file.id, change.old, file.visible_from or 0),
        ).fetchone()
        return change.old if known else None

    def _hide(self, file: File) -> None:
        """The document turned private: what was public of its history no longer is."""
        self._execute(
            "UPDATE commit_ SET public_changes = public_changes - 1,"
            " whole_changes = whole_changes - (mine.seq > ?2 OR mine.action = ?3)"
            " FROM (SELECT seq, action FROM change WHERE file = ?1 AND seq >= ?2) AS mine"
            " WHERE commit_.seq = mine.seq",
            (file.id, file.visible_from, CREATED),
        )

    def file(self, path: str) -> File:
        path = as_text(path)
        row = self._execute(
            "SELECT id, namespace, repo_name, blob, is_public, last_seq, visible_from FROM file WHERE path = ?", (path,)
        ).fetchone()
        if row is not None:
            return File(*row)
        namespace, repo_name = names.parse_document_path(path) or (names.parse_namespace_path(path), None)
        cursor = self._execute(
            "INSERT INTO file (path, namespace, repo_name) VALUES (?, ?, ?)", (path, namespace, repo_name)
        )
        assert cursor.lastrowid is not None
        return File(cursor.lastrowid, namespace, repo_name, None, False, None, None)


class _Versions:
    """The blobs that one commit names, as JSON objects."""

    def __init__(self, blobs: ParsedBlobs, contents: Callable[[str], bytes], parsed: Mapping[str, Document | None]):
        self._blobs = blobs
        self._contents = contents
        self._parsed = parsed

    def of(self, blob: str | None) -> Document | None:
        if blob is None:
            return None
        if blob in self._parsed:
            return self._parsed[blob]
        return self._blobs.get(blob, lambda: self._contents(blob)).document


def _path_of(change: Change) -> str:
    return change.path


def _is_shown(file: File, document: Document | None) -> bool:
    """Whether this version of the file is a repository's document without a fault."""
    if document is None or file.namespace is None or file.repo_name is None:
        return False
    return fault_in(file.namespace, file.repo_name, document) is None


def _visible_from(file: File, seq: int, change: Change, is_public: bool) -> int | None:
    if change.new is None:
        # To be absent is not to be private: what was public when deleted stays so, and if it comes back public, too.
        return file.visible_from
    if not is_public:
        return None
    return seq if file.visible_from is None else file.visible_from


def _action(file: File, change: Change) -> str:
    if change.new is None:
        return DELETED
    if file.blob is not None:
        return UPDATED
    return CREATED if file.last_seq is None else RESTORED


def as_text(value: str) -> str:
    """What git hands over need not be Unicode: SQLite takes no halves of surrogate pairs."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
