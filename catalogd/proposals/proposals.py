"""Proposals as a whole: reading them, and all that is done with them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from catalogd import names
from catalogd.catalog import Caller, Found, Page, TagsFound, bodies
from catalogd.catalog.base import Document, no_repository, parse_stored
from catalogd.catalog.repositories import page_of
from catalogd.errors import Conflict
from catalogd.proposals.base import DAMAGED, Main, as_told
from catalogd.proposals.merges import Merges, NotMergeable
from catalogd.proposals.pushed import Pushed
from catalogd.proposals.reviewing import Reviewing
from catalogd.proposals.shapes import OPEN, Changed, FileDiff, Proposal, ProposalQuery, View
from catalogd.rights import Visibility
from catalogd.store import GitFailed, blob_id

log = logging.getLogger(__name__)


class Proposals(Pushed, Reviewing, Merges):
    """All proposals of one catalog. Threads share it; other processes may have the same catalog open."""

    def get(self, caller: Caller, number: int) -> View:
        """Raises NotFound, ReadOnly."""
        self._mirror.check()
        main = self._store.snapshot()
        return self._view(caller, self._proposal(caller, number, main), main)

    def list(self, caller: Caller, query: ProposalQuery) -> Page:
        """Views, the newest proposal first. Raises NotFound past the last page, ReadOnly."""
        self._require_primary()
        self._mirror.check()
        main, admins, visibility = self._store.snapshot(), self._admins(), self._visibility(caller)
        chosen = [each for each in reversed([*self._register.proposals().values()]) if _matches(each, query)]
        found = self._seen_of(visibility, chosen, main)
        if query.reviewer is not None:
            knows_all = visibility.everything or query.reviewer == caller.account.name
            limits = None if knows_all else visibility
            found = [each for each in found if self._waits_for(query.reviewer, each, main, admins, limits)]
        start = (query.page - 1) * query.page_size
        views = [self._seen(visibility, each, main, admins) for each in found[start : start + query.page_size]]
        return page_of(len(found), views, main.commit or "", query.page)

    def diff(self, caller: Caller, number: int, *, unified: bool = False) -> tuple[View, Sequence[FileDiff]]:
        """What it does to each file, against its base; as lines too if it is to be `unified`, for which git is asked.

        Raises NotFound, ReadOnly; Conflict where objects of it are lost.
        """
        view = self.get(caller, number)
        revision = view.proposal.revision
        try:
            lines = self._repository.unified_diff(revision.base, revision.head) if unified else {}
        except GitFailed as error:
            log.error("proposal %d: %s", number, error)
            raise Conflict(DAMAGED) from error
        return view, [
            FileDiff(change.path, tuple(self._outcomes.fields(change) or ()), lines.get(change.path, ""))
            for change in revision.changes
        ]

    # What a repository would be

    def detail(self, caller: Caller, namespace: str, repo_name: str, number: int) -> Found:
        """The document without its tags, as it would be once the proposal is merged. Raises NotFound, NotMergeable."""
        document, blob, commit = self._would_be(caller, namespace, repo_name, number)
        del document["tags"]
        return Found(document, blob, commit)

    def tags(self, caller: Caller, namespace: str, repo_name: str, number: int) -> TagsFound:
        """As detail()."""
        document, blob, commit = self._would_be(caller, namespace, repo_name, number)
        return TagsFound(document["tags"], blob, commit)

    def tag(self, caller: Caller, namespace: str, repo_name: str, tag: str, number: int) -> tuple[dict[str, Any], str]:
        """(the tag, the commit read), as detail()."""
        names.check_tag(tag)
        found = self.tags(caller, namespace, repo_name, number)
        return bodies.require_tag(found.tags, tag), found.commit

    def _would_be(self, caller: Caller, namespace: str, repo_name: str, number: int) -> tuple[Document, str, str]:
        self._mirror.check()
        path = names.document_path(names.check_name(namespace, "namespace"), names.check_name(repo_name, "repo_name"))
        main = self._store.snapshot()
        proposal = self._proposal(caller, number, main)
        change = next((change for change in proposal.changes if change.path == path), None)
        if proposal.commit is not None and change is not None:  # as it has become
            main = self._store.snapshot(proposal.commit)
            found = main.read(path)
        elif change is None:
            self._row(caller, namespace, repo_name)  # may he see it?
            found = main.read(path)
        else:
            found = self._merged_file(caller, proposal, change, main)
        if found is None:
            raise no_repository(namespace, repo_name)
        return parse_stored(found[1], namespace, repo_name), found[0], main.commit or ""

    def _merged_file(self, caller: Caller, proposal: Proposal, change: Changed, main: Main) -> tuple[str, bytes] | None:
        files, conflicts = self._outcomes.merged(proposal, main)
        if any(conflict.path == change.path for conflict in conflicts):
            raise NotMergeable(self._view(caller, proposal, main))
        if change.path not in files:
            return main.read(change.path)
        data = files[change.path]
        return None if data is None else (blob_id(data), data)

    def _waits_for(
        self, reviewer: str, proposal: Proposal, main: Main, admins: frozenset[str], limits: Visibility | None
    ) -> bool:
        """Whether an approval of the reviewer would help, as far as one with these limits may know: members know who
        owns what, admins who is one.
        """
        if proposal.state != OPEN or reviewer in proposal.authors:
            return False
        try:
            found = self._required(proposal, main, admins)
        except (Conflict, KeyError):  # nobody's approval is asked for under a broken policy, nor of what is lost
            return False
        for each in found:
            told = each if limits is None else as_told(each, limits)
            may_approve = reviewer in (told.owners or ()) or (limits is None and reviewer in admins)
            if each.missing and may_approve and reviewer not in each.given_by:
                return True
        return False


def _matches(proposal: Proposal, query: ProposalQuery) -> bool:
    return (
        query.state in (None, proposal.state)
        and query.author in (None, proposal.author)
        and (query.namespace is None or query.namespace in proposal.namespaces)
    )
