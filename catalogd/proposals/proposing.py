"""Use cases of who proposes: open, revise, resolve, close; by the interface or by git push."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from catalogd import rights
from catalogd.catalog import Caller
from catalogd.catalog.settling import FieldConflict
from catalogd.documents import Role
from catalogd.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from catalogd.proposals import asked
from catalogd.proposals.base import (
    Main,
    ProposalUseCases,
    describe,
    require_head,
    require_open,
    signature,
)
from catalogd.proposals.shapes import CLOSED, OPEN, Changed, Proposal, Revision, View
from catalogd.store import Snapshot, blob_id

_MEMBERS = ("title", "description", "changes")
# Of one author: what is asked of owners is their time.
_MOST_OPEN = 500
# In all revisions of one, each with the files that it changes: some 150 bytes each, written anew with each event.
_MOST_REVISED = 50_000


class NotResolved(Conflict):
    """A revision that leaves fields in conflict; `conflicts` has each."""

    def __init__(self, conflicts: Iterable[FieldConflict]):
        self.conflicts = tuple(conflicts)
        told = [Fault(found.pointer, f"in {found.path} was changed on main too") for found in self.conflicts[:20]]
        super().__init__("There are fields that main has changed too: say in `resolve` which value each takes.", told)


def require_room_for(proposal: Proposal, revision: Revision) -> None:
    """Raises Conflict where a proposal has been revised too often to be revised again."""
    if sum(1 + len(each.touched) for each in (*proposal.revisions, revision)) > _MOST_REVISED:
        raise Conflict(f"The proposal was revised {len(proposal.revisions) - 1:,} times; close it and open another.")


class Proposing(ProposalUseCases):
    """What authors do with proposals."""

    def open(self, caller: Caller, body: object) -> View:
        """A new proposal. Raises Unauthenticated, Forbidden, NotFound, Invalid, Conflict, and what the store raises."""
        rights.require_scope(caller.account, rights.PROPOSE)
        given = asked.members(body, _MEMBERS, ("title", "changes"))
        title, description = asked.title(given["title"]), asked.text(given.get("description", ""), "/description")
        changes = asked.changes(given["changes"])
        with self._writing() as main:
            self._repository.begin()
            for change in changes:
                self._require_may_propose(caller, change.path, main)
            self._require_room(caller.account.name)
            files = asked.files(changes, main, self._now())
            number = self._register.next_number()
            revision = self._made(caller, title, number, files, main)
            return self._view(caller, self._opened(caller, number, title, description, revision), main)

    def revise(self, caller: Caller, number: int, body: object) -> View:
        """Another title or description, other changes, or whose value fields in conflict take. `body` may have the
        `head` that is meant.

        Raises Unauthenticated, Forbidden, NotFound, Invalid, Conflict, NotResolved, PreconditionFailed, and what the
        store raises.
        """
        rights.require_scope(caller.account, rights.REVISE)
        given = asked.members(body, (*_MEMBERS, "resolve", "head"))
        changes = asked.changes(given["changes"]) if "changes" in given else []
        resolutions = asked.resolutions(given["resolve"]) if "resolve" in given else []
        with self._held(caller, number) as (proposal, main):
            self._require_author(caller, proposal)
            self._require_in_reach(caller, proposal)
            require_open(proposal)
            if "head" in given:
                require_head(proposal, given["head"])
            texts = asked.texts(given)
            proposal = replace(proposal, **texts)
            if changes or resolutions:
                for change in changes:
                    self._require_may_propose(caller, change.path, main)
                revision = self._revised(caller, proposal, changes, resolutions, main)
                proposal = self._add(caller, proposal, revision)
            elif texts:
                proposal = self._record(signature(caller), proposal, f"Reword proposal {number}")
            return self._view(caller, proposal, main)

    def close(self, caller: Caller, number: int) -> View:
        """Raises Unauthenticated, Forbidden, NotFound, Conflict, and what the store raises."""
        return self._turn(caller, number, OPEN, CLOSED, "Close")

    def reopen(self, caller: Caller, number: int) -> View:
        """As close()."""
        return self._turn(caller, number, CLOSED, OPEN, "Reopen")

    def _turn(self, caller: Caller, number: int, before: str, after: str, verb: str) -> View:
        rights.require_scope(caller.account, rights.CLOSE)
        with self._held(caller, number) as (proposal, main):
            if not self._is_author(caller, proposal) and not self._is_somewhere(caller, Role.OWNER, proposal, main):
                raise Forbidden("This is for its author, or an owner of a namespace that it touches.")
            self._require_in_reach(caller, proposal)
            if proposal.state == after:
                return self._view(caller, proposal, main)
            if proposal.state != before:
                raise Conflict(f"The proposal {number} is {proposal.state}.")
            if after == OPEN:
                self._require_room(proposal.author)
            proposal = self._record(signature(caller), proposal, f"{verb} proposal {number}", state=after)
            return self._view(caller, proposal, main)

    # What may be proposed

    def _require_may_propose(self, caller: Caller, path: str, main: Main) -> None:
        """Raises NotFound, Forbidden."""
        change = Changed(path, main.id_of(path), None)
        namespace = change.namespace
        if namespace is None:
            rights.require_admin(caller.account)
            return
        if caller.account.namespace not in (None, namespace):
            raise Forbidden(f"The token is confined to the namespace {caller.account.namespace}; this is {namespace}.")
        if self._role(caller, namespace, main) >= Role.READER:
            return
        if change.repository is None:
            raise Forbidden(f"To propose a change of the namespace {namespace} itself needs a reader of it.")
        if change.old is None or not self._outcomes.is_public(change.old):
            # The same for what is hidden and for what is not there.
            raise NotFound(f"There is no repository {describe(change)}; only readers of {namespace} propose new ones.")

    def _require_room(self, author: str | None) -> None:
        """Raises Conflict."""
        number = sum(p.state == OPEN and p.author == author for p in self._register.proposals().values())
        if number >= _MOST_OPEN:
            raise Conflict(f"{author} has {number} open proposals; some are to be closed first.")

    def _require_author(self, caller: Caller, proposal: Proposal) -> None:
        if not self._is_author(caller, proposal) and not rights.administers(caller.account):
            raise Forbidden("Only its author revises a proposal; a review says what should be otherwise.")

    # Revisions

    def _opened(self, caller: Caller, number: int, title: str, description: str, revision: Revision) -> Proposal:
        """Hold the lock."""
        by = signature(caller)
        now = revision.created_at
        proposal = Proposal(number, title, description, by.name, by.email, OPEN, now, now, (revision,))
        return self._record(by, proposal, f"Open proposal {number}: {title}", revision=revision.head)

    def _add(self, caller: Caller, proposal: Proposal, revision: Revision, **texts: str) -> Proposal:
        """Hold the lock. Raises Conflict where there were too many."""
        require_room_for(proposal, revision)
        by, message = signature(caller), f"Revise proposal {proposal.number}"
        revisions = (*proposal.revisions, revision)
        return self._record(by, proposal, message, revision=revision.head, revisions=revisions, **texts)

    def _made(
        self, caller: Caller, title: str, number: int, files: Mapping[str, bytes | None], main: Snapshot
    ) -> Revision:
        """A revision of one commit on top of main. Raises Invalid where nothing differs."""
        files = _that_differ(files, main)
        head = self._repository.revise(main.commit or "", signature(caller), _message(title, number), files)
        return self._revision(caller, main, head, files)

    def _revised(
        self,
        caller: Caller,
        proposal: Proposal,
        changes: list[asked.Change],
        resolutions: list[asked.Resolution],
        main: Snapshot,
    ) -> Revision:
        """What is asked for replaces what the proposal did to the same files; the rest is merged with main."""
        replaced = {change.path for change in changes}
        kept = [change for change in proposal.changes if change.path not in replaced]
        takes = {(each.path, each.pointer): each.take for each in resolutions}

        def decide(path: str, pointer: str, ours: object, theirs: object) -> str | None:
            return takes.pop((path, pointer), None)

        rest = replace(proposal, revisions=(replace(proposal.revision, changes=tuple(kept)),))
        files, conflicts = self._outcomes.merged(rest, main, decide)
        if takes:
            path, pointer = next(iter(takes))
            index = next(i for i, each in enumerate(resolutions) if (each.path, each.pointer) == (path, pointer))
            fault = f"names {pointer or 'the whole'} of {path}, which is not in conflict"
            raise Invalid(f"/resolve/{index} {fault}.", [Fault(f"/resolve/{index}", fault)])
        if conflicts:
            raise NotResolved(conflicts)
        files = _that_differ(files | asked.files(changes, main, self._now()), main)
        by, message = signature(caller), _message(proposal.title, proposal.number)
        if proposal.revision.pushed:
            # Its commits stay in the history of this one.
            steps = tuple(dict.fromkeys((*proposal.revision.steps, *proposal.changes)))
            head = self._repository.resolve(proposal.head, main.commit or "", by, message, files)
            return replace(self._revision(caller, main, head, files), pushed=True, steps=steps)
        head = self._repository.revise(main.commit or "", by, message, files)
        return self._revision(caller, main, head, files)

    def _revision(self, caller: Caller, main: Snapshot, head: str, files: Mapping[str, bytes | None]) -> Revision:
        changes = tuple(
            Changed(path, main.id_of(path), None if data is None else blob_id(data))
            for path, data in sorted(files.items())
        )
        return Revision(main.commit or "", head, (signature(caller).name,), self._now(), False, changes)


def _that_differ(files: Mapping[str, bytes | None], main: Snapshot) -> dict[str, bytes | None]:
    """Raises Invalid where nothing does."""
    found = {
        path: data for path, data in files.items() if main.id_of(path) != (None if data is None else blob_id(data))
    }
    if not found:
        raise Invalid("Nothing would be changed: main has all of it.", [Fault("/changes", "change nothing")])
    return found


def _message(title: str, number: int) -> str:
    # The number keeps two that propose the same in the same second apart. No trailer: it is main's word, see merges.py.
    return f"{title}\n\nRevision of proposal {number}."
