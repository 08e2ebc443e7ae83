"""Use cases on history: who changed what, what it was before, and the ways back."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from catalogd import names, rights
from catalogd.catalog import bodies
from catalogd.catalog.base import Document, Result, UseCases, history_row, no_repository, parse_stored, require_match
from catalogd.catalog.moments import Moments
from catalogd.catalog.repositories import page_of
from catalogd.catalog.shapes import Caller, IfMatch, Page, Written
from catalogd.documents import FieldChange, canonical, diff, merge
from catalogd.errors import Conflict, Fault, Forbidden, Gone, Invalid, Malformed, NotFound
from catalogd.readmodel import CommitEntry, NetChange, Position, SeenChange
from catalogd.store import Change, Draft, Reading, blob_id, rfc3339, short

# As a page's size: more changes than any commit has.
_ALL = 1 << 31
# So many versions back, at most, a document that can be read is looked for.
_MOST_UNREADABLE = 10
# Of a follower who is further behind, the list of repositories is the shorter way.
_MOST_CHANGED = 10_000

_COMMIT = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True, slots=True)
class _Version:
    """A document at a commit; both None where there was none."""

    blob: str | None
    document: Document | None


class Timeline(UseCases):
    """What callers do with the past."""

    _moments: Moments

    def history(self, caller: Caller, namespace: str, repo_name: str, page: int = 1, page_size: int = 20) -> Page:
        """The commits that changed a repository, newest first; also of a deleted one. Raises NotFound."""
        path, floor = self._readable_history(caller, namespace, repo_name)
        count, entries, commit = self._model.history(path, floor, self._visibility(caller), page, page_size)
        if not count:
            raise no_repository(namespace, repo_name)
        return page_of(count, [history_row(entry) for entry in entries], commit or "", page)

    def diff(
        self, caller: Caller, namespace: str, repo_name: str, from_: str | None, to: str | None
    ) -> tuple[list[FieldChange], str]:
        """(the fields that differ between two commits, the commit read).

        Without `from_`, from before the last change; without `to`, to the newest state. Raises NotFound, Malformed.
        """
        _, before, after = self._two_versions(caller, namespace, repo_name, from_, to)
        if before.document is None and after.document is None:
            return [], self._commit_read()
        return diff(before.document, after.document), self._commit_read()

    def unified_diff(
        self, caller: Caller, namespace: str, repo_name: str, from_: str | None, to: str | None
    ) -> tuple[str, str]:
        """The same as lines of the stored files: (unified diff, the commit read)."""
        path, before, after = self._two_versions(caller, namespace, repo_name, from_, to)
        return self._store.unified_diff(path, before.blob, after.blob), self._commit_read()

    def blame(self, caller: Caller, namespace: str, repo_name: str) -> tuple[dict[str, dict[str, Any]], str]:
        """(JSON pointer → the commit that gave the field its value, the commit read). Raises NotFound."""
        row = self._row(caller, namespace, repo_name)
        path, floor = self._readable_history(caller, namespace, repo_name)
        blames = self._model.blame(path, floor, self._visibility(caller))
        tags = self._model.tags(namespace, repo_name)
        if tags is None or not self._may_read(caller, namespace, tags.is_public):  # deleted or hidden meanwhile
            raise no_repository(namespace, repo_name)
        document = {**row.document, "tags": tags.tags}
        fields = {}
        for change in diff({"namespace": "", "repo_name": ""}, document):
            blame = blames.get(change.pointer) or blames.get("")
            if blame is not None:
                fields[change.pointer] = blame._asdict()
        return fields, row.commit

    def rollback(
        self,
        caller: Caller,
        namespace: str,
        repo_name: str,
        commit: object,
        *,
        if_match: IfMatch | None = None,
    ) -> Written:
        """The document becomes what it was at a commit, but for its counters; brings back a deleted one.

        Raises NotFound, Unauthenticated, Forbidden, PreconditionFailed, Invalid.
        """
        path, floor = self._readable_history(caller, namespace, repo_name)
        rights.require_scope(caller.account, rights.OWN)
        if self._model.last_change(path, floor) is None:
            raise no_repository(namespace, repo_name)
        moment = self._named(commit)
        old_blob = self._model.state_at(moment.seq, path) if moment.seq >= floor else None
        if old_blob is None:
            fault = "must be one at which the repository existed"
            raise Invalid(f"There was no {namespace}/{repo_name} at {moment.id}.", [Fault("/commit", fault)])
        try:
            old = self._moments.document(namespace, repo_name, old_blob)
        except NotFound as error:
            raise Invalid(error.detail, [Fault("/commit", "must be one with a document that can be read")]) from error
        last = self._last_document(namespace, repo_name)
        result = Result()

        def draft(reading: Reading) -> Draft | None:
            self._require(caller, reading, rights.OWN, namespace)
            found = reading.read(path)
            require_match(if_match, found[0] if found else None)
            current = _parsed_or_none(found, namespace, repo_name)
            after = bodies.rolled_back(old, current or last)
            result.created = found is None
            if found is not None and current is not None and bodies.same_but_for_time(current, after):
                result.document, result.blob = current, found[0]
                return None
            after = after | {"updated_at": rfc3339(self._clock())}
            data = self._validated(reading, namespace, repo_name, after)
            result.document, result.blob = after, blob_id(data)
            verb = "Roll back {} to {}" if found else "Restore {} from {}"
            return Draft(verb.format(f"{namespace}/{repo_name}", short(moment.id)), {path: data})

        outcome = self._submit(caller, draft, f"rollback {namespace}/{repo_name} {moment.id}")
        return result.written(outcome)

    def commits(self, caller: Caller, page: int = 1, page_size: int = 20) -> Page:
        """The commits of main that touch anything the caller may see, newest first."""
        self._mirror.check()
        visibility = self._visibility(caller)
        count, entries, commit = self._model.commits(visibility, page, page_size)
        results = [{**_head(entry), "changes": [_touched(c) for c in entry.changes]} for entry in entries]
        return page_of(count, results, commit or "", page)

    def commit(self, caller: Caller, commit: str, page: int = 1, page_size: int = 20) -> dict[str, Any]:
        """One commit with its changes field by field, paged. Raises NotFound, Malformed."""
        self._mirror.check()
        return self._commit_at(caller, self._model.resolve(commit), commit, page, page_size)

    def revert(self, caller: Caller, commit: str) -> dict[str, Any]:
        """Undo one commit in a new one; returns that as commit() does.

        Later changes of other fields stay, and counters too. Raises Conflict naming the fields that were changed since,
        NotFound, Unauthenticated, Forbidden, Malformed.
        """
        self._mirror.check()
        moment = self._model.resolve(commit)
        entry = self._model.commit(moment.seq, self._visibility(caller))
        if entry is None:
            raise _no_commit(commit)
        changes = self._changes_to_revert(caller, moment, entry)
        namespaces = sorted({parsed[0] for change in changes if (parsed := names.parse_document_path(change.path))})
        subject = self._subject_for_all(moment)

        def draft(reading: Reading) -> Draft:
            now = rfc3339(self._clock())
            files: dict[str, bytes | None] = {}
            faults: list[Fault] = []
            for namespace in namespaces:
                self._require(caller, reading, rights.OWN, namespace)
            for change in changes:
                self._revert_change(reading, change, now, files, faults)
            if faults:
                raise Conflict(f"Commit {short(moment.id)} cannot be undone: these were changed since.", faults)
            if not files:
                raise Conflict(f"Commit {short(moment.id)} has nothing that is not undone already.")
            # Where less is undone than was done, the subject may name what is not touched and is or becomes private.
            named = subject if len(files) == len(changes) else short(moment.id)
            return Draft(f'Revert "{named}"\n\nThis reverts commit {moment.id}.', files)

        outcome = self._submit(caller, draft, f"revert {moment.id}")
        self._mirror.check()
        return self._commit_at(caller, self._model.resolve(outcome.commit), outcome.commit, 1, 20)

    def changes(self, caller: Caller, since: str) -> tuple[str, str, list[dict[str, Any]]]:
        """(from, to, what changed between them): each repository with its document now, None if it is gone.

        Raises Gone where `since` is no commit of main, or too much has changed since.
        """
        self._mirror.check()
        try:
            start = self._model.resolve(since)
        except NotFound:
            raise Gone(
                f"The catalog has no commit {since} (any more). Start anew: read the list of repositories, and go on "
                "from the Catalog-Commit of its first page."
            ) from None
        newest = self._model.resolve(self._commit_read())
        visibility = self._visibility(caller)
        results = []
        changed = self._model.net_changes(start.seq, newest.seq, visibility, _MOST_CHANGED + 1)
        if len(changed) > _MOST_CHANGED:
            raise Gone(
                f"More than {_MOST_CHANGED:,} files are not as they were at {since}. Start anew: read the list of "
                "repositories, and go on from the Catalog-Commit of its first page."
            )
        for change in changed:
            found = self._change_seen(visibility, change)
            if found is not None:
                results.append(found)
        return start.id, newest.id, results

    # Versions of one repository

    def _two_versions(
        self, caller: Caller, namespace: str, repo_name: str, from_: str | None, to: str | None
    ) -> tuple[str, _Version, _Version]:
        path, floor = self._readable_history(caller, namespace, repo_name)
        newest = self._model.last_change(path, floor)
        if newest is None:
            raise no_repository(namespace, repo_name)
        end = self._moments.position(to, "to").seq if to else newest
        start = self._moments.position(from_, "from").seq if from_ else self._last_change(path, floor, end) - 1
        return (
            path,
            self._version(namespace, repo_name, start, floor),
            self._version(namespace, repo_name, end, floor),
        )

    def _last_change(self, path: str, floor: int, end: int) -> int:
        found = self._model.last_change(path, floor, end)
        return end if found is None else found

    def _last_document(self, namespace: str, repo_name: str) -> Document | None:
        """The newest one that can be read, of a repository that is deleted or broken too; None if that is long ago."""
        path = names.document_path(namespace, repo_name)
        entries = self._model.history(path, 0, rights.Visibility(everything=True), 1, _MOST_UNREADABLE).rows
        for entry in entries:
            with suppress(NotFound):
                found = self._version(namespace, repo_name, entry.seq, 0).document
                if found is not None:
                    return found
        return None

    def _version(self, namespace: str, repo_name: str, seq: int, floor: int) -> _Version:
        blob = self._model.state_at(seq, names.document_path(namespace, repo_name)) if seq >= floor else None
        return _Version(blob, self._moments.document(namespace, repo_name, blob) if blob else None)

    def _named(self, commit: object) -> Position:
        """The commit that a body names. Raises Invalid."""
        fault = "must be the id of a commit of this catalog, at least its first 7 hex digits"
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise Invalid(f"commit {fault}.", [Fault("/commit", fault)])
        try:
            return self._model.resolve(commit)
        except (NotFound, Malformed) as error:
            raise Invalid(error.detail, [Fault("/commit", fault)]) from error

    # Commits

    def _commit_at(self, caller: Caller, moment: Position, named: str, page: int, page_size: int) -> dict[str, Any]:
        visibility = self._visibility(caller)
        entry = self._model.commit(moment.seq, visibility)
        if entry is None:
            raise _no_commit(named)
        count, changes, _ = self._model.changes_of(moment.seq, visibility, page, page_size)
        page_of(count, changes, moment.id, page)
        return {
            **_head(entry),
            "count": count,
            "changes": [{**_touched(change), "fields": self._field_changes(change)} for change in changes],
        }

    def _field_changes(self, change: SeenChange) -> list[dict[str, Any]]:
        if change.namespace is None or change.repo_name is None:
            return []
        try:
            before, after = (
                self._moments.document(change.namespace, change.repo_name, blob) if blob else None
                for blob in (change.old, change.new)
            )
        except NotFound:  # a hand had broken it
            return []
        return [{"pointer": c.pointer, "before": c.before, "after": c.after} for c in diff(before, after)]

    def _subject_for_all(self, moment: Position) -> str:
        """What a message may call a commit: by its subject if anybody may see that, as anybody may see the message."""
        seen = self._model.commit(moment.seq, rights.Visibility(everything=False))
        if seen is None or not seen.complete or not seen.message.strip():
            return short(moment.id)
        return seen.message.splitlines()[0]

    def _changes_to_revert(self, caller: Caller, moment: Position, entry: CommitEntry) -> list[Change]:
        """All changes of a commit, if the caller sees every one of them. Raises Unauthenticated, Forbidden.

        Whether he may undo those of repositories is decided when they are read; all else is an admin's.
        """
        rights.require_scope(caller.account, rights.OWN)
        _, changes, _ = self._model.changes_of(moment.seq, self._visibility(caller), 1, _ALL)
        if any(change.repo_name is None for change in changes):
            rights.require_admin(caller.account)
        if not entry.complete:
            raise Forbidden("The commit also changed what you may not change, so you cannot undo it.")
        return [Change(change.path, change.old, change.new) for change in changes]

    def _revert_change(
        self, reading: Reading, change: Change, now: str, files: dict[str, bytes | None], faults: list[Fault]
    ) -> None:
        found = reading.read(change.path)
        current = found[0] if found else None
        if current == change.old:
            return
        parsed = names.parse_document_path(change.path)
        if parsed is None:
            self._revert_file(change, current, files, faults)
            return
        namespace, repo_name = parsed
        if current == change.new:  # nothing has come since, so there is nothing to merge, nor need it be readable
            ours = _parsed_or_none(found, namespace, repo_name)
            old = self._reverted(namespace, repo_name, change.old, ours)
            if old is None:
                files[change.path] = None
            elif ours is None or not bodies.same_but_for_time(old, ours):
                files[change.path] = self._validated(reading, namespace, repo_name, old | {"updated_at": now})
            return
        ours = parse_stored(found[1], namespace, repo_name) if found else None
        base, theirs = (self._reverted(namespace, repo_name, blob, ours) for blob in (change.new, change.old))
        merged = merge(base, ours, theirs)
        if merged.conflicts:
            faults += [
                Fault(f"{change.path}#{conflict.pointer}", "was changed since that commit")
                for conflict in merged.conflicts
            ]
        elif merged.document is None:
            if found:
                files[change.path] = None
        else:
            document = canonical.complete(merged.document)
            if ours is None or not bodies.same_but_for_time(document, ours):
                stamped = document | {"updated_at": now}
                files[change.path] = self._validated(reading, namespace, repo_name, stamped)

    def _reverted(self, namespace: str, repo_name: str, blob: str | None, ours: Document | None) -> Document | None:
        """The document in a blob with the counters of today's. Raises Conflict where a hand had broken it."""
        return bodies.rolled_back(parse_stored(self._store.blob(blob), namespace, repo_name), ours) if blob else None

    def _revert_file(
        self, change: Change, current: str | None, files: dict[str, bytes | None], faults: list[Fault]
    ) -> None:
        if current != change.new:
            faults.append(Fault(change.path, "was changed since that commit"))
        else:
            files[change.path] = self._store.blob(change.old) if change.old else None

    def _change_seen(self, visibility: rights.Visibility, change: NetChange) -> dict[str, Any] | None:
        parsed = names.parse_document_path(change.path)
        if parsed is None:
            return None
        namespace, repo_name = parsed
        was_there = change.old is not None and visibility.covers(namespace, change.was_public)
        is_there = change.new is not None and visibility.covers(namespace, change.is_public)
        if not was_there and not is_there:
            return None
        row = self._model.get(namespace, repo_name) if is_there else None
        tags = self._model.tags(namespace, repo_name) if row else None
        document = None
        # Either may have been changed since the list was read.
        if row and tags and all(visibility.covers(namespace, p) for p in (row.document["is_public"], tags.is_public)):
            document = {**row.document, "tags": tags.tags}
        action = "deleted" if document is None else "updated" if was_there else "created"
        # By whom something was hidden is hidden, too.
        last = change.last._asdict() if document is not None or change.new is None else None
        return {"namespace": namespace, "repo_name": repo_name, "action": action, "last": last, "document": document}


