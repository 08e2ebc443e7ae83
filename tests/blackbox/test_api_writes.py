"""Writes: what is taken, what is refused and why, what makes no commit."""

from __future__ import annotations

import json
import threading
from urllib.parse import quote

import pytest
from served_catalog import (
    IMAGE,
    OTHER_IMAGE,
    TIME,
    Client,
    Served,
    assert_problem,
    newest,
    pointers,
)


def test_a_created_repository_is_found_at_its_location(admin: Client, name: str) -> None:
    body = {
        "repo_name": "full",
        "description": "d",
        "full_description": "# f\n",
        "is_public": False,
        "logo": "own.svg",
        "labels": {"a": "1", "x.example/y": ""},
        "namespace": name,
        "build_config": {"code_repo_client": "Simple", "code_repo_clone_url": "https://example.org/x.git"},
    }
    made = admin.post(f"/v1/repositories/{name}/", body)
    assert made.status == 201
    assert made.headers["location"] == f"/v1/repositories/{name}/full"
    found = admin.get(made.headers["location"])
    assert found.etag == made.etag
    detail = found.json
    for field in ("description", "full_description", "is_public", "logo", "labels"):
        assert detail[field] == body[field]
    assert detail["is_automated"] is True
    assert detail["build_config"]["code_repo_clone_url"] == "https://example.org/x.git"
    assert made.json["creation_time"] == detail["created_at"]


def test_creating_what_exists_is_409(admin: Client, one: str, name: str) -> None:
    before = newest(admin)
    assert_problem(admin.post(f"/v1/repositories/{name}", {"repo_name": "one"}), 409, "already-exists")
    assert newest(admin) == before
    admin.delete(one)
    assert admin.post(f"/v1/repositories/{name}", {"repo_name": "one"}).status == 201


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/repo_name"),
        ({"repo_name": 7}, "/repo_name"),
        ({"repo_name": ""}, "/repo_name"),
        ({"repo_name": "a", "namespace": "b"}, "/namespace"),
        ({"repo_name": "a", "namespace": None}, "/namespace"),
        ({"repo_name": "a", "description": 7}, "/description"),
        ({"repo_name": "a", "description": "a\nb"}, "/description"),
        ({"repo_name": "a", "description": "x" * 1001}, "/description"),
        ({"repo_name": "a", "full_description": "x" * 100_001}, "/full_description"),
        ({"repo_name": "a", "is_public": "yes"}, "/is_public"),
        ({"repo_name": "a", "is_public": None}, "/is_public"),
        ({"repo_name": "a", "logo": "../x.png"}, "/logo"),
        ({"repo_name": "a", "logo": "x.exe"}, "/logo"),
        ({"repo_name": "a", "labels": []}, "/labels"),
        ({"repo_name": "a", "labels": {"a": 1}}, "/labels/a"),
        ({"repo_name": "a", "labels": {"a": None}}, "/labels/a"),
        ({"repo_name": "a", "labels": {"A/B": "x"}}, "/labels/A~1B"),
        ({"repo_name": "a", "labels": {f"l{n}": "" for n in range(101)}}, "/labels"),
        ({"repo_name": "a", "build_config": {"code_repo_client": "CVS"}}, "/build_config/code_repo_client"),
        ({"repo_name": "a", "build_config": {}}, "/build_config/code_repo_client"),
        ({"repo_name": "a", "build_config": {"code_repo_client": "Simple", "x": 1}}, "/build_config/x"),
        (
            {
                "repo_name": "a",
                "build_config": {"code_repo_client": "Simple", "code_repo_clone_url": "ext::sh -c id"},
            },
            "/build_config/code_repo_clone_url",
        ),
        ({"repo_name": "a", "download": 7}, "/download"),
        ({"repo_name": "a", "tags": []}, "/tags"),
        ({"repo_name": "a", "created_at": "2014-11-19T05:54:22.741Z"}, "/created_at"),
        ({"repo_name": "a", "is_automated": True}, "/is_automated"),
        ({"repo_name": "a", "nonsense": 1}, "/nonsense"),
        ({"repo_name": "a", "__proto__": {}}, "/__proto__"),
        ({"repo_name": "a", "a/b~c": 1}, "/a~1b~0c"),
        ([], ""),
        (None, ""),
        ("a", ""),
        (7, ""),
        (True, ""),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_what_does_not_fit_is_422_with_the_pointer_to_it(admin: Client, body: object, pointer: str) -> None:
    before = newest(admin)
    problem = assert_problem(admin.post("/v1/repositories/unfit", json.dumps(body).encode()), 422, "invalid")
    assert pointer in pointers(problem), problem
    assert newest(admin) == before


