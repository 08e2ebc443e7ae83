"""Use cases of pushes for review: what git clients bring to refs/for/main is proposed, not made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from catalogd import names
from catalogd.catalog import push_options, pushed_commits
from catalogd.catalog.base import UseCases
from catalogd.catalog.proposed_files import CommitReview, WholeReview
from catalogd.catalog.pushed_files import Pusher
from catalogd.catalog.refusals import Refusals, note_of, refused, shown_path
from catalogd.catalog.shapes import Caller
from catalogd.check import WARNING, Finding
from catalogd.documents import Schemas
from catalogd.store import FOR_REVIEW, NOTHING, Difference, Incoming, NewCommit, Snapshot, short

# In one push; and of one proposal, as much as one that is made by the API may change.
_MOST_COMMITS = 1000
_MOST_LOOKED_AT = 10_000
_MOST_CHANGES = 1000

_REBASE = "Put your commits on top of it: git fetch, then git rebase origin/main."
_ONE_BY_ONE = "Push the one, then the other."
_SQUASH = "Make them anew with git rebase -i, without this change."
_FAULTS = "It cannot be merged as it is. Mend what follows, then push again:"

ChangedPath = tuple[str, str | None, str | None]
# What a review is of: all that it takes but the other parents.
_Sides = tuple[Incoming, Pusher, Snapshot, Snapshot, Callable[[Snapshot], Schemas], Snapshot]


@dataclass(frozen=True)
class PushedRevision:
    """What was pushed to be reviewed: commits on top of `base`, a commit of main, up to `head`.

    `commits` are the ids of all that main does not have, parents first, also of those that were proposed before.
    `changes` are (path, its blob at the base, its blob at the head), by path; None is no file. `steps` are the same of
    its commits, where they do not do at once what all of them do: history will have them, too. `authors` are the names
    in its commits, `message` the subject and the rest of the last one. `faults` keep it from being merged as it is.
    `bring` puts its objects where a repository has its packs, durably.
    """

    base: str
    head: str
    commits: tuple[str, ...]
    changes: tuple[ChangedPath, ...]
    steps: tuple[ChangedPath, ...]
    authors: frozenset[str]
    message: tuple[str, str]
    options: Mapping[str, str]
    faults: tuple[Finding, ...]
    bring: Callable[[Path], None]


class Proposer(Protocol):
    """Who makes a proposal of what was pushed."""

    def push(self, caller: Caller, pushed: PushedRevision) -> str:
        """What the pusher is told. Raises CatalogdError to refuse it."""
        ...


class ProposedPushes(UseCases):
    """What git clients bring to be reviewed."""

    def _proposed(self, caller: Caller, incoming: Incoming, pusher: Pusher, proposer: Proposer) -> str:
        """What to tell the pusher. Raises Refused, and as Incoming and the proposer do."""
        head = _wanted(incoming)
        options = push_options.parse(incoming.options)
        commits = incoming.commits(head, _MOST_COMMITS)
        base = _base_of(incoming, head, commits)
        steps = self._steps(incoming, pusher, commits, incoming.unproposed(head))
        whole = WholeReview(*self._sides(incoming, pusher, base, head))
        changes = self._changes(whole, {path for path, _, _ in steps})
        steps = steps - set(changes)
        if len(steps) > _MOST_CHANGES:
            raise refused(f"Its commits change files more than {_MOST_CHANGES:,} times.", "Squash some of them.")
        strangers = incoming.strangers()
        if strangers:
            raise refused(f"It has {strangers:,} objects that no commit of it uses.", "Push with plain git push.")
        warnings = sum(1 for finding in whole.faults if finding.severity == WARNING)
        faults = tuple(finding for finding in whole.faults if finding.severity != WARNING)
        authors = frozenset(commit.author.name.decode() for commit in commits)
        pushed = PushedRevision(
            base,
            head,
            tuple(commit.id for commit in commits),
            changes,
            tuple(sorted(steps, key=lambda step: step[0])),
            authors,
            _message(commits[-1]),
            options,
            faults,
            incoming.bring,
        )
        told = [proposer.push(caller, pushed), note_of(warnings), _told(faults)]
        return "\n".join(filter(None, told))

    def _sides(self, incoming: Incoming, pusher: Pusher, old: str | None, new: str) -> _Sides:
        """The review of a difference, by the roles that main has."""
        before, after = incoming.snapshot(old), incoming.snapshot(new)
        return incoming, pusher, before, after, self._schemas_in, incoming.snapshot(incoming.head)

    def _steps(
        self, incoming: Incoming, pusher: Pusher, commits: list[NewCommit], unproposed: frozenset[str]
    ) -> set[ChangedPath]:
        """What its commits change. Raises Refused for what is wrong with each of them."""
        refusals, steps, looked_at = Refusals(), set(), 0
        for commit in commits:
            if commit.id in unproposed:  # those of the API are the catalog's own
                for detail, mend in pushed_commits.faults_in(commit, pusher.account, pusher.now, None):
                    refusals.add_of_commit(commit.id, detail, *mend)
            first, *others = commit.parents or (None,)
            sides = self._sides(incoming, pusher, first, commit.id)
            review = CommitReview(*sides, [incoming.snapshot(other) for other in others])
            for change in review.changes():
                looked_at += 1
                if looked_at > _MOST_LOOKED_AT:
                    raise refused(f"Its commits change more than {_MOST_LOOKED_AT:,} files.", "Propose it in parts.")
                if review.is_its_own(change):
                    steps.add(_changed(change))
                for finding in review.findings(change):
                    refusals.add_of_file(commit.id, finding)
                if refusals.is_full:
                    refusals.require_none()
        refusals.require_none()
        return steps

    def _changes(self, review: WholeReview, touched: set[str]) -> tuple[ChangedPath, ...]:
        """What is proposed in all. Raises Refused for what could never be merged."""
        refusals, changes = Refusals(), []
        for change in review.changes():
            changes.append(_changed(change))
            if len(changes) > _MOST_CHANGES:
                raise refused(f"It changes more than {_MOST_CHANGES:,} files.", "Propose it in parts.")
            for finding in review.findings(change):
                refusals.add_of_file(None, finding)
        if not changes:
            refusals.add("Its commits change nothing, so there is nothing to review.")
        else:
            # It would come into the history of what nobody is asked about.
            asked = {names.namespace_of(path) for path, _, _ in changes}
            for path in sorted(path for path in touched if names.namespace_of(path) not in asked):
                refusals.add(f"{shown_path(path)} is changed by one of its commits, and changed back.", _SQUASH)
        refusals.require_none()
        return tuple(sorted(changes, key=lambda change: change[0]))


def _wanted(incoming: Incoming) -> str:
    """The commit that is proposed. Raises Refused."""
    refusals = Refusals()
    for command in incoming.commands:
        if not command.is_for_review:
            refusals.add(f"{shown_path(command.ref)} cannot be pushed together with {FOR_REVIEW}.", _ONE_BY_ONE)
        elif NOTHING in (command.new, incoming.head or NOTHING) or command.old != NOTHING:
            refusals.add(f"{FOR_REVIEW} only takes commits on top of main; there is nothing to delete or to move.")
    if not refusals and len(incoming.commands) > 1:
        refusals.add(f"{FOR_REVIEW} is named more than once.")
    refusals.require_none()
    return incoming.commands[0].new


def _base_of(incoming: Incoming, head: str, commits: list[NewCommit]) -> str:
    """The commit of main on which it stands. Raises Refused."""
    if not commits:
        raise refused(f"main has {short(head)} already: there is nothing to propose.")
    bases = incoming.bases(head)
    if not bases:
        raise refused("It has a history of its own, without any commit of main.", _REBASE)
    if len(bases) > 1:
        raise refused("It has met main in several places, none of which is the last.", _REBASE)
    return bases[0]


def _changed(change: Difference) -> ChangedPath:
    return change.path, change.old and change.old.id, change.new and change.new.id


def _message(commit: NewCommit) -> tuple[str, str]:
    subject, _, rest = commit.message.decode("utf-8", "replace").strip().partition("\n")
    return subject.strip(), rest.strip()


def _told(faults: tuple[Finding, ...]) -> str:
    if not faults:
        return ""
    told = Refusals(_FAULTS)
    for fault in faults:
        told.add_of_file(None, fault)
    return told.text()
