"""Whole catalogs in and out, as JSON lines: one document a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from catalogd import names, rights
from catalogd.catalog.base import Document, UseCases, parse_stored
from catalogd.catalog.bodies import same_but_for_time
from catalogd.catalog.protection import require_direct
from catalogd.catalog.shapes import Caller
from catalogd.documents import canonical, strict
from catalogd.errors import CatalogdError, Conflict, Fault, Invalid
from catalogd.store import Draft, Reading, rfc3339

Progress = Callable[[int], None]

# What a representation of the API has beside the document; it is made anew from it.
_DERIVED = frozenset({"repo_path", "logo_file", "is_automated", "is_repo_starred", "creation_at", "creation_time"})
_MOST_FAULTS = 1000


@dataclass
class Imported:
    """What an import has done: names of repositories by what became of them; `labels` counts what became a label."""

    commit: str = ""
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)


class Transfer(UseCases):
    """Import and export."""

    def import_lines(
        self, caller: Caller, lines: Iterable[bytes], *, title: str, progress: Progress = lambda _: None
    ) -> Imported:
        """One commit that creates or updates every repository of the lines; all of them or none.

        A field that the line has not stays as it is. A field that no document has becomes a label, if it is a string
        or a list of strings. `progress` is called with the number of each line done. Raises Invalid naming every bad
        line (`Fault.pointer` is "line N"), Unauthenticated, Forbidden, and what the store raises.
        """
        rows = self._rows(lines)
        result = Imported()

        def draft(reading: Reading) -> Draft | None:
            nonlocal result
            result = Imported()
            files: dict[str, bytes | None] = {}
            faults: list[Fault] = []
            for number, row in rows:
                try:
                    self._stage(caller, reading, row, files, result)
                except CatalogdError as error:
                    faults += _on_line(number, error)
                progress(number)
            if faults:
                raise Invalid(_told(faults), faults[:_MOST_FAULTS])
            made = f"{len(result.created)} created, {len(result.updated)} updated"
            return Draft(f"Import {title}: {made}", files) if files else None

        result.commit = (outcome := self._submit(caller, draft, f"import {title}")).commit
        assert outcome.changed == bool(result.created or result.updated)
        return result

    def export_lines(self, *, only_public: bool = False) -> Iterator[bytes]:
        """Every document of the newest commit as a line of JSON, sorted by namespace and name.

        With `only_public` those that anybody may see; a broken one is nobody's to see.
        """
        snapshot = self._store.snapshot()
        for path in snapshot.walk("data"):
            parsed, found = names.parse_document_path(path), snapshot.read(path)
            if parsed is None or found is None:
                continue
            if only_public and not _is_public(*parsed, found[1]):
                continue
            yield canonical.one_line(strict.loads(found[1], what=path)).encode()

    def _rows(self, lines: Iterable[bytes]) -> list[tuple[int, Document]]:
        """The lines as (number, document), every bad one named at once. Raises Invalid."""
        rows: list[tuple[int, Document]] = []
        faults: list[Fault] = []
        seen: dict[tuple[str, str], int] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = _row(line)
            except CatalogdError as error:
                faults += _on_line(number, error)
                continue
            first = seen.setdefault((row["namespace"], row["repo_name"]), number)
            if first != number:
                faults.append(Fault(f"line {number}", f"names the same repository as line {first}"))
            rows.append((number, row))
        if faults:
            raise Invalid(_told(faults), faults[:_MOST_FAULTS])
        return rows

    def _stage(
        self, caller: Caller, reading: Reading, row: Document, files: dict[str, bytes | None], result: Imported
    ) -> None:
        namespace, repo_name = row["namespace"], row["repo_name"]
        self._require(caller, reading, rights.WRITE, namespace)
        path = names.document_path(namespace, repo_name)
        found = reading.read(path)
        before = parse_stored(found[1], namespace, repo_name) if found else None
        now = rfc3339(self._clock())
        fields, labels = _fields_and_labels(row)
        after = {**(before or {"created_at": now}), **fields}
        if labels and isinstance(after.get("labels") or {}, dict):
            after["labels"] = {**(after.get("labels") or {}), **labels}
        if before is not None and same_but_for_time(before, canonical.comparable(after)):
            result.unchanged.append(f"{namespace}/{repo_name}")
            return
        after = after if "updated_at" in fields else {**after, "updated_at": now}
        # Checked as it came: filling in defaults would hide what is wrong with it.
        files[path] = data = self._validated(reading, namespace, repo_name, after, complete=True)
        require_direct(reading, {path: data})  # here, too: every line that is refused is named
        (result.updated if found else result.created).append(f"{namespace}/{repo_name}")
        for key in labels:
            result.labels[key] = result.labels.get(key, 0) + 1


def _is_public(namespace: str, repo_name: str, data: bytes) -> bool:
    try:
        return bool(parse_stored(data, namespace, repo_name)["is_public"])
    except Conflict:
        return False


def _row(line: bytes) -> Document:
    row = strict.loads(line.strip(), what="the line")
    if not isinstance(row, dict):
        raise Invalid("The line is no JSON object.", [Fault("", "must be a JSON object")])
    for key in ("namespace", "repo_name"):
        names.check_new_name(row.get(key), f"/{key}")
    return row


def _fields_and_labels(row: Document) -> tuple[Document, dict[str, str]]:
    fields: Document = {}
    labels: dict[str, str] = {}
    for key, value in row.items():
        if key in canonical.FIELDS:
            fields[key] = value
        elif key in _DERIVED:
            continue
        elif isinstance(value, str):
            labels[key] = " ".join(value.split())  # a label is one line
        elif isinstance(value, list) and all(isinstance(element, str) for element in value):
            labels[key] = ", ".join(" ".join(element.split()) for element in value)
        else:
            fault = "is no field of a document, and only a string or a list of strings can become a label"
            raise Invalid(f"{key} {fault}.", [Fault(f"/{key}", fault)])
    return fields, {key: value for key, value in labels.items() if value}


def _on_line(number: int, error: CatalogdError) -> list[Fault]:
    if isinstance(error, Invalid | Conflict) and error.faults:
        return [Fault(f"line {number}", f"{fault.pointer or 'it'} {fault.detail}") for fault in error.faults]
    return [Fault(f"line {number}", error.detail)]


def _told(faults: list[Fault]) -> str:
    lines = len({fault.pointer for fault in faults})
    return f"Nothing was imported: {lines} bad line{'s' if lines > 1 else ''}."
