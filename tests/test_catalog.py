"""Use cases on a real catalog, where hands have been at work beside the API."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogd.accounts import ANONYMOUS, SCOPES, Account
from catalogd.catalog import Caller, Catalog, ListQuery
from catalogd.errors import Invalid, NotFound
from catalogd.rights import Visibility
from catalogd.store import Store

ALICE = Caller(Account("alice", "alice@example.org", True, frozenset(SCOPES), None), "a-request")
ANYONE = Caller(ANONYMOUS, "another-request")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory) -> Path:
    """A catalog that is made and closed: to copy it takes a fifth of the time."""
    root = tmp_path_factory.mktemp("made") / "catalog"
    Store.create(root)
    catalog = Catalog.open(root)
    catalog.create(ALICE, "acme", {"repo_name": "open", "description": "one"})
    catalog.create(ALICE, "acme", {"repo_name": "secret", "description": "one", "is_public": False})
    catalog.follow_index()
    catalog.close()
    return root


@pytest.fixture
def root(tmp_path, made_once) -> Path:
    return shutil.copytree(made_once, tmp_path / "catalog", symlinks=True)


@pytest.fixture
def catalog(root) -> Iterator[Catalog]:
    catalog = Catalog.open(root)
    yield catalog
    catalog.close()


@pytest.fixture
def by_hand(root, git):
    """Commits files as a hand does that skips the check; returns the commit's id."""

    def commit(files: dict[str, str], message: str = "By hand", **environment: str) -> str:
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        git(root, "add", *files)
        git(root, "commit", "--no-verify", "-m", message, env=environment)
        return git(root, "rev-parse", "main").strip()

    return commit


def broken(catalog: Catalog, by_hand) -> str:
    return by_hand({"data/acme/open.json": "{"}, "Break it")


def test_a_submodule_is_no_document_and_stops_nothing(catalog, root, git):
    git(root, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},data/acme/module.json")
    git(root, "commit", "--no-verify", "-m", "A submodule")
    assert catalog.list(ALICE, ListQuery()).count == 2
    catalog.update(ALICE, "acme", "open", {"description": "two"}, patch=False)
    again = Catalog.open(root)
    assert again.detail(ANYONE, "acme", "open").document["description"] == "two"
    again.close()


def test_a_commit_dated_past_all_calendars_is_served(catalog, by_hand):
    commit = by_hand({"notes.txt": "x"}, GIT_COMMITTER_DATE="@300000000000 +0000")
    assert catalog.detail(ANYONE, "acme", "open").commit == commit


def test_a_message_that_may_name_what_is_private_is_not_shown_to_anyone(catalog, root, by_hand):
    files = {}
    for name in ("open", "secret"):
        document = json.loads((root / f"data/acme/{name}.json").read_text()) | {"description": "two"}
        files[f"data/acme/{name}.json"] = json.dumps(document)
    by_hand(files, "Announce acme/secret")
    assert catalog.history(ANYONE, "acme", "open").results[0]["message"] == ""
    assert catalog.commits(ANYONE).results[0]["message"] == ""
    assert catalog.history(ALICE, "acme", "open").results[0]["message"] == "Announce acme/secret"


def test_a_revert_does_not_quote_what_was_said_while_the_repository_was_private(catalog, root, by_hand):
    document = json.loads((root / "data/acme/secret.json").read_text()) | {"description": "two"}
    commit = by_hand({"data/acme/secret.json": json.dumps(document)}, "Move acme/secret to 10.0.0.7")
    catalog.update(ALICE, "acme", "secret", {"is_public": True}, patch=False)
    catalog.revert(ALICE, commit)
    assert catalog.detail(ANYONE, "acme", "secret").document["description"] != "two"
    newest, shown = catalog.history(ANYONE, "acme", "secret").results
    assert newest["message"].startswith(f'Revert "{commit[:12]}"')
    assert shown["message"] == ""


