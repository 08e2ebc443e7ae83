"""The past: read, compared, brought back, followed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from served_catalog import (
    IMAGE,
    NOBODYS_COMMIT,
    OTHER_IMAGE,
    TIME,
    Client,
    Served,
    assert_problem,
    git,
    newest,
    pages,
    pointers,
    wait_for,
)


@pytest.fixture
def versions(admin: Client, one: str) -> list[str]:
    """The commits of three versions: first, second and third as description."""
    commits = [admin.get(one).commit]
    for description in ("second", "third"):
        commits.append(admin.put(one, {"description": description}).commit)
    return commits


def test_a_repository_is_read_at_a_commit_a_short_commit_and_a_time(
    shared: Served, admin: Client, one: str, versions: list[str]
) -> None:
    for commit, description in zip(versions, ("first", "second", "third"), strict=True):
        for at in (commit, commit[:12], commit[:7]):
            assert admin.get(f"{one}?at={at}").json["description"] == description
    committed_at = git(shared.root, "show", "-s", "--format=%cI", versions[2]).strip()
    for at in (
        committed_at,
        "2099-01-01T00:00:00Z",
        "2099-01-01T00:00:00.123%2B02:00",
        "2099-01-01T00:00:00+02:00",
    ):
        assert admin.get(f"{one}?at={at.replace('+02', '%2B02')}").json["description"] == "third"
    assert_problem(admin.get(f"{one}?at=1999-01-01T00:00:00Z"), 404)
    assert_problem(admin.get(f"{one}?at={NOBODYS_COMMIT}"), 404)
    before = git(shared.root, "rev-parse", f"{versions[0]}^").strip()
    assert_problem(admin.get(f"{one}?at={before}"), 404)


@pytest.mark.slow
def test_a_time_means_the_newest_commit_not_after_it(served: Served) -> None:
    client = served.client()
    first = client.post("/v1/repositories/timely", {"repo_name": "r", "description": "first"}).commit
    row = client.get(f"/v1/commits/{first}").json
    at = datetime.fromisoformat(row["committed_at"])
    wait_for(lambda: datetime.now(UTC) > at + timedelta(seconds=1.1), 5, "the next second")
    client.put("/v1/repositories/timely/r", {"description": "second"})
    path = "/v1/repositories/timely/r"

    def stamp(moment: datetime) -> str:
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    assert client.get(f"{path}?at={stamp(at)}").json["description"] == "first"
    assert client.get(f"{path}?at={stamp(at + timedelta(milliseconds=999))}").json["description"] == "first"
    assert client.get(f"{path}?at={stamp(at + timedelta(hours=1))}").json["description"] == "second"
    before = client.get(f"{path}?at={stamp(at - timedelta(milliseconds=1))}")
    assert before.status == 404 or before.json["description"] == "first"


def test_tags_and_lists_are_read_at_a_commit(admin: Client, one: str, name: str) -> None:
    first = admin.put(f"{one}/tags/a", {"image_id": IMAGE}).commit
    second = admin.put(f"{one}/tags/a", {"image_id": OTHER_IMAGE}).commit
    admin.delete(f"{one}/tags/a")
    admin.post(f"/v1/repositories/{name}", {"repo_name": "two"})
    admin.delete(one)
    assert admin.get(f"/v1/repositories/{name}?at={first}").json["count"] == 1
    assert [row["repo_name"] for row in admin.get(f"/v1/repositories/{name}").json["results"]] == ["two"]
    admin.post(f"{one}/rollback", {"commit": second})
    for commit, image in ((first, IMAGE), (second, OTHER_IMAGE)):
        assert admin.get(f"{one}/tags?at={commit}").json[0]["image_id"] == image
        assert admin.get(f"{one}/tags/a?at={commit}").json["image_id"] == image


def test_the_history_is_newest_first_with_actions_and_fields(admin: Client, one: str) -> None:
    made = admin.get(one).commit
    admin.put(one, {"description": "second", "labels": {"a": "1"}})
    admin.put(f"{one}/tags/v1", {"image_id": IMAGE})
    admin.delete(one)
    after_delete = admin.get(f"{one}/history").json
    assert [entry["action"] for entry in after_delete["results"]] == [
        "deleted",
        "updated",
        "updated",
        "created",
    ]
    admin.post(f"{one}/rollback", {"commit": made})
    entries = admin.get(f"{one}/history").json["results"]
    assert [list(entry) for entry in entries] == [
        ["commit", "author", "committed_at", "message", "proposal", "reviewed_by", "action", "fields"]
    ] * 5
    assert [entry["action"] for entry in entries] == ["restored", "deleted", "updated", "updated", "created"]
    assert {"/description", "/labels/a"} <= set(entries[3]["fields"])
    assert "/tags/v1" in entries[2]["fields"]
    assert entries[4]["commit"] == made
    for entry in entries:
        assert TIME.fullmatch(entry["committed_at"])
        assert entry["author"] == "admin"
    assert [row["commit"] for row in pages(admin, f"{one}/history?page_size=2")] == [row["commit"] for row in entries]


def test_a_diff_names_the_fields_with_before_and_after(admin: Client, one: str) -> None:
    start = admin.get(one).commit
    admin.put(one, {"description": "second", "labels": {"a/b": "1"}})
    end = admin.put(f"{one}/tags/v1", {"image_id": IMAGE}).commit
    changes = {change["pointer"]: change for change in admin.get(f"{one}/diff?from={start}&to={end[:9]}").json}
    assert changes["/description"] == {"pointer": "/description", "before": "first", "after": "second"}
    assert changes["/labels/a~1b"] == {"pointer": "/labels/a~1b", "after": "1"}
    assert changes["/tags/v1"]["after"]["image_id"] == IMAGE
    back = {change["pointer"]: change for change in admin.get(f"{one}/diff?from={end}&to={start}").json}
    assert back["/labels/a~1b"] == {"pointer": "/labels/a~1b", "before": "1"}
    assert {c["pointer"] for c in admin.get(f"{one}/diff").json} == {"/tags/v1", "/pushed_at", "/updated_at"}
    assert admin.get(f"{one}/diff?from={end}&to={end}").json == []
    assert_problem(admin.get(f"{one}/diff?from=zzz"), 400)
    assert_problem(admin.get(f"{one}/diff?from={NOBODYS_COMMIT}"), 404)


def test_a_unified_diff_is_one_that_git_applies(shared: Served, admin: Client, one: str, tmp_path: Path) -> None:
    start, end = admin.get(one).commit, admin.put(one, {"description": "naïve ☃"}).commit
    reply = admin.get(f"{one}/diff?from={start}&to={end}", Accept="text/x-diff")
    assert reply.headers["content-type"].startswith("text/x-diff")
    file = "data/" + one.removeprefix("/v1/repositories/") + ".json"
    before, after = (git(shared.root, "show", f"{commit}:{file}") for commit in (start, end))
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(before)
    git(tmp_path, "apply", "-", stdin=reply.body)
    assert (tmp_path / file).read_text() == after
    created = admin.get(
        f"{one}/diff?from={git(shared.root, 'rev-parse', start + '^').strip()}&to={end}", Accept="text/x-diff"
    )
    (tmp_path / file).unlink()
    git(tmp_path, "apply", "-", stdin=created.body)
    assert (tmp_path / file).read_text() == after


def test_blame_names_the_last_change_of_each_field(admin: Client, one: str) -> None:
    made = admin.get(one).commit
    described = admin.put(one, {"description": "second"}).commit
    tagged = admin.put(f"{one}/tags/v1", {"image_id": IMAGE}).commit
    blame = admin.get(f"{one}/blame").json
    assert blame["/description"]["commit"] == described
    assert blame["/tags/v1"]["commit"] == tagged
    assert blame["/created_at"]["commit"] == made
    assert list(blame["/description"]) == ["commit", "author", "committed_at", "proposal", "reviewed_by"]
    admin.put(one, {"description": "first"})
    assert admin.get(f"{one}/blame").json["/description"]["commit"] == newest(admin)


@pytest.mark.slow
def test_a_rollback_brings_back_a_state_but_not_the_counters(shared: Served, admin: Client, name: str) -> None:
    def imported(**fields: object) -> str:
        line = json.dumps({"namespace": name, "repo_name": "r", **fields}).encode()
        assert shared.run("import", "-", stdin=line).status == 0
        head = git(shared.root, "rev-parse", "main").strip()
        wait_for(lambda: newest(admin) == head, 5, "the import is served")
        return head

    old = imported(description="old", download=1, labels={"a": "1"}, tags=[{"tag": "t", "image_id": IMAGE}])
    imported(description="new", download=99, labels={"b": "2"}, tags=[])
    path = f"/v1/repositories/{name}/r"
    reply = admin.post(f"{path}/rollback", {"commit": old[:10]})
    assert (reply.status, reply.json["description"], reply.json["download"]) == (200, "old", 99)
    assert reply.json["labels"] == {"a": "1"}
    assert [tag["tag"] for tag in admin.get(f"{path}/tags").json] == ["t"]
    again = admin.post(f"{path}/rollback", {"commit": old})
    assert again.status == 200
    assert again.commit == reply.commit
    assert newest(admin) == reply.commit


def test_a_rollback_restores_a_deleted_repository(admin: Client, one: str, versions: list[str]) -> None:
    admin.delete(one)
    assert admin.get(one).status == 404
    assert admin.post(f"{one}/rollback", {"commit": versions[1]}).status == 200
    assert admin.get(one).json["description"] == "second"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"commit": 7},
        {"commit": None},
        {"commit": ""},
        {"commit": "zzzzzzz"},
        {"commit": "--help"},
        {"commit": NOBODYS_COMMIT},
        {"commit": "HEAD"},
        {"commit": ["a"]},
        {"commit": "main~1"},
        {"commit": "abcdef0", "x": 1},
        [],
        None,
        "abcdef0",
    ],
)
def test_a_rollback_to_nowhere_is_422_and_changes_nothing(admin: Client, one: str, body: object) -> None:
    before = newest(admin)
    assert_problem(admin.post(f"{one}/rollback", json.dumps(body).encode()), 422, "invalid")
    assert newest(admin) == before


def test_a_rollback_to_before_its_time_is_422(shared: Served, admin: Client, one: str) -> None:
    before = git(shared.root, "rev-parse", f"{admin.get(one).commit}^").strip()
    assert pointers(assert_problem(admin.post(f"{one}/rollback", {"commit": before}), 422)) == ["/commit"]


def test_a_revert_undoes_one_commit_and_keeps_what_came_after(shared: Served, admin: Client, one: str) -> None:
    wrong = admin.put(one, {"description": "wrong"}).commit
    admin.put(one, {"full_description": "later"})
    reply = admin.post(f"/v1/commits/{wrong}/revert")
    assert reply.status == 201
    assert reply.headers["location"] == f"/v1/commits/{reply.commit}"
    detail = admin.get(one).json
    assert (detail["description"], detail["full_description"]) == ("first", "later")
    assert f"This reverts commit {wrong}" in git(shared.root, "show", "-s", "--format=%B", reply.commit)
    assert_problem(admin.post(f"/v1/commits/{wrong}/revert"), 409, "conflict")


def test_a_revert_that_would_undo_later_work_is_409_that_names_the_fields(admin: Client, one: str) -> None:
    wrong = admin.put(one, {"description": "wrong", "labels": {"a": "1"}}).commit
    admin.put(one, {"description": "right"})
    before = newest(admin)
    problem = assert_problem(admin.post(f"/v1/commits/{wrong}/revert"), 409, "conflict")
    assert any("/description" in pointer for pointer in pointers(problem))
    assert not any("/labels" in pointer for pointer in pointers(problem))
    assert newest(admin) == before


def test_reverting_a_create_deletes_and_reverting_a_delete_restores(admin: Client, one: str) -> None:
    made, gone = admin.get(one).commit, admin.delete(one).commit
    assert admin.post(f"/v1/commits/{gone}/revert").status == 201
    assert admin.get(one).json["description"] == "first"
    assert admin.post(f"/v1/commits/{made[:8]}/revert/").status == 201
    assert admin.get(one).status == 404
    assert_problem(admin.post("/v1/commits/zzzzzzz/revert"), 400)


def test_commits_are_listed_with_what_they_touch_and_shown_field_by_field(admin: Client, one: str, name: str) -> None:
    commit = admin.put(one, {"description": "second"}).commit
    row = admin.get("/v1/commits?page_size=1").json["results"][0]
    assert list(row) == ["commit", "author", "committed_at", "message", "proposal", "reviewed_by", "changes"]
    assert row["commit"] == commit
    assert row["changes"] == [{"namespace": name, "repo_name": "one", "action": "updated"}]
    shown = admin.get(f"/v1/commits/{commit[:7]}").json
    assert shown["commit"] == commit
    fields = {field["pointer"]: field for field in shown["changes"][0]["fields"]}
    assert fields["/description"] == {"pointer": "/description", "before": "first", "after": "second"}
    for bad, status in (("zzz", 400), ("abc", 400), ("HEAD", 400), ("-x", 400), (NOBODYS_COMMIT, 404)):
        assert_problem(admin.get(f"/v1/commits/{bad}"), status)


def test_the_changes_feed_tells_each_repository_once_with_tombstones(admin: Client, name: str) -> None:
    path = f"/v1/repositories/{name}"
    admin.post(path, {"repo_name": "old"})
    since = admin.post(path, {"repo_name": "gone"}).commit
    admin.post(path, {"repo_name": "new"})
    admin.post(path, {"repo_name": "brief"})
    admin.delete(f"{path}/brief")
    admin.put(f"{path}/old", {"description": "once"})
    admin.put(f"{path}/old", {"description": "twice"})
    until = admin.delete(f"{path}/gone").commit
    feed = admin.get(f"/v1/changes?since={since[:12]}").json
    assert list(feed) == ["from", "to", "results"]
    assert (feed["from"], feed["to"]) == (since, until)
    told = {row["repo_name"]: row for row in feed["results"]}
    assert {repo: row["action"] for repo, row in told.items()} == {
        "old": "updated",
        "gone": "deleted",
        "new": "created",
    }
    assert told["gone"]["document"] is None
    assert told["old"]["document"]["description"] == "twice"
    assert told["old"]["document"]["tags"] == []
    assert admin.get(f"/v1/changes?since={until}").json["results"] == []


def test_an_unknown_point_in_the_feed_is_410_that_says_how_to_start_anew(admin: Client) -> None:
    problem = assert_problem(admin.get(f"/v1/changes?since={NOBODYS_COMMIT}"), 410, "gone")
    assert "list" in problem["detail"]
    assert_problem(admin.get("/v1/changes?since=--all"), 400)
    assert_problem(admin.get("/v1/changes"), 400)
