"""Points in history, as callers name them, and documents as they were there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from catalogd.catalog.base import parse_stored
from catalogd.errors import BadQuery, Conflict, NotFound
from catalogd.readmodel import Position, ReadModel
from catalogd.store import Store, rfc3339

_COMMIT = re.compile(r"[0-9a-f]{7,40}")


class Moments:
    """Reads the past of one catalog."""

    def __init__(self, store: Store, model: ReadModel):
        self._store = store
        self._model = model

    def position(self, at: str, parameter: str = "at") -> Position:
        """The commit that is meant by an id (7 digits or more) or an RFC 3339 time: the newest not after it.

        Raises BadQuery where it is neither, or ambiguous; NotFound where there is no such commit.
        """
        if _COMMIT.fullmatch(at):
            return self._model.resolve(at)
        found = self._model.at_time(_as_time(at, parameter))
        if found is None:
            raise NotFound(f"The catalog has no commit that old: {at}.")
        return found

    def document(self, namespace: str, repo_name: str, blob: str) -> dict[str, Any]:
        """The complete document in a blob. Raises NotFound where what stood there was no document.

        A file without times of its own gets those of today's document.
        """
        try:
            document = parse_stored(self._store.blob(blob), namespace, repo_name)
        except Conflict as error:
            raise NotFound(f"What was there as {namespace}/{repo_name} was no document.") from error
        if "created_at" not in document or "updated_at" not in document:
            row = self._model.get(namespace, repo_name)
            today = row.document if row else {}
            for key in ("created_at", "updated_at"):
                if today.get(key) is not None:
                    document.setdefault(key, today[key])
        return document


def _as_time(text: str, parameter: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadQuery(
            parameter, "must be a commit id of 7 hex digits or more, or a time like 2014-11-19T05:54:22Z"
        ) from None
    if moment.tzinfo is None:
        raise BadQuery(parameter, "must have a time zone: 2014-11-19T05:54:22Z")
    try:
        return rfc3339(moment.astimezone(UTC).timestamp())
    except (OverflowError, ValueError):
        raise BadQuery(parameter, "must be a time of this age") from None
