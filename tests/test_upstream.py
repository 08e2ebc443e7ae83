"""The catalog and its upstream stay together, whoever moves, and nothing is settled in silence."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogd.accounts import SCOPES, Account
from catalogd.catalog import Caller, Catalog, Unjoinable
from catalogd.store import RemoteFailed, Store
from catalogd.upstream import Upstream
from tests.plain_git import Clone

pytestmark = pytest.mark.slow

ALICE = Caller(Account("alice", "alice@example.org", True, frozenset(SCOPES), None), "a-request")
WEB = "data/acme/web.json"


@pytest.fixture
def bare(tmp_path, git) -> Path:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "upstream.git")
    return tmp_path / "upstream.git"


@pytest.fixture
def open_beside(tmp_path, bare) -> Iterator:
    """Opens catalogs that have the bare repository as their upstream; (catalog, upstream)."""
    opened = []

    def begin(name: str) -> tuple[Catalog, Upstream]:
        root = tmp_path / name
        if not root.exists():
            Store.create(root)
        catalog = Catalog.open(root)
        opened.append(catalog)
        return catalog, Upstream(catalog, catalog.store.remote(str(bare)), 0.2)

    yield begin
    for catalog in opened:
        catalog.close()


@pytest.fixture
def ours(open_beside) -> tuple[Catalog, Upstream]:
    catalog, upstream = open_beside("catalog")
    catalog.create(ALICE, "acme", {"repo_name": "web", "description": "one", "full_description": "one"})
    return catalog, upstream


@pytest.fixture
def clone(ours, bare, tmp_path, git) -> Clone:
    """Of the upstream, as whoever merges pull requests there has it."""
    assert ours[1].step()
    git(tmp_path, "clone", "-q", str(bare), "clone")
    return Clone(tmp_path / "clone", git)


def main_of(bare: Path, git) -> str:
    return git(bare, "rev-parse", "main").strip()


def merge_there(clone: Clone, **fields: object) -> str:
    clone.git("pull", "-q", "--rebase")
    commit = clone.edit(WEB, "Merged on the forge", **fields)
    clone.git("push", "-q", "origin", "main")
    return commit


def web(catalog: Catalog) -> dict:
    return catalog.detail(ALICE, "acme", "web").document


def update(catalog: Catalog, **fields: object) -> str:
    return catalog.update(ALICE, "acme", "web", fields, patch=True).commit


def test_an_empty_upstream_gets_what_is_here(ours, bare, git):
    catalog, upstream = ours
    assert upstream.step()
    assert main_of(bare, git) == catalog.store.head()
    status = upstream.status()
    assert (status["ahead"], status["behind"], status["failure"]) == (0, 0, None)


def test_what_is_written_here_is_pushed_and_what_is_merged_there_comes_in(ours, clone, bare, git):
    catalog, upstream = ours
    written = update(catalog, description="two")
    assert upstream.step()
    assert main_of(bare, git) == written
    merged = merge_there(clone, full_description="two")
    assert upstream.step()
    assert catalog.store.head() == merged
    assert web(catalog)["full_description"] == "two"


def test_where_both_have_moved_they_end_at_one_merge(ours, clone, bare, git):
    catalog, upstream = ours
    merged = merge_there(clone, full_description="two")
    written = update(catalog, description="two")
    assert upstream.step()
    assert main_of(bare, git) == catalog.store.head()
    assert (web(catalog)["description"], web(catalog)["full_description"]) == ("two", "two")
    for commit in (merged, written):
        assert catalog.store.contains(catalog.store.head(), commit)
        assert catalog.commit(ALICE, commit)["commit"] == commit


def test_a_conflict_stops_the_two_and_is_told_by_field_and_not_by_value(ours, clone, bare, git, caplog):
    catalog, upstream = ours
    theirs = merge_there(clone, description="theirs")
    written = update(catalog, description="ours")
    with caplog.at_level(logging.WARNING):
        assert not upstream.step()
    assert f"'{WEB} /description' was changed on both sides" in caplog.text
    assert (main_of(bare, git), catalog.store.head()) == (theirs, written)
    report = upstream.health()
    assert report["status"] == "degraded"
    assert report["upstream"]["conflicting"] == [{"path": WEB, "pointer": "/description"}]
    assert report["upstream"]["conflicts"] == 1
    assert (report["upstream"]["ahead"], report["upstream"]["behind"]) == (1, 1)
    assert "theirs" not in str(report)


def test_what_one_knows_another_process_can_tell(ours, clone, bare):
    catalog, upstream = ours
    other = Upstream(catalog, catalog.store.remote(str(bare)), 0.2)
    merge_there(clone, description="theirs", full_description=None)
    update(catalog, description="ours", full_description="ours")
    assert not upstream.step()
    other.hear(json.loads(json.dumps(upstream.told())))
    assert other.report()["conflicts"] == upstream.report()["conflicts"]
    for each in (told := upstream.health(), heard := other.health()):
        assert each["upstream"].pop("together_seconds") < 60
    assert heard == told
    assert [conflict["pointer"] for conflict in other.report()["conflicts"]] == ["/description", "/full_description"]


def test_a_conflict_in_a_private_repository_is_counted_but_not_named_to_everybody(ours, clone):
    catalog, upstream = ours
    update(catalog, is_public=False)
    upstream.step()
    merge_there(clone, description="theirs")
    update(catalog, description="ours")
    assert not upstream.step()
    status = upstream.status()
    assert (status["conflicts"], status["conflicting"]) == (1, [])
    assert [conflict["path"] for conflict in upstream.report()["conflicts"]] == [WEB]


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_conflict_is_settled_by_choosing_a_side(ours, clone, bare, git, side):
    catalog, upstream = ours
    merge_there(clone, description="theirs", full_description="two")
    update(catalog, description="ours")
    with pytest.raises(Unjoinable):
        upstream.sync()
    upstream.sync({WEB: side})
    assert (web(catalog)["description"], web(catalog)["full_description"]) == (side, "two")
    assert main_of(bare, git) == catalog.store.head()
    assert upstream.step()
    assert upstream.health()["status"] == "ok"


@pytest.mark.parametrize("chosen", ["data/acme", "data", "."])
def test_a_directory_stands_for_all_in_it_and_the_nearest_counts(ours, clone, chosen):
    catalog, upstream = ours
    merge_there(clone, description="theirs")
    update(catalog, description="ours")
    upstream.sync({chosen: "ours", "data/other": "theirs"})
    assert web(catalog)["description"] == "ours"


def test_conflicts_can_be_settled_one_after_the_other_but_not_against_what_nobody_has_seen(ours, clone, open_beside):
    catalog, upstream = ours
    catalog.create(ALICE, "acme", {"repo_name": "other", "description": "one"})
    upstream.step()
    merge_there(clone, description="theirs")
    clone.edit("data/acme/other.json", "Merged on the forge", description="theirs")
    clone.git("push", "-q", "origin", "main")
    update(catalog, description="ours")
    catalog.update(ALICE, "acme", "other", {"description": "ours"}, patch=True)
    with pytest.raises(Unjoinable) as raised:
        upstream.sync({WEB: "theirs"})
    assert [conflict.path for conflict in raised.value.conflicts] == ["data/acme/other.json"]
    clone.edit(WEB, "Changed again on the forge", description="theirs again")
    clone.git("push", "-q", "origin", "main")
    with pytest.raises(Unjoinable) as raised:
        upstream.sync({"data/acme/other.json": "ours"})
    assert [conflict.path for conflict in raised.value.conflicts] == [WEB]
    upstream.sync({WEB: "theirs"})
    assert web(catalog)["description"] == "theirs again"
    assert catalog.detail(ALICE, "acme", "other").document["description"] == "ours"
    assert not (catalog.store.private / "choices").exists()


def test_a_choice_for_theirs_does_not_undo_what_was_written_here_after_it(ours, clone):
    catalog, upstream = ours
    catalog.create(ALICE, "acme", {"repo_name": "other", "description": "one"})
    upstream.step()
    merge_there(clone, description="theirs")
    clone.edit("data/acme/other.json", "Merged on the forge", description="theirs")
    clone.git("push", "-q", "origin", "main")
    update(catalog, description="ours")
    catalog.update(ALICE, "acme", "other", {"description": "ours"}, patch=True)
    with pytest.raises(Unjoinable):
        upstream.sync({WEB: "theirs"})
    update(catalog, description="ours again")
    with pytest.raises(Unjoinable) as raised:
        upstream.sync({"data/acme/other.json": "ours"})
    assert [(conflict.path, conflict.ours) for conflict in raised.value.conflicts] == [(WEB, "ours again")]


def test_a_conflict_is_settled_by_hand_with_plain_git(ours, clone, bare, git):
    catalog, upstream = ours
    merge_there(clone, description="theirs")
    update(catalog, description="ours")
    assert not upstream.step()
    clone.git("fetch", "-q", str(catalog.store.root), "main")
    mended = (clone.directory / WEB).read_text().replace("theirs", "both")
    clone.git("merge", "-q", "-s", "ours", "--no-commit", "FETCH_HEAD")
    (clone.directory / WEB).write_text(mended)
    clone.git("commit", "-qam", "Both")
    clone.git("push", "-q", "origin", "main")
    assert upstream.step()
    assert web(catalog)["description"] == "both"
    assert main_of(bare, git) == catalog.store.head()


def test_the_writes_go_on_while_there_is_a_conflict(ours, clone, bare, git):
    catalog, upstream = ours
    merge_there(clone, description="theirs")
    update(catalog, description="ours")
    assert not upstream.step()
    later = update(catalog, full_description="later")
    upstream.sync({WEB: "ours"})
    assert catalog.store.contains(main_of(bare, git), later)


def test_an_upstream_that_is_away_only_delays(ours, clone, bare, git):
    catalog, upstream = ours
    bare.rename(bare.with_name("away.git"))
    written = update(catalog, description="two")
    assert not upstream.step()
    assert not upstream.step()
    with pytest.raises(RemoteFailed):
        upstream.sync()
    assert upstream.status()["failure"].startswith("The upstream cannot be reached")
    bare.with_name("away.git").rename(bare)
    assert upstream.step()
    assert main_of(bare, git) == written


def test_an_upstream_that_refuses_only_delays(ours, clone, bare, git):
    catalog, upstream = ours
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)
    written = update(catalog, description="two")
    assert not upstream.step()
    hook.unlink()
    assert upstream.step()
    assert main_of(bare, git) == written


def test_what_does_not_fit_stays_out_until_it_is_mended_there(ours, clone, bare, git):
    catalog, upstream = ours
    merge_there(clone, description=7)
    before = catalog.store.head()
    assert not upstream.step()
    assert catalog.store.head() == before
    assert upstream.health()["status"] == "degraded"
    merge_there(clone, description="seven")
    assert upstream.step()
    assert web(catalog)["description"] == "seven"


def test_two_catalogs_with_one_upstream_end_equal(ours, clone, open_beside, bare, tmp_path, git):
    git(tmp_path, "clone", "-q", str(bare), "second")
    (tmp_path / "second/.git/catalogd").mkdir()
    first, first_upstream = ours
    second, second_upstream = open_beside("second")
    written = []

    def write(catalog: Catalog, upstream: Upstream, field: str) -> None:
        for number in range(12):
            written.append(update(catalog, labels={f"{field}-{number}": "x"}))
            written.append(catalog.create(ALICE, "acme", {"repo_name": f"{field}-{number}"}).commit)
            upstream.step()

    threads = [
        threading.Thread(target=write, args=(first, first_upstream, "first")),
        threading.Thread(target=write, args=(second, second_upstream, "second")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for upstream in (first_upstream, second_upstream, first_upstream):
        assert upstream.step()
    assert first.store.head() == second.store.head() == main_of(bare, git)
    assert len(web(first)["labels"]) == 24
    for catalog in (first, second):
        for commit in written:
            assert catalog.commit(ALICE, commit)["commit"] == commit
        assert catalog.store.fsck() == []
