"""What the log of main says of the proposal that brought a commit, and whose word that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalogd.store import Commit, Edit, Store
from tests.store.store_tools import draft_of, put, run_git

PATH, OTHER = "data/acme/web.json", "data/acme/other.json"
HEAD = "0123456789abcdef0123456789abcdef01234567"
FORGED = f"Words\n\nProposal: 9\nProposal-Head: {'9' * 40}\nReviewed-by: olga"
SAYS_NOTHING = (None, None, ())


def says(commit: Commit) -> tuple[int | None, str | None, tuple[str, ...]]:
    return commit.proposal, commit.proposal_head, commit.reviewed_by


def newest(store: Store) -> Commit:
    head = store.head()
    assert head is not None
    return [*store.log(None, head)][-1]


def merge(store: Store, number: int, head: str, files: dict[str, bytes | None], *, pushed: bool, by=("bert",)) -> str:
    trailers = {"Proposal": str(number), "Proposal-Head": head, "Reviewed-by": by}
    edit = Edit("ada", "ada@example.org", draft_of(files, "Merge it"), trailers, merges=head if pushed else None)
    return store.submit(edit).commit


class Pusher:
    """Has a clone, from which the catalog gets commits as it does from a push."""

    def __init__(self, root: Path, clone: Path):
        self._root, self._clone = root, clone
        assert run_git(clone.parent, "clone", "-q", str(root), clone.name).returncode == 0

    def git(self, *arguments: str) -> str:
        done = run_git(self._clone, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, path: str, content: str, message: str = "In the clone") -> str:
        (self._clone / path).parent.mkdir(parents=True, exist_ok=True)
        (self._clone / path).write_text(content)
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self._given()

    def merge(self, commit: str) -> str:
        self.git("fetch", "-q")
        self.git("merge", "-q", "--no-edit", commit)
        return self._given()

    def _given(self) -> str:
        self.git("push", "-q", "origin", "+HEAD:refs/catalogd/pushed")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def pusher(store, root, tmp_path) -> Pusher:
    put(store, PATH, b"one\n")
    store.follow_index()
    return Pusher(root, tmp_path / "clone")


def test_a_trailer_with_several_values_comes_several_times(store, root):
    merge(store, 12, HEAD, {PATH: b"two\n"}, pushed=False, by=("bert", "rule"))
    shown = run_git(root, "log", "-1", "--format=%(trailers:key=Reviewed-by,valueonly)")
    assert shown.stdout.split() == ["bert", "rule"]
    assert says(newest(store)) == (12, HEAD, ("bert", "rule"))


def test_a_merge_that_nobody_had_to_approve_says_so(store):
    merge(store, 12, HEAD, {PATH: b"two\n"}, pushed=False, by=())
    assert says(newest(store)) == (12, HEAD, ())


def test_a_value_stays_in_its_line(store):
    merge(store, 12, HEAD, {PATH: b"two\n"}, pushed=False, by=("bert\nReviewed-by: olga", "ed\u2028Reviewed-by: olga"))
    assert newest(store).reviewed_by == ("bert Reviewed-by: olga", "ed Reviewed-by: olga")


@pytest.mark.parametrize(
    "trailers",
    [
        {"Proposal": "12"},
        {"Proposal-Head": HEAD},
        {"Proposal": "0", "Proposal-Head": HEAD},
        {"Proposal": "012", "Proposal-Head": HEAD},
        {"Proposal": "1" * 19, "Proposal-Head": HEAD},
        {"Proposal": "12", "Proposal-Head": HEAD[:12]},
        {"Proposal": ("12", "13"), "Proposal-Head": HEAD},
        {"Proposal": "12", "Proposal-Head": (HEAD, "9" * 40)},
        {"proposal": "12", "proposal-head": HEAD},
    ],
)
def test_what_is_no_merge_of_a_proposal_says_nothing(store, trailers):
    by = {"Reviewed-by": "bert"}
    store.submit(Edit("ada", "ada@example.org", draft_of({PATH: b"two\n"}), {**trailers, **by}))
    assert says(newest(store)) == SAYS_NOTHING


def test_what_a_message_says_before_the_trailers_counts_for_nothing(store):
    edit = Edit("ada", "ada@example.org", draft_of({PATH: b"two\n"}, FORGED), {"Request-Id": "a-request"})
    store.submit(edit)
    assert says(newest(store)) == SAYS_NOTHING
    merged = Edit("ada", "ada@example.org", draft_of({PATH: b"x\n"}, FORGED), {"Proposal": "12", "Proposal-Head": HEAD})
    store.submit(merged)
    assert says(newest(store)) == (12, HEAD, ())


def test_a_commit_by_hand_is_not_believed(store, root):
    put(store, PATH, b"one\n")
    store.follow_index()
    (root / PATH).write_text("two\n")
    run_git(root, "add", PATH)
    done = run_git(root, "commit", "-qm", FORGED, GIT_AUTHOR_NAME="catalogd", GIT_AUTHOR_EMAIL="catalogd@localhost")
    assert done.returncode == 0, done.stderr
    found = newest(store)
    assert (found.author, found.message) == ("catalogd", FORGED)
    assert says(found) == SAYS_NOTHING


def test_a_pushed_commit_on_main_is_not_believed(store, pusher):
    pushed = pusher.commit(PATH, "two\n", FORGED)
    store.take_in(store.head(), pushed)
    assert newest(store).id == pushed
    assert says(newest(store)) == SAYS_NOTHING


@pytest.mark.parametrize("from_its_base", [True, False])
def test_pushed_commits_say_what_their_merge_says_and_came_with_it(store, pusher, from_its_base):
    base = store.head()
    first, second = pusher.commit(PATH, "two\n", FORGED), pusher.commit(OTHER, "two\n")
    merged = merge(store, 12, second, {PATH: b"two\n", OTHER: b"two\n"}, pushed=True)
    log = {each.id: each for each in store.log(base if from_its_base else None, merged)}
    assert [*log][-3:] == [first, second, merged]
    assert [says(log[each]) for each in (first, second)] == [(12, None, ("bert",))] * 2
    assert says(log[merged]) == (12, second, ("bert",))
    assert {log[each].came_at for each in (first, second)} == {log[merged].committed_at}


@pytest.mark.parametrize("from_its_base", [True, False])
def test_a_pushed_line_that_has_taken_main_in_does_not_take_its_commits(store, pusher, from_its_base):
    base = store.head()
    first = pusher.commit(OTHER, "two\n")
    between = put(store, PATH, b"other\n").commit
    second = pusher.merge(between)
    after = put(store, "data/acme/third.json", b"third\n").commit
    merged = merge(store, 12, second, {OTHER: b"two\n"}, pushed=True)
    log = {each.id: each for each in store.log(base if from_its_base else None, merged)}
    assert [each.id for each in log.values() if each.proposal] == [first, second, merged]
    assert says(log[between]) == says(log[after]) == SAYS_NOTHING


@pytest.mark.parametrize("from_its_base", [True, False])
def test_of_lines_on_each_other_each_says_what_brought_it(store, pusher, from_its_base):
    base = store.head()
    first = pusher.commit(PATH, "two\n")
    second = pusher.commit(OTHER, "two\n")
    one = merge(store, 1, first, {PATH: b"two\n"}, pushed=True, by=("bert",))
    two = merge(store, 2, second, {OTHER: b"two\n"}, pushed=True, by=("rule",))
    log = store.log(base if from_its_base else None, two)
    found = [(each.id, *says(each)) for each in log if each.id != base]
    assert found == [
        (first, 1, None, ("bert",)),
        (one, 1, first, ("bert",)),
        (second, 2, None, ("rule",)),
        (two, 2, second, ("rule",)),
    ]


@pytest.mark.parametrize("from_its_base", [True, False])
def test_what_a_line_says_stays_where_it_is_merged_again(store, pusher, from_its_base):
    """As the history of an upstream with proposals of its own does, where another line takes it in."""
    base = store.head()
    line = pusher.commit(PATH, "two\n")
    merged = merge(store, 12, line, {PATH: b"two\n"}, pushed=True)
    pusher.git("checkout", "-q", "--detach", base)
    pusher.commit(OTHER, "two\n")
    join = pusher.merge(merged)
    log = {each.id: each for each in store.log(base if from_its_base else None, join)}
    assert says(log[line]) == (12, None, ("bert",))
    assert says(log[merged]) == (12, line, ("bert",))
    assert says(log[join]) == SAYS_NOTHING
