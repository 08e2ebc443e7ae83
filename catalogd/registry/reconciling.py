"""Compares the catalog with the registry, and mends the catalog.

What the registry has is set as it is found. What it has not is taken away only at the end, when every listing has come
whole, and only as much as can be believed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from catalogd.accounts import Account
from catalogd.catalog import Caller, Catalog
from catalogd.catalog.mending import Mend, Mended, Tag, differs
from catalogd.errors import CatalogdError, Conflict, Invalid, RegistryFailed
from catalogd.registry.client import RegistryClient
from catalogd.registry.names import catalog_name, registry_names
from catalogd.registry.surveying import STOPPED, Holding, survey
from catalogd.store import rfc3339

# Who signs what follows the registry.
REGISTRY = Account("registry", "registry@localhost", is_admin=True, scopes=frozenset(), namespace=None)

RECONCILE, IMPORT = "reconcile", "import"

# A run that would take away more than this, and more than half of all tags, is not believed.
MOST_BELIEVED = 100
# After so many repositories in a row for which the registry did not answer, or was out of order, it is not asked any
# further. What it refuses for one repository, or cannot read of its own, is none of these: it would be so in each run.
_MOST_FAILURES = 10
_OUT_OF_ORDER = (0, 429, 502, 503, 504)

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which the two differ. `kind` is one of KINDS; `tag` is "" for a whole repository."""

    kind: str
    name: str
    tag: str = ""
    why: str = ""

    def __str__(self) -> str:
        where = f"{self.name}:{self.tag}" if self.tag else self.name
        return f"{self.kind}: {where}{f' ({self.why})' if self.why else ''}"


MISSING, CHANGED, EXTRA, UNKNOWN = "missing", "changed", "extra", "unknown"
UNREAD, UNFIT, FAILED, REFUSED = "unread", "unfit", "failed", "refused"
KINDS = {
    MISSING: "the registry has the tag, the catalog had not",
    CHANGED: "the tag is of another image, or more is known of it",
    EXTRA: "the registry has not the tag",
    UNKNOWN: "the repository is not in the catalog, and not to be created",
    UNREAD: "the image could not be read; the tag is left as it is",
    UNFIT: "the name has no place in the catalog",
    FAILED: "the repository could not be read",
    REFUSED: "the catalog's document is broken, or would not be as the schema or the policy wants it",
}


@dataclass
class Report:
    """What a run has found and done. `read` counts repositories, `set` and `removed` tags."""

    differences: list[Difference] = field(default_factory=list)
    read: int = 0
    held: int = 0
    set: int = 0
    removed: int = 0
    created: int = 0
    withheld: str = ""
    _counts: dict[str, int] = field(default_factory=dict, repr=False)

    def count(self, kind: str) -> int:
        return self._counts.get(kind, 0)

    def note(self, difference: Difference) -> None:
        self.differences.append(difference)
        self._counts[difference.kind] = self._counts.get(difference.kind, 0) + 1

    def add(self, compared: _Compared) -> None:
        """One repository more."""
        self.read += 1
        self.held += compared.held
        self.set += compared.mended.set
        self.created += compared.mended.created

    @property
    def is_whole(self) -> bool:
        """Whether all repositories were read, and all was mended that was to be."""
        return not self.withheld and not self.count(FAILED) and not self.count(REFUSED)


@dataclass(frozen=True)
class Wanted:
    """What a run is to do: see `Reconciler.run`."""

    action: str = RECONCILE
    dry_run: bool = False
    believe: bool = False
    is_public: bool = False
    namespaces: Collection[str] = ()
    done: Collection[str] = ()


