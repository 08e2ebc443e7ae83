"""History whose lines were merged: every commit is in it, whichever parent of the merge main had been."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from catalogd.accounts import ANONYMOUS, SCOPES, Account
from catalogd.catalog import Caller, Catalog, ListQuery
from catalogd.documents import dumps, loads
from catalogd.errors import NotFound
from catalogd.store import Draft, Edit, Reading, Store
from tests.plain_git import Clone

pytestmark = pytest.mark.slow

ALICE = Caller(Account("alice", "alice@example.org", True, frozenset(SCOPES), None), "a-request")
ANYONE = Caller(ANONYMOUS, "another-request")
WEB = "data/acme/web.json"


@pytest.fixture
def root(tmp_path) -> Path:
    Store.create(tmp_path / "catalog")
    return tmp_path / "catalog"


@pytest.fixture
def catalog(root) -> Iterator[Catalog]:
    catalog = Catalog.open(root)
    catalog.create(ALICE, "acme", {"repo_name": "web", "description": "one", "full_description": "one"})
    catalog.follow_index()
    yield catalog
    catalog.close()


@pytest.fixture
def clone(catalog, root, tmp_path, git) -> Clone:
    git(tmp_path, "clone", "-q", str(root), "clone")
    return Clone(tmp_path / "clone", git)


def described(catalog: Catalog, clone: Clone, **fields: object) -> str:
    """The document as main has it now, with other fields."""
    return json.dumps(loads(catalog.store.snapshot().read(WEB)[1]) | fields)


def push(catalog: Catalog, clone: Clone) -> None:
    """Main becomes what the clone has."""
    catalog.store.take_in(catalog.store.head(), clone.hand_over())


def merged(catalog: Catalog, clone: Clone) -> tuple[str, str, str]:
    """(a commit of the API, one of the clone, their merge, which has main as its second parent)."""
    theirs = clone.edit(WEB, "In the clone", full_description="two")
    ours = catalog.update(ALICE, "acme", "web", {"description": "two"}, patch=True).commit
    clone.git("fetch", "-q")
    merge = clone.merge(ours, web=described(catalog, clone, full_description="two"))
    push(catalog, clone)
    return ours, theirs, merge


def anew(catalog: Catalog, root: Path) -> Catalog:
    """A copy of the catalog with a read model that was made from git alone."""
    catalog.store.checkpoint()
    copy = root.with_name("copy")
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("readmodel.db*", "server.lock"))
    return Catalog.open(copy)


@pytest.fixture(params=["as it came", "made anew"])
def seen(request, catalog, root):
    """Lets the read model follow what came, or makes it anew."""
    made = []

    def see() -> Catalog:
        if request.param == "made anew":
            made.append(anew(catalog, root))
            return made[0]
        return catalog

    yield see
    for again in made:
        again.close()


def test_both_lines_are_in_the_history_with_their_authors_and_fields(catalog, clone, seen):
    ours, theirs, merge = merged(catalog, clone)
    rows = seen().history(ANYONE, "acme", "web").results
    assert rows[0]["commit"] == merge
    by_commit = {row["commit"]: row for row in rows}
    assert "/description" in by_commit[ours]["fields"]
    assert by_commit[theirs]["fields"] == ["/full_description"]
    assert by_commit[ours]["author"] == "alice"
    assert by_commit[theirs]["author"] != "alice"


def test_blame_names_who_wrote_a_field_and_not_who_merged_it(catalog, clone, seen):
    ours, theirs, _ = merged(catalog, clone)
    blame, _ = seen().blame(ANYONE, "acme", "web")
    assert blame["/description"]["commit"] == ours
    assert blame["/full_description"]["commit"] == theirs


def test_what_is_read_after_a_merge_is_what_git_has(catalog, clone, seen):
    _, _, merge = merged(catalog, clone)
    read = seen().detail(ANYONE, "acme", "web")
    assert (read.commit, read.document["description"], read.document["full_description"]) == (merge, "two", "two")


def test_the_feed_of_changes_goes_on_over_a_merge(catalog, clone):
    start = catalog.store.head()
    ours, _, merge = merged(catalog, clone)
    assert [row["document"]["full_description"] for row in catalog.changes(ANYONE, ours)[2]] == ["two"]
    assert len(catalog.changes(ANYONE, start)[2]) == 1
    assert catalog.changes(ANYONE, merge)[2] == []


def test_a_commit_of_a_merged_line_can_be_reverted_by_itself(catalog, clone, seen):
    _, theirs, _ = merged(catalog, clone)
    again = seen()
    again.revert(ALICE, theirs)
    document = again.detail(ANYONE, "acme", "web").document
    assert (document["description"], document["full_description"]) == ("two", "one")


def test_a_branch_of_last_week_came_to_main_when_it_was_merged(catalog, clone, seen):
    days_ago = datetime.now(UTC) - timedelta(days=7)
    theirs = clone.edit(WEB, "Last week", committed=days_ago.isoformat(), full_description="two")
    ours = catalog.update(ALICE, "acme", "web", {"description": "two"}, patch=True).commit
    clone.git("fetch", "-q")
    clone.git("checkout", "-q", ours)
    clone.merge(theirs, web=described(catalog, clone, full_description="two"))
    push(catalog, clone)
    again = seen()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    with pytest.raises(NotFound, match="no commit that old"):
        again.detail(ANYONE, "acme", "web", yesterday)
    assert again.commit(ANYONE, theirs)["committed_at"].startswith(f"{days_ago:%Y-%m-%d}")


def test_what_a_merge_gave_up_is_gone_from_the_catalog(catalog, clone, seen):
    clone.edit(WEB, "In the clone", full_description="two")
    ours = catalog.create(ALICE, "acme", {"repo_name": "other"}).commit
    clone.git("fetch", "-q")
    merge = clone.merge(ours)
    push(catalog, clone)
    again = seen()
    with pytest.raises(NotFound):
        again.detail(ANYONE, "acme", "other")
    assert again.history(ANYONE, "acme", "other").results[0]["commit"] == merge
    assert again.list(ANYONE, ListQuery()).commit == merge


def test_lines_that_cross_again_and_again_end_as_git_has_them(catalog, clone, seen):
    for turn in range(4):
        ours, _, _ = (
            catalog.update(ALICE, "acme", "web", {"description": f"turn {turn}"}, patch=True).commit,
            clone.edit(WEB, "In the clone", full_description=f"turn {turn}"),
            clone.git("fetch", "-q"),
        )
        merge = clone.merge(ours, web=described(catalog, clone, full_description=f"turn {turn}"))
        push(catalog, clone)
    again = seen()
    document = again.detail(ANYONE, "acme", "web").document
    assert (document["description"], document["full_description"]) == ("turn 3", "turn 3")
    commits = [row["commit"] for row in again.commits(ANYONE, 1, 50).results]
    assert commits[0] == merge
    assert sorted(commits) == sorted(clone.git("rev-list", "HEAD").split())


def test_a_merged_line_does_not_show_what_was_there_while_it_was_private(catalog, clone, seen):
    catalog.update(ALICE, "acme", "web", {"is_public": False, "description": "hidden"}, patch=True)
    catalog.follow_index()
    clone.git("pull", "-q", "--ff-only")
    theirs = clone.edit(WEB, "Make it public in the clone", is_public=True, description="shown")
    ours = catalog.update(ALICE, "acme", "web", {"is_public": True, "description": "open"}, patch=True).commit
    clone.git("fetch", "-q")
    clone.merge(ours, web=described(catalog, clone))
    push(catalog, clone)
    again = seen()
    told = json.dumps([again.commit(ANYONE, theirs), again.commits(ANYONE).results], default=str)
    assert "hidden" not in told


@pytest.mark.parametrize("seed", range(4))
def test_no_version_that_is_private_ever_shows_whatever_lines_were_merged(catalog, clone, seed):
    chance = random.Random(seed)

    def version() -> dict:
        return {
            "full_description": f"marker-{chance.getrandbits(64):016x}",
            "is_public": chance.random() < 0.5,
        }

    for turn in range(10):
        for number in range(chance.randrange(3)):
            clone.edit(WEB, f"In the clone {turn}.{number}", **version())
        for _ in range(chance.randrange(3)):
            catalog.update(ALICE, "acme", "web", version(), patch=True)
        catalog.join(ALICE, clone.hand_over(), settle(chance))
        clone.git("pull", "-q", "--ff-only")
        hidden = markers_never_public(clone)
        assert not {marker for marker in hidden if marker in everything_shown(catalog)}
    assert hidden <= set(re.findall("marker-[0-9a-f]+", everything_shown(catalog, ALICE)))


def settle(chance: random.Random):
    side = chance.choice(["ours", "theirs"])
    return lambda *_: side


def markers_never_public(clone: Clone) -> set[str]:
    """Those of no commit's version that is public: a merge may take the text of one side and make it public."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for commit in clone.git("rev-list", "HEAD").split():
        document = loads(clone.git("show", f"{commit}:{WEB}").encode())
        found[document.get("is_public", True)].add(document["full_description"])
    return found[False] - found[True]


