"""Repositories and their tags over HTTP: the replies of the original service, member by member and in
order.
"""

from __future__ import annotations

import dataclasses
import re

from falcon import testing
from web_site import IMAGE, OTHER_IMAGE, Site

from catalogd.settings import Settings
from catalogd.web.app import make_app
from catalogd.web.metrics import Metrics

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

CREATED = [
    "repo_name", "namespace", "repo_path", "is_automated", "description", "creation_time", "updated_time",
    "is_public",
    "logo",
]  # fmt: skip
ROW = [
    "repo_name", "namespace", "repo_path", "is_automated", "description", "creation_at", "updated_at",
    "is_public", "logo",
    "repo_starred_count", "full_description", "download", "upload", "pulled_at", "pushed_at", "created_at",
    "labels",
]  # fmt: skip
UPDATED = ["repo_name", "namespace", "repo_path", "description", "is_public", "logo"]
DETAIL = [
    "namespace", "repo_name", "repo_path", "logo_file", "description", "full_description",
    "repo_starred_count",
    "created_at", "updated_at", "is_public", "logo", "is_automated", "download", "upload", "pulled_at",
    "pushed_at",
    "is_repo_starred", "labels", "build_config",
]  # fmt: skip


def test_creating_replies_as_the_original_did(site: Site) -> None:
    body = {"repo_name": "repo", "description": "A repo", "namespace": "create", "is_public": True}
    reply = site.client.simulate_post("/v1/repositories/create/", json=body)
    assert reply.status_code == 201
    assert list(reply.json) == CREATED
    assert reply.headers["location"] == "/v1/repositories/create/repo"
    assert reply.json["repo_path"] == "create/repo"
    assert reply.json["is_automated"] is False
    assert reply.json["logo"] == "default-icon.jpg"
    assert TIME.fullmatch(reply.json["creation_time"])
    assert TIME.fullmatch(reply.json["updated_time"])


def test_creating_what_exists_is_a_409(site: Site) -> None:
    site.create("exists/already")
    reply = site.client.simulate_post("/v1/repositories/exists", json={"repo_name": "already"})
    assert (reply.status_code, reply.json["type"]) == (409, "urn:catalogd:already-exists")


def test_a_list_replies_as_the_original_did(site: Site) -> None:
    for name in ("repo1", "repo2", "repo3"):
        site.create(f"madams/{name}", description=name, labels={"team": "web"})
    reply = site.client.simulate_get("/v1/repositories/madams/")
    assert list(reply.json) == ["count", "next", "previous", "results"]
    assert [reply.json[name] for name in ("count", "next", "previous")] == [3, None, None]
    assert [list(row) for row in reply.json["results"]] == [ROW] * 3
    row = reply.json["results"][0]
    assert row["creation_at"] == row["created_at"]
    assert row["pulled_at"] is None
    assert row["labels"] == {"team": "web"}
    assert "link" not in reply.headers


def test_the_pages_of_a_list_are_linked_and_keep_the_other_parameters(site: Site) -> None:
    for name in ("a", "b", "c"):
        site.create(f"pages/{name}", labels={"x": "1 & 2"})
    reply = site.client.simulate_get(
        "/v1/repositories/pages",
        query_string="label=x%3D1+%26+2&page_size=1&page=2&ordering=-repo_name",
        headers={"Host": "catalog.example:8080"},
    )
    base = "http://catalog.example:8080/v1/repositories/pages"
    base += "?label=x%3D1%20%26%202&page_size=1&ordering=-repo_name"
    assert reply.json["next"] == f"{base}&page=3"
    assert reply.json["previous"] == f"{base}&page=1"
    assert reply.headers["link"] == f'<{base}&page=3>; rel="next", <{base}&page=1>; rel="prev"'
    assert [row["repo_name"] for row in reply.json["results"]] == ["b"]


def test_all_namespaces_are_listed_together_or_one_of_them(site: Site) -> None:
    site.create("all-a/one")
    site.create("all-b/two")
    everything = site.client.simulate_get("/v1/repositories/", params={"page_size": "100"}).json["results"]
    assert {"all-a/one", "all-b/two"} <= {row["repo_path"] for row in everything}
    one = site.client.simulate_get("/v1/repositories/", params={"namespace": "all-b"}).json["results"]
    assert [row["repo_path"] for row in one] == ["all-b/two"]


