"""144 real repositories: imported, served, gone back in, exported, backed up, cloned."""

from __future__ import annotations

import gzip
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_catalog import (
    Served,
    assert_problem,
    git,
    pages,
    run,
    wait_for,
)

pytestmark = pytest.mark.slow

NGINX = "/v1/repositories/library/nginx"


@pytest.fixture(scope="module")
def _imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict]:
    """Made by the first test that has the data, for all of the module."""
    made: dict = {"home": tmp_path_factory.mktemp("official")}
    yield made
    if "served" in made:
        made["served"].close()


@pytest.fixture
def served(_imported: dict, official_images: Path) -> Served:
    if "served" not in _imported:
        home = _imported["home"]
        assert run(home, "init", "catalog").status == 0
        done = run(home, "import", official_images, CATALOGD_CATALOG=str(home / "catalog"))
        assert done.status == 0, done.err
        assert done.out.startswith("144 created, in commit ")
        _imported["served"] = Served(home / "catalog", home, home / "catalog.log").start()
    return _imported["served"]


@pytest.fixture
def rows(official_images: Path) -> list[dict]:
    with gzip.open(official_images, "rt") as lines:
        return [json.loads(line) for line in lines]


def test_all_are_listed_page_by_page_as_they_are_in_the_file(served: Served, rows: list[dict]) -> None:
    client = served.anonymous()
    listed = list(pages(client, "/v1/repositories/library?page_size=50"))
    assert client.get("/v1/repositories/library").json["count"] == 144
    assert [row["repo_name"] for row in listed] == sorted(row["repo_name"] for row in rows)
    by_name = {row["repo_name"]: row for row in rows}
    for row in listed:
        for field in ("namespace", "description", "full_description", "is_public"):
            assert row[field] == by_name[row["repo_name"]][field]
    assert any(row["labels"] for row in listed)


def test_details_and_tags_are_as_they_are_in_the_file(served: Served, rows: list[dict]) -> None:
    client = served.anonymous()
    seen = 0
    for row in rows:
        path = f"/v1/repositories/{row['namespace']}/{row['repo_name']}"
        assert client.get(path).json["full_description"] == row["full_description"]
        tags = client.get(f"{path}/tags").json
        seen += len(tags)
        expected = {tag["tag"]: (tag["image_id"], sorted(tag["architectures"])) for tag in row["tags"]}
        assert {tag["tag"]: (tag["image_id"], sorted(tag["architectures"])) for tag in tags} == expected
        assert [tag["tag"] for tag in tags] == sorted(expected)
    assert seen == sum(len(row["tags"]) for row in rows)


def test_a_search_finds_what_the_texts_say(served: Served, rows: list[dict]) -> None:
    client = served.anonymous()
    assert "nginx" in [row["repo_name"] for row in pages(client, "/v1/repositories?search=nginx&page_size=100")]
    found = {row["repo_name"] for row in pages(client, "/v1/repositories/library?search=database&page_size=100")}
    in_description = {row["repo_name"] for row in rows if "database" in row["description"].lower().split()}
    assert in_description
    assert in_description <= found < {row["repo_name"] for row in rows}
    assert client.get("/v1/repositories?search=xyzzy-nowhere").json["count"] == 0


def test_a_change_is_undone_and_a_deletion_is_restored(served: Served) -> None:
    client = served.client()
    imported = client.get(f"{NGINX}/history").json["results"][-1]["commit"]
    before = client.get(NGINX)
    tag = client.get(f"{NGINX}/tags").json[0]["tag"]
    changed = client.put(NGINX, {"description": "Not nginx at all"}).commit
    untagged = client.delete(f"{NGINX}/tags/{tag}").commit

    assert client.get(f"{NGINX}?at={imported}").json == before.json
    assert client.get(f"{NGINX}?at={changed[:7]}").json["description"] == "Not nginx at all"
    assert len(client.get(f"{NGINX}/tags?at={imported}").json) == len(client.get(f"{NGINX}/tags").json) + 1
    assert client.get(f"/v1/repositories/library?at={imported}&search=nginx").json["count"] > 0
    diff = {change["pointer"] for change in client.get(f"{NGINX}/diff?from={imported}&to={untagged}").json}
    assert {"/description", f"/tags/{tag}"} <= diff
    assert (
        b'+  "description": "Not nginx at all",'
        in client.get(f"{NGINX}/diff?from={imported}", Accept="text/x-diff").body
    )

    back = client.post(f"{NGINX}/rollback", {"commit": imported})
    assert back.status == 200
    assert {**back.json, "updated_at": None} == {**before.json, "updated_at": None}

    assert client.delete(NGINX).status == 204
    assert_problem(client.get(NGINX), 404)
    assert client.get("/v1/repositories/library").json["count"] == 143
    assert client.get(f"/v1/repositories/library?at={changed}").json["count"] == 144
    assert client.post(f"{NGINX}/rollback", {"commit": imported}).status == 200
    assert {**client.get(NGINX).json, "updated_at": None} == {**before.json, "updated_at": None}
    actions = [entry["action"] for entry in client.get(f"{NGINX}/history").json["results"]]
    assert actions == ["restored", "deleted", "updated", "updated", "updated", "created"]
    file = served.root / "data/library/nginx.json"
    assert json.loads(file.read_text())["description"] == before.json["description"]


