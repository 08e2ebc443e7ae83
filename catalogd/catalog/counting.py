"""Use case on counters: what use has counted in the state is folded into the documents, in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from catalogd import names
from catalogd.catalog.base import Document, UseCases, parse_stored
from catalogd.catalog.shapes import Caller
from catalogd.errors import Conflict, EditedByHand, Invalid
from catalogd.readmodel import BATCH_TRAILER
from catalogd.store import Draft, Reading

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Deltas:
    """By how much the counters of a repository have changed."""

    stars: int = 0


class NotCountable(Exception):
    """These repositories cannot be written now; `why` is for the log."""

    def __init__(self, repositories: set[Name], why: str):
        super().__init__(why)
        self.repositories = repositories


class Counting(UseCases):
    """The counters of documents."""

    def counted(self) -> int:
        """The newest batch of activity that the documents of main count; 0 if none. Raises Unavailable."""
        # Not check(): that may leave the read model behind main while somebody writes, and what is thought not to be
        # counted is counted again.
        self._mirror.catch_up()
        return self._model.batch()

    def shown_batch(self) -> int:
        """The newest batch of activity that the documents count which are shown now."""
        return self._model.batch()

    def shown_commit(self) -> str:
        """The commit whose documents are shown now."""
        self._mirror.check()
        return self._commit_read()

    def count(self, caller: Caller, batch: int, deltas: Mapping[Name, Deltas], began: str) -> str | None:
        """Add to the counters, in one commit with the batch's number. Returns it; None where nothing changes.

        What was created after `began` is not what was counted, but another of that name. Raises NotCountable, and
        nothing is written, where documents are missing, broken or edited by hand; and what the store raises.
        """

        def draft(reading: Reading) -> Draft | None:
            files: dict[str, bytes | None] = {}
            refused: set[Name] = set()
            why = ""
            for (namespace, repo_name), delta in deltas.items():
                path = names.document_path(namespace, repo_name)
                found = reading.read(path)
                if found is None:
                    refused.add((namespace, repo_name))
                    why = f"there is no {namespace}/{repo_name} any more"
                    continue
                try:
                    before = parse_stored(found[1], namespace, repo_name)
                    if (before.get("created_at") or "") > began:
                        raise Conflict(f"{namespace}/{repo_name} has been made anew meanwhile.")
                    after = _with(before, delta)
                    if after != before:
                        files[path] = self._validated(reading, namespace, repo_name, after)
                except (Conflict, Invalid) as error:
                    refused.add((namespace, repo_name))
                    why = error.detail
            if refused:
                raise NotCountable(refused, why)
            what = f"{len(files)} repositor{'y' if len(files) == 1 else 'ies'}"
            return Draft(f"Count the stars of {what}", files) if files else None

        try:
            outcome = self._submit(caller, draft, "count", is_direct=False, **{BATCH_TRAILER: str(batch)})
        except EditedByHand as error:
            paths = {names.document_path(*name): name for name in deltas}
            edited = {paths[path] for path in self._store.edited_by_hand(paths) | {error.path} if path in paths}
            raise NotCountable(edited or set(deltas), error.detail) from error
        return outcome.commit if outcome.changed else None


def _with(document: Document, delta: Deltas) -> Document:
    return document | {"repo_starred_count": max(0, document["repo_starred_count"] + delta.stars)}
