"""A client written for the original service: what it sends and what it reads, as a plain user in their own namespace.

As the Python CLI, the PHP SDK and the Ruby SDK do it: each has habits of its own with slashes, forms and members.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from served_catalog import IMAGE, TIME, Client, Reply, Served, git, run

pytestmark = pytest.mark.slow

_NUMBERS = itertools.count(1)
USER, PASSWORD = "madams", "correct horse battery"
SLASH = pytest.mark.parametrize("slash", ["", "/"], ids=["without a slash", "with a slash"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("clients")
    assert run(home, "init", "catalog").status == 0
    served = Served(home / "catalog", home, home / "catalog.log")
    assert served.run("user", "add", USER, "--password-stdin", stdin=PASSWORD.encode()).status == 0
    yield served.start()
    served.close()


@pytest.fixture(scope="module")
def token(shared: Served) -> str:
    """As the CLI gets it: by form, with the slash."""
    reply = by_form(shared, "/v1/generate-api-token/")
    assert list(reply.json) == ["token"]
    return reply.json["token"]


@pytest.fixture
def client(shared: Served, token: str) -> Client:
    return shared.client(token)


@pytest.fixture
def repo_name() -> str:
    return f"r{next(_NUMBERS)}"


def by_form(served: Served, path: str, password: str = PASSWORD) -> Reply:
    form = urlencode({"username": USER, "password": password}).encode()
    return served.anonymous().post(path, form, Content_Type="application/x-www-form-urlencoded")


def create(client: Client, repo_name: str, **fields: object) -> str:
    """The repository's path."""
    body = {"repo_name": repo_name, "description": "short", "is_public": True, **fields}
    made = client.post(f"/v1/repositories/{USER}/", body)
    assert made.status == 201, made.body
    return f"/v1/repositories/{USER}/{repo_name}"


@SLASH
def test_a_token_comes_by_form_and_by_json(shared: Served, slash: str) -> None:
    path = f"/v1/generate-api-token{slash}"
    form = by_form(shared, path)
    as_json = shared.anonymous().post(path, {"username": USER, "password": PASSWORD})
    for reply in (form, as_json):
        assert (reply.status, list(reply.json)) == (200, ["token"])
        assert shared.client(reply.json["token"]).get(f"/v1/repositories/{USER}").status == 200


def test_a_wrong_password_is_a_status_and_a_body_that_reads_as_text(shared: Served) -> None:
    reply = by_form(shared, "/v1/generate-api-token/", "wrong")
    assert reply.status == 401
    assert "wrong, expired or revoked" in reply.body.decode()


@SLASH
def test_every_path_that_clients_use_works_with_both_endings_and_nothing_redirects(
    client: Client, repo_name: str, slash: str
) -> None:
    created = client.post(f"/v1/repositories/{USER}{slash}", {"repo_name": repo_name, "description": "d"})
    one = f"/v1/repositories/{USER}/{repo_name}"
    statuses = [
        created.status,
        client.get(f"/v1/repositories/{USER}{slash}?page=1").status,
        client.get(f"{one}{slash}").status,
        client.put(f"{one}{slash}", {"description": "e"}).status,
        client.get(f"{one}/tags{slash}").status,
        client.put(f"{one}/tags/latest{slash}", {"image_id": IMAGE}).status,
        client.get(f"{one}/tags/latest{slash}").status,
        client.post(f"{one}/tag-configs-merge{slash}", {"latest": {"branch": "main"}}).status,
        client.delete(f"{one}{slash}").status,
        client.delete(f"{one}{slash}").status,
    ]
    assert statuses == [201, 200, 200, 200, 200, 201, 200, 200, 204, 404]


