"""What a merge of a proposal into main would do, by what is read of main."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from catalogd import names
from catalogd.catalog import FieldConflict
from catalogd.catalog.organizations import KnownUsers, parse_organization, require_empty, require_members
from catalogd.catalog.settling import BothSides, Decide, faults_in, undecided
from catalogd.check import ERROR, Finding, findings_at
from catalogd.documents import FieldChange, comparable, diff, loads
from catalogd.documents.merge import UPDATED_AT
from catalogd.errors import CatalogdError, Conflict, Invalid, Malformed
from catalogd.proposals.shapes import Changed, Merging, Proposal
from catalogd.store import Reading, Snapshot, Store, blob_id

Files = dict[str, bytes | None]

# What is known of so many proposals is kept. Some hundred bytes each, but for faults and conflicts.
_MOST_KEPT = 5000
_SCHEMAS = tuple(map(names.schema_path, names.KINDS))


class Outcomes:
    """The outcomes of merging proposals. What was worked out for one is kept for as long as main has the same files
    where that one changes them; so a commit to main costs nothing for all others.
    """

    def __init__(self, store: Store, known: KnownUsers):
        self._store = store
        self._known = known
        self._guard = threading.Lock()
        self._kept: OrderedDict[int, tuple[tuple[str | None, ...], Merging]] = OrderedDict()
        self._pointers = lru_cache(maxsize=_MOST_KEPT)(self._pointers_between)
        self._is_public = lru_cache(maxsize=4 * _MOST_KEPT)(self._blob_is_public)

    def of(self, proposal: Proposal, main: Reading | Snapshot) -> Merging:
        """What a merge would do."""
        if any(change.is_organization for change in proposal.changes):
            # What main has does not say it all: the users that there are matter, and what else is in the namespace.
            return self.assessed(proposal, *self.merged(proposal, main), main)
        key = (proposal.head, *map(main.id_of, (*_SCHEMAS, *(change.path for change in proposal.changes))))
        with self._guard:
            kept = self._kept.get(proposal.number)
            if kept is not None and kept[0] == key:
                self._kept.move_to_end(proposal.number)
                return kept[1]
        merging = self.assessed(proposal, *self.merged(proposal, main), main)
        with self._guard:
            self._kept[proposal.number] = key, merging
            self._kept.move_to_end(proposal.number)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return merging

    def merged(
        self, proposal: Proposal, main: Reading | Snapshot, decide: Decide = undecided
    ) -> tuple[Files, list[FieldConflict]]:
        """(each path's new content where main has another, None to remove; the fields in conflict)."""
        files: Files = {}
        conflicts: list[FieldConflict] = []
        for change in proposal.changes:
            mine = main.id_of(change.path)
            if mine == change.new:
                continue
            if mine == change.old:
                files[change.path] = self.content(change.new)
                continue
            ours = found[1] if (found := main.read(change.path)) else None
            both = BothSides(change.path, [self.content(change.old)], ours, self.content(change.new))
            settled = both.settled(decide, conflicts)
            if (None if settled is None else blob_id(settled)) != mine:
                files[change.path] = settled
        return files, conflicts

    def assessed(
        self, proposal: Proposal, files: Files, conflicts: list[FieldConflict], main: Reading | Snapshot
    ) -> Merging:
        """What is to be said of the files that a merge would write."""
        if conflicts:
            # What it would be is not known; what is proposed is.
            paths = {change.path: self.content(change.new) for change in proposal.changes}
            return Merging((), tuple(conflicts), tuple(self._findings(paths, main)))
        return Merging(tuple(files), (), tuple(self._findings(files, main)))

    def pointers(self, change: Changed) -> frozenset[str] | None:
        """The fields that a change of a document touches, but for the time of the last change; None where it makes or
        removes one, or where one side cannot be read.
        """
        return None if change.old is None or change.new is None else self._pointers(change.old, change.new)

    def fields(self, change: Changed) -> Sequence[FieldChange] | None:
        """What a change does to the fields of a document, but for the time of the last change; None where it is of
        something else, or where one side cannot be read.
        """
        if change.repository is None and change.namespace is None:
            return None
        return self._fields_between(change.old, change.new)

    def is_public(self, blob: str | None) -> bool:
        """Whether everybody may see the document of a repository in a blob; True where there is none, False where it
        is lost.
        """
        try:
            return blob is None or self._is_public(blob)
        except KeyError:
            return False

    def content(self, blob: str | None) -> bytes | None:
        """The content of a blob of the catalog or of a proposal."""
        return None if blob is None else self._store.proposals.blob(blob)

    def _findings(self, files: Mapping[str, bytes | None], main: Reading | Snapshot) -> Iterator[Finding]:
        new = {path: data for path, data in files.items() if data is not None}
        wrong = set()
        for finding in faults_in(new, lambda path: found[1] if (found := main.read(path)) else None):
            wrong.add(finding.path)
            yield finding
        for path, data in files.items():
            namespace = names.parse_namespace_path(path)
            if namespace is not None and path not in wrong:
                yield from self._of_organization(namespace, path, data, files, main)

    def _of_organization(
        self, namespace: str, path: str, data: bytes | None, files: Mapping[str, bytes | None], main: Reading | Snapshot
    ) -> Iterator[Finding]:
        """What the calls on organizations would refuse."""
        try:
            found = main.read(path)
            if data is None:
                directory = f"data/{namespace}"
                there = {f"{directory}/{name}" for name in main.names(directory)}
                gone = {each for each, content in files.items() if content is None}
                come = {e for e, content in files.items() if content is not None and e.startswith(f"{directory}/")}
                require_empty(namespace, sorted((there - gone) | come))
                return
            if found is None and self._known([namespace]):
                raise Conflict(f"There is a user {namespace} already; an organization needs a name of its own.")
            before = parse_organization(namespace, found[1]) if found else {}
            require_members(namespace, parse_organization(namespace, data), before, self._known)
        except Invalid as error:
            yield from findings_at(path, data or b"{}", error.faults, lambda _: "")
        except CatalogdError as error:
            yield Finding(ERROR, path, 1, "", error.detail, "")

    def _pointers_between(self, old: str, new: str) -> frozenset[str] | None:
        found = self._fields_between(old, new)
        return None if found is None else frozenset(change.pointer for change in found)

    def _fields_between(self, old: str | None, new: str | None) -> list[FieldChange] | None:
        try:
            before, after = self._document(old), self._document(new)
        except (Malformed, KeyError):  # it is none, or lost
            return None
        return [change for change in diff(before, after) if change.pointer != UPDATED_AT]

    def _blob_is_public(self, blob: str) -> bool:
        try:
            document = self._document(blob)
        except Malformed:
            return False
        return document is not None and document.get("is_public", True) is True

    def _document(self, blob: str | None) -> dict[str, Any] | None:
        """As comparable(); None for no blob. Raises Malformed, and KeyError where it is lost."""
        if blob is None:
            return None
        document = loads(self.content(blob) or b"")
        if not isinstance(document, dict):
            raise Malformed("The document must be a JSON object.")
        return comparable(document)
