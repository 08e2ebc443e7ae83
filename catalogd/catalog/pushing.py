"""Use cases of pushes: what git clients bring becomes commits of main as it is, or nothing of it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO

from catalogd import rights
from catalogd.catalog import pushed_commits
from catalogd.catalog.base import Document
from catalogd.catalog.organizations import KnownUsers
from catalogd.catalog.proposed import ProposedPushes, Proposer
from catalogd.catalog.pushed_files import Pusher, Review
from catalogd.catalog.refusals import Refusals, Refused, note_of, refused, shown_path
from catalogd.catalog.shapes import Caller
from catalogd.check import WARNING
from catalogd.errors import CatalogdError, ReadOnly
from catalogd.store import NOTHING, Incoming, IsWanted, Moved, NewCommit, short

# In one push. A whole catalog comes in by import.
_MOST_COMMITS = 10_000
_MOST_CHANGES = 10_000

_PROPOSE = "Or propose it, for others to review: git push origin HEAD:refs/for/main"
_ONLY_MAIN = "only main can be pushed: git push origin main"
_GROWS = "main only grows, so nothing that was written is lost; use git revert to undo a commit."
_MOVED = "main has moved since you fetched it; run git pull --rebase, then push again."


class Pushing(ProposedPushes):
    """What git clients bring."""

    _last_document: Callable[[str, str], Document | None]

    def advertise_receive(self, caller: Caller, is_wanted: IsWanted) -> bytes:
        """What git is told before it pushes. Raises as require_push, and Unavailable, NoSpace, ClientGone."""
        self.require_push(caller)
        return self._store.receive_pack.advertise(is_wanted)

    def require_push(self, caller: Caller) -> None:
        """Before anything of a push is read. Raises Unauthenticated, Forbidden, ReadOnly."""
        rights.require_push(caller.account)
        if self._store.primary:
            raise ReadOnly(self._store.primary)

    def receive_pack(
        self, caller: Caller, body: Iterable[bytes], known: KnownUsers, proposer: Proposer, is_wanted: IsWanted
    ) -> tuple[BinaryIO, bool]:
        """(what git is told of its push, as a file that the caller closes; whether main has moved by it). `proposer`
        makes a proposal of what is pushed to be reviewed.

        A push that is refused is told so by git. Raises as require_push, Malformed, Unavailable, NoSpace, ClientGone,
        and what `body` raises.
        """
        self.require_push(caller)
        self._mirror.check()
        moved = False

        def judge(incoming: Incoming) -> str:
            nonlocal moved
            said, moved = self._judged(caller, incoming, known, proposer)
            return said

        answer = self._store.receive_pack.answer(body, self._store.head(), judge, is_wanted)
        return answer, moved

    def _judged(self, caller: Caller, incoming: Incoming, known: KnownUsers, proposer: Proposer) -> tuple[str, bool]:
        """(what to tell the pusher, whether main has moved). Raises Refused."""
        pusher = Pusher(caller.account, known, self._last_document, self._clock())
        try:
            if any(command.is_for_review for command in incoming.commands):
                return self._proposed(caller, incoming, pusher, proposer), False
            new = _wanted(incoming)
            if new == incoming.head:
                return "", False
            commits = incoming.commits(new, _MOST_COMMITS)
            line = _line_to(incoming.head, new, commits)
            notes = self._reviewed(incoming, pusher, commits, line)
            self._store.take_in(incoming.head, new, incoming.bring)
        except Moved as error:
            raise refused(_MOVED) from error
        except Refused:
            raise
        except KeyError as error:
            raise refused("It lacks objects that its commits need.", "Push with plain git push.") from error
        except CatalogdError as error:
            raise refused(error.detail) from error
        return notes, True

    def _reviewed(self, incoming: Incoming, pusher: Pusher, commits: list[NewCommit], line: Mapping[str, str]) -> str:
        """What to tell the pusher of commits that are all well. Raises Refused."""
        refusals, warnings, changes = Refusals(), 0, 0
        paths: set[str] = set()
        for commit in commits:
            before = incoming.commit(line[commit.id]).committer.seconds if commit.id in line else None
            for detail, mend in pushed_commits.faults_in(commit, pusher.account, pusher.now, before):
                refusals.add_of_commit(commit.id, detail, *mend)
            review = self._review(incoming, pusher, commit, line)
            for change in review.changes():
                changes += 1
                if commit.id in line:
                    paths.add(change.path)
                if changes > _MOST_CHANGES:
                    refusals.add(f"It changes more than {_MOST_CHANGES:,} files.", "Use catalogd import for so much.")
                for finding in review.findings(change) if changes <= _MOST_CHANGES else ():
                    if finding.severity == WARNING:
                        warnings += 1
                    else:
                        refusals.add_of_file(commit.id, finding)
                if refusals.is_full or changes > _MOST_CHANGES:
                    refusals.require_none()
        # Before anything comes into the catalog; where a hand is quicker, the store sees it.
        for path in sorted(self._store.edited_by_hand(paths) if not refusals else ()):
            refusals.add(f"{path} is edited by hand in the catalog, and not committed.", "Push again once it is.")
        strangers = 0 if refusals else incoming.strangers()
        if strangers:
            refusals.add(f"It has {strangers:,} objects that no commit of it uses.", "Push with plain git push.")
        refusals.require_none()
        return note_of(warnings)

    def _review(self, incoming: Incoming, pusher: Pusher, commit: NewCommit, line: Mapping[str, str]) -> Review:
        """On the way from main a commit is reviewed by what it does to main, by the roles that main has there. One of a
        merged line is in the history of what it changes, too: it needs roles that main has now.
        """
        after = incoming.snapshot(commit.id)
        if commit.id in line:
            before = incoming.snapshot(line[commit.id])
            return Review(incoming, pusher, before, after, self._schemas_in, before)
        first, *others = commit.parents or (None,)
        return Review(
            incoming,
            pusher,
            incoming.snapshot(first),
            after,
            self._schemas_in,
            incoming.snapshot(incoming.head),
            [incoming.snapshot(other) for other in others],
        )


def _wanted(incoming: Incoming) -> str:
    """The commit that main is to become. Raises Refused."""
    refusals = Refusals()
    if incoming.options:
        refusals.add("push options are for what is pushed to be reviewed.", _PROPOSE)
    for command in incoming.commands:
        if not command.is_of_main:
            refusals.add(f"{shown_path(command.ref)}: {_ONLY_MAIN}", _PROPOSE)
        elif command.new == NOTHING:
            refusals.add("main is the catalog; it cannot be deleted.")
        elif incoming.head is None:
            refusals.add("the catalog has no commit yet; begin it with catalogd init.")
        elif command.old != incoming.head:
            refusals.add(_MOVED)
    if not refusals and len(incoming.commands) > 1:
        refusals.add("main is named more than once.")
    refusals.require_none()
    return incoming.commands[0].new


def _line_to(head: str | None, new: str, commits: list[NewCommit]) -> dict[str, str]:
    """The new commits on the way from main to what it is to become, each with its parent on that way.

    In a merge that a pull has made, main is the second parent. Raises Refused where main would lose something.
    """
    by_id = {commit.id: commit for commit in commits}
    has_main = {head}
    for commit in commits:
        if not has_main.isdisjoint(commit.parents):
            has_main.add(commit.id)
    if new not in has_main or new not in by_id:
        raise refused(_GROWS, f"main is at {short(head or '')}, this is {short(new)}.")
    line: dict[str, str] = {}
    at = new
    while at != head:
        line[at] = next(parent for parent in by_id[at].parents if parent in has_main)
        at = line[at]
    return line
