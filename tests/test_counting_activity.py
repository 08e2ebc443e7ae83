"""Stars and pulls on a real catalog and a real state: shown at once, and folded into the documents, each once."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from catalogd.accounts import ANONYMOUS, SCOPES, Account, Accounts
from catalogd.activity import _SOON, FOLDER, Activity
from catalogd.catalog import Caller, Catalog, Deltas, ListQuery, NotCountable
from catalogd.errors import BrokenSchema, Conflict, Forbidden, NotFound, Unauthenticated
from catalogd.registry.follower import RegistryFollower
from catalogd.state import ChangeRow, State
from catalogd.state.activity import count_pulls
from catalogd.store import Store

PROGRAM = Path(__file__).with_name("folding.py")
APP, LIB, TOOL = ("team", "app"), ("team", "lib"), ("team", "tool")
ALL = (APP, LIB, TOOL)

_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)
on_both_databases = pytest.mark.parametrize("where", ["sqlite", _POSTGRESQL], indirect=True)


def caller(name: str, *, is_admin: bool = False, namespace: str | None = None) -> Caller:
    scopes = frozenset(SCOPES) if is_admin else frozenset({"read", "write"})
    return Caller(Account(name, None, is_admin, scopes, namespace), "a-request")


ADMIN, ANN, BOB, EVE = caller("admin", is_admin=True), caller("ann"), caller("bob"), caller("eve")
# Later than whatever a test makes.
NOW = "9999-01-01T00:00:00.000Z"
MONDAY, TUESDAY, FRIDAY = (f"2026-11-{day}T08:00:00.000Z" for day in (23, 24, 27))
DIGEST = f"sha256:{'a' * 64}"
NOBODY = Caller(ANONYMOUS, "a-request")


@pytest.fixture
def where(request, tmp_path):
    """Where the state is kept: in an SQLite file, unless a test says otherwise."""
    kind = getattr(request, "param", "sqlite")
    return tmp_path / "state.db" if kind == "sqlite" else request.getfixturevalue("postgresql_url")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory) -> Path:
    """A catalog that is made and closed: to copy it takes a fifth of the time."""
    root = tmp_path_factory.mktemp("made") / "catalog"
    Store.create(root)
    opened = Catalog.open(root)
    for namespace, repo_name in ALL:
        opened.create(ADMIN, namespace, {"repo_name": repo_name})
    opened.close()
    return root


@pytest.fixture
def root(tmp_path, made_once) -> Path:
    return shutil.copytree(made_once, tmp_path / "catalog", symlinks=True)


@pytest.fixture
def catalog(root):
    opened = Catalog.open(root)
    yield opened
    opened.close()


@pytest.fixture
def state(where, empty_state):
    if isinstance(where, Path):
        shutil.copy(empty_state, where)
    with State(where) as opened:
        accounts = Accounts(opened, email_domain="users.example.org")
        for one in (ADMIN, ANN, BOB, EVE):
            accounts.add_user(one.account.name, is_admin=one.account.is_admin)
        yield opened


@pytest.fixture
def activity(catalog, state) -> Activity:
    return Activity(catalog, state)


def seen(activity: Activity, catalog: Catalog, who: Caller = NOBODY, name: tuple[str, str] = APP):
    found = catalog.detail(who, *name)
    return activity.seen(who, found.document, found.batch)


def count(activity: Activity, catalog: Catalog, name: tuple[str, str] = APP) -> int:
    """As it is shown."""
    return seen(activity, catalog, name=name).document["repo_starred_count"]


def pull(state: State, name: tuple[str, str], number: int, latest: str) -> None:
    with state._database.writing() as connection:
        count_pulls(connection, {name: (number, latest)})


def pulled(document: Mapping) -> tuple[int, str | None]:
    return document.get("download", 0), document.get("pulled_at")


def shown_pulls(activity: Activity, catalog: Catalog, name: tuple[str, str] = APP) -> tuple[int, str | None]:
    return pulled(seen(activity, catalog, name=name).document)


def stored_pulls(catalog: Catalog, name: tuple[str, str] = APP) -> tuple[int, str | None]:
    return pulled(on_main(catalog, name))


def stored(catalog: Catalog, name: tuple[str, str] = APP) -> int:
    return on_main(catalog, name).get("repo_starred_count", 0)


def on_main(catalog: Catalog, name: tuple[str, str]) -> dict:
    """The document as main has it."""
    found = catalog.store.snapshot().read("data/{}/{}.json".format(*name))
    assert found is not None
    return json.loads(found[1])


def commits(root: Path, git) -> list[str]:
    return git(root, "log", "--format=%s").splitlines()


# --- what is shown


@on_both_databases
def test_a_star_shows_at_once_for_everyone_and_as_starred_for_the_starrer_alone(activity, catalog):
    activity.star(ANN, *APP)
    assert {seen(activity, catalog, who).document["repo_starred_count"] for who in (NOBODY, ANN, BOB, ADMIN)} == {1}
    assert [seen(activity, catalog, who).is_starred for who in (ANN, BOB, NOBODY)] == [True, False, False]
    activity.unstar(ANN, *APP)
    assert (count(activity, catalog), seen(activity, catalog, ANN).is_starred) == (0, False)


@on_both_databases
def test_a_star_set_twice_or_taken_back_twice_counts_once(activity, catalog):
    for _ in range(2):
        activity.star(ANN, *APP)
    assert count(activity, catalog) == 1
    for _ in range(2):
        activity.unstar(ANN, *APP)
    assert count(activity, catalog) == 0


def test_a_list_shows_what_the_detail_shows(activity, catalog):
    activity.star(ANN, *APP)
    activity.fold()
    activity.star(BOB, *APP)
    page = activity.starred(ANN)
    [listed] = activity.counted(page.results, page.batch)
    assert listed["repo_starred_count"] == count(activity, catalog) == 2


def test_what_one_may_not_read_cannot_be_starred_and_says_that_it_is_not_there(activity, catalog, state):
    catalog.create(ADMIN, "team", {"repo_name": "secret", "is_public": False})
    for act in (activity.star, activity.unstar):
        with pytest.raises(NotFound):
            act(ANN, "team", "secret")
        with pytest.raises(NotFound):
            act(NOBODY, "team", "secret")
        with pytest.raises(Unauthenticated):
            act(NOBODY, *APP)
        with pytest.raises(Forbidden):
            act(caller("ann", namespace="other"), *APP)
    assert state.pending_activity() == []


def test_what_one_has_starred_is_listed_by_name_in_pages_while_one_may_read_it(activity, catalog):
    for name in reversed(ALL):
        activity.star(ANN, *name)
    activity.star(BOB, *APP)
    catalog.update(ADMIN, *LIB, {"is_public": False}, patch=False)
    pages = [activity.starred(ANN, page, 1) for page in (1, 2)]
    assert [page.count for page in pages] == [2, 2]
    assert [page.results[0]["repo_name"] for page in pages] == ["app", "tool"]
    with pytest.raises(NotFound):
        activity.starred(ANN, 3, 1)
    catalog.update(ADMIN, *LIB, {"is_public": True}, patch=False)
    assert activity.starred(ANN).count == 3
    assert activity.starred(EVE).count == 0
    with pytest.raises(Forbidden):
        activity.starred(caller("ann", namespace="team"))


@on_both_databases
def test_pulls_show_at_once_in_detail_and_list_with_the_time_of_the_latest(activity, catalog, state):
    activity.star(ANN, *APP)
    assert shown_pulls(activity, catalog) == (0, None)
    pull(state, APP, 3, TUESDAY)
    pull(state, APP, 2, MONDAY)
    assert shown_pulls(activity, catalog) == (5, TUESDAY)
    page = activity.starred(ANN)
    [listed] = activity.counted(page.results, page.batch)
    assert (pulled(listed), listed["repo_starred_count"]) == ((5, TUESDAY), 1)
    assert shown_pulls(activity, catalog, LIB) == (0, None)


def test_a_document_that_knows_a_later_pull_keeps_its_time(activity, catalog, state):
    pull(state, APP, 1, TUESDAY)
    activity.fold()
    pull(state, APP, 1, MONDAY)
    assert shown_pulls(activity, catalog) == (2, TUESDAY)
    activity.fold()
    assert stored_pulls(catalog) == (2, TUESDAY)


def test_whatever_is_shown_differently_has_another_version(activity, catalog, state):
    versions = [seen(activity, catalog).version]
    for number, latest in ((1, MONDAY), (1, MONDAY), (1, TUESDAY)):
        pull(state, APP, number, latest)
        versions.append(seen(activity, catalog).version)
    activity.star(ANN, *APP)
    versions += [seen(activity, catalog, who).version for who in (ANN, BOB)]
    assert len(set(versions)) == len(versions)
    activity.unstar(ANN, *APP)
    assert [seen(activity, catalog, who).version for who in (ANN, BOB)] == [versions[3]] * 2


# --- folding


@on_both_databases
@pytest.mark.parametrize("few", [1_000, 1])
def test_what_is_shown_is_right_however_many_repositories_are_asked_for(activity, catalog, state, monkeypatch, few):
    monkeypatch.setattr("catalogd.activity._FEW", few)
    found = catalog.detail(NOBODY, *APP)

    def ask_for_many() -> None:
        for who in (NOBODY, ANN):
            for number in range(2 * _SOON):
                other = {**found.document, "repo_name": f"other-{number}"}
                shown = activity.seen(who, other, found.batch)
                assert (shown.is_starred, shown.document["repo_starred_count"]) == (False, 0)

    for steps, name in enumerate(ALL, 1):
        activity.star(ANN, *name)
        pull(state, name, 7, FRIDAY)
        ask_for_many()
        assert [seen(activity, catalog, ANN, one).is_starred for one in ALL] == [True] * steps + [False] * (3 - steps)
        assert not any(seen(activity, catalog, BOB, one).is_starred for one in ALL)
        shown = [document["download"] for document in activity.counted([*catalog.list(ADMIN, ListQuery()).results], 0)]
        assert sorted(shown) == [0] * (3 - steps) + [7] * steps


def test_a_fold_is_one_commit_for_all_and_the_counts_are_right_before_during_and_after(activity, catalog, root, git):
    for who in (ANN, BOB):
        activity.star(who, *APP)
    activity.star(EVE, *LIB)
    before = len(commits(root, git))
    assert [count(activity, catalog, name) for name in ALL] == [2, 1, 0]
    assert [stored(catalog, name) for name in ALL] == [0, 0, 0]
    assert activity.fold() == 2
    assert [count(activity, catalog, name) for name in ALL] == [2, 1, 0]
    assert [stored(catalog, name) for name in ALL] == [2, 1, 0]
    assert len(commits(root, git)) == before + 1
    said = git(root, "log", "-1", "--format=%an%n%B")
    assert said.startswith("catalogd\nCount the stars of 2 repositories\n")
    assert "Activity-Batch: 1\n" in said
    assert activity.fold() == 0
    assert len(commits(root, git)) == before + 1
    assert [count(activity, catalog, name) for name in ALL] == [2, 1, 0]


@on_both_databases
def test_stars_and_pulls_are_folded_in_one_commit_that_says_what_it_counts(activity, catalog, state, root, git):
    pull(state, APP, 4, MONDAY)
    assert activity.fold() == 1
    assert commits(root, git)[0] == "Count the pulls of 1 repository"
    assert (stored_pulls(catalog), shown_pulls(activity, catalog)) == ((4, MONDAY), (4, MONDAY))
    pull(state, APP, 1, FRIDAY)
    pull(state, LIB, 2, TUESDAY)
    activity.star(ANN, *TOOL)
    before = len(commits(root, git))
    assert activity.fold() == 3
    assert commits(root, git)[0] == "Count the stars and pulls of 3 repositories"
    assert len(commits(root, git)) == before + 1
    assert [stored_pulls(catalog, name) for name in ALL] == [(5, FRIDAY), (2, TUESDAY), (0, None)]
    assert activity.fold() == 0
    assert [shown_pulls(activity, catalog, name) for name in ALL] == [(5, FRIDAY), (2, TUESDAY), (0, None)]
    assert (len(commits(root, git)), state.pending_activity()) == (before + 1, [])


@pytest.mark.parametrize("step", ["assigned", "committed"])
@on_both_databases
def test_pulls_of_a_fold_that_was_cut_off_are_counted_once(activity, catalog, state, step):
    pull(state, APP, 5, TUESDAY)
    state.assign_batch(1, [APP])
    pull(state, APP, 2, MONDAY)
    if step == "committed":
        catalog.count(Caller(FOLDER, "fold-1"), 1, {APP: Deltas(0, 5, TUESDAY)}, NOW)
    assert shown_pulls(activity, catalog) == (7, TUESDAY)
    again = Activity(catalog, state)
    for _ in range(2):
        again.fold()
        assert (shown_pulls(again, catalog), stored_pulls(catalog)) == ((7, TUESDAY), (7, TUESDAY))
    assert state.pending_activity() == []


def test_a_count_is_no_update_and_changes_nothing_but_the_count(activity, catalog):
    before = catalog.detail(NOBODY, *APP).document
    activity.star(ANN, *APP)
    activity.fold()
    assert catalog.detail(NOBODY, *APP).document == before | {"repo_starred_count": 1}


def test_a_batch_that_cancels_out_makes_no_commit_and_is_forgotten(activity, catalog, state, root, git):
    activity.star(ANN, *APP)
    activity.unstar(ANN, *APP)
    before = commits(root, git)
    activity.fold()
    assert (commits(root, git), state.pending_activity()) == (before, [])


@pytest.mark.parametrize("step", ["assigned", "committed"])
@on_both_databases
def test_what_a_fold_that_was_cut_off_had_done_is_counted_once(activity, catalog, state, step):
    activity.star(ANN, *APP)
    activity.star(BOB, *APP)
    state.assign_batch(1, [APP])
    activity.star(EVE, *APP)
    if step == "committed":
        catalog.count(Caller(FOLDER, "fold-1"), 1, {APP: Deltas(2)}, NOW)
    assert count(activity, catalog) == 3
    again = Activity(catalog, state)
    again.fold()
    assert (count(again, catalog), stored(catalog)) == (3, 3)
    again.fold()
    assert (count(again, catalog), stored(catalog), state.pending_activity()) == (3, 3, [])


def commit_of_another_catalogd(root: Path, git, batch: int) -> None:
    """As it comes in with an upstream: that server has counted into another repository."""
    document = json.loads((root / "data/team/lib.json").read_text()) | {"repo_starred_count": 7}
    (root / "data/team/lib.json").write_text(json.dumps(document))
    name = {f"GIT_{who}_{what}": "catalogd" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    message = f"Count the stars of 1 repository\n\nActivity-Batch: {batch}"
    git(root, "commit", "-q", "--no-verify", "-am", message, env=name)


def test_a_fold_that_failed_is_not_taken_for_that_of_another_server(activity, catalog, root, git):
    activity.star(ANN, *APP)
    catalog.follow_index()
    schema = root / "schemas/repository.schema.json"
    schema.parent.mkdir()
    schema.write_text("{")
    git(root, "add", "schemas")
    git(root, "commit", "-q", "--no-verify", "-m", "Break the schema")
    with pytest.raises(BrokenSchema):
        activity.fold()
    git(root, "rm", "-q", "-f", str(schema))
    commit_of_another_catalogd(root, git, 1)
    activity.fold()
    assert (count(activity, catalog), stored(catalog)) == (1, 1)


def test_a_fold_that_was_cut_off_is_taken_back_before_those_of_others_come_in(activity, catalog, state, root, git):
    activity.star(ANN, *APP)
    state.assign_batch(1, [APP])  # and then the process died
    catalog.follow_index()
    again = Activity(catalog, state)
    again.settle()
    commit_of_another_catalogd(root, git, 1)
    again.fold()
    assert (count(again, catalog), stored(catalog)) == (1, 1)


@pytest.mark.slow
def test_a_fold_that_is_killed_at_any_moment_counts_each_star_and_pull_once(activity, catalog, state, root, where):
    chance = random.Random(20)
    pulls = dict.fromkeys(ALL, 0)
    for _ in range(20):
        command = [sys.executable, str(PROGRAM), str(root), str(where)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as folding:
            assert folding.stdout is not None
            assert folding.stdout.readline() == b"folds\n"
            until = time.monotonic() + chance.uniform(0.0, 0.15)
            while time.monotonic() < until:
                act = chance.choice((activity.star, activity.unstar))
                act(chance.choice((ANN, BOB, EVE)), *chance.choice(ALL))
                pull(state, name := chance.choice(ALL), 1, MONDAY)
                pulls[name] += 1
            folding.kill()
        stars = {name: sum(state.is_starred(one, *name) for one in ("ann", "bob", "eve")) for name in ALL}
        assert {name: count(activity, catalog, name) for name in ALL} == stars
        assert {name: shown_pulls(activity, catalog, name)[0] for name in ALL} == pulls
    activity.fold()
    activity.fold()
    assert {name: stored_pulls(catalog, name)[0] for name in ALL} == pulls
    assert {name: stored(catalog, name) for name in ALL} == stars
    assert state.pending_activity() == []


def test_a_repository_that_cannot_be_written_waits_and_stops_no_other(activity, catalog, root, git):
    for name in ALL:
        activity.star(ANN, *name)
    (root / "data/team/app.json").write_text("{}")
    catalog.delete(ADMIN, *LIB)
    assert activity.fold() == 1
    assert (stored(catalog), stored(catalog, TOOL)) == (0, 1)
    assert count(activity, catalog) == 1
    assert activity.fold() == 0

    catalog.follow_index()
    git(root, "restore", "data/team/app.json")
    assert activity.fold() == 1
    assert stored(catalog) == 1


def test_a_broken_document_waits_until_it_is_mended(activity, catalog, root, git):
    for name in (APP, LIB):
        activity.star(ANN, *name)
    catalog.follow_index()
    (root / "data/team/app.json").write_text("{")
    git(root, "commit", "-q", "--no-verify", "-am", "Break it")
    assert activity.fold() == 1
    assert stored(catalog, LIB) == 1
    git(root, "revert", "--no-edit", "HEAD~1", check=False)
    catalog.follow_index()
    good = git(root, "show", "HEAD~2:data/team/app.json")
    (root / "data/team/app.json").write_text(good)
    git(root, "commit", "-q", "--no-verify", "-am", "Mend it")
    assert activity.fold() == 1
    assert (stored(catalog), count(activity, catalog)) == (1, 1)


def test_the_stars_of_a_repository_that_is_restored_are_counted_then(activity, catalog):
    there = catalog.detail(NOBODY, *APP).commit
    activity.star(ANN, *APP)
    catalog.delete(ADMIN, *APP)
    assert activity.fold() == 0
    assert catalog.rollback(ADMIN, *APP, there).document["repo_starred_count"] == 0
    assert count(activity, catalog) == 1
    assert activity.fold() == 1
    assert (stored(catalog), count(activity, catalog)) == (1, 1)


def test_a_repository_restored_from_before_it_was_starred_keeps_its_count(activity, catalog):
    unstarred = catalog.detail(NOBODY, *APP).commit
    activity.star(ANN, *APP)
    activity.fold()
    catalog.delete(ADMIN, *APP)
    catalog.rollback(ADMIN, *APP, unstarred)
    assert (stored(catalog), count(activity, catalog)) == (1, 1)
    catalog.delete(ADMIN, *APP)
    deleted = catalog.detail(NOBODY, *LIB).commit
    catalog.revert(ADMIN, deleted)
    assert (stored(catalog), count(activity, catalog)) == (1, 1)


def test_to_revert_a_commit_takes_no_star_back(activity, catalog):
    changed = catalog.update(ADMIN, *APP, {"description": "changed"}, patch=False).commit
    activity.star(ANN, *APP)
    activity.fold()
    folded = catalog.detail(NOBODY, *APP).commit
    with pytest.raises(Conflict, match="nothing that is not undone already"):
        catalog.revert(ADMIN, folded)
    catalog.revert(ADMIN, changed)
    assert catalog.detail(NOBODY, *APP).document["description"] == ""
    assert (stored(catalog), count(activity, catalog)) == (1, 1)


@on_both_databases
def test_the_stars_of_a_user_who_is_removed_are_taken_back(activity, catalog, state):
    activity.star(ANN, *APP)
    activity.star(BOB, *APP)
    activity.fold()
    Accounts(state, email_domain="users.example.org").remove_user("ann")
    assert (count(activity, catalog), stored(catalog)) == (1, 2)
    activity.fold()
    assert (count(activity, catalog), stored(catalog)) == (1, 1)


# --- at once


def test_what_is_shown_has_one_version_whatever_has_led_there(activity, catalog):
    activity.star(ANN, *APP)
    one = seen(activity, catalog)
    activity.star(BOB, *APP)
    two = seen(activity, catalog)
    activity.unstar(BOB, *APP)
    assert seen(activity, catalog) == one
    assert one.version != two.version


@pytest.mark.slow
@pytest.mark.parametrize("where", ["postgresql"], indirect=True)
def test_a_star_that_becomes_visible_after_a_later_one_is_another_version(activity, catalog, where):
    """PostgreSQL gives out ids as rows are written, and shows the rows as their transactions end."""
    with psycopg.connect(where) as connection:
        connection.execute("INSERT INTO activity (namespace, repo_name, batch, stars) VALUES ('team', 'app', 9, 1)")
        activity.star(BOB, *APP)
        before = seen(activity, catalog)
    after = seen(activity, catalog)
    assert [one.document["repo_starred_count"] for one in (before, after)] == [1, 2]
    assert before.version != after.version


@pytest.mark.slow
@on_both_databases
def test_readers_never_see_a_count_go_back_or_jump_while_stars_are_set_and_folded(activity, catalog, state):
    accounts = Accounts(state, email_domain="users.example.org")
    users = [f"user{number}" for number in range(150)]
    for user in users:
        accounts.add_user(user)
    known = {"least": 0, "most": 0}  # stars that have been set, and those that are being set
    wrong: list[tuple[int, int, int]] = []
    stopping = threading.Event()

    def read() -> None:
        last = 0
        while not stopping.is_set():
            least = known["least"]
            shown = count(activity, catalog)
            if not max(last, least) <= shown <= known["most"]:
                wrong.append((last, shown, known["most"]))
            last = shown

    def fold() -> None:
        while not stopping.wait(0.1):
            activity.fold()

    threads = [threading.Thread(target=target) for target in (read, read, fold)]
    for thread in threads:
        thread.start()
    for user in users:
        known["most"] += 1
        activity.star(caller(user), *APP)
        known["least"] += 1
        time.sleep(0.01)
    stopping.set()
    for thread in threads:
        thread.join()
    activity.fold()
    assert wrong == []
    assert (count(activity, catalog), stored(catalog)) == (150, 150)


def test_a_star_can_be_taken_back_from_what_may_no_longer_be_read(activity, catalog, state):
    activity.star(ANN, *APP)
    catalog.update(ADMIN, *APP, {"is_public": False}, patch=False)
    activity.unstar(ANN, *APP)
    assert state.starred("ann") == []
    with pytest.raises(NotFound):
        activity.unstar(ANN, *APP)
    assert count_for(activity, catalog, ADMIN) == 0


def count_for(activity: Activity, catalog: Catalog, who: Caller) -> int:
    return seen(activity, catalog, who).document["repo_starred_count"]


def test_files_that_hands_have_edited_stop_nobody_elses_stars_however_many(activity, catalog, root):
    names = [("crowd", f"r{number}") for number in range(30)]
    for name in names:
        catalog.create(ADMIN, name[0], {"repo_name": name[1]})
        activity.star(ANN, *name)
        (root / "data/{}/{}.json".format(*name)).write_text("{}")
    activity.star(ANN, *APP)
    assert activity.fold() == 1
    assert (stored(catalog), count(activity, catalog)) == (1, 1)


def test_a_hands_commit_with_the_trailer_of_a_batch_counts_for_nothing(activity, catalog, root, git):
    catalog.follow_index()
    (root / "notes.txt").write_text("x")
    git(root, "add", "notes.txt")
    git(root, "commit", "--no-verify", "-qm", "Fix\n\nActivity-Batch: 999999999999999999")
    activity.star(ANN, *APP)
    for _ in range(3):
        activity.fold()
        assert (count(activity, catalog), stored(catalog)) == (1, 1)


def test_nobody_stars_without_end(activity, catalog, monkeypatch):
    monkeypatch.setattr("catalogd.activity.MOST_STARS", 2)
    activity.star(ANN, *APP)
    activity.star(ANN, *LIB)
    activity.star(ANN, *LIB)
    with pytest.raises(Conflict, match="the most there may be"):
        activity.star(ANN, *TOOL)
    activity.unstar(ANN, *APP)
    activity.star(ANN, *TOOL)


@on_both_databases
def test_a_name_that_is_made_anew_keeps_its_stars_and_no_minus_of_the_one_before(activity, catalog, state):
    for who in (ANN, BOB):
        activity.star(who, *APP)
    activity.fold()
    catalog.delete(ADMIN, *APP)
    activity.unstar(ANN, *APP)
    activity.fold()
    catalog.create(ADMIN, APP[0], {"repo_name": APP[1]})
    activity.begin_anew(*APP)
    assert (count(activity, catalog), seen(activity, catalog, BOB).is_starred) == (1, True)
    activity.star(EVE, *APP)
    activity.fold()
    activity.fold()
    assert (stored(catalog), count(activity, catalog), state.pending_activity()) == (2, 2, [])


@on_both_databases
def test_a_name_that_is_made_anew_begins_without_downloads(activity, catalog, state):
    pull(state, APP, 3, MONDAY)
    activity.fold()
    pull(state, APP, 4, TUESDAY)
    activity.star(ANN, *APP)
    catalog.delete(ADMIN, *APP)
    pull(state, APP, 5, FRIDAY)
    catalog.create(ADMIN, APP[0], {"repo_name": APP[1]})
    activity.begin_anew(*APP)
    assert (shown_pulls(activity, catalog), count(activity, catalog)) == ((0, None), 1)
    pull(state, APP, 1, FRIDAY)
    activity.fold()
    assert (stored_pulls(catalog), stored(catalog)) == ((1, FRIDAY), 1)


@on_both_databases
def test_what_a_push_has_made_keeps_the_pulls_that_were_told_before_it_was_there(activity, catalog, state):
    new = ("team", "new")
    pull(state, new, 2, TUESDAY)
    activity.fold()
    state.assign_batch(1, [new])  # a fold is at it
    pull(state, new, 1, MONDAY)
    catalog.create(ADMIN, new[0], {"repo_name": new[1]})
    activity.begin_anew(*new, since=TUESDAY)
    assert shown_pulls(activity, catalog, new) == (3, TUESDAY)
    activity.fold()
    assert stored_pulls(catalog, new) == (3, TUESDAY)


def test_a_repository_that_a_registry_brings_back_keeps_its_stars_and_no_downloads(activity, catalog, state):
    activity.star(ANN, *APP)
    pull(state, APP, 3, MONDAY)
    activity.fold()
    catalog.delete(ADMIN, *APP)
    push = ChangeRow(
        0, *APP, "push", "1.0", f"sha256:{'a' * 64}", None, TUESDAY, None, None, None, "registry", "r@r.org"
    )
    state.take_events([(b"p" * 16, push)], [APP])
    pull(state, APP, 2, FRIDAY)
    follower = RegistryFollower(catalog, state, lambda _namespace: True)
    assert follower.step()
    brought = seen(activity, catalog, ADMIN).document
    assert (pulled(brought), brought["repo_starred_count"]) == ((2, FRIDAY), 1)
    state.take_events([(b"q" * 16, replace(push, tag="2.0"))], [])
    assert follower.step()
    assert pulled(seen(activity, catalog, ADMIN).document) == (2, FRIDAY)


@on_both_databases
def test_what_a_push_has_made_has_no_pull_from_before_that_push(activity, catalog, state):
    pull(state, LIB, 1, MONDAY)
    activity.fold()
    pull(state, LIB, 1, MONDAY)
    catalog.delete(ADMIN, *LIB)
    catalog.create(ADMIN, LIB[0], {"repo_name": LIB[1]})
    activity.begin_anew(*LIB, since=TUESDAY)
    assert (shown_pulls(activity, catalog, LIB), state.pending_activity()) == ((0, None), [])


def test_what_is_made_anew_while_its_name_is_being_counted_gets_nothing_of_the_one_before(activity, catalog, state):
    activity.star(ANN, *APP)
    state.assign_batch(1, [APP])
    began = "2020-01-01T00:00:00.000Z"
    with pytest.raises(NotCountable):
        catalog.count(Caller(FOLDER, "fold-1"), 1, {APP: Deltas(1)}, began)
    activity.fold()
    assert stored(catalog) == 1


def test_stars_of_what_is_deleted_that_have_cancelled_out_leave_nothing(activity, catalog, state):
    activity.star(ANN, *APP)
    activity.unstar(ANN, *APP)
    catalog.delete(ADMIN, *APP)
    activity.fold()
    assert state.pending_activity() == []