def test_a_detail_replies_as_the_original_did(site: Site) -> None:
    site.create("detail/plain", description="test", full_description="test contains 2 tags")
    reply = site.client.simulate_get("/v1/repositories/detail/plain")
    assert list(reply.json) == DETAIL
    assert reply.json["is_repo_starred"] is False
    assert reply.json["build_config"] == {
        "code_repo_client": "Simple",
        "created_by": "detail",
        "docker_repo_path": "detail/plain",
        "code_repo_path": "",
    }


def test_the_logo_file_of_a_detail_is_served(site: Site) -> None:
    site.create("detail/logo")
    path = site.client.simulate_get("/v1/repositories/detail/logo").json["logo_file"]
    logo = site.anonymous.simulate_get(path)
    assert (logo.status_code, logo.headers["content-type"]) == (200, "image/png")
    assert logo.content.startswith(b"\x89PNG\r\n")


def test_an_automated_repository_says_where_its_source_is(site: Site) -> None:
    config = {"code_repo_client": "GitHub", "code_repo_namespace": "acme", "code_repo_name": "web"}
    created = site.create("detail/automated", build_config=config)
    assert created.json["is_automated"] is True
    shown = site.client.simulate_get("/v1/repositories/detail/automated").json["build_config"]
    assert shown["code_repo_path"] == "acme/web"
    assert shown["docker_repo_path"] == "detail/automated"
    assert {name: shown[name] for name in config} == config
    by_url = {"code_repo_client": "Simple", "code_repo_clone_url": "https://example.com/a.git"}
    assert site.create("detail/by-url", build_config=by_url).json["is_automated"] is True
    half = {"code_repo_client": "GitHub", "code_repo_name": "web"}
    assert site.create("detail/half", build_config=half).json["is_automated"] is False


def test_an_update_is_partial_and_replies_as_the_original_did(site: Site) -> None:
    site.create("update/one", description="old", full_description="kept")
    reply = site.client.simulate_put("/v1/repositories/update/one", json={"description": "new"})
    assert (reply.status_code, list(reply.json)) == (200, UPDATED)
    detail = site.client.simulate_get("/v1/repositories/update/one").json
    assert (detail["description"], detail["full_description"]) == ("new", "kept")


def test_a_patch_removes_what_is_null(site: Site) -> None:
    site.create("update/patch", labels={"a": "1", "b": "2"})
    reply = site.client.simulate_patch("/v1/repositories/update/patch", json={"labels": {"a": None}})
    assert reply.status_code == 200
    assert site.client.simulate_get("/v1/repositories/update/patch").json["labels"] == {"b": "2"}


def test_an_update_without_a_change_makes_no_commit(site: Site) -> None:
    created = site.create("update/same", description="same")
    reply = site.client.simulate_put("/v1/repositories/update/same", json={"description": "same"})
    assert reply.headers["etag"] == created.headers["etag"]
    assert reply.headers["catalog-commit"] == created.headers["catalog-commit"]


def test_read_only_and_unknown_fields_are_a_422_that_names_them(site: Site) -> None:
    site.create("update/fields")
    reply = site.client.simulate_put("/v1/repositories/update/fields", json={"download": 5, "size": 1})
    assert reply.status_code == 422
    assert {fault["pointer"] for fault in reply.json["errors"]} == {"/download", "/size"}


