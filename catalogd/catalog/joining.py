"""Use case of two lines of history: main takes in what another repository's has; what both changed is merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from catalogd import documents, names
from catalogd.catalog.base import UseCases
from catalogd.catalog.shapes import Caller
from catalogd.check import ERROR, Finding, check, plain_finding
from catalogd.documents import ABSENT, canonical, merge_on_all, strict
from catalogd.errors import Conflict, Fault, Invalid, Malformed
from catalogd.store import Draft, Edit, Reading, blob_id, merge_texts, short

OURS, THEIRS = "ours", "theirs"

# What is told of many faults at once.
_MOST_TOLD = 20

# (path, JSON pointer, our value, their value) → OURS, THEIRS or None for a field in conflict.
Decide = Callable[[str, str, object, object], str | None]


def undecided(path: str, pointer: str, ours: object, theirs: object) -> None:
    """Leaves every conflict as it is."""


@dataclass(frozen=True)
class FieldConflict(documents.Conflict):
    """A field of a file that both sides changed, each in its own way.

    The pointer is "" where it is the whole file: one side has deleted it, or it is no document. `is_public` tells
    whether anybody may see the document on both sides.
    """

    path: str
    is_public: bool


class Unjoinable(Conflict):
    """Both sides have changed the same fields; `conflicts` has each."""

    def __init__(self, conflicts: list[FieldConflict]):
        paths = len({conflict.path for conflict in conflicts})
        told = [Fault(found.pointer, f"in {found.path} changed on both sides") for found in conflicts[:_MOST_TOLD]]
        fields, files = _count(len(conflicts), "field"), _count(paths, "file")
        super().__init__(f"{fields} of {files} changed on both sides, each in its own way.", told)
        self.conflicts = conflicts


class Unfit(Invalid):
    """What the other side has, or the merge, has files that the catalog would not take; `findings` has each."""

    def __init__(self, findings: list[Finding]):
        told = [Fault(finding.pointer, f"in {finding.path}: {finding.detail}") for finding in findings[:_MOST_TOLD]]
        super().__init__(f"{_count(len(findings), 'fault')} in the files that would come in.", told)
        self.findings = findings


class Unrelated(Conflict):
    """The two histories have no commit in common."""


class Joining(UseCases):
    """How main takes in another line of history."""

    def join(self, caller: Caller, theirs: str, decide: Decide = undecided) -> None:
        """Let main contain the commit `theirs`, whose objects the catalog has. Nothing happens where it does.

        Where main has nothing that `theirs` has not, main moves there; else a commit merges the two. `decide` tells
        whose value a field in conflict gets. Raises Unjoinable with those that are not decided, Unfit, Unrelated, and
        what the store raises; main stays as it is then.
        """
        head = self._store.head()
        if head is not None and self._store.contains(head, theirs):
            return
        if head is None or self._store.contains(theirs, head):
            self._require_fit(head, theirs)
            self._store.take_in(head, theirs)
            return
        trailers = {"Catalog-Action": f"merge {theirs}", "Request-Id": caller.request_id}
        name, email = caller.account.name or "", caller.account.email or ""
        self._store.submit(Edit(name, email, self._merger(theirs, decide), trailers, merges=theirs))

    def _require_fit(self, head: str | None, theirs: str) -> None:
        changes = self._store.diff(head, theirs)
        there = self._store.snapshot(theirs)
        self._require_plain(head, theirs)
        files = {change.path: self._store.blob(change.new) for change in changes if change.new}
        _require_fit(files, lambda path: found[1] if (found := there.read(path)) else None)

    def _require_plain(self, base: str | None, theirs: str) -> None:
        """A commit of the catalog's has plain files only, so a merge would take the others away from both sides.

        Raises Unfit.
        """
        found = (plain_finding(path, mode) for path, mode in self._store.modes(base, theirs))
        odd = [finding for finding in found if finding]
        if odd:
            raise Unfit(odd)

    def _merger(self, theirs: str, decide: Decide) -> Callable[[Reading], Draft]:
        def draft(reading: Reading) -> Draft:
            head = self._store.head() or ""
            bases = self._store.merge_bases(head, theirs)
            if not bases:
                raise Unrelated("The two have no commit in common: start from a clone of the one that is to stay.")
            self._require_plain(bases[0], theirs)
            files: dict[str, bytes | None] = {}
            conflicts: list[FieldConflict] = []
            for path, (olds, new) in self._changed(bases, theirs).items():
                mine = reading.id_of(path)
                if olds == {mine}:
                    files[path] = self._content(new)
                elif mine != new:
                    ours = found[1] if (found := reading.read(path)) else None
                    if ours is None and mine is not None:
                        raise Conflict(f"{path} is a file on the other side, and here it is none; remove it there.")
                    both = _Both(path, [self._content(old) for old in olds], ours, self._content(new))
                    files[path] = both.settled(decide, conflicts)
            if conflicts:
                raise Unjoinable(conflicts)
            new = {path: data for path, data in files.items() if data is not None}
            if any(names.schema_path(kind) in files for kind in names.KINDS):  # it is to fit what is new here, too
                here = {change.path for change in self._store.diff(bases[0], head)} - files.keys()
                new |= {path: found[1] for path in here if (found := reading.read(path))}
            _require_fit(new, lambda path: found[1] if (found := reading.read(path)) else None)
            return Draft(f"Merge {short(theirs)} of the upstream", files)

        return draft

    def _changed(self, bases: list[str], theirs: str) -> dict[str, tuple[set[str | None], str | None]]:
        """Path → (the blobs of the bases, the blob of `theirs`), where these are not all the same."""
        changes = [{change.path: change for change in self._store.diff(base, theirs)} for base in bases]
        changed = {}
        for change in (change for of_one in changes for change in of_one.values()):
            olds = {of_one[change.path].old if change.path in of_one else change.new for of_one in changes}
            changed[change.path] = olds, change.new
        return changed

    def _content(self, blob: str | None) -> bytes | None:
        return None if blob is None else self._store.blob(blob)


@dataclass(frozen=True)
class _Both:
    """A file that both sides have changed; None where a side does not have it.

    There are several bases where the two lines have met before, with either as the one that was merged into: what each
    of these decided may be otherwise. Then only that is merged on which all of them agree.
    """

    path: str
    bases: list[bytes | None]
    ours: bytes | None
    theirs: bytes | None

    def settled(self, decide: Decide, conflicts: list[FieldConflict]) -> bytes | None:
        """The merge; fields in conflict as is decided. Those that are not are added to `conflicts`."""
        if names.parse_document_path(self.path) is None and names.parse_namespace_path(self.path) is None:
            return self._settled_as_text(decide, conflicts)
        try:
            ours, theirs, *bases = (_parsed(data) for data in (self.ours, self.theirs, *self.bases))
        except Malformed:
            return self._settled_whole(decide, conflicts)
        merged = merge_on_all(bases, ours, theirs)
        values = {}
        is_public = names.parse_document_path(self.path) is not None and all(map(_is_public, (ours, theirs, *bases)))
        for c in merged.conflicts:
            side = decide(self.path, c.pointer, c.ours, c.theirs)
            values[c.pointer] = c.theirs if side == THEIRS else c.ours
            if side is None:
                conflicts.append(FieldConflict(c.pointer, c.base, c.ours, c.theirs, self.path, is_public))
        document = merged.with_fields(values) if values else merged.document
        return None if document is None else canonical.dumps(document)

    def _settled_as_text(self, decide: Decide, conflicts: list[FieldConflict]) -> bytes | None:
        if self.ours is not None and self.theirs is not None:
            merged = [merge_texts(base, self.ours, self.theirs) if base is not None else None for base in self.bases]
            first = merged[0]
            if first is not None and not first[1] and all(other == first for other in merged):
                return first[0]
        return self._settled_whole(decide, conflicts)

    def _settled_whole(self, decide: Decide, conflicts: list[FieldConflict]) -> bytes | None:
        base, ours, theirs = (_digest(data) for data in (self.bases[0], self.ours, self.theirs))
        side = decide(self.path, "", ours, theirs)
        if side is None:
            conflicts.append(FieldConflict("", base, ours, theirs, self.path, is_public=False))
        return self.theirs if side == THEIRS else self.ours


def _is_public(document: dict | None) -> bool:
    return document is None or document.get("is_public", True) is True


def _digest(data: bytes | None) -> object:
    """What stands for a file that is no document."""
    return ABSENT if data is None else f"a file, {short(blob_id(data))}"


def _parsed(data: bytes | None) -> dict | None:
    if data is None:
        return None
    document = strict.loads(data)
    if not isinstance(document, dict):
        raise Malformed("The document must be a JSON object.")
    return document


def _require_fit(files: Mapping[str, bytes], there: Callable[[str], bytes | None]) -> None:
    """Raises Unfit where a file is none that the catalog takes, by the schemas that will be in force."""
    findings = list(_faults(files, there))
    if findings:
        raise Unfit(findings)


def _faults(files: Mapping[str, bytes], there: Callable[[str], bytes | None]) -> Iterator[Finding]:
    site = {}
    for kind in names.KINDS:
        path = names.schema_path(kind)
        schema = files[path] if path in files else there(path)
        if schema is not None:
            site[kind] = schema
    return (finding for finding in check(sorted(files.items()), site) if finding.severity == ERROR)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