NAMES = [
    "..",
    ".git",
    ".GIT",
    "git~1",
    "a/b",
    "--upload-pack=id",
    "abc\n",
    "Foo",
    "CON",
    "con",
    "nul",
    "aux.txt",
    "com1",
    "lpt0.x",
    "é",
    "e\u0301",
    "a" * 129,
    "x.lock",
    "x.json",
    "x.git",
    ".g\u200cit",
    "a\u0000b",
    " a",
    "a ",
    "a..b",
    "a.",
    ".a",
    "_a",
    "a___b",
    "a\\b",
    "a%2fb",
    "*",
    "a:b",
    "~",
    "$(id)",
    "a;b",
    "x" * 4096,
]


@pytest.mark.parametrize("bad", NAMES, ids=lambda bad: ascii(bad)[:30])
def test_a_name_outside_the_grammar_is_refused_wherever_it_stands(shared: Served, admin: Client, bad: str) -> None:
    before = newest(admin)
    # U+0000 is not even strict JSON.
    problem = assert_problem(admin.post("/v1/repositories/named", {"repo_name": bad}), 400 if "\0" in bad else 422)
    assert "\0" in bad or pointers(problem) == ["/repo_name"]
    encoded = quote(bad, safe="")
    for method, path in (
        ("POST", f"/v1/repositories/{encoded}"),
        ("GET", f"/v1/repositories/{encoded}"),
        ("GET", f"/v1/repositories/named/{encoded}"),
        ("PUT", f"/v1/repositories/named/{encoded}"),
        ("DELETE", f"/v1/repositories/{encoded}/x"),
        ("GET", f"/v1/repositories/named/{encoded}/history"),
        ("PUT", f"/v1/repositories/named/x/tags/{encoded}"),
    ):
        body = {"POST": {"repo_name": "x"}, "PUT": {"description": "x"}}.get(method)
        reply = admin(method, path, body)
        assert 400 <= reply.status < 500, (method, path, reply.status)
        assert_problem(reply, reply.status)
    assert newest(admin) == before


def test_names_of_the_grammar_are_taken(admin: Client, name: str) -> None:
    for good in (
        "a",
        "0",
        "a-b",
        "a--b",
        "a__b",
        "a.b",
        "a_b",
        "x" * 128,
        "tags",
        "history",
        "null",
        "true",
        "constant",
        "git",
    ):
        assert admin.post(f"/v1/repositories/{name}", {"repo_name": good}).status == 201
        assert admin.get(f"/v1/repositories/{name}/{good}").json["repo_name"] == good
    assert admin.post("/v1/repositories/commits", {"repo_name": "x"}).status == 201


def test_put_is_partial_and_replaces_whole_fields(admin: Client, one: str) -> None:
    admin.put(one, {"labels": {"a": "1", "b": "2"}})
    admin.put(one, {"labels": {"c": "3"}})
    assert admin.get(one).json["labels"] == {"c": "3"}
    assert admin.get(one).json["description"] == "first"


