"""The documents follow the registry: changes of tags that wait in the state are committed.

Nothing is lost or counted twice if the process dies in between: what one commit is to bring gets the name of a
**delivery** before, the commit carries it, and who starts next looks whether main has that commit.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from catalogd.accounts import Account
from catalogd.catalog import Catalog, Delivery, TagChange
from catalogd.errors import CatalogdError, Conflict, Invalid, NotFound, RegistryFailed
from catalogd.registry.client import RegistryClient
from catalogd.registry.events import INDEXES
from catalogd.registry.images import Image, read_image
from catalogd.registry.names import registry_names
from catalogd.state import ChangeRow, State
from catalogd.store import rfc3339

log = logging.getLogger(__name__)

# Changes that are committed together.
_MOST_AT_ONCE = 1000
# After a failure, and for what a hand has to mend, in seconds.
_PAUSE = 5.0
# A registry that does not answer is not asked for so long, in seconds: what is not read now is compared later.
_REST = 30.0
# So long may the images of one round take to be read, in seconds: one index may have hundreds, of some megabytes each.
_MOST_READING = 60.0
# Answers that say nothing about the registry, but about one image: odd content, not allowed, not there.
_ABOUT_ONE = (200, 403, 404)
# Images that are remembered by digest: the same one is often pushed with several tags.
_MOST_IMAGES = 10_000
# What was logged, so that it is not logged again.
_MOST_SAID = 1_000
_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
# How long it matters when a tag was deleted, as events may be late by days; and who has pulled an index, which is a row
# for each client that anybody pretends to be, and only tells two pulls from one.
_DELETED, _PULLED = 7 * _DAY, _HOUR

Name = tuple[str, str]


class RegistryFollower:
    """One thread of the server. `wake` is for any thread."""

    def __init__(
        self,
        catalog: Catalog,
        state: State,
        may_create: Callable[[str], bool],
        client: RegistryClient | None = None,
        jobs: int = 8,
        told: Callable[[str, int], None] = lambda outcome, number: None,
    ):
        """`may_create` tells of a namespace whether a repository that is not there is created in it.

        `told` is called with what became of how many changes. Without a client nothing is read of the registry.
        """
        self._catalog = catalog
        self._state = state
        self._may_create = may_create
        self._images = _Images(client, jobs)
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._forget_at = self._forget_events_at = 0.0
        self._tried = 0
        self._said: set[tuple[str, str]] = set()
        self._told = told

    def wake(self) -> None:
        """Changes wait."""
        self._awake.set()

    def stop(self) -> None:
        """Ends run() soon, from any thread; what waits is kept. The client's requests are broken off."""
        self._stopping.set()
        self._images.abort()
        self._awake.set()

    def waiting(self) -> int:
        """How many changes are not in the documents yet. Raises Unavailable."""
        return self._state.count_changes()

    def run(self) -> None:
        """Follow until stop(); for a thread of its own."""
        is_settled, retry_at = False, 0.0
        while not self._stopping.is_set():
            try:
                if not is_settled:
                    self.settle()
                # An exception below may leave deliveries open, as a crash does.
                is_settled = False
                is_early = time.monotonic() < retry_at
                if not self.step(self._tried if is_early else 0) and not is_early:
                    retry_at = time.monotonic() + _PAUSE
                self._forget()
                is_settled = True
            except Exception:  # the thread must not end: events would pile up
                log.exception("tags could not follow the registry; it is tried again")
                self._stopping.wait(_PAUSE)
            # Not only when woken: another process may have taken events.
            self._awake.wait(1.0)
            self._awake.clear()
        self._images.close()

    def settle(self) -> None:
        """Finish what was cut off: deliveries that main has are done, the others wait again."""
        open_ = set(self._state.deliveries())
        done = self._catalog.delivered(open_)
        self._state.finish_deliveries(done)
        self._state.release_deliveries(open_ - done)

    def step(self, after: int = 0) -> bool:
        """Commit what waits, of the changes `after` an id. False where some of it still waits, for a better time."""
        all_done, self._tried = True, after
        # What cannot be committed now must not hold up what came after it.
        while not self._stopping.is_set() and (rows := self._state.waiting_changes(_MOST_AT_ONCE, self._tried)):
            all_done &= self._deliver(rows)
            self._tried = rows[-1].id
            if len(rows) < _MOST_AT_ONCE:
                break
        return all_done

    def _deliver(self, rows: Sequence[ChangeRow]) -> bool:
        images = self._images.of(rows)
        if self._stopping.is_set():  # what was broken off is read by whoever starts next
            return False
        deleted = self._state.deleted_tags({(row.namespace, row.repo_name) for row in rows})
        names = {(row.namespace, row.repo_name) for row in rows}
        new = names - self._catalog.known(names)
        creates = {namespace: self._may_create(namespace) for namespace, _ in new}
        by_name = {secrets.token_hex(8): some for some in _deliveries(rows)}
        self._state.assign_deliveries({name: [row.id for row in some] for name, some in by_name.items()})
        made = [
            Delivery(
                name,
                Account(some[0].account, some[0].email, is_admin=False, scopes=frozenset(), namespace=None),
                some[0].namespace,
                some[0].repo_name,
                [_change(row, images, deleted) for row in some],
                creates.get(some[0].namespace, False) and (some[0].namespace, some[0].repo_name) in new,
            )
            for name, some in by_name.items()
        ]
        self._begin_anew({name for name in new if creates[name[0]]}, rows)
        outcomes = self._catalog.deliver(made)
        done: list[str] = []
        waiting: list[str] = []
        for delivery, outcome in zip(made, outcomes, strict=True):
            (waiting if self._must_wait(delivery, outcome) else done).append(delivery.name)
        self._state.finish_deliveries(done)
        self._state.release_deliveries(waiting)
        return not waiting

    def _begin_anew(self, repositories: set[Name], rows: Sequence[ChangeRow]) -> None:
        """They will count nothing of those of the same names before; pulls since the push that makes them are theirs.

        Before they are there: a crash in between would leave to them what was counted of the others.
        """
        pushed: dict[Name, str] = {}
        for row in rows:
            name = row.namespace, row.repo_name
            if name in repositories and row.kind == "push":
                pushed[name] = min(row.at, pushed.get(name, row.at))
        counted = self._catalog.shown_batch() if pushed else 0
        for name, since in pushed.items():
            self._state.begin_anew(*name, since, counted)

    def _must_wait(self, delivery: Delivery, outcome: object) -> bool:
        """Note what became of a delivery. Whether its changes wait for a better time."""
        name, number = f"{delivery.namespace}/{delivery.repo_name}", len(delivery.changes)
        if not isinstance(outcome, Exception):
            self._told("committed", number)
            return False
        fails = outcome if isinstance(outcome, CatalogdError) else None
        what = fails.detail if fails else repr(outcome)
        if isinstance(outcome, NotFound):
            self._told("unknown_repository", number)
            self._say(logging.WARNING, name, f"is not followed: {what}")
        elif isinstance(outcome, Invalid):
            self._told("unfit", number)
            faults = "; ".join(f"{fault.pointer} {fault.detail}" for fault in outcome.faults[:3])
            self._say(logging.ERROR, name, f"does not fit: {what} {faults}")
        else:
            level = logging.WARNING if isinstance(outcome, Conflict) else logging.ERROR
            self._say(level, name, f"waits: {what}", None if fails else outcome)
        return not isinstance(outcome, NotFound | Invalid)

    def _say(self, level: int, name: str, what: str, error: Exception | None = None) -> None:
        """Once an hour: a registry may tell the same hundreds of times a second."""
        if (name, what) not in self._said:
            if len(self._said) >= _MOST_SAID:
                self._said.clear()
            self._said.add((name, what))
            log.log(level, "what a registry told of the tags of %s %s", name, what, exc_info=error)

    def _forget(self) -> None:
        now = time.monotonic()
        if now >= self._forget_events_at:  # often: a million is eight minutes of many pulls
            self._forget_events_at = now + _MINUTE
            self._state.forget_events()
        if now >= self._forget_at:
            self._forget_at = now + _HOUR
            self._said.clear()
            clock = time.time()
            self._state.forget_told(rfc3339(clock - _DELETED), rfc3339(clock - _PULLED))