def everything_shown(catalog: Catalog, caller: Caller = ANYONE) -> str:
    """All that a caller is told of the one document, now and in the past."""
    commits = [row["commit"] for row in catalog.commits(ALICE, 1, 100).results]
    asked = [lambda: catalog.commits(caller, 1, 100).results, lambda: catalog.history(caller, "acme", "web", 1, 100)]
    for commit in commits:
        asked += [
            partial(catalog.commit, caller, commit),
            partial(catalog.detail, caller, "acme", "web", commit),
            partial(catalog.diff, caller, "acme", "web", commit, None),
            partial(catalog.diff, caller, "acme", "web", None, commit),
            partial(catalog.unified_diff, caller, "acme", "web", commits[-1], commit),
            partial(catalog.changes, caller, commit),
        ]
    told = []
    for ask in asked:
        with suppress(NotFound):
            told.append(repr(ask()))
    return "".join(told)


def proposed(catalog: Catalog, clone: Clone, number: int, head: str, *reviewers: str, pushed: bool = True) -> str:
    """The commit that merges a proposal, which makes full_description what the head has."""

    def draft(reading: Reading) -> Draft:
        document = loads(reading.read(WEB)[1]) | {"full_description": "two"}
        return Draft("Merge it", {WEB: dumps(document)})

    trailers = {"Proposal": str(number), "Proposal-Head": head, "Reviewed-by": reviewers}
    edit = Edit("alice", "alice@example.org", draft, trailers, merges=head if pushed else None)
    return catalog.store.submit(edit).commit