def test_patch_merges_and_null_removes(admin: Client, one: str) -> None:
    config = {
        "code_repo_client": "GitHub",
        "code_repo_namespace": "n",
        "code_repo_name": "r",
        "tag_configs": {"a": {"b": 1, "c": 2}},
    }
    admin.put(
        one,
        {"labels": {"a": "1", "b": "2"}, "logo": "own.png", "full_description": "x", "build_config": config},
    )
    patch = {
        "labels": {"a": None, "c": "3"},
        "build_config": {"tag_configs": {"a": {"b": None}}},
        "description": None,
    }
    assert admin.patch(one, patch, Content_Type="application/merge-patch+json").status == 200
    detail = admin.get(one).json
    assert detail["labels"] == {"b": "2", "c": "3"}
    assert detail["build_config"]["tag_configs"] == {"a": {"c": 2}}
    assert detail["description"] == ""
    assert (
        admin.patch(one, {"labels": None, "build_config": None, "logo": None, "full_description": None}).status == 200
    )
    detail = admin.get(one).json
    assert (detail["labels"], detail["logo"], detail["full_description"]) == ({}, "default-icon.jpg", "")
    assert (detail["is_automated"], detail["build_config"]["code_repo_client"]) == (False, "Simple")
    assert pointers(assert_problem(admin.patch(one, {"is_public": None}), 422)) == ["/is_public"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_unknown_derived_and_read_only_fields_are_422(admin: Client, one: str, method: str) -> None:
    for field in (
        "namespace",
        "repo_name",
        "repo_path",
        "logo_file",
        "is_automated",
        "is_repo_starred",
        "created_at",
        "creation_at",
        "updated_at",
        "pushed_at",
        "pulled_at",
        "download",
        "upload",
        "repo_starred_count",
        "tags",
        "nonsense",
    ):
        assert pointers(assert_problem(admin(method, one, {field: 1}), 422, "invalid")) == [f"/{field}"]


def test_an_unchanged_write_is_200_and_makes_no_commit(admin: Client, one: str) -> None:
    admin.put(one, {"labels": {"a": "1"}})
    admin.put(f"{one}/tags/v1", {"image_id": IMAGE})
    before, seen = newest(admin), admin.get(one)
    for reply in (
        admin.put(one, {"description": "first"}),
        admin.put(one, {}),
        admin.patch(one, {"labels": {"a": "1"}}),
        admin.patch(one, {"labels": {"zz": None}}),
        admin.put(f"{one}/tags/v1", {"image_id": IMAGE}),
        admin.post(f"{one}/rollback", {"commit": before}),
    ):
        assert reply.status == 200
        assert reply.commit == before
    assert newest(admin) == before
    assert admin.get(one).etag == seen.etag


def test_tags_are_set_read_and_removed_one_by_one(admin: Client, one: str) -> None:
    made = admin.put(
        f"{one}/tags/V1.0-rc_1", {"image_id": IMAGE, "digest": f"sha256:{IMAGE}", "architectures": ["amd64"]}
    )
    assert made.status == 201
    assert made.headers["location"] == f"{one}/tags/V1.0-rc_1"
    tag = admin.get(f"{one}/tags/V1.0-rc_1/").json
    assert list(tag) == ["image_id", "tag", "digest", "pushed_at", "architectures"]
    assert TIME.fullmatch(tag["pushed_at"])
    assert tag["pushed_at"] == admin.get(one).json["pushed_at"]
    assert admin.put(f"{one}/tags/V1.0-rc_1", {"image_id": OTHER_IMAGE}).status == 200
    assert admin.put(f"{one}/tags/alpha", {"image_id": IMAGE}).status == 201
    assert [tag["tag"] for tag in admin.get(f"{one}/tags").json] == ["V1.0-rc_1", "alpha"]
    assert admin.delete(f"{one}/tags/alpha").status == 204
    assert_problem(admin.get(f"{one}/tags/alpha"), 404)
    assert_problem(admin.delete(f"{one}/tags/alpha"), 404)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/image_id"),
        ({"image_id": "x"}, "/image_id"),
        ({"image_id": IMAGE.upper()}, "/image_id"),
        ({"image_id": None}, "/image_id"),
        ({"image_id": IMAGE, "digest": "md5:x"}, "/digest"),
        ({"image_id": IMAGE, "architectures": "amd64"}, "/architectures"),
        ({"image_id": IMAGE, "tag": "y"}, "/tag"),
        ({"image_id": IMAGE, "pushed_at": "x"}, "/pushed_at"),
        ([], ""),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_a_tag_that_does_not_fit_is_422_with_a_pointer_into_its_body(
    admin: Client, name: str, body: object, pointer: str
) -> None:
    admin.post(f"/v1/repositories/{name}", {"repo_name": "r"})
    problem = assert_problem(admin.put(f"/v1/repositories/{name}/r/tags/v1", body), 422, "invalid")
    assert set(pointers(problem)) == {pointer}


def test_tag_configs_are_merged_and_their_kind_stays(admin: Client, one: str) -> None:
    merge = f"{one}/tag-configs-merge"
    assert admin.post(merge, {"a": {"x": 1}}).status == 200
    assert admin.post(merge, {"a": {"y": 2}, "b": 1}).json["build_config"]["tag_configs"] == {
        "a": {"x": 1, "y": 2},
        "b": 1,
    }
    assert admin.post(merge, {"b": None}).json["build_config"]["tag_configs"] == {"a": {"x": 1, "y": 2}}
    for bad in ([], 7, None, "x"):
        assert_problem(admin.post(merge, json.dumps(bad).encode()), 422, "invalid")


def test_of_a_list_of_tag_configs_only_what_is_new_is_added(admin: Client, one: str) -> None:
    merge = f"{one}/tag-configs-merge"
    admin.post(merge, [1, "a"])
    merged = admin.post(merge, [True, 1, {"x": None}, "a", True]).json["build_config"]["tag_configs"]
    assert [json.dumps(element) for element in merged] == ["1", '"a"', "true", '{"x": null}']


def test_a_refusal_does_not_grow_with_the_body_that_it_refuses(admin: Client, one: str) -> None:
    for body in (
        {"k" * 7_000_000: 1},
        {"labels": {"K" * 7_000_000: "x"}},
        {"description": "x" * 7_000_000},
        {"labels": {f"K{number}": 1 for number in range(100_000)}},
    ):
        reply = admin.put(one, body)
        assert_problem(reply, 422)
        assert len(reply.body) < 50_000


BAD_JSON = [
    b'{"description": "a", "description": "b"}',
    b'{"description": NaN}',
    b'{"description": Infinity}',
    b'{"description": 1e999}',
    b'{"description": ' + b"9" * 5000 + b"}",
    b'{"labels": ' + b"[" * 1000 + b"]" * 1000 + b"}",
    b'{"description": "\\ud800"}',
    b'{"description": "\\u0000"}',
    b'\xef\xbb\xbf{"description": "x"}',
    b'{"description": "\xff"}',
    b'{"description": "x"} x',
    b"{",
    b"",
    b" ",
    b"'x'",
    b'{"description": "x",}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", BAD_JSON, ids=lambda body: ascii(body[:30]))
def test_what_is_no_strict_json_is_400_and_changes_nothing(admin: Client, name: str, body: bytes) -> None:
    admin.post(f"/v1/repositories/{name}", {"repo_name": "r"})
    before = newest(admin)
    for method in ("PUT", "PATCH"):
        assert_problem(admin(method, f"/v1/repositories/{name}/r", body), 400, "malformed")
    assert_problem(admin.post(f"/v1/repositories/{name}", body), 400, "malformed")
    assert newest(admin) == before


def test_a_body_of_another_type_is_415_that_says_which(admin: Client, one: str) -> None:
    for other in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "json",
        "",
    ):
        assert_problem(admin.put(one, {"description": "x"}, Content_Type=other), 415, "unsupported-media-type")
    refused = admin.patch(one, b"x=1", Content_Type="application/x-www-form-urlencoded")
    assert "merge-patch+json" in refused.headers["accept-patch"]
    assert_problem(admin.put(one, b"\x1f\x8b", Content_Encoding="gzip"), 415)
    assert admin.put(one, {"description": "x"}, Content_Type="Application/JSON; charset=UTF-8").status == 200


def test_a_body_that_is_too_large_is_413_and_the_server_lives_on(shared: Served, admin: Client, one: str) -> None:
    huge = shared.client()
    reply = huge.put(one, b'{"full_description": "' + b"x" * (9 << 20) + b'"}')
    assert_problem(reply, 413, "too-large")
    announced = shared.raw(f"PUT {one} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n".encode())
    assert announced.startswith(b"HTTP/1.1 413 ")
    assert admin.get(one).status == 200


def test_large_documents_are_written_and_read_whole(admin: Client, one: str) -> None:
    text = "é☃𝄞" * 33_000
    assert admin.put(one, {"full_description": text, "labels": {f"l{n}": "v" * 1000 for n in range(100)}}).status == 200
    detail = admin.get(one).json
    assert detail["full_description"] == text
    assert len(detail["labels"]) == 100


def test_of_many_that_create_the_same_repository_one_succeeds(shared: Served, name: str) -> None:
    clients = [shared.client() for _ in range(8)]
    replies = []

    def create(client: Client) -> None:
        replies.append(client.post(f"/v1/repositories/{name}", {"repo_name": "r"}).status)

    threads = [threading.Thread(target=create, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(replies) == [201, *[409] * 7]


def test_a_file_edited_by_hand_is_not_overwritten_and_nothing_of_it_is_committed(
    shared: Served, admin: Client, one: str
) -> None:
    file = shared.root / "data" / (one.removeprefix("/v1/repositories/") + ".json")
    shared.settle()
    original = file.read_bytes()
    file.write_bytes(original.replace(b"first", b"by hand"))
    try:
        problem = assert_problem(admin.put(one, {"labels": {"a": "1"}}), 409, "edited-by-hand")
        assert file.name in problem["detail"]
        assert_problem(admin.delete(one), 409, "edited-by-hand")
        assert b"by hand" in file.read_bytes()
        assert admin.get(one).json["description"] == "first"
    finally:
        file.write_bytes(original)
    assert admin.put(one, {"labels": {"a": "1"}}).status == 200