class Reconciler:
    """One catalog and one registry. `may_create` says of a namespace whether unknown repositories are created there."""

    def __init__(self, catalog: Catalog, client: RegistryClient, may_create: Callable[[str], bool], jobs: int = 8):
        self._catalog = catalog
        self._client = client
        self._may_create = may_create
        self._jobs = jobs
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End a run that is under way; it raises RegistryFailed. The client is of no more use."""
        self._stopping.set()
        self._client.abort()

    def run(
        self,
        wanted: Wanted,
        *,
        started: Callable[[int], None] = lambda _: None,
        finished: Callable[[str, bool], None] = lambda *_: None,
        tell: Callable[[Difference], None] = lambda _: None,
    ) -> Report:
        """Compare all, and mend unless it is a dry run. An import takes nothing away.

        `started` gets the number of repositories, `finished` the name of each and whether all of it could be read,
        `tell` each difference as it is found; all in this thread. Raises RegistryFailed where the list of repositories
        fails, or too many of tags; ReadOnly, NoSpace, StoreFailed, Unavailable of the catalog. What was set before
        stays. After it has raised, the client is of no more use.
        """
        report = Report()
        listed = self._client.repositories()
        names, unfit = _grouped(listed)
        spaces = wanted.namespaces
        self._note(report, tell, [Difference(UNFIT, n) for n in unfit if not spaces or n.split("/")[0] in spaces])
        if wanted.action == RECONCILE:
            for name in self._catalog.held_repositories():
                names.setdefault(name, False)
        chosen = [n for n in sorted(names) if not spaces or n[0] in spaces]
        left = [n for n in chosen if "/".join(n) not in wanted.done]
        started(len(left))
        removals: list[Mend] = []
        failures = 0
        with closing(self._compared(left, names, wanted)) as all_compared:
            for name, compared in all_compared:
                report.add(compared)
                self._note(report, tell, compared.differences)
                if compared.removal is not None:
                    removals.append(compared.removal)
                failures = failures + 1 if compared.is_out_of_order else 0
                if failures > _MOST_FAILURES:
                    raise RegistryFailed(f"The registry is not read any further. The last {report.differences[-1]}")
                unsettled = (FAILED, REFUSED, UNREAD)
                finished("/".join(name), not any(each.kind in unsettled for each in compared.differences))
        self._remove(report, removals, wanted, tell, is_empty=not listed)
        return report

    def _note(self, report: Report, tell: Callable[[Difference], None], found: Collection[Difference]) -> None:
        for difference in found:
            report.note(difference)
            tell(difference)

    def _compared(
        self, left: list[Name], names: Mapping[Name, bool], wanted: Wanted
    ) -> Generator[tuple[Name, _Compared], None, None]:
        """Each repository with what was found; a few more are under way, so that memory does not grow with all."""
        waiting = iter(left)
        running: dict[Future[_Compared], Name] = {}
        images = ThreadPoolExecutor(self._jobs, "registry-images")
        executor = ThreadPoolExecutor(self._jobs, "registry")
        is_whole = False
        try:
            while True:
                for name in islice(waiting, 2 * self._jobs - len(running)):
                    running[executor.submit(self._compare, name, names[name], wanted, images)] = name
                if not running:
                    is_whole = True
                    return
                for task in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(task), task.result()
        finally:
            if not is_whole:
                self.stop()
            # In this order: nothing new begins, and what waits for an image is told that by the task's cancellation.
            executor.shutdown(wait=False, cancel_futures=True)
            images.shutdown(cancel_futures=True)
            executor.shutdown()

    def _compare(self, name: Name, is_listed: bool, wanted: Wanted, images: ThreadPoolExecutor) -> _Compared:
        """Read one repository in both, in this order, and set what the registry has."""
        path, at = "/".join(name), rfc3339(time.time())
        if self._stopping.is_set():
            raise RegistryFailed(STOPPED)
        try:
            seen = self._catalog.held_tags(*name)
            if not seen and not is_listed:
                return _Compared([])
            if seen is None and wanted.action == RECONCILE and not self._may_create(name[0]):
                return _Compared([Difference(UNKNOWN, path)])
            holding = survey(self._client, registry_names(*name), seen or {}, images)
            return self._settle(name, at, seen, holding, wanted)
        except RegistryFailed as error:
            is_out_of_order = error.status in _OUT_OF_ORDER
            return _Compared([Difference(FAILED, path, why=error.detail)], is_out_of_order=is_out_of_order)
        except (Invalid, Conflict) as error:
            return _Compared([_refused(path, error)])

    def _settle(
        self, name: Name, at: str, seen: dict[str, Tag] | None, holding: Holding | None, wanted: Wanted
    ) -> _Compared:
        """Set what the registry has; what it has not is for later. `at` is before it was asked. Raises what the catalog
        does.
        """
        path = "/".join(name)
        held, there = seen or {}, holding or Holding()
        found = {tag: entry for tag, entry in there.found.items() if differs(held.get(tag), entry)}
        gone = [] if wanted.action == IMPORT else sorted(held.keys() - there.listed)
        differences = [Difference(CHANGED if tag in held else MISSING, path, tag) for tag in sorted(found)]
        differences += [Difference(UNREAD, path, tag, why) for tag, why in sorted(there.unread.items())]
        differences += [Difference(UNFIT, path, tag) for tag in there.unfit]
        differences += [Difference(EXTRA, path, tag) for tag in gone]
        mended = Mended()
        if found and not wanted.dry_run:
            mended = self._mend(Mend(*name, seen, at, found, creates=seen is None, is_public=wanted.is_public), wanted)
        removal = Mend(*name, {tag: held[tag] for tag in gone}, at, gone=gone) if gone else None
        return _Compared(differences, mended, removal, len(held))

    def _mend(self, mend: Mend, wanted: Wanted) -> Mended:
        return self._catalog.mend(Caller(REGISTRY, wanted.action), mend, wanted.action)

    def _remove(
        self,
        report: Report,
        removals: list[Mend],
        wanted: Wanted,
        tell: Callable[[Difference], None],
        *,
        is_empty: bool,
    ) -> None:
        """Take away what the registry has not, or say in the report why not."""
        count = sum(len(mend.gone) for mend in removals)
        if not count:
            return
        if report.count(FAILED):
            report.withheld = "not all of the registry could be read"
        elif is_empty and not wanted.believe:
            report.withheld = "the registry lists no repository at all"
        elif count > MOST_BELIEVED and 2 * count > report.held and not wanted.believe:
            report.withheld = f"it would be {count:,} of {report.held:,}, which is more than is believed"
        if report.withheld or wanted.dry_run:
            return
        for mend in removals:
            if self._stopping.is_set():
                raise RegistryFailed(STOPPED)
            try:
                report.removed += self._mend(mend, wanted).removed
            except (Invalid, Conflict) as error:
                self._note(report, tell, [_refused(f"{mend.namespace}/{mend.repo_name}", error)])


@dataclass(frozen=True)
class _Compared:
    """What came of one repository. `removal` is what is still to be taken away."""

    differences: list[Difference]
    mended: Mended = field(default_factory=Mended)
    removal: Mend | None = None
    held: int = 0
    is_out_of_order: bool = False


def _refused(path: str, error: CatalogdError) -> Difference:
    faults = "; ".join(f"{fault.pointer} {fault.detail}" for fault in error.faults[:3])
    return Difference(REFUSED, path, why=f"{error.detail} {faults}".strip())


def _grouped(listed: Collection[str]) -> tuple[dict[Name, bool], list[str]]:
    """(the repositories of the catalog that the registry lists, names without a place there)."""
    grouped: dict[Name, bool] = {}
    unfit = []
    for name in listed:
        ours = catalog_name(name)
        if ours is None:
            unfit.append(name)
        else:
            grouped[ours] = True
    return grouped, unfit