class _Images:
    """What the registry tells of pushed images; nothing where it is not asked or does not answer."""

    def __init__(self, client: RegistryClient | None, jobs: int):
        self._client = client
        self._executor = ThreadPoolExecutor(jobs, "registry-image") if client else None
        self._known: OrderedDict[str, Image] = OrderedDict()
        self._rest_until = 0.0

    def abort(self) -> None:
        if self._client:
            self._client.abort()

    def close(self) -> None:
        if self._executor:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def of(self, rows: Iterable[ChangeRow]) -> dict[str, Image]:
        """By digest, those of the pushed images of which more is known than the event has told."""
        wanted = {row.digest: row for row in rows if row.kind == "push" and row.digest}
        # Those of the round before may still be reading, and forget others meanwhile.
        found = {digest: image for digest in wanted if (image := self._known.get(digest))}
        if self._executor is None or time.monotonic() < self._rest_until:
            return found
        missing = [row for digest, row in wanted.items() if digest not in found]
        futures = [self._executor.submit(self._read, row) for row in missing]
        read, late = wait(futures, _MOST_READING)
        if late:
            log.warning("%d pushed images are not read now, but compared later: it takes too long", len(late))
            self._rest_until = time.monotonic() + _REST
            for future in late:
                future.cancel()
        found.update({image.digest: image for future in read if (image := future.result()) is not None})
        return found

    def _read(self, row: ChangeRow) -> Image | None:
        if self._client is None or row.digest is None or time.monotonic() < self._rest_until:
            return None
        for name in registry_names(row.namespace, row.repo_name):
            try:
                image = read_image(self._client, name, row.digest)
            except RegistryFailed as error:
                if error.is_missing:
                    continue
                log.warning("what was pushed to %s is not read now, but compared later: %s", name, error.detail)
                if error.status not in _ABOUT_ONE:
                    self._rest_until = time.monotonic() + _REST
                return None
            except Exception:  # whatever an image has in it, it holds up no others
                log.exception("what was pushed to %s cannot be read", name)
                return None
            self._known[image.digest] = image
            while len(self._known) > _MOST_IMAGES:
                self._known.popitem(last=False)
            return image
        return None


