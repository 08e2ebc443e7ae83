"""Use cases on repositories and their tags: create, read, list, change, delete."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from catalogd import names, rights
from catalogd.accounts import Account
from catalogd.catalog import bodies
from catalogd.catalog.base import Document, Result, UseCases, already_exists, no_repository, require_match
from catalogd.catalog.messages import named
from catalogd.catalog.moments import Moments
from catalogd.catalog.shapes import (
    Caller,
    Found,
    IfMatch,
    ListQuery,
    Page,
    TagsFound,
    TagWritten,
    Written,
)  # fmt: skip
from catalogd.documents import diff
from catalogd.errors import BadQuery, Invalid, NotFound
from catalogd.store import Draft, Reading, blob_id, rfc3339

# A list in the past that has to be searched or sorted reads every document from git; so many at most.
_MOST_IN_THE_PAST = 5000


class Repositories(UseCases):
    """What callers do with repositories."""

    _moments: Moments

    def create(self, caller: Caller, namespace: str, body: object) -> Written:
        """Raises Unauthenticated, Forbidden, AlreadyExists, Invalid, and what the store raises."""
        names.check_name(namespace, "namespace")
        rights.require_scope(caller.account, rights.WRITE)
        document = bodies.created(namespace, body, rfc3339(self._clock()))
        repo_name = names.check_new_name(document["repo_name"], "/repo_name")
        path = names.document_path(namespace, repo_name)
        result = Result(document, created=True)

        def draft(reading: Reading) -> Draft:
            self._require(caller, reading, rights.WRITE, namespace)
            if reading.id_of(path) is not None:
                raise already_exists(namespace, repo_name)
            data = self._validated(reading, namespace, repo_name, document)
            result.blob = blob_id(data)
            return Draft(f"Create {namespace}/{repo_name}", {path: data})

        outcome = self._submit(caller, draft, f"create {namespace}/{repo_name}")
        return result.written(outcome)

    def detail(self, caller: Caller, namespace: str, repo_name: str, at: str | None = None) -> Found:
        """A document without its tags. Raises NotFound, Malformed."""
        if at is None:
            row = self._row(caller, namespace, repo_name)
            return Found(row.document, row.blob, row.commit, row.batch)
        document, blob = self._in_the_past(caller, namespace, repo_name, at)
        del document["tags"]
        return Found(document, blob, self._commit_read())

    def access(self, account: Account, namespace: str, repo_name: str) -> tuple[bool, bool]:
        """(may read, may write) a repository of that name, whether it is there or not; by the newest commit."""
        self._mirror.check()
        roles = self._model.roles_in(namespace, account.name)
        reads = rights.may_read(account, namespace, False, roles) or self._model.is_public(namespace, repo_name)
        return reads, rights.may_write(account, namespace, roles)

    def list(self, caller: Caller, query: ListQuery) -> Page:
        """Complete documents without their tags. Raises NotFound past the last page, Malformed."""
        self._mirror.check()
        if query.namespace is not None:
            names.check_name(query.namespace, "namespace")
        if query.at is not None:
            return self._list_in_the_past(caller, query)
        count, documents, commit, batch = self._model.list(
            query.namespace,
            query.search,
            query.is_public,
            query.labels,
            query.ordering,
            self._visibility(caller),
            query.page,
            query.page_size,
            query.among,
        )
        return page_of(count, documents, commit or "", query.page, batch)

    def update(
        self,
        caller: Caller,
        namespace: str,
        repo_name: str,
        body: object,
        *,
        patch: bool,
        if_match: IfMatch | None = None,
    ) -> Written:
        """PUT (partial) or PATCH (RFC 7396).

        Raises NotFound, Unauthenticated, Forbidden, PreconditionFailed, Invalid.
        """
        apply = bodies.patched if patch else bodies.updated
        return self._change(
            caller,
            namespace,
            repo_name,
            lambda document, now: apply(document, body),
            action="update",
            message=lambda before, after: f"Update {namespace}/{repo_name}: {_changed(before, after)}",
            if_match=if_match,
        )

    def delete(self, caller: Caller, namespace: str, repo_name: str, *, if_match: IfMatch | None = None) -> str:
        """Returns the commit. Raises NotFound, Unauthenticated, Forbidden, PreconditionFailed."""
        self._require_visible(caller, namespace, repo_name)
        path = names.document_path(namespace, repo_name)

        def draft(reading: Reading) -> Draft:
            blob, _ = self._read_for_write(caller, reading, rights.OWN, namespace, repo_name)
            require_match(if_match, blob)
            return Draft(f"Delete {namespace}/{repo_name}", {path: None})

        return self._submit(caller, draft, f"delete {namespace}/{repo_name}").commit

    # Tags and build settings

    def tags(self, caller: Caller, namespace: str, repo_name: str, at: str | None = None) -> TagsFound:
        """Raises NotFound, Malformed."""
        if at is not None:
            document, blob = self._in_the_past(caller, namespace, repo_name, at)
            return TagsFound(document["tags"], blob, self._commit_read())
        self._row(caller, namespace, repo_name)
        found = self._model.tags(namespace, repo_name)
        if found is None or not self._may_read(caller, namespace, found.is_public):
            raise no_repository(namespace, repo_name)
        return TagsFound(found.tags, found.blob, found.commit)

    def tag(
        self, caller: Caller, namespace: str, repo_name: str, tag: str, at: str | None = None
    ) -> tuple[dict[str, Any], str]:
        """(the tag, the commit read). Raises NotFound, Malformed."""
        names.check_tag(tag)
        found = self.tags(caller, namespace, repo_name, at)
        return bodies.require_tag(found.tags, tag), found.commit

    def put_tag(
        self,
        caller: Caller,
        namespace: str,
        repo_name: str,
        tag: str,
        body: object,
        *,
        if_match: IfMatch | None = None,
    ) -> TagWritten:
        """Set a tag. Raises NotFound, Unauthenticated, Forbidden, PreconditionFailed, Invalid."""
        names.check_tag(tag)
        was_there = False
        after: Document | None = None

        def change(document: Document, now: str) -> Document:
            nonlocal was_there, after
            was_there = bodies.find_tag(document, tag) is not None
            after = bodies.with_tag(document, tag, body, now)
            return after

        try:
            written = self._change(
                caller, namespace, repo_name, change,
                action="tag", message=lambda *_: f"Tag {namespace}/{repo_name}: {tag}", if_match=if_match,
            )  # fmt: skip
        except Invalid as error:
            raise (bodies.seen_in_tag(error, after, tag) if after else error) from None
        found = bodies.require_tag(written.document["tags"], tag)
        return TagWritten(found, not was_there, written.changed, written.blob, written.commit)

    def delete_tag(
        self, caller: Caller, namespace: str, repo_name: str, tag: str, *, if_match: IfMatch | None = None
    ) -> str:
        """Returns the commit. Raises NotFound, Unauthenticated, Forbidden."""
        names.check_tag(tag)
        return self._change(
            caller, namespace, repo_name, lambda document, _: bodies.without_tag(document, tag),
            action="untag", message=lambda *_: f"Untag {namespace}/{repo_name}: {tag}", if_match=if_match,
        ).commit  # fmt: skip

    def merge_tag_configs(
        self,
        caller: Caller,
        namespace: str,
        repo_name: str,
        body: object,
        *,
        if_match: IfMatch | None = None,
    ) -> Written:
        """Merge into build_config.tag_configs. Raises NotFound, Unauthenticated, Forbidden, Invalid."""
        return self._change(
            caller, namespace, repo_name, lambda document, _: bodies.with_tag_configs(document, body),
            action="update", message=lambda *_: f"Update {namespace}/{repo_name}: tag_configs", if_match=if_match,
        )  # fmt: skip

    # The past

    def _in_the_past(self, caller: Caller, namespace: str, repo_name: str, at: str) -> tuple[Document, str]:
        """(complete document, blob) at a moment. The caller must be allowed to read that one and the newest."""
        path, floor = self._readable_history(caller, namespace, repo_name)
        moment = self._moments.position(at)
        blob = self._model.state_at(moment.seq, path) if moment.seq >= floor else None
        if blob is None:
            raise NotFound(f"There was no repository {namespace}/{repo_name} at {at}.")
        return self._moments.document(namespace, repo_name, blob), blob

    def _list_in_the_past(self, caller: Caller, query: ListQuery) -> Page:
        moment = self._moments.position(query.at or "")
        visibility = self._visibility(caller)
        plain = not (query.search or query.labels) and query.is_public is None
        if plain and query.ordering in (None, "repo_name"):
            count, rows, _ = self._model.paths_at(moment.seq, query.namespace, visibility, query.page, query.page_size)
            return page_of(count, self._summaries(rows), moment.id, query.page)
        count, rows, _ = self._model.paths_at(moment.seq, query.namespace, visibility, 1, _MOST_IN_THE_PAST)
        if count > _MOST_IN_THE_PAST:
            raise BadQuery("at", f"with a filter or an ordering takes at most {_MOST_IN_THE_PAST} repositories: "
                                 f"there were {count}; give a namespace")  # fmt: skip
        matching = _sorted([d for d in self._summaries(rows) if _matches(d, query)], query.ordering)
        start = (query.page - 1) * query.page_size
        return page_of(len(matching), matching[start : start + query.page_size], moment.id, query.page)

    def _summaries(self, rows: Iterable[tuple[str, str]]) -> Sequence[Document]:
        documents = []
        for path, blob in rows:
            namespace, repo_name = names.parse_document_path(path) or ("", "")
            document = self._moments.document(namespace, repo_name, blob)
            del document["tags"]
            documents.append(document)
        return documents


def page_of(count: int, results: Sequence[Any], commit: str, page: int, batch: int | None = None) -> Page:
    """Raises NotFound past the last page; the first one is there even if it is empty."""
    if page > 1 and not results:
        raise NotFound(f"There is no page {page}: the list has {count} entries.")
    return Page(count, results, commit, batch)


def _changed(before: Document, after: Document) -> str:
    pointers = [change.pointer[1:] for change in diff(before, after) if change.pointer != "/updated_at"]
    return named(pointers)


def _matches(document: Document, query: ListQuery) -> bool:
    if query.is_public is not None and document["is_public"] != query.is_public:
        return False
    labels = document["labels"]
    if any(key not in labels or value not in (None, labels[key]) for key, value in query.labels):
        return False
    text = " ".join((document["repo_name"], document["description"], document["full_description"])).casefold()
    # Nearly as the full-text index: every word is the beginning of one of the text's. That also takes accents off, and
    # takes what stands together without spaces for one word with its neighbours.
    words = re.findall(r"[^\W_]+", (query.search or "").casefold())
    return all(re.search(rf"(?<![^\W_]){re.escape(word)}", text) for word in words)


def _sorted(documents: list[Document], ordering: str | None) -> list[Document]:
    """As the read model sorts: ties by name, and what has no value last either way."""
    descending = (ordering or "").startswith("-")
    key = (ordering or "repo_name").lstrip("-")
    named = sorted(documents, key=lambda d: (d["namespace"], d["repo_name"]), reverse=descending)
    if key == "repo_name":
        return named
    with_value = [d for d in named if d.get(key) is not None]
    without = [d for d in named if d.get(key) is None]
    # Equal ones stay in their order, also where it is turned round.
    return sorted(with_value, key=lambda d: d[key], reverse=descending) + without
