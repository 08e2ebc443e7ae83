"""Proposals, direct edits, reviews, merges and restarts in any order: nothing gets in that was not approved as it is,
no merge loses a field of main, and every merged number stands in exactly one commit.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from review_site import ReviewSite, change, git

from catalogd.documents import loads
from catalogd.errors import Conflict, Forbidden, Invalid
from catalogd.proposals import NotMergeable, NotResolved
from tests.conftest import EXAMPLES

pytestmark = pytest.mark.slow

FIELDS = ("description", "full_description", "a", "b", "c")
NAMES = ("web", "api")
OWNERS = ("ada", "bert")
AUTHORS, REVIEWERS = st.sampled_from(("sten", "ada", "will")), st.sampled_from((*OWNERS, "rita"))
VALUES = st.sampled_from(("one", "two", "three"))
EDITS = st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1, max_size=3)


def as_patch(edit: dict[str, str]) -> dict:
    labels = {key: value for key, value in edit.items() if len(key) == 1}
    return {key: value for key, value in edit.items() if len(key) > 1} | ({"labels": labels} if labels else {})


def fields_of(document: dict | None) -> dict[str, str]:
    document = document or {}
    labels = document.get("labels") or {}
    return {key: (labels.get(key) if len(key) == 1 else document.get(key)) or "" for key in FIELDS}


class Reviews(RuleBasedStateMachine):
    """`main` is what each repository must say; `heads` what each revision says, and what it was made on."""

    numbers = Bundle("numbers")

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.site = ReviewSite(self.directory / "catalog")
        self.site.catalog.create(self.site.as_("ada"), "acme", {"repo_name": "api"})
        self.main = {name: fields_of(self.site.document("acme", name)) for name in NAMES}
        self.merged: dict[int, str] = {}
        self.approved: dict[int, set[str]] = {}

    def teardown(self) -> None:
        if hasattr(self, "site"):
            self.site.close()
            shutil.rmtree(self.directory)

    # What people do

    @rule(target=numbers, who=AUTHORS, edits=st.dictionaries(st.sampled_from(NAMES), EDITS, min_size=1))
    def propose(self, who: str, edits: dict[str, dict[str, str]]):
        try:
            view = self.site.propose(who, *(change("acme", name, **as_patch(edit)) for name, edit in edits.items()))
        except Invalid:  # main has it already
            return multiple()
        return view.proposal.number

    @rule(number=numbers, name=st.sampled_from(NAMES), edit=EDITS)
    def revise(self, number: int, name: str, edit: dict[str, str]) -> None:
        author = self.proposal(number).author
        body = {"changes": [change("acme", name, **as_patch(edit))]}
        with suppress(Conflict, Invalid):
            self.site.proposals.revise(self.site.as_(author), number, body)

    @rule(number=numbers, take=st.sampled_from(("ours", "theirs")))
    def resolve(self, number: int, take: str) -> None:
        proposal = self.proposal(number)
        view = self.site.seen("root", self.view(number))
        if proposal.state != "open" or not view.merging.conflicts:
            return
        event("resolved")
        fields = [
            {"namespace": "acme", "repo_name": Path(found.path).stem, "pointer": found.pointer, "take": take}
            for found in view.merging.conflicts
        ]
        try:
            resolved = self.site.proposals.revise(self.site.as_(proposal.author), number, {"resolve": fields})
            assert not resolved.merging.conflicts
        except Invalid:
            assert take == "ours"  # and nothing was left of it
        except NotResolved as error:
            raise AssertionError("all were named") from error

    @rule(number=numbers, who=REVIEWERS, verdict=st.sampled_from(("approve", "approve", "request_changes")))
    def review(self, number: int, who: str, verdict: str) -> None:
        view = self.view(number)
        try:
            self.site.review(who, view, verdict)
        except (Forbidden, Conflict):
            return
        approved = self.approved.setdefault(number, set())
        approved.discard(who)
        if verdict == "approve":
            approved.add(who)

    @rule(number=numbers)
    def approve(self, number: int) -> None:
        for owner in OWNERS:
            self.review(number, owner, "approve")

    @rule(number=numbers)
    def approve_and_merge(self, number: int) -> None:
        self.dismiss(number)
        self.approve(number)
        self.merge(number)

    @rule(number=numbers)
    def dismiss(self, number: int) -> None:
        for review in self.view(number).blocked_by:
            self.site.proposals.dismiss(self.site.as_("root"), number, review.id)

    @rule(who=st.sampled_from(("ada", "will")), name=st.sampled_from(NAMES), edit=EDITS)
    def edit_directly(self, who: str, name: str, edit: dict[str, str]) -> None:
        self.site.update(who, "acme", name, **as_patch(edit))
        self.main[name] |= edit

    @rule(number=numbers)
    def merge(self, number: int) -> None:
        view = self.view(number)
        proposal = view.proposal
        expected = self.expected(proposal)
        try:
            done = self.site.merge(proposal.author, view)
        except NotMergeable:
            event("not merged")
            assert not view.is_mergeable
            return
        assert view.is_mergeable
        assert expected is not None, "a conflict was merged"
        standing = {r.reviewer for r in proposal.reviews if r.verdict == "approve" and r.head == proposal.head}
        assert standing & set(OWNERS) & self.approved.get(number, set()) - proposal.authors
        event("merged")
        self.main = expected
        self.merged[number] = done.proposal.commit
        trailers = git(self.site.root, "show", "-s", "--format=%B", done.proposal.commit)
        assert f"Proposal-Head: {proposal.head}\n" in trailers

    @rule(number=numbers, again=st.booleans())
    def close(self, number: int, again: bool) -> None:
        act = self.site.proposals.reopen if again else self.site.proposals.close
        try:
            act(self.site.as_("root"), number)
        except Conflict:
            assert number in self.merged

    @rule()
    def restart(self) -> None:
        self.site.reopen()

    # What must hold

    @invariant()
    def main_says_what_it_must(self) -> None:
        if hasattr(self, "site"):
            for name in NAMES:
                assert fields_of(self.site.document("acme", name)) == self.main[name]

    @invariant()
    def each_merge_is_one_commit(self) -> None:
        if hasattr(self, "site"):
            bodies = self.site.log()
            numbers = Counter(int(n) for body in bodies for n in re.findall(r"^Proposal: (\d+)$", body, re.MULTILINE))
            assert numbers == Counter(dict.fromkeys(self.merged, 1))

    # What is known of one

    def view(self, number: int):
        return self.site.proposals.get(self.site.as_("root"), number)

    def proposal(self, number: int):
        return self.view(number).proposal

    def expected(self, proposal) -> dict[str, dict[str, str]] | None:
        """What main must say after the merge, field by field; None where a field is in conflict."""
        main = {name: dict(fields) for name, fields in self.main.items()}
        store = self.site.catalog.store.proposals
        for changed in proposal.changes:
            name = Path(changed.path).stem
            base, head = (fields_of(loads(store.blob(blob))) for blob in (changed.old, changed.new))
            for field in FIELDS:
                if base[field] == head[field]:
                    continue
                if main[name][field] not in (base[field], head[field]):
                    return None
                main[name][field] = head[field]
        return main


Reviews.TestCase.settings = settings(
    max_examples=int(EXAMPLES or 12),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # each step is a real one: to shrink takes minutes
)
TestAnyOrder = Reviews.TestCase
