"""From the bytes of a document to what the tables hold of it."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from catalogd.documents import canonical, fields, strict
from catalogd.errors import Malformed
from catalogd.readmodel.search import searchable
from catalogd.readmodel.shapes import WHOLE, Commit

Document = dict[str, Any]

# Bounds of the parsed versions that are kept: enough for chains of edits that take turns, little enough to forget.
CACHE_ENTRIES = 256
CACHE_BYTES = 2 << 20


# Of the trailer that the commit of a batch of activity has; 18 digits fit into SQLite's integers.
BATCH_TRAILER = "Activity-Batch"
_BATCH = re.compile(rf"^{BATCH_TRAILER}: ([1-9][0-9]{{0,17}})$", re.MULTILINE)
_FOLDER = "catalogd"


class Unprojectable(Exception):
    """The document cannot be shown; `detail` is a sentence that says why."""

    def __init__(self, detail: str):
        super().__init__(detail)
        self.detail = detail


class Projection(NamedTuple):
    """A document as the tables hold it. `columns` are those of table document without `id`, by name."""

    columns: dict[str, object]
    tags: str
    labels: dict[str, str]
    text: tuple[str, str, str]


class Parsed(NamedTuple):
    """A blob as JSON: an object, or None and what is wrong with it."""

    document: Document | None
    detail: str = ""


class ParsedBlobs:
    """Blobs as JSON, each parsed once while it is in use. A caller must not change what it gets."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Parsed, int]] = OrderedDict()
        self._bytes = 0

    def get(self, blob: str, read: Callable[[], bytes]) -> Parsed:
        found = self._kept.get(blob)
        if found is not None:
            self._kept.move_to_end(blob)
            return found[0]
        data = read()
        parsed = parse(data)
        self._keep(blob, parsed, len(data))
        return parsed

    def _keep(self, blob: str, parsed: Parsed, size: int) -> None:
        self._kept[blob] = (parsed, size)
        self._bytes += size
        # The newest two always stay: the old and the new version of one document, however large.
        while len(self._kept) > 2 and (self._bytes > CACHE_BYTES or len(self._kept) > CACHE_ENTRIES):
            _, (_, size) = self._kept.popitem(last=False)
            self._bytes -= size


def batch_of(commit: Commit) -> int:
    """The number of the batch of activity that a commit has counted into its documents; 0 for other commits.

    Nobody else's commits count: anybody may write a trailer.
    """
    if commit.committer != _FOLDER or commit.author != _FOLDER:
        return 0
    found = _BATCH.search(commit.message.rpartition("\n\n")[2])
    return int(found[1]) if found else 0


def parse(data: bytes) -> Parsed:
    try:
        value = strict.loads(data, what="the document")
    except Malformed as error:
        return Parsed(None, error.detail)
    return Parsed(value) if isinstance(value, dict) else Parsed(None, "The document must be a JSON object.")


def fault_in(namespace: str, repo_name: str, document: Mapping[str, Any]) -> str | None:
    """Why a document cannot be shown as this repository's, in a sentence; None if it can."""
    for key, name in (("namespace", namespace), ("repo_name", repo_name)):
        if document.get(key) != name:
            return f'"{key}" must be "{name}", as in the path of the file.'
    for key, fits, words in _FIELDS:
        if key in document and not fits(document[key]):
            return f'"{key}" must be {words}.'
    return None


def changed_fields(old: Document | None, new: Document | None) -> list[str]:
    """The JSON pointers of what differs between two versions; the whole, if one is missing or is no JSON object."""
    if old is None or new is None:
        return [WHOLE]
    return [change.pointer for change in fields.diff(old, new)]


def project(blob: str, document: Document, created_at: str | None, updated_at: str | None) -> Projection:
    """The document, found free of faults, for the tables. The times stand in for those that it does not have."""
    complete = canonical.complete(document)
    tags = complete.pop("tags")
    complete = _with_times(complete, created_at, updated_at)
    columns = {
        "namespace": complete["namespace"],
        "repo_name": complete["repo_name"],
        "is_public": int(complete["is_public"]),
        "created_at": complete["created_at"],
        "updated_at": complete["updated_at"],
        "pushed_at": complete.get("pushed_at"),
        "download": complete["download"],
        "repo_starred_count": complete["repo_starred_count"],
        "blob": blob,
        "summary": _json(complete),
    }
    return Projection(columns, _json(tags), complete["labels"], text_of(complete))


def text_of(summary: Mapping[str, Any]) -> tuple[str, str, str]:
    """What the full-text index holds of a document: a function of its summary, so that it can be taken out again."""
    return (
        summary["repo_name"],
        searchable(summary["description"]),
        searchable(summary["full_description"]),
    )


def _with_times(complete: Document, created_at: str | None, updated_at: str | None) -> Document:
    if complete.get("created_at") is None:
        complete["created_at"] = created_at
    if complete.get("updated_at") is None:
        complete["updated_at"] = updated_at
    return complete


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _json(value: object) -> str:
    return _encode(value)


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_time(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool)


def _is_labels(value: object) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(text, str) for text in value.values()))


def _is_object(value: object) -> bool:
    return value is None or isinstance(value, dict)


def _is_tags(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(tag, dict) and isinstance(tag.get("tag"), str) for tag in value)


_FIELDS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("description", _is_string, "a string"),
    ("full_description", _is_string, "a string"),
    ("is_public", _is_boolean, "true or false"),
    ("logo", _is_string, "a string"),
    ("labels", _is_labels, "an object of strings"),
    ("build_config", _is_object, "an object"),
    ("created_at", _is_time, "a string with a time"),
    ("updated_at", _is_time, "a string with a time"),
    ("pushed_at", _is_time, "a string with a time, or null"),
    ("pulled_at", _is_time, "a string with a time, or null"),
    ("download", _is_count, "a whole number from 0"),
    ("upload", _is_count, "a whole number from 0"),
    ("repo_starred_count", _is_count, "a whole number from 0"),
    ("tags", _is_tags, 'a list of objects with a string "tag"'),
)
