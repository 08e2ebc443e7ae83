"""The document of the original service, example by example, in its order: what clients of 2014 rely on.

Names, order and types of the members are compared; so are the values, where an import can set them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from served_catalog import TIME, Reply, Served, commit_by_hand, git, pages, wait_for

# The examples as the document has them (its `False` and its missing comma put right).
CREATE = {
    "repo_name": "repo",
    "description": "A repo docker image repository",
    "namespace": "madams",
    "is_public": True,
}
CREATED = {
    "repo_name": "repo",
    "namespace": "madams",
    "repo_path": "madams/repo",
    "is_automated": False,
    "description": "A repo docker image repository",
    "creation_time": "2014-11-19T05:54:22.741Z",
    "updated_time": "2014-11-19T05:54:22.741Z",
    "is_public": True,
    "logo": "default-icon.jpg",
}
ROWS = [
    {
        "repo_name": name,
        "namespace": "madams",
        "repo_path": f"madams/{name}",
        "is_automated": False,
        "description": name,
        "creation_at": at,
        "updated_at": at,
        "is_public": True,
        "logo": "default-icon.jpg",
        "repo_starred_count": 0,
        "full_description": "",
        "download": 0,
        "upload": 9,
        "pulled_at": None,
        "pushed_at": "2015-06-04T16:30:27.532Z",
    }
    for name, at in (("repo1", "2014-11-19T05:54:22.741Z"), ("repo2", "2014-11-19T05:55:42.741Z"))
]
UPDATED = {
    "repo_name": "repo",
    "namespace": "madams",
    "repo_path": "madams/repo",
    "description": "A repo docker image repository",
    "is_public": True,
    "logo": "default-icon.jpg",
}
DETAIL = {
    "namespace": "madams",
    "repo_name": "test",
    "repo_path": "madams/test",
    "logo_file": "/static/images/user/default-logo.png",
    "description": "test",
    "full_description": "test contain 2 tags",
    "repo_starred_count": 0,
    "created_at": "2015-05-13T01:04:48.246Z",
    "updated_at": "2015-06-07T10:41:31.882Z",
    "is_public": False,
    "logo": "default-icon.jpg",
    "is_automated": False,
    "download": 103,
    "upload": 4,
    "pulled_at": "2015-06-07T10:41:31.881Z",
    "pushed_at": "2015-05-24T00:54:26.452Z",
    "is_repo_starred": False,
}
TAGS = [
    {"image_id": "a4002247cb22e78c8d9ffeccdf7ea23d7763f53493d4d763cb4dbe58bf3566b5", "tag": "test"},
    {"image_id": "e72ac664f4f0c6a061ac4ef332557a70d69b0c62fb6add35f1c181ff7fff2287", "tag": "latest"},
]
# The row's and the detail's additions to the document (api.md).
ROW_ADDITIONS = {"created_at", "labels"}
DETAIL_ADDITIONS = {
    "labels": {},
    "build_config": {
        "code_repo_client": "Simple",
        "created_by": "madams",
        "docker_repo_path": "madams/test",
        "code_repo_path": "",
    },
}


@pytest.fixture
def served(shared: Served) -> Served:
    """One server for all of these, with nothing in the namespace of the examples."""
    client = shared.client()
    for row in list(pages(client, "/v1/repositories/madams")):
        assert client.delete(f"/v1/repositories/{row['repo_path']}").status == 204
    return shared


BOTH = pytest.mark.parametrize("slash", ["", "/"], ids=["without a slash", "with a slash"])


def imported(served: Served, tmp_path: Path, *documents: dict) -> None:
    """What no client can set, counters and times, comes in by an import."""
    lines = tmp_path / "documents.jsonl"
    lines.write_text("".join(json.dumps(document) + "\n" for document in documents))
    done = served.run("import", lines)
    assert done.status == 0, done.err
    head = git(served.root, "rev-parse", "main").strip()
    wait_for(lambda: served.client().get("/v1/commits").json["results"][0]["commit"] == head, 5, "it is served")


def is_json(reply: Reply, status: int) -> bool:
    assert reply.headers["content-type"] == "application/json"
    assert "location" not in reply.headers or reply.status == 201
    return reply.status == status


def members(value: dict) -> list[tuple[str, type]]:
    return [(name, type(content)) for name, content in value.items()]


@BOTH
def test_create_answers_with_the_members_of_the_example_in_its_order(served: Served, slash: str) -> None:
    reply = served.client().post(f"/v1/repositories/madams{slash}", CREATE)
    assert is_json(reply, 201)
    created = reply.json
    assert members(created) == members(CREATED)
    assert TIME.fullmatch(created["creation_time"])
    assert TIME.fullmatch(created["updated_time"])
    times = {name: created[name] for name in ("creation_time", "updated_time")}
    assert created == CREATED | times


def test_create_takes_a_body_without_namespace_as_clients_send_it(served: Served) -> None:
    body = {"repo_name": "repo", "description": "A repo docker image repository", "is_public": True}
    assert served.client().post("/v1/repositories/madams/", body).json["namespace"] == "madams"


@BOTH
def test_the_list_has_the_rows_of_the_example_and_two_additions_at_their_end(
    served: Served, tmp_path: Path, slash: str
) -> None:
    imported(
        served,
        tmp_path,
        *({k: v for k, v in row.items() if k != "repo_path"} | {"created_at": row["creation_at"]} for row in ROWS),
        {"namespace": "madams", "repo_name": "repo3"},
    )
    reply = served.client().get(f"/v1/repositories/madams{slash}")
    assert is_json(reply, 200)
    page = reply.json
    assert list(page) == ["count", "next", "previous", "results"]
    assert (page["count"], page["next"], page["previous"]) == (3, None, None)
    for row, example in zip(page["results"], ROWS, strict=False):
        known = {name: value for name, value in row.items() if name not in ROW_ADDITIONS}
        assert list(row)[: len(example)] == list(example)
        assert set(row) == set(example) | ROW_ADDITIONS
        assert members(known) == members(example)
        assert known == example
        assert row["created_at"] == row["creation_at"]
        assert row["labels"] == {}


@BOTH
def test_update_answers_with_the_members_of_the_example_in_its_order(served: Served, slash: str) -> None:
    client = served.client()
    client.post("/v1/repositories/madams/", CREATE | {"description": "old", "is_public": False})
    body = {"description": CREATE["description"], "is_public": True}
    reply = client.put(f"/v1/repositories/madams/repo{slash}", body)
    assert is_json(reply, 200)
    assert list(reply.json.items()) == list(UPDATED.items())


def test_update_is_partial_and_keeps_what_it_does_not_name(served: Served) -> None:
    client = served.client()
    client.post("/v1/repositories/madams/", CREATE | {"full_description": "long"})
    client.put("/v1/repositories/madams/repo", {"description": "other"})
    detail = client.get("/v1/repositories/madams/repo").json
    assert (detail["description"], detail["full_description"], detail["is_public"]) == ("other", "long", True)


@BOTH
def test_detail_has_the_members_of_the_example_in_its_order_and_additions_at_the_end(
    served: Served, tmp_path: Path, slash: str
) -> None:
    imported(served, tmp_path, {k: v for k, v in DETAIL.items() if k not in ("repo_path", "logo_file")})
    reply = served.client().get(f"/v1/repositories/madams/test{slash}")
    assert is_json(reply, 200)
    assert list(reply.json.items()) == [*DETAIL.items(), *DETAIL_ADDITIONS.items()]


@pytest.mark.slow
@BOTH
def test_a_document_committed_by_hand_is_shown_as_the_example(served: Served, slash: str) -> None:
    stored = {k: v for k, v in DETAIL.items() if k not in ("repo_path", "logo_file", "is_automated", "is_repo_starred")}
    served.settle()  # or what was deleted just now, written again byte for byte, is taken for a file that is behind
    file = served.root / "data" / "madams" / "test.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(stored))
    assert commit_by_hand(served.root, f"Add madams/test by hand{slash}", "data/madams/test.json")
    client = served.client()
    path = f"/v1/repositories/madams/test{slash}"
    shown = wait_for(lambda: (r := client.get(path)).status == 200 and r.json, 5, "it is served").items()
    assert list(shown) == [*DETAIL.items(), *DETAIL_ADDITIONS.items()]


def test_the_logo_file_of_a_detail_is_an_image_that_is_served(served: Served) -> None:
    client = served.client()
    client.post("/v1/repositories/madams/", CREATE)
    logo = served.anonymous().get(client.get("/v1/repositories/madams/repo").json["logo_file"])
    assert logo.status == 200
    assert logo.headers["content-type"] == "image/png"
    assert logo.body.startswith(b"\x89PNG\r\n\x1a\n")


@BOTH
def test_tags_are_a_bare_array_with_the_members_of_the_example_sorted_by_tag(
    served: Served, tmp_path: Path, slash: str
) -> None:
    imported(served, tmp_path, {"namespace": "madams", "repo_name": "test", "tags": TAGS})
    reply = served.client().get(f"/v1/repositories/madams/test/tags{slash}")
    assert is_json(reply, 200)
    # The example is not sorted; the interface is, so that a client sees the same list each time.
    assert [list(tag.items()) for tag in reply.json] == [list(tag.items()) for tag in reversed(TAGS)]


@BOTH
def test_one_tag_is_read_by_its_name(served: Served, tmp_path: Path, slash: str) -> None:
    imported(served, tmp_path, {"namespace": "madams", "repo_name": "test", "tags": TAGS})
    reply = served.client().get(f"/v1/repositories/madams/test/tags/latest{slash}")
    assert is_json(reply, 200)
    assert list(reply.json.items()) == list(TAGS[1].items())


@BOTH
def test_delete_answers_204_and_nothing_is_left(served: Served, slash: str) -> None:
    client = served.client()
    client.post("/v1/repositories/madams/", CREATE)
    gone = client.delete(f"/v1/repositories/madams/repo{slash}")
    assert (gone.status, gone.body) == (204, b"")
    assert client.get("/v1/repositories/madams/repo").status == 404
    assert client.get("/v1/repositories/madams/").json["count"] == 0
    assert client.delete(f"/v1/repositories/madams/repo{slash}").status == 404


def test_clients_that_send_the_token_in_the_old_form_are_known(served: Served) -> None:
    client = served.client()
    assert client.authorization == f"Token {served.token}"
    assert client.post("/v1/repositories/madams", CREATE).status == 201


def test_tag_settings_of_an_automated_repository_are_merged(served: Served) -> None:
    client = served.client()
    config = {
        "code_repo_client": "GitHub",
        "code_repo_namespace": "m",
        "code_repo_name": "src",
        "tag_configs": {"a": 1},
    }
    client.post("/v1/repositories/madams/", CREATE | {"build_config": config})
    assert client.post("/v1/repositories/madams/repo/tag-configs-merge", {"b": {"branch": "main"}}).status == 200
    detail = client.get("/v1/repositories/madams/repo").json
    assert detail["is_automated"] is True
    assert detail["build_config"] == {
        "code_repo_client": "GitHub",
        "created_by": "madams",
        "docker_repo_path": "madams/repo",
        "code_repo_path": "m/src",
        "code_repo_namespace": "m",
        "code_repo_name": "src",
        "tag_configs": {"a": 1, "b": {"branch": "main"}},
    }
