"""What a caller may not read does not exist for it, by any call, whatever has happened before.

Sequences of writes are made on a real catalog, by an admin and by hands; a model that knows git only works out who must
see what of them; and callers ask everything there is to ask. They must be shown no more than that, and no less.

The sequences of a run are always the same ones. With CATALOGD_TEST_EXAMPLES=1000 a thousand others are tried.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from visibility_crawl import Crawl
from visibility_model import Past, eyes_of
from visibility_story import FIELDS, REPOSITORIES, ROLES, Story, a_story

from catalogd.web.routes import OPERATIONS

ALPHA, BETA, GAMMA = REPOSITORIES
EVERYBODY = (None, "sam", "olga's registry", "olga", "mia", "nina")

names = st.sampled_from(REPOSITORIES)
fields = st.sets(st.sampled_from(FIELDS))
visibility = st.sampled_from((None, True, False))
steps_back = st.integers(0, 12)


class Watch:
    """Looks at a story after each step."""

    def __init__(self, story: Story):
        self.story = story
        self.past = Past(story.root)
        self.past.read_on()

    def look(self) -> None:
        self.past.read_on()
        self._crawl(None).briefly()

    def look_at_everything(self, whose: tuple[str | None, ...], pairs_of: tuple[str | None, ...] = ()) -> set[str]:
        """By the eyes of some callers, of which some compare any two commits. Returns the paths that were asked."""
        self.past.read_on()
        crawls = [self._crawl(who) for who in whose]
        for crawl in crawls:
            crawl.thoroughly(pairs=crawl.who in pairs_of)
        return set().union(*(crawl.asked for crawl in crawls))

    def commit(self, steps_back: int) -> str:
        return self.past.commits[max(0, len(self.past.commits) - 1 - steps_back)].id

    def _crawl(self, who: str | None) -> Crawl:
        return Crawl(self.story, eyes_of(who, self.past), who)


class Visibility(RuleBasedStateMachine):
    """Anything that can happen, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._resources = ExitStack()
        directory = self._resources.enter_context(tempfile.TemporaryDirectory())
        self.story = self._resources.enter_context(a_story(Path(directory)))
        self.watch = Watch(self.story)

    @initialize(flags=st.tuples(*[st.booleans()] * len(REPOSITORIES)))
    def create(self, flags):
        for name, is_public in zip(REPOSITORIES, flags, strict=True):
            self.story.write(name, FIELDS, is_public)

    @rule(name=names, fields=fields, is_public=visibility)
    def write(self, name, fields, is_public):
        self.story.write(name, fields, is_public)

    @rule(name=names, is_public=st.booleans())
    def show_or_hide(self, name, is_public):
        self.story.write(name, (), is_public)

    @rule(name=names)
    def delete(self, name):
        self.story.delete(name)

    @rule(name=names)
    def tag(self, name):
        self.story.tag(name)

    @rule(name=names)
    def untag(self, name):
        self.story.untag(name)

    @rule(name=names, steps_back=steps_back)
    def roll_back(self, name, steps_back):
        self.story.roll_back(name, self.watch.commit(steps_back))

    @rule()
    def revert_what_a_hand_did(self):
        """What a hand says in a message is not made from what has changed."""
        made = [commit.id for commit in self.watch.past.commits if commit.message.startswith("Change ")]
        if made:
            self.story.revert(made[-1])

    @rule(steps_back=steps_back)
    def revert(self, steps_back):
        self.story.revert(self.watch.commit(steps_back))

    @rule(role=st.sampled_from((None, *ROLES)))
    def give_mia(self, role):
        self.story.give_mia(role)

    @rule(name=names, user=st.sampled_from(("olga", "mia", "sam")))
    def star(self, name, user):
        self.story.star(user, name)

    @rule(name=names, fields=fields, is_public=visibility)
    def propose(self, name, fields, is_public):
        self.story.propose(name, fields, is_public)

    @rule()
    def merge(self):
        self.story.merge()

    @rule()
    def fold(self):
        self.story.fold()

    @rule(names=st.sets(names, min_size=1, max_size=2).map(sorted), fields=fields, is_public=visibility)
    def commit_by_hand(self, names, fields, is_public):
        self.story.commit_by_hand(names, fields, is_public)

    @rule(name=names)
    def break_by_hand(self, name):
        self.story.break_by_hand(name)

    @invariant()
    def nobody_sees_more_than_they_may(self):
        self.watch.look()

    def teardown(self):
        try:
            if sys.exc_info()[0] is None:  # else that is what is to be told
                self.watch.look_at_everything(EVERYBODY, pairs_of=(None, "mia"))
        finally:
            self._resources.close()


def a_life(story: Story, watch: Watch) -> Iterator[None]:
    """A bit of everything, step by step."""
    yield story.write(ALPHA, FIELDS, False)
    yield story.tag(ALPHA)
    yield story.commit_by_hand([ALPHA], ["full_description"], None)
    of_a_hand = watch.commit(0)
    yield story.write(ALPHA, ["labels"], True)
    shown = watch.commit(0)
    yield story.revert(of_a_hand)
    yield story.write(BETA, FIELDS)
    yield story.write(GAMMA, FIELDS, False)
    yield story.commit_by_hand([BETA, GAMMA], ["labels"], None)
    yield story.star("olga", BETA)
    yield story.star("nina", GAMMA)
    yield story.fold()
    yield story.propose(BETA, ["description"])
    yield story.propose(GAMMA, ["full_description"])
    yield story.give_mia("readers")
    yield story.write(BETA, ["labels"], False)
    yield story.star("sam", ALPHA)
    yield story.delete(ALPHA)
    yield story.roll_back(ALPHA, shown)
    yield story.propose(BETA, ["full_description"])
    yield story.write(BETA, (), True)
    yield story.propose(BETA, ["description"])
    yield story.merge()
    yield story.propose(BETA, ["labels"], False)
    yield story.propose(ALPHA, ["labels"])
    yield story.delete(ALPHA)
    yield story.tag(BETA)
    yield story.untag(BETA)
    yield story.break_by_hand(GAMMA)


@pytest.mark.slow
def test_nobody_sees_what_is_private_in_a_life_that_has_everything_in_it(tmp_path: Path) -> None:
    with a_story(tmp_path) as story:
        watch = Watch(story)
        for _ in a_life(story, watch):
            watch.look()
        watch.look_at_everything((None, "mia"))


def test_the_look_at_everything_asks_every_call_that_reads(tmp_path: Path) -> None:
    with a_story(tmp_path) as story:
        watch = Watch(story)
        story.write(ALPHA, FIELDS)
        story.tag(ALPHA)
        story.propose(ALPHA, FIELDS)
        asked = watch.look_at_everything((None,))
    for operation in OPERATIONS:
        path = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(operation.path))
        assert operation.method != "GET" or any(re.fullmatch(path, one) for one in asked), operation.id


@pytest.mark.slow
def test_nobody_sees_what_is_private_whatever_has_happened(examples: int | None) -> None:
    run_state_machine_as_test(
        Visibility,
        settings=settings(
            max_examples=examples or 20,
            stateful_step_count=14,
            derandomize=examples is None,
            database=None,
            report_multiple_bugs=False,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