def _no_commit(named: str) -> NotFound:
    """To the letter what is said of a commit that is not there: more than the caller gave would tell that it is."""
    return NotFound(f"There is no commit {named}.")


def _head(entry: CommitEntry) -> dict[str, Any]:
    """Of a commit that also touches what the caller may not see, the message is not shown: it may name that. Nor is the
    proposal, which he does not see either, and who approved it: the members of a namespace are not public.
    """
    return {
        "commit": entry.id,
        "author": entry.author,
        "committed_at": entry.committed_at,
        "message": entry.message if entry.complete else "",
        "proposal": entry.proposal if entry.complete else None,
        "reviewed_by": entry.reviewed_by if entry.complete else [],
    }


def _touched(change: SeenChange) -> dict[str, Any]:
    """What was touched: a repository, or (with its path) another file of the catalog."""
    touched = {"namespace": change.namespace, "repo_name": change.repo_name, "action": change.action}
    return touched if change.repo_name else {**touched, "path": change.path}


def _parsed_or_none(found: tuple[str, bytes] | None, namespace: str, repo_name: str) -> Document | None:
    """The stored document, None where there is none or a hand has broken it: a rollback mends that."""
    if found is None:
        return None
    try:
        return parse_stored(found[1], namespace, repo_name)
    except Conflict:
        return None
