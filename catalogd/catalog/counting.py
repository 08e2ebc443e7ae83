"""Use case on counters: what use has counted in the state is folded into the documents, in one commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from catalogd import names
from catalogd.catalog.base import UseCases, parse_stored
from catalogd.catalog.shapes import Caller
from catalogd.errors import Conflict, EditedByHand, Invalid
from catalogd.readmodel import BATCH_TRAILER
from catalogd.store import Draft, Reading

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Deltas:
    """By how much the counters of a repository have changed; `pulled_at` is when the latest of the pulls was."""

    stars: int = 0
    pulls: int = 0
    pulled_at: str | None = None

    def added_to(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The complete document that counts this too: the same one if that changes nothing."""
        changed: dict[str, Any] = {}
        if self.stars:
            changed["repo_starred_count"] = max(0, document["repo_starred_count"] + self.stars)
        if self.pulls:
            changed["download"] = document["download"] + self.pulls
        if self.pulled_at is not None and self.pulled_at > (document.get("pulled_at") or ""):
            changed["pulled_at"] = self.pulled_at
        return {**document, **changed} if changed else document


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

        The message says which counters have changed. What was created after `began` is not what was counted, but
        another of that name. Raises NotCountable, and nothing is written, where documents are missing, broken or
        edited by hand; and what the store raises.
        """

        def draft(reading: Reading) -> Draft | None:
            files: dict[str, bytes | None] = {}
            counted: list[Deltas] = []
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
                    after = dict(delta.added_to(before))
                    if after != before:
                        files[path] = self._validated(reading, namespace, repo_name, after)
                        counted.append(delta)
                except (Conflict, Invalid) as error:
                    refused.add((namespace, repo_name))
                    why = error.detail
            if refused:
                raise NotCountable(refused, why)
            return Draft(_message(counted), files) if files else None

        try:
            outcome = self._submit(caller, draft, "count", is_direct=False, **{BATCH_TRAILER: str(batch)})
        except EditedByHand as error:
            paths = {names.document_path(*name): name for name in deltas}
            edited = {paths[path] for path in self._store.edited_by_hand(paths) | {error.path} if path in paths}
            raise NotCountable(edited or set(deltas), error.detail) from error
        return outcome.commit if outcome.changed else None


def _message(counted: Collection[Deltas]) -> str:
    kinds = {
        "stars": any(delta.stars for delta in counted),
        "pulls": any(delta.pulls or delta.pulled_at for delta in counted),
    }
    what = " and ".join(kind for kind, is_counted in kinds.items() if is_counted)
    return f"Count the {what} of {len(counted)} repositor{'y' if len(counted) == 1 else 'ies'}"