def test_a_version_is_sent_once_and_then_only_confirmed(site: Site) -> None:
    created = site.create("versions/one")
    path = "/v1/repositories/versions/one"
    first = site.client.simulate_get(path)
    tag = first.headers["etag"]
    assert tag == created.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["vary"] == "Authorization, Accept"
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = site.client.simulate_get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["catalog-commit"] == first.headers["catalog-commit"]
    assert site.client.simulate_get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_write_meets_the_version_it_names_or_fails(site: Site) -> None:
    site.create("versions/two")
    path = "/v1/repositories/versions/two"
    tag = site.client.simulate_get(path).headers["etag"]
    for wrong in ('"0000"', f"W/{tag}", '"a", "b"'):
        reply = site.client.simulate_put(path, json={"description": "x"}, headers={"If-Match": wrong})
        assert (reply.status_code, reply.json["type"]) == (412, "urn:catalogd:precondition-failed")
    with_activity = f'"{tag.strip(chr(34))}.7"'
    for right in (with_activity, "*"):
        reply = site.client.simulate_put(path, json={"description": right}, headers={"If-Match": right})
        assert reply.status_code == 200, reply.text
    stale = site.client.simulate_delete(path, headers={"If-Match": tag})
    assert stale.status_code == 412


def test_a_deleted_repository_is_gone(site: Site) -> None:
    site.create("delete/one")
    reply = site.client.simulate_delete("/v1/repositories/delete/one/")
    assert (reply.status_code, reply.content) == (204, b"")
    assert re.fullmatch("[0-9a-f]{40}", reply.headers["catalog-commit"])
    assert site.client.simulate_get("/v1/repositories/delete/one").status_code == 404


def test_a_private_repository_does_not_exist_for_strangers(site: Site) -> None:
    site.create("private/one", is_public=False)
    path = "/v1/repositories/private/one"
    hidden = site.anonymous.simulate_get(path).json
    missing = site.anonymous.simulate_get("/v1/repositories/private/none").json
    assert hidden["detail"].replace("one", "none") == missing["detail"]
    assert site.anonymous.simulate_get("/v1/repositories/private").json["count"] == 0
    assert site.client.simulate_get(path).status_code == 200


def test_an_earlier_state_can_be_read(site: Site) -> None:
    before = site.create("past/one", description="before").headers["catalog-commit"]
    site.client.simulate_put("/v1/repositories/past/one", json={"description": "after"})
    reply = site.client.simulate_get("/v1/repositories/past/one", params={"at": before})
    assert reply.json["description"] == "before"


def test_tags_are_set_read_and_deleted(site: Site) -> None:
    site.create("tags/one")
    base = "/v1/repositories/tags/one/tags"
    made = site.client.simulate_put(f"{base}/latest", json={"image_id": IMAGE, "architectures": ["amd64"]})
    assert (made.status_code, made.headers["location"]) == (201, f"{base}/latest")
    assert site.client.simulate_put(f"{base}/1.0", json={"image_id": IMAGE}).status_code == 201
    changed = site.client.simulate_put(f"{base}/1.0", json={"image_id": OTHER_IMAGE})
    assert (changed.status_code, changed.json["image_id"]) == (200, OTHER_IMAGE)
    listed = site.client.simulate_get(f"{base}/")
    assert [tag["tag"] for tag in listed.json] == ["1.0", "latest"]
    assert all(list(tag)[:2] == ["image_id", "tag"] for tag in listed.json)
    assert listed.headers["etag"] == site.client.simulate_get("/v1/repositories/tags/one").headers["etag"]
    assert site.client.simulate_get(f"{base}/latest").json["architectures"] == ["amd64"]
    assert site.client.simulate_delete(f"{base}/latest/").status_code == 204
    assert site.client.simulate_get(f"{base}/latest").status_code == 404


def test_tag_settings_are_merged(site: Site) -> None:
    site.create("tags/configs", build_config={"code_repo_client": "Simple", "tag_configs": {"a": 1}})
    reply = site.client.simulate_post("/v1/repositories/tags/configs/tag-configs-merge", json={"b": {"c": 2}})
    assert reply.status_code == 200
    assert reply.json["build_config"]["tag_configs"] == {"a": 1, "b": {"c": 2}}


def test_a_configured_address_is_in_every_link(site: Site, settings: Settings) -> None:
    for name in ("a", "b"):
        site.create(f"linked/{name}")
    public = dataclasses.replace(settings, public_url="https://catalog.example/base")
    app = make_app(site.catalog, site.accounts, site.activity, public, Metrics())
    page = testing.TestClient(app).simulate_get("/v1/repositories/linked", params={"page_size": "1"})
    assert page.json["next"] == "https://catalog.example/base/v1/repositories/linked?page_size=1&page=2"