@pytest.mark.parametrize(
    ("build_config", "is_automated"),
    [
        ({"code_repo_client": "Simple"}, False),
        ({"code_repo_client": "Simple", "tag_configs": {}}, False),
        ({"code_repo_client": "GitHub", "code_repo_clone_url": "https://github.com/a/b.git"}, True),
        ({"code_repo_client": "GitHub", "code_repo_namespace": "a", "code_repo_name": "b"}, True),
        ({"code_repo_client": "Bitbucket", "code_repo_namespace": "a", "code_repo_name": "b",
          "tag_configs": {"latest": {"code_repo_type": "branch", "code_repo_type_value": "master"}}}, True),
        ({"code_repo_client": "OSChina", "code_repo_clone_url": "git@git.oschina.net:a/b.git",
          "tag_configs": [{"code_repo_type": "branch", "docker_repo_tag": "latest"}]}, True),
    ],
    ids=lambda value: value["code_repo_client"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_create_takes_every_build_config_and_detail_has_the_strings_of_the_cli(
    client: Client, repo_name: str, build_config: dict, is_automated: bool
) -> None:
    path = create(client, repo_name, full_description="long", build_config=build_config)
    detail = client.get(path).json
    config = detail["build_config"]
    assert detail["is_automated"] is is_automated
    assert config["code_repo_client"] == build_config["code_repo_client"]
    for member in ("code_repo_client", "created_by", "docker_repo_path", "code_repo_path"):
        assert isinstance(config[member], str)
    assert config["docker_repo_path"].removeprefix(config["created_by"] + "/") == repo_name
    assert config.get("tag_configs") == build_config.get("tag_configs")


def test_the_cli_lists_a_page_and_fetches_each_detail(client: Client, repo_name: str) -> None:
    create(client, repo_name)
    page = client.get(f"/v1/repositories/{USER}?page=1").json
    row = next(row for row in page["results"] if row["repo_name"] == repo_name)
    assert row["creation_at"] == row["created_at"]
    assert TIME.fullmatch(row["created_at"])
    config = client.get(f"/v1/repositories/{USER}/{row['repo_name']}/").json["build_config"]
    assert config == {
        "code_repo_client": "Simple",
        "created_by": USER,
        "docker_repo_path": f"{USER}/{repo_name}",
        "code_repo_path": "",
    }


@pytest.mark.parametrize("change", [{"description": "x"}, {"full_description": "x"}, {"is_public": False}],
                         ids=lambda change: next(iter(change)))  # fmt: skip
def test_an_update_changes_what_it_names_alone(client: Client, repo_name: str, change: dict) -> None:
    path = create(client, repo_name, full_description="long")
    before = client.get(path).json
    assert client.put(path, change).status == 200
    after = client.get(path).json
    assert after == before | change | {"updated_at": after["updated_at"]}


def test_one_tag_and_all_tags_are_read(client: Client, repo_name: str) -> None:
    path = create(client, repo_name)
    client.put(f"{path}/tags/latest", {"image_id": IMAGE})
    tag = client.get(f"{path}/tags/latest").json
    assert (tag["tag"], tag["image_id"]) == ("latest", IMAGE)
    assert client.get(f"{path}/tags").json == [tag]
    assert client.get(f"{path}/tags/other").status == 404


def test_tag_settings_are_merged(client: Client, repo_name: str) -> None:
    source = {"code_repo_client": "GitHub", "code_repo_namespace": "a", "code_repo_name": "b"}
    path = create(client, repo_name, build_config={**source, "tag_configs": {"one": {"x": 1}}})
    assert client.post(f"{path}/tag-configs-merge", {"two": {"y": 2}, "one": {"z": 3}}).status == 200
    assert client.get(path).json["build_config"]["tag_configs"] == {"one": {"x": 1, "z": 3}, "two": {"y": 2}}


def test_what_is_gone_is_a_404_that_the_client_takes_for_does_not_exist(client: Client, repo_name: str) -> None:
    path = create(client, repo_name)
    gone = client.delete(f"{path}/")
    assert (gone.status, gone.body) == (204, b"")
    for again in (client.delete(path), client.delete(f"{path}/"), client.get(path)):
        assert again.status == 404
        assert f"There is no repository {USER}/{repo_name}." in again.body.decode()


def test_the_user_is_the_author_and_has_no_say_in_the_namespaces_of_others(
    shared: Served, client: Client, repo_name: str
) -> None:
    create(client, repo_name)
    assert git(shared.root, "log", "-1", "--format=%an").strip() == USER
    refused = client.post("/v1/repositories/others/", {"repo_name": repo_name})
    assert refused.status == 403
    assert "needs a writer of the namespace others" in json.loads(refused.body)["detail"]
