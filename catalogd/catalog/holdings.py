"""Use case on tags: what a registry tells of pushes and deletes goes into the documents."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalogd import names
from catalogd.accounts import Account
from catalogd.catalog import bodies
from catalogd.catalog.base import Document, UseCases, parse_stored
from catalogd.catalog.messages import MOST_NAMED, named
from catalogd.documents import canonical
from catalogd.errors import Invalid, NotFound
from catalogd.store import Draft, Edit, Outcome, Reading, rfc3339

# A commit with what a registry told has the name of that delivery; whether main has one tells what a crash has cut off.
DELIVERY_TRAILER = "Registry-Delivery"
_PUSHED_BY = "Pushed-by"
# Answers that are kept: some hundred bytes each.
_MOST_KNOWN = 20_000
# Of an entry, what may be left out where a catalog's own schema does not know it.
_DISPENSABLE = ("size", "architectures")


@dataclass(frozen=True, slots=True)
class TagChange:
    """A tag that was pushed or, without an `entry`, deleted, at a time; the entry is without `pushed_at`.

    `deleted_at` is when the tag was last deleted, if that is known.
    """

    tag: str
    at: str
    entry: Mapping[str, Any] | None = None
    actor: str | None = None
    deleted_at: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one commit is to bring to one repository, oldest first.

    A document that is not there is created, private, if it `creates`.
    """

    name: str
    account: Account
    namespace: str
    repo_name: str
    changes: Sequence[TagChange]
    creates: bool = False


class Holdings(UseCases):
    """Documents follow what a registry holds."""

    # Asked for each event: what was looked up at that commit.
    _known_at: tuple[str | None, dict[tuple[str, str], bool]] = ("", {})

    def known(self, repositories: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of the (namespace, repo_name) that main has."""
        head = self._store.head()
        kept, answers = self._known_at
        if head != kept or len(answers) > _MOST_KNOWN:
            answers = {}
            self._known_at = (head, answers)
        if missing := {name for name in repositories if name not in answers}:
            snapshot = self._store.snapshot(head)
            answers.update({name: snapshot.id_of(names.document_path(*name)) is not None for name in missing})
        return {name for name in repositories if answers.get(name)}

    def delivered(self, deliveries: Collection[str]) -> set[str]:
        """Those of the names of deliveries of which main has the commit. Raises Unavailable."""
        if not deliveries:
            return set()
        self._mirror.catch_up()
        return self._model.lines_of(DELIVERY_TRAILER, deliveries)

    def deliver(self, deliveries: Sequence[Delivery]) -> list[Outcome | Exception]:
        """Commit each delivery. What became of each: its outcome, or why not.

        NotFound says that the repository is neither there nor to be created; Invalid, that its document would not fit;
        Conflict, that a hand has to mend something first; else what the store raises. The policy does not bind them:
        they say what is so, not what somebody wants.
        """
        return self._store.submit_all([self._edit(delivery) for delivery in deliveries])

    def _edit(self, delivery: Delivery) -> Edit:
        name = f"{delivery.namespace}/{delivery.repo_name}"
        pushes = any(change.entry for change in delivery.changes)
        trailers: dict[str, str | Sequence[str]] = {
            "Catalog-Action": f"{'push' if pushes else 'untag'} {name}",
            "Request-Id": f"registry-{delivery.name}",
            DELIVERY_TRAILER: delivery.name,
        }
        actors = sorted({change.actor for change in delivery.changes if change.actor})
        if actors:
            more = [f"and {len(actors) - MOST_NAMED} more"] if len(actors) > MOST_NAMED else []
            trailers[_PUSHED_BY] = [*actors[:MOST_NAMED], *more]
        account = delivery.account
        return Edit(account.name or "", account.email or "", lambda reading: self._draft(reading, delivery), trailers)

    def _draft(self, reading: Reading, delivery: Delivery) -> Draft | None:
        namespace, repo_name = delivery.namespace, delivery.repo_name
        path = names.document_path(namespace, repo_name)
        found = reading.read(path)
        now = rfc3339(self._clock())
        if found is not None:
            before = parse_stored(found[1], namespace, repo_name)
        elif not any(change.entry for change in delivery.changes):
            return None
        elif not delivery.creates:
            raise NotFound(f"There is no repository {namespace}/{repo_name}, and none is created for a push to it.")
        else:
            before = bodies.told(namespace, repo_name, now)
        after = with_changes(before, delivery.changes)
        if found is not None and after == before:
            return None
        data = self._fitting(reading, namespace, repo_name, after | {"updated_at": now}, delivery)
        return Draft(_message(f"{namespace}/{repo_name}", delivery.changes, created=found is None), {path: data})

    def _fitting(
        self, reading: Reading, namespace: str, repo_name: str, document: Document, delivery: Delivery
    ) -> bytes:
        """The bytes of a document that fits, if need be without what a catalog of an older schema does not know."""
        try:
            return self._validated(reading, namespace, repo_name, document)
        except Invalid:
            pushed = {change.tag for change in delivery.changes}
            tags = [
                {key: value for key, value in entry.items() if key not in _DISPENSABLE}
                if entry["tag"] in pushed
                else entry
                for entry in document["tags"]
            ]
            return self._validated(reading, namespace, repo_name, document | {"tags": tags})


def with_changes(document: Document, changes: Sequence[TagChange]) -> Document:
    """The document after the changes. None of them overwrites what is newer than it; a push counts all the same."""
    tags = {entry["tag"]: entry for entry in document["tags"]}
    upload, pushed_at = document["upload"], document["pushed_at"]
    for change in sorted(changes, key=lambda change: change.at):
        there = tags.get(change.tag)
        is_older = there is not None and (there.get("pushed_at") or "") > change.at
        if change.entry is None:
            if there is not None and not is_older:
                del tags[change.tag]
            continue
        upload += 1
        pushed_at = max(pushed_at or "", change.at)
        if not is_older and change.deleted_at <= change.at:
            tags[change.tag] = {**_with_known(change.entry, there), "pushed_at": change.at}
    return document | {"tags": canonical.sorted_tags(list(tags.values())), "upload": upload, "pushed_at": pushed_at}


def _with_known(entry: Mapping[str, Any], there: Mapping[str, Any] | None) -> dict[str, Any]:
    """The entry, and what is known already of the same image."""
    if there is None or there.get("digest") != entry["digest"]:
        return dict(entry)
    stands_in = entry["image_id"] == entry["digest"].partition(":")[2][: len(entry["image_id"])]
    return {**there, **entry, **({"image_id": there["image_id"]} if stands_in else {})}


def _message(name: str, changes: Sequence[TagChange], *, created: bool) -> str:
    pushed = list(dict.fromkeys(change.tag for change in changes if change.entry is not None))
    deleted = list(dict.fromkeys(change.tag for change in changes if change.entry is None))
    parts = [f"{verb} {named(tags)}" for verb, tags in (("push", pushed), ("delete", deleted)) if tags]
    return f"{'Create' if created else 'Follow'} {name}: {', '.join(parts)}"