FORGED = f"Mine\n\nProposal: 9\nProposal-Head: {'9' * 40}\nReviewed-by: olga"


@pytest.mark.parametrize("main_has_moved", [True, False])
def test_all_of_history_says_who_approved_what_was_pushed(catalog, clone, seen, main_has_moved):
    start = catalog.store.head()
    pushed = clone.edit(WEB, FORGED, committed="2020-01-01T00:00:00Z", full_description="two")
    clone.hand_over()
    if main_has_moved:
        catalog.update(ALICE, "acme", "web", {"description": "two"}, patch=True)
    merge = proposed(catalog, clone, 12, pushed, "bert", "rule")
    again = seen()
    approved = {"proposal": 12, "reviewed_by": ["bert", "rule"]}
    history = {row["commit"]: row for row in again.history(ANYONE, "acme", "web").results}
    commits = {row["commit"]: row for row in again.commits(ANYONE).results}
    (changed,) = again.changes(ANYONE, start)[2]
    blamed = again.blame(ANYONE, "acme", "web")[0]
    one = again.commit(ANYONE, pushed), again.commit(ALICE, merge)
    for row in (history[pushed], commits[pushed], *one, blamed["/full_description"], changed["last"]):
        assert {name: row[name] for name in approved} == approved
    assert blamed["/description"]["proposal"] is None
    assert (history[start]["proposal"], history[start]["reviewed_by"]) == (None, [])
    assert again.mirror.model.merge_of(12, ["0" * 40, pushed]) == merge
    assert again.mirror.model.merge_of(12, ["9" * 40, merge]) is None


def test_what_was_pushed_to_a_proposal_came_to_main_with_its_merge(catalog, clone, seen):
    pushed = clone.edit(WEB, "Long ago", committed="2020-01-01T00:00:00Z", full_description="two")
    clone.hand_over()
    proposed(catalog, clone, 12, pushed, "bert")
    with pytest.raises(NotFound, match="no commit that old"):
        seen().detail(ANYONE, "acme", "web", "2021-01-01T00:00:00Z")


def test_nobody_has_approved_what_only_says_so(catalog, clone, root, git, seen):
    pushed = clone.edit(WEB, FORGED, full_description="two")
    push(catalog, clone)
    catalog.follow_index()
    document = loads((root / WEB).read_bytes()) | {"full_description": "three"}
    (root / WEB).write_bytes(dumps(document))
    git(root, "commit", "-qam", FORGED, env={"GIT_AUTHOR_NAME": "catalogd", "GIT_AUTHOR_EMAIL": "catalogd@localhost"})
    again = seen()
    rows = again.history(ANYONE, "acme", "web").results
    assert (rows[0]["author"], rows[1]["commit"]) == ("catalogd", pushed)
    assert [(row["proposal"], row["reviewed_by"]) for row in rows] == [(None, [])] * 3
    assert again.mirror.model.merge_of(9, ["9" * 40]) is None


def test_a_merge_by_api_says_it_where_the_read_model_is_made_anew(catalog, clone, seen):
    head = "0123456789abcdef0123456789abcdef01234567"
    merge = proposed(catalog, clone, 3, head, "bert", pushed=False)
    again = seen()
    row = again.history(ANYONE, "acme", "web").results[0]
    assert (row["commit"], row["proposal"], row["reviewed_by"]) == (merge, 3, ["bert"])
    assert again.mirror.model.merge_of(3, [head]) == merge