def _deliveries(rows: Sequence[ChangeRow]) -> list[list[ChangeRow]]:
    """The changes by repository and sender, in time; another one as soon as a tag comes again with another image.

    So every image that a tag stood for is in the history.
    """
    ordered = sorted(rows, key=lambda row: (row.at, row.id))
    made: list[list[ChangeRow]] = []
    newest: dict[tuple[str, str, str, str], tuple[list[ChangeRow], dict[str, str | None]]] = {}
    for row in ordered:
        key = (row.namespace, row.repo_name, row.account, row.email)
        there = newest.get(key)
        what = row.digest if row.kind == "push" else None
        if there is None or there[1].get(row.tag, what) != what:
            there = newest[key] = ([], {})
            made.append(there[0])
        there[0].append(row)
        there[1][row.tag] = what
    return made


def _change(row: ChangeRow, images: Mapping[str, Image], deleted: Mapping[tuple[str, str, str], str]) -> TagChange:
    if row.kind == "delete" or row.digest is None:
        return TagChange(row.tag, row.at)
    deleted_at = deleted.get((row.namespace, row.repo_name, row.tag), "")
    return TagChange(row.tag, row.at, _entry(row, images.get(row.digest)), row.actor, deleted_at)


def _entry(row: ChangeRow, image: Image | None) -> dict[str, Any]:
    """What the tag tells: by the image, if it was read; else by the event; the manifest's digest stands in."""
    if image is not None:
        return image.as_tag(row.tag, None)
    assert row.digest is not None
    entry: dict[str, Any] = {"tag": row.tag, "digest": row.digest}
    entry["image_id"] = (row.image_id if row.media_type not in INDEXES else None) or _stand_in(row.digest)
    if row.size is not None:
        entry["size"] = row.size
    return entry


def _stand_in(digest: str) -> str:
    """64 digits, which is half of a sha512."""
    return digest.partition(":")[2][:64]
