"""What the caller that holds the catalog's lock writes into the read model, in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from catalogd import names
from catalogd.documents import organizations
from catalogd.errors import Malformed
from catalogd.readmodel import schema
from catalogd.readmodel.projection import (
    Document,
    Parsed,
    ParsedBlobs,
    Projection,
    Unprojectable,
    fault_in,
    project,
    text_of,
)
from catalogd.readmodel.recorder import File, Recorder, as_text
from catalogd.readmodel.shapes import Change

# How much of a full-text index is gathered in memory before it is written, in bytes: usually, and for a load.
TEXT_GATHERED = 1 << 20
TEXT_GATHERED_IN_LOAD = 16 << 20

_COLUMNS = (
    "namespace",
    "repo_name",
    "is_public",
    "created_at",
    "updated_at",
    "pushed_at",
    "download",
    "repo_starred_count",
    "blob",
    "summary",
)
_SELECT_DOCUMENT = f"SELECT {', '.join(_COLUMNS)} FROM document WHERE id = ?"
_INSERT_DOCUMENT = f"INSERT INTO document (id, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)})"


class Writer(Recorder):
    """One write transaction. Record the commits first, oldest first, then put and remove what they changed.

    A document without times of its own shows those of the first and the last commit of what may be seen of its history.
    """

    def __init__(self, connection: sqlite3.Connection, blobs: ParsedBlobs):
        super().__init__(connection, blobs)
        self._connection = connection
        self._newest_blobs: Mapping[str, str] = {}
        self._loaded: set[str] = set()

    @property
    def mirrored(self) -> str | None:
        """The id of the commit that the documents are of; None for an empty read model."""
        return schema.mirrored(self._connection)

    def put(self, path: str, blob: str, data: bytes, *, document: Document | None = None) -> None:
        """The file at `path` is `data` now. `document` is what strict JSON reads from it, if the caller knows.

        What is no document of a repository is passed over; one that cannot be shown becomes a fault.
        """
        if _is_expected_to_be_organization(path):
            self._clear_fault(path)
            self._withdraw_organization(path)
            self._insert_organization(path, blob, data)
        if not _is_expected_to_be_document(path):
            return
        self._clear_fault(path)
        parsed = self._blobs.get(blob, lambda: data) if document is None else Parsed(document)
        try:
            self._store(*self._projected(path, blob, parsed))
        except Unprojectable as error:
            self._withdraw(path)
            self._report(path, error)

    def remove(self, path: str) -> None:
        """There is no file at `path` any more."""
        self._clear_fault(path)
        self._withdraw(path)
        self._withdraw_organization(path)

    def mirror(self, commit_id: str) -> None:
        """The documents are those of this commit now, which must be the one recorded last (ValueError)."""
        if commit_id != self._newest.id:
            raise ValueError(f"commit {commit_id} is not the newest one recorded, {self._newest.id}")
        self._execute("UPDATE meta SET commit_id = ?", (commit_id,))

    def clear(self) -> None:
        """Forget everything, history too: for a main that was moved to where this one never was."""
        self._clear_documents()
        for table in ("change", "commit_", "file"):
            self._execute(f"DELETE FROM {table}")
        self._execute("UPDATE meta SET commit_id = NULL, batch = 0")
        self._newest, self._settled_at = self._read_newest()

    @contextmanager
    def loading(self, newest: Mapping[str, str]) -> Iterator[Callable[[], dict[str, str]]]:
        """Within the block record() replaces all documents by those of `newest` (path -> blob), as put() does.

        That is much quicker for very many, as it knows what it has just recorded. What is given says which of `newest`
        it has left to put().
        """
        self._clear_documents()
        schema.drop_ordering_indexes(self._connection)
        self._command_text("hashsize", TEXT_GATHERED_IN_LOAD)
        self._newest_blobs = newest
        try:
            yield lambda: {path: blob for path, blob in newest.items() if path not in self._loaded}
        finally:
            self._newest_blobs, self._loaded = {}, set()
        self._command_text("hashsize", TEXT_GATHERED)
        # Or the edits that follow would do it, and one of them would wait for most of it.
        self._command_text("optimize")
        schema.create_ordering_indexes(self._connection)

    def _recorded(self, file: File, change: Change, shown: Document | None) -> None:
        if file.last_seq is None:
            blob = change.new
            if shown is not None and blob is not None and self._newest_blobs.get(change.path) == blob:
                self._insert(file.id, project(blob, shown, *self._times(file.id, shown)))
                self._loaded.add(change.path)
        elif self._loaded:
            self._loaded.discard(change.path)  # it has changed once more

    # -- documents

    def _projected(self, path: str, blob: str, parsed: Parsed) -> tuple[int, Projection]:
        """(id, document) for the tables. Raises Unprojectable."""
        if names.parse_document_path(path) is None:
            raise Unprojectable("The path must be data/<namespace>/<repo_name>.json with valid names.")
        file = self.file(path)
        assert file.namespace is not None and file.repo_name is not None
        if parsed.document is None:
            raise Unprojectable(parsed.detail)
        fault = fault_in(file.namespace, file.repo_name, parsed.document)
        if fault is not None:
            raise Unprojectable(fault)
        return file.id, project(blob, parsed.document, *self._times(file.id, parsed.document))

    def _times(self, file: int, document: Document) -> Sequence[str | None]:
        """When the path was first and last committed; a public one as far as anyone may know."""
        if document.get("created_at") is not None and document.get("updated_at") is not None:
            return None, None
        times: tuple[str | None, str | None] = self._execute(
            "SELECT (SELECT committed_at FROM commit_ WHERE seq = coalesce(file.visible_from, file.first_seq)),"
            " (SELECT committed_at FROM commit_ WHERE seq = file.last_seq) FROM file WHERE id = ?",
            (file,),
        ).fetchone()
        return times

    def _store(self, document: int, new: Projection) -> None:
        row = self._execute(_SELECT_DOCUMENT, (document,)).fetchone()
        if row is None:
            self._insert(document, new)
        else:
            self._update(document, dict(zip(_COLUMNS, row, strict=True)), new)

    def _insert(self, document: int, new: Projection) -> None:
        self._execute(_INSERT_DOCUMENT, (document, *map(new.columns.__getitem__, _COLUMNS)))
        self._execute("INSERT INTO tag_list (document, tags) VALUES (?, ?)", (document, new.tags))
        self._insert_labels(document, new.labels)
        self._insert_text(document, new.text)

    def _update(self, document: int, old: dict[str, object], new: Projection) -> None:
        """Only what changed is written: each column stands in indexes, and the tags may be long."""
        changed = [column for column in _COLUMNS if old[column] != new.columns[column]]
        if changed:
            self._execute(
                f"UPDATE document SET {', '.join(f'{column} = ?' for column in changed)} WHERE id = ?",
                (*map(new.columns.__getitem__, changed), document),
            )
        self._execute("UPDATE tag_list SET tags = ?1 WHERE document = ?2 AND tags <> ?1", (new.tags, document))
        if "summary" in changed:
            self._update_derived(document, json.loads(str(old["summary"])), new)

    def _update_derived(self, document: int, old: Document, new: Projection) -> None:
        if old["labels"] != new.labels:
            self._delete_labels(document, old["labels"])
            self._insert_labels(document, new.labels)
        old_text = text_of(old)
        if old_text != new.text:
            self._delete_text(document, old_text)
            self._insert_text(document, new.text)

    def _withdraw(self, path: str) -> None:
        row = self._execute(
            "SELECT document.id, summary FROM file JOIN document USING (id) WHERE path = ?", (as_text(path),)
        ).fetchone()
        if row is None:
            return
        document, summary = row[0], json.loads(row[1])
        self._delete_labels(document, summary["labels"])
        self._delete_text(document, text_of(summary))
        self._execute("DELETE FROM tag_list WHERE document = ?", (document,))
        self._execute("DELETE FROM document WHERE id = ?", (document,))

    # -- organizations

    def _insert_organization(self, path: str, blob: str, data: bytes) -> None:
        """One that is broken is there without members: a right that cannot be read is not given."""
        namespace = names.parse_namespace_path(path)
        if namespace is None:
            self._report(path, Unprojectable("The path must be namespaces/<namespace>.json with a valid name."))
            return
        try:
            document = organizations.parse(namespace, data)
        except Malformed as error:
            self._report(path, Unprojectable(error.detail))
            document = organizations.complete({"namespace": namespace})
        file = self.file(path).id
        self._execute(
            "INSERT INTO organization (id, namespace, blob, document) VALUES (?, ?, ?, ?)",
            (file, namespace, blob, json.dumps(document)),
        )
        for user, role in organizations.roles(document).items():
            self._execute("INSERT INTO member (user, organization, role) VALUES (?, ?, ?)", (user, file, role))

    def _withdraw_organization(self, path: str) -> None:
        namespace = names.parse_namespace_path(path)
        if namespace is None:
            return
        row = self._execute("SELECT id FROM organization WHERE namespace = ?", (namespace,)).fetchone()
        if row is not None:
            self._execute("DELETE FROM member WHERE organization = ?", row)
            self._execute("DELETE FROM organization WHERE id = ?", row)

    def _insert_labels(self, document: int, labels: Mapping[str, str]) -> None:
        for key, value in labels.items():
            self._execute("INSERT INTO label (key, value, document) VALUES (?, ?, ?)", (key, value, document))

    def _delete_labels(self, document: int, labels: Mapping[str, str]) -> None:
        for key, value in labels.items():
            self._execute("DELETE FROM label WHERE key = ? AND value = ? AND document = ?", (key, value, document))

    def _insert_text(self, document: int, text: tuple[str, str, str]) -> None:
        self._execute(
            "INSERT INTO document_text (rowid, repo_name, description, full_description) VALUES (?, ?, ?, ?)",
            (document, *text),
        )

    def _delete_text(self, document: int, text: tuple[str, str, str]) -> None:
        self._execute(
            "INSERT INTO document_text (document_text, rowid, repo_name, description, full_description)"
            " VALUES ('delete', ?, ?, ?, ?)",
            (document, *text),
        )

    def _command_text(self, command: str, value: int | None = None) -> None:
        """A command to the full-text index, in the way of FTS5."""
        self._execute("INSERT INTO document_text (document_text, rank) VALUES (?, ?)", (command, value))

    def _report(self, path: str, error: Unprojectable) -> None:
        self._execute("INSERT INTO fault (path, detail) VALUES (?, ?)", (as_text(path), error.detail))

    def _clear_fault(self, path: str) -> None:
        self._execute("DELETE FROM fault WHERE path = ?", (as_text(path),))

    def _clear_documents(self) -> None:
        for table in ("document", "tag_list", "label", "organization", "member", "fault"):
            self._execute(f"DELETE FROM {table}")
        self._command_text("delete-all")


def _is_expected_to_be_document(path: str) -> bool:
    return path.startswith("data/") and path.endswith(".json")


def _is_expected_to_be_organization(path: str) -> bool:
    return path.startswith("namespaces/") and path.endswith(".json")