def test_a_list_of_a_time_at_which_a_document_was_broken_leaves_it_out(catalog, by_hand):
    commit = broken(catalog, by_hand)
    page = catalog.list(ALICE, ListQuery(at=commit))
    assert (page.count, [row["repo_name"] for row in page.results]) == (1, ["secret"])
    catalog.follow_index()
    by_hand({"data/acme/open.json": "{}"}, "Break it otherwise")
    assert catalog.list(ALICE, ListQuery(at=commit)).count == 1


def test_a_commit_that_broke_a_document_can_be_read_and_undone(catalog, root, by_hand):
    commit = broken(catalog, by_hand)
    assert catalog.commit(ALICE, commit)["changes"][0]["fields"] == []
    catalog.follow_index()
    catalog.revert(ALICE, commit)
    assert catalog.detail(ANYONE, "acme", "open").document["description"] == "one"


def test_a_rollback_to_a_broken_document_says_what_is_wrong_with_the_commit(catalog, by_hand):
    commit = broken(catalog, by_hand)
    with pytest.raises(Invalid) as refused:
        catalog.rollback(ALICE, "acme", "open", commit)
    assert refused.value.faults[0].pointer == "/commit"


def test_a_broken_document_is_not_there_for_anyone_without_rights(catalog, by_hand):
    broken(catalog, by_hand)
    with pytest.raises(NotFound):
        catalog.update(ANYONE, "acme", "open", {"description": "x"}, patch=False)


def test_a_restored_document_without_times_gets_no_null(catalog, root, by_hand):
    commit = by_hand({"data/acme/plain.json": '{"namespace": "acme", "repo_name": "plain"}\n'})
    catalog.follow_index()
    catalog.delete(ALICE, "acme", "plain")
    catalog.rollback(ALICE, "acme", "plain", commit)
    assert "null" not in (root / "data/acme/plain.json").read_text()


def test_what_was_deleted_later_is_still_read_at_a_time_when_it_was_there(catalog):
    there = catalog.update(ALICE, "acme", "open", {"description": "two"}, patch=False).commit
    catalog.delete(ALICE, "acme", "open")
    assert catalog.detail(ANYONE, "acme", "open", at=there).document["description"] == "two"
    assert catalog.tags(ANYONE, "acme", "open", at=there).tags == []
    with pytest.raises(NotFound):
        catalog.detail(ANYONE, "acme", "open")


def test_a_repair_shows_no_reader_an_empty_catalog(catalog):
    with catalog.store.lock.held(), catalog._model.writing() as writer:
        writer.clear()
        assert catalog._model.list(None, None, None, (), None, Visibility(everything=True), 1, 20).count == 2
        catalog._mirror._catch_up(writer)
    catalog.repair()
    assert catalog.list(ALICE, ListQuery()).count == 2


def test_health_of_a_catalog_that_cannot_be_read_is_failing(catalog, root):
    main = root / ".git/refs/heads/main"
    was = main.read_text()
    main.write_text("")
    assert catalog.health()["status"] == "failing"
    main.write_text(was)
    assert catalog.health()["status"] == "ok"


@pytest.mark.slow
def test_health_tells_a_read_model_that_stays_behind_from_one_that_a_writer_is_bringing_along(catalog, by_hand):
    with catalog.store.lock.held():  # as one does who writes
        by_hand({"data/acme/open.json": '{"namespace": "acme", "repo_name": "open", "description": "two"}'})
        catalog.notice()
        assert catalog.health()["status"] == "ok"
        time.sleep(2.1)
        behind = catalog.health()
        assert (behind["status"], behind["read_model"]["behind"]) == ("degraded", True)
        catalog.mirror._follow()
        assert catalog.health()["status"] == "ok"
        by_hand({"data/acme/open.json": '{"namespace": "acme", "repo_name": "open", "description": "three"}'})
        assert catalog.health()["status"] == "ok"  # it is another commit that it is behind now
    assert catalog.health()["status"] == "ok"