def test_git_finds_nothing_wrong_and_its_status_is_clean_once_idle(served: Served) -> None:
    served.client().put("/v1/repositories/library/redis", {"description": "changed"})
    served.settle()
    assert git(served.root, "fsck", "--strict", "--full", "--no-dangling") == ""
    assert git(served.root, "status", "--porcelain") == ""
    assert git(served.root, "log", "--oneline", "--", "data/library/redis.json").count("\n") == 2
    assert "admin" in git(served.root, "blame", "data/library/redis.json")


def test_a_plain_clone_passes_the_check(served: Served, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(served.root), "clone")
    done = run(tmp_path, "check", "clone")
    assert done.status == 0, done.out
    assert done.out.endswith("0 errors, 0 warnings\n")


def test_an_import_of_the_same_file_again_makes_no_commit(served: Served, official_images: Path) -> None:
    served.run("import", official_images)
    before = git(served.root, "rev-parse", "main")
    again = served.run("import", official_images)
    assert (again.status, again.out.splitlines()[0]) == (0, "144 unchanged")
    assert git(served.root, "rev-parse", "main") == before


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
def test_what_is_exported_and_imported_again_is_the_same_to_the_byte(served: Served, tmp_path: Path, name: str) -> None:
    assert served.run("export", tmp_path / name).status == 0
    assert run(tmp_path, "init", "copy").status == 0
    done = run(tmp_path, "import", name, "--catalog", "copy")
    assert done.status == 0, done.err
    trees = [git(root, "rev-parse", "main:data") for root in (served.root, tmp_path / "copy")]
    assert trees[0] == trees[1]
    assert subprocess.run(["diff", "-r", served.root / "data", tmp_path / "copy/data"], check=False).returncode == 0


@pytest.mark.slow
def test_a_backup_becomes_a_new_catalog_with_history_and_accounts(served: Served, tmp_path: Path) -> None:
    token = served.user("keeper", "--admin")
    head = served.client().put("/v1/repositories/library/mongo", {"description": "before the backup"}).commit
    archive = tmp_path / "backup.tar.gz"
    done = served.run("backup", archive)
    assert done.status == 0, done.err
    assert archive.stat().st_mode & 0o077 == 0
    served.client().put("/v1/repositories/library/mongo", {"description": "after the backup"})
    with tarfile.open(archive) as members:
        # The first releases of Python 3.11 have no filters.
        filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        members.extractall(tmp_path / "unpacked", **filtered)
    git(tmp_path, "clone", "-q", "-b", "main", "unpacked/catalog.bundle", "catalog")
    assert git(tmp_path / "catalog", "rev-parse", "main").strip() == head
    assert run(tmp_path, "doctor", "--catalog", "catalog").status == 0
    (tmp_path / "unpacked/state.db").rename(tmp_path / "catalog/.git/catalogd/state.db")
    restored = Served(tmp_path / "catalog", tmp_path, tmp_path / "restored.log").start()
    try:
        client = restored.client(token)
        assert client.get("/v1/repositories/library/mongo").json["description"] == "before the backup"
        assert client.get(f"{NGINX}/history").json["count"] >= 1
        assert client.put("/v1/repositories/library/mongo", {"description": "in the new one"}).status == 200
    finally:
        restored.close()


def test_a_read_model_that_is_deleted_is_made_anew(served: Served) -> None:
    before = served.client().get("/v1/repositories/library?page_size=100").json["results"]
    served.stop()
    for file in (served.root / ".git/catalogd").glob("readmodel.db*"):
        file.unlink()
    served.start()
    wait_for(lambda: served.anonymous().get("/v1/repositories/library").json["count"] == 144, 10, "all are back")
    assert served.client().get("/v1/repositories/library?page_size=100").json["results"] == before
