"""Use case of two lines of history: main takes in what another repository's has; what both changed is merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from catalogd import names
from catalogd.catalog.base import UseCases
from catalogd.catalog.settling import BothSides, Decide, FieldConflict, faults_in, undecided
from catalogd.catalog.shapes import Caller
from catalogd.check import Finding, plain_finding
from catalogd.errors import Conflict, Fault, Invalid
from catalogd.store import Draft, Edit, Reading, short

# What is told of many faults at once.
_MOST_TOLD = 20


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
            head = reading.commit or self._store.head() or ""
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
                    both = BothSides(path, [self._content(old) for old in olds], ours, self._content(new))
                    files[path] = both.settled(decide, conflicts)
            if conflicts:
                raise Unjoinable(conflicts)
            fitting = {path: data for path, data in files.items() if data is not None}
            if any(names.schema_path(kind) in files for kind in names.KINDS):  # it is to fit what is new here, too
                here = {change.path for change in self._store.diff(bases[0], head)} - files.keys()
                fitting |= {path: found[1] for path in here if (found := reading.read(path))}
            _require_fit(fitting, lambda path: found[1] if (found := reading.read(path)) else None)
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


def _require_fit(files: Mapping[str, bytes], there: Callable[[str], bytes | None]) -> None:
    """Raises Unfit where a file is none that the catalog takes, by the schemas that will be in force."""
    findings = list(faults_in(files, there))
    if findings:
        raise Unfit(findings)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
