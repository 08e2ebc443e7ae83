"""Use case on tags: documents are brought to what the registry holds, without undoing what came in meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from catalogd import names
from catalogd.catalog import bodies
from catalogd.catalog.base import Document, UseCases, parse_stored
from catalogd.catalog.messages import named
from catalogd.catalog.shapes import Caller
from catalogd.documents import canonical
from catalogd.store import Draft, Reading, rfc3339

Tag = Mapping[str, Any]


@dataclass(frozen=True)
class Mend:
    """What a comparison with the registry asks of one repository.

    `seen` is what the document's tags were before the registry was asked, by name; None if there was no document.
    `found` are the entries that the registry's tags should have, without `pushed_at`; that becomes `at`, the time (RFC
    3339) before the registry was asked, so that what it tells of a later push is newer. `gone` are tags that it lacks.
    A document that is not there is created, if `creates` allows it, with `is_public` as given.
    """

    namespace: str
    repo_name: str
    seen: Mapping[str, Tag] | None
    at: str
    found: Mapping[str, Tag] = field(default_factory=dict)
    gone: Collection[str] = ()
    creates: bool = False
    is_public: bool = False


@dataclass(frozen=True)
class Mended:
    """What became of it: how many tags were set and removed, and whether a document was created."""

    set: int = 0
    removed: int = 0
    created: bool = False


class Mending(UseCases):
    """Documents follow the registry."""

    def held_tags(self, namespace: str, repo_name: str) -> dict[str, Tag] | None:
        """The tags of main's document by name; None if there is none. Raises Conflict where a hand has broken it."""
        found = self._store.snapshot().read(names.document_path(namespace, repo_name))
        return None if found is None else _by_name(parse_stored(found[1], namespace, repo_name))

    def held_repositories(self) -> Iterator[tuple[str, str]]:
        """(namespace, repo_name) of all documents of main."""
        for path in self._store.snapshot().walk("data"):
            name = names.parse_document_path(path)
            if name is not None:
                yield name

    def has_namespace(self, namespace: str) -> bool:
        """Whether there is an organization of that name, or any repository in it."""
        snapshot = self._store.snapshot()
        return (
            snapshot.id_of(names.namespace_path(namespace)) is not None
            or snapshot.id_of(f"data/{namespace}") is not None
        )

    def mend(self, caller: Caller, mend: Mend, action: str) -> Mended:
        """Commit what is asked. A tag whose entry is not any more what was seen is left alone: it has a newer cause.

        `action` is `reconcile` or `import`. Raises Invalid, Conflict, and what the store raises.
        """
        namespace, repo_name = names.check_name(mend.namespace, "namespace"), mend.repo_name
        path = names.document_path(namespace, names.check_name(repo_name, "repo_name"))
        result = Mended()

        def draft(reading: Reading) -> Draft | None:
            nonlocal result
            result = Mended()
            now = rfc3339(self._clock())
            there = reading.read(path)
            if there is None and (mend.seen is not None or not mend.creates):
                return None  # deleted meanwhile, by somebody who wanted it so
            before = (
                parse_stored(there[1], namespace, repo_name)
                if there
                else bodies.told(namespace, repo_name, now, mend.is_public)
            )
            tags, changed, removed = _mended(_by_name(before), mend)
            if there is not None and not changed and not removed:
                return None
            after = before | {"tags": canonical.sorted_tags(list(tags.values())), "updated_at": now}
            if any(tags[tag]["pushed_at"] == mend.at for tag in changed):
                after["pushed_at"] = max(mend.at, before["pushed_at"] or "")
            result = Mended(len(changed), len(removed), there is None)
            data = self._validated(reading, namespace, repo_name, after)
            return Draft(_message(f"{namespace}/{repo_name}", changed, removed, there is None), {path: data})

        self._submit(caller, draft, f"{action} {namespace}/{repo_name}", is_direct=False)
        return result


def differs(entry: Tag | None, found: Tag) -> bool:
    """Whether a tag's entry tells anything else than the registry, or less."""
    return entry is None or any(entry.get(key) != value for key, value in found.items())


def _by_name(document: Document) -> dict[str, Tag]:
    return {entry["tag"]: entry for entry in document["tags"]}


def _mended(tags: dict[str, Tag], mend: Mend) -> tuple[dict[str, Tag], list[str], list[str]]:
    """(the tags as they should be, those that were set, those that were removed)."""
    seen = mend.seen or {}
    changed, removed = [], []
    for tag, found in sorted(mend.found.items()):
        entry = tags.get(tag)
        if entry == seen.get(tag) and differs(entry, found):
            # Of an image that was there before only more is known now: nobody has pushed it.
            pushed_at = entry.get("pushed_at") if entry is not None and _is_same(entry, found) else mend.at
            tags[tag] = {**found, "pushed_at": pushed_at or mend.at}
            changed.append(tag)
    for tag in sorted(mend.gone):
        if tag in tags and tags[tag] == seen.get(tag):
            del tags[tag]
            removed.append(tag)
    return tags, changed, removed


def _is_same(entry: Tag, found: Tag) -> bool:
    digest = entry.get("digest")
    return bool(digest == found["digest"] if digest else entry["image_id"] == found["image_id"])


def _message(name: str, changed: list[str], removed: list[str], created: bool) -> str:
    parts = [f"{verb} {named(tags)}" for verb, tags in (("set", changed), ("remove", removed)) if tags]
    head = f"{'Create' if created else 'Mend'} {name} as in the registry"
    return f"{head}: {'; '.join(parts)}" if parts else head
