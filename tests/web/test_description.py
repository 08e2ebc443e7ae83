"""The OpenAPI description, the page and the Markdown made from it, and that all agree with what is served."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from falcon import testing
from jsonschema import Draft202012Validator, ValidationError
from web_site import IMAGE, Site

from catalogd.web import openapi, page
from catalogd.web.app import description
from catalogd.web.bodies import FORM
from catalogd.web.errors import is_git
from catalogd.web.operation import Operation
from catalogd.web.routes import OPERATIONS, SECTIONS
from catalogd.web.routes.shared import PROPOSALS

DESCRIPTION = description()
BY_ID = {operation.id: operation for operation in OPERATIONS}


def described() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in DESCRIPTION["paths"].items() for method in methods}


def check(schema: dict, value: object) -> None:
    Draft202012Validator({**schema, "components": DESCRIPTION["components"]}).validate(value)


def test_every_route_has_an_operation_and_every_operation_a_route(site: Site) -> None:
    routed = set()
    for root in site.app._router._roots:
        nodes = [root]
        while nodes:
            node = nodes.pop()
            nodes += node.children
            for method, responder in (node.method_map or {}).items():
                if method not in ("HEAD", "OPTIONS") and "not_allowed" not in getattr(responder, "__qualname__", ""):
                    routed.add((method, node.uri_template))
    assert routed == described() == {(operation.method, operation.path) for operation in OPERATIONS}


def test_operation_ids_are_unique() -> None:
    assert len(BY_ID) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_operation_is_described_in_words(operation: Operation) -> None:
    node = DESCRIPTION["paths"][operation.path][operation.method.lower()]
    assert node["summary"]
    assert node["description"].endswith(".")
    assert node["tags"][0] in SECTIONS
    assert all(parameter["description"] for parameter in node["parameters"])
    assert all(int(status) < 600 for status in node["responses"])
    assert "500" in node["responses"]


def test_every_reference_leads_somewhere() -> None:
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(DESCRIPTION)))
    assert references
    for reference in references:
        target = DESCRIPTION
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


@pytest.mark.parametrize("name", sorted(DESCRIPTION["components"]["schemas"]))
def test_every_schema_is_one_and_is_used(name: str) -> None:
    Draft202012Validator.check_schema(DESCRIPTION["components"]["schemas"][name])
    assert f'"#/components/schemas/{name}"' in json.dumps(DESCRIPTION)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.body], ids=lambda operation: operation.id)
def test_the_examples_of_bodies_fit_their_schemas(operation: Operation) -> None:
    assert operation.body is not None
    for example in operation.body.examples.values():
        check({"$ref": f"#/components/schemas/{operation.body.schema}"}, example)


def test_replies_fit_their_schemas(site: Site) -> None:
    made = site.create("described/one", labels={"a": "b"}, build_config={"code_repo_client": "Simple"})
    commit = made.headers["catalog-commit"]
    base = "/v1/repositories/described"
    change = {"namespace": "described", "repo_name": "one", "document": {"description": "proposed"}}
    proposal = {"title": "Describe it", "changes": [change]}
    user = {"user": "described-user", "token": "none"}
    names = {"number": 1, "namespace": "described", "repo_name": "one", "tag": "latest", "commit": commit, **user}
    login = {"username": user["user"], "password": "correct horse battery"}
    bodies = {
        "createProposal": proposal,
        "createNamespace": {"namespace": "described", "owners": ["alice"]},
        "updateNamespace": {"description": "x"},
        "patchNamespace": {"description": None},
        "createUser": {"name": user["user"], "password": login["password"]},
        "updateUser": {"email": "described@example.org"},
        "generateApiToken": login,
        "createToken": {"name": "ci", "scopes": ["read"]},
        "updateRepository": {"description": "x"},
        "patchRepository": {"labels": None},
        "mergeTagConfigs": {"a": 1},
        "putTag": {"image_id": IMAGE},
        "rollbackRepository": {"commit": commit},
    }
    check({"$ref": "#/components/schemas/CreatedRepository"}, made.json)
    site.client.simulate_put(f"{base}/one/tags/latest", json=bodies["putTag"])
    # What makes something comes before what works on it.
    for operation in sorted(OPERATIONS, key=lambda operation: not operation.id.startswith("create")):
        if (
            is_git(operation.path)
            # These are checked where they are tested: each needs another state to be in.
            or (operation.section == PROPOSALS and operation.writes and operation.id not in bodies)
            or operation.id in ("createRepository", "revertCommit", "changePassword")
            or operation.id in ("postRegistryToken", "takeRegistryEvents")
            or operation.method == "DELETE"
        ):
            continue
        reply = site.client.simulate_request(
            operation.method,
            operation.path.format(**names),
            json=bodies.get(operation.id),
            params={"since": commit} if operation.id == "listChanges" else None,
        )
        node = DESCRIPTION["paths"][operation.path][operation.method.lower()]["responses"][str(reply.status_code)]
        if reply.status_code == 204:
            continue
        content = node["content"]
        media_type = reply.headers["content-type"].partition(";")[0]
        assert media_type in content, operation.id
        assert {name.lower() for name in node["headers"]} - {"link"} <= set(reply.headers), operation.id
        if media_type == "application/json":
            check(content[media_type]["schema"], reply.json)
    grant = {"grant_type": "refresh_token", "refresh_token": site.token, "service": "registry"}
    granted = site.anonymous.simulate_post("/v1/registry/token", body=urlencode(grant), content_type=FORM)
    check({"$ref": "#/components/schemas/RegistryAccess"}, granted.json)
    told, _ = site.accounts.create_token("alice", scopes=["registry"])
    taken = site.with_token(told).simulate_post("/v1/registry/events", json={"events": []})
    check({"$ref": "#/components/schemas/TakenEvents"}, taken.json)
    reverted = site.client.simulate_post(f"/v1/commits/{_last_commit(site)}/revert")
    check({"$ref": "#/components/schemas/Commit"}, reverted.json)
    problem = site.client.simulate_get(f"{base}/none").json
    check({"$ref": "#/components/schemas/Problem"}, problem)


LINKS = [
    (operation, status, name, link)
    for operation in OPERATIONS
    for status, reply in DESCRIPTION["paths"][operation.path][operation.method.lower()]["responses"].items()
    for name, link in reply.get("links", {}).items()
]


@pytest.mark.parametrize(
    ("operation", "status", "name", "link"), LINKS, ids=[f"{link[0].id}-{link[1]}-{link[2]}" for link in LINKS]
)
def test_every_link_gives_a_call_all_that_its_path_needs(
    operation: Operation, status: str, name: str, link: dict
) -> None:
    target = BY_ID[link["operationId"]]
    here = DESCRIPTION["paths"][operation.path][operation.method.lower()]
    there = {
        parameter["name"]: parameter["in"]
        for parameter in DESCRIPTION["paths"][target.path][target.method.lower()]["parameters"]
    }
    assert set(link["parameters"]) <= set(there)
    assert {name for name, place in there.items() if place == "path"} <= set(link["parameters"])
    told = [value for value in link.get("requestBody", {}).values() if value.startswith("$")]
    for expression in (*link["parameters"].values(), *told):
        place, _, named = expression.partition("#/") if "#" in expression else expression.rpartition(".")
        if place == "$response.header":
            assert named in here["responses"][status]["headers"]
        elif place == "$response.body":
            schema = here["responses"][status]["content"]["application/json"]["schema"]
            for step in named.split("/"):
                schema = _within(schema, step)
        else:
            assert place == "$request.path"
            assert f"{{{named}}}" in operation.path


def _within(schema: dict, step: str) -> dict:
    """What a schema says of a member, or of an element, that it says is there."""
    while "$ref" in schema:
        schema = DESCRIPTION["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema["items"] if step.isdecimal() else schema["properties"][step]


def test_links_lead_from_what_was_made_to_all_that_can_be_done_with_it(site: Site) -> None:
    made = site.create("linked/one")
    followed = DESCRIPTION["paths"]["/v1/repositories/{namespace}"]["post"]["responses"]["201"]["links"]
    assert {"getRepository", "patchRepository", "listTags", "getHistory", "rollbackRepository"} <= set(followed)
    for link in followed.values():
        target = BY_ID[link["operationId"]]
        if target.method != "GET":
            continue
        names = {name: _linked(made, expression) for name, expression in link["parameters"].items()}
        assert site.client.simulate_get(target.path.format(**names)).status_code == 200, target.id
    asked = followed["rollbackRepository"]["requestBody"]
    rollback = {name: _linked(made, expression) for name, expression in asked.items()}
    assert site.client.simulate_post("/v1/repositories/linked/one/rollback", json=rollback).status_code == 200


def _linked(reply: testing.Result, expression: str) -> str:
    """What a runtime expression of OpenAPI finds in a reply."""
    kind, _, name = expression.removeprefix("$response.").partition("#/" if "#" in expression else ".")
    return reply.json[name] if kind == "body" else reply.headers[name.lower()]


def test_null_in_a_merge_patch_is_described_and_brings_back_the_default_but_makes_nothing_public(site: Site) -> None:
    changed = {"description": "x", "full_description": "y", "is_public": False, "logo": "x.png", "labels": {"a": "b"}}
    site.create("described/nulls", **changed)
    patch = dict.fromkeys((*changed, "build_config"))
    with pytest.raises(ValidationError):
        check({"$ref": "#/components/schemas/RepositoryPatch"}, patch)
    assert site.client.simulate_patch("/v1/repositories/described/nulls", json=patch).status_code == 422
    del patch["is_public"]
    check({"$ref": "#/components/schemas/RepositoryPatch"}, patch)
    assert site.client.simulate_patch("/v1/repositories/described/nulls", json=patch).status_code == 200
    detail = site.client.simulate_get("/v1/repositories/described/nulls").json
    assert {name: detail[name] for name in changed} == {
        "description": "", "full_description": "", "is_public": False, "logo": "default-icon.jpg", "labels": {},
    }  # fmt: skip


def test_what_git_is_told_is_described_as_text() -> None:
    for operation in OPERATIONS:
        replies = DESCRIPTION["paths"][operation.path][operation.method.lower()]["responses"]
        refused = DESCRIPTION["components"]["responses"][replies["400"]["$ref"].rpartition("/")[2]]
        assert list(refused["content"]) == ["text/plain" if is_git(operation.path) else "application/problem+json"]


def test_whatever_takes_credentials_may_find_them_wrong_or_too_many_of_them_wrong() -> None:
    for operation in OPERATIONS:
        replies = DESCRIPTION["paths"][operation.path][operation.method.lower()]["responses"]
        assert not operation.right.takes_credentials or {"401", "429", "503"} <= set(replies)


def _last_commit(site: Site) -> str:
    return site.client.simulate_put(
        "/v1/repositories/described/one", json={"full_description": "to be undone"}
    ).headers["catalog-commit"]


def test_the_description_is_served_and_revalidated(site: Site) -> None:
    reply = site.anonymous.simulate_get("/openapi.json")
    assert reply.json == json.loads(json.dumps(DESCRIPTION))
    again = site.anonymous.simulate_get("/openapi.json", headers={"If-None-Match": reply.headers["etag"]})
    assert again.status_code == 304


def test_a_configured_address_is_the_server_of_the_description() -> None:
    assert description("https://catalog.example/base")["servers"] == [{"url": "https://catalog.example/base"}]


# --- the page


class Outline(HTMLParser):
    """What a page is made of."""

    VOID = frozenset({"meta", "input", "wbr", "link", "br"})

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")
            if name in ("src", "srcset", "action", "style") or tag in ("link", "iframe", "object"):
                self.loads.append(f"{tag} {name}={value}")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_loads_nothing_and_is_well_formed(site: Site) -> None:
    outline = Outline(site.anonymous.simulate_get("/docs").text)
    assert outline.open == []
    assert outline.loads == outline.handlers == []
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link for link in outline.links if link.startswith("#")} == {f"#{name}" for name in outline.ids}


def test_the_page_can_be_read_without_scripts(site: Site) -> None:
    html = site.anonymous.simulate_get("/docs").text
    text = Outline(html.partition("<script>")[0] + "</body></html>").text
    for operation in OPERATIONS:
        assert operation.summary in text
        assert operation.path in text


def test_the_policy_of_the_page_allows_its_style_and_script_and_nothing_else(site: Site) -> None:
    reply = site.anonymous.simulate_get("/docs")
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", reply.text, re.DOTALL)
        assert len(inline) == 1
        digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_what_is_in_a_description_is_escaped() -> None:
    hostile = json.loads(json.dumps(DESCRIPTION).replace("Image repositories", "<img src=x onerror=alert(1)>"))
    html, _ = page.render(hostile)
    assert b"<img" not in html
    assert b"&lt;img src=x" in html


# --- the Markdown


def test_the_markdown_has_every_operation_parameter_and_error() -> None:
    text = openapi.markdown(DESCRIPTION)
    for operation in OPERATIONS:
        assert f"`{operation.method} {operation.path}`" in text
        for parameter in operation.parameters:
            assert f"| `{parameter.name}` |" in text
    for kind in openapi.KINDS:
        assert kind.type in text
