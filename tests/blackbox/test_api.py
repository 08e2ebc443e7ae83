"""The interface beyond the document of the original service: errors, credentials, privacy, conditions."""

from __future__ import annotations

import json
import re

import pytest
from served_catalog import (
    BLOB_ETAG,
    COMMIT,
    IMAGE,
    NOBODYS_COMMIT,
    Client,
    Served,
    assert_problem,
    git,
    newest,
)

EVERY_CALL = [
    ("POST", "/v1/repositories/nobody"),
    ("GET", "/v1/repositories/nobody"),
    ("GET", "/v1/repositories"),
    ("GET", "/v1/repositories/nobody/nothing"),
    ("PUT", "/v1/repositories/nobody/nothing"),
    ("PATCH", "/v1/repositories/nobody/nothing"),
    ("DELETE", "/v1/repositories/nobody/nothing"),
    ("GET", "/v1/repositories/nobody/nothing/tags"),
    ("GET", "/v1/repositories/nobody/nothing/tags/latest"),
    ("PUT", "/v1/repositories/nobody/nothing/tags/latest"),
    ("DELETE", "/v1/repositories/nobody/nothing/tags/latest"),
    ("POST", "/v1/repositories/nobody/nothing/tag-configs-merge"),
    ("GET", "/v1/repositories/nobody/nothing/history"),
    ("GET", "/v1/repositories/nobody/nothing/diff"),
    ("GET", "/v1/repositories/nobody/nothing/blame"),
    ("POST", "/v1/repositories/nobody/nothing/rollback"),
    ("GET", "/v1/commits"),
    ("GET", f"/v1/commits/{NOBODYS_COMMIT}"),
    ("POST", f"/v1/commits/{NOBODYS_COMMIT}/revert"),
    ("GET", f"/v1/changes?since={NOBODYS_COMMIT}"),
]
BODIES = {"PUT": {"description": "x"}, "PATCH": {"description": "x"}}
BODY_OF = {
    "/v1/repositories/nobody": {"repo_name": "nothing"},
    "/v1/repositories/nobody/nothing/tags/latest": {"image_id": IMAGE},
    "/v1/repositories/nobody/nothing/tag-configs-merge": {"a": 1},
    "/v1/repositories/nobody/nothing/rollback": {"commit": NOBODYS_COMMIT},
}


def body_of(method: str, path: str) -> object:
    return None if method in ("GET", "DELETE") else BODY_OF.get(path, BODIES.get(method))


# --- errors, slashes, methods


@pytest.mark.parametrize(("method", "path"), EVERY_CALL)
def test_every_call_says_that_credentials_are_wrong(shared: Served, method: str, path: str) -> None:
    client = Client(shared.address, "Token catd_" + "x" * 38)
    assert_problem(client(method, path, body_of(method, path)), 401, "unauthenticated")
    client.close()


@pytest.mark.parametrize(("method", "path"), [call for call in EVERY_CALL if call[0] != "GET"])
def test_every_write_without_credentials_is_refused_and_changes_nothing(
    admin: Client, anonymous: Client, method: str, path: str
) -> None:
    before = newest(admin)
    reply = anonymous(method, path, body_of(method, path))
    assert reply.status in (401, 404)
    assert_problem(reply, reply.status)
    assert newest(admin) == before


@pytest.mark.parametrize(("method", "path"), [c for c in EVERY_CALL if "/nothing" in c[1] or "0123" in c[1]])
def test_every_call_on_what_is_not_there_is_a_problem(admin: Client, method: str, path: str) -> None:
    reply = admin(method, path, body_of(method, path))
    assert_problem(reply, 410 if "since" in path else 404)


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("path", sorted({path for _, path in EVERY_CALL} | {"/healthz", "/docs", "/openapi.json"}))
def test_a_method_that_a_path_has_not_is_405_with_allow(anonymous: Client, path: str, end: str) -> None:
    path = path.partition("?")[0]
    possible = {method for method, other in EVERY_CALL if other.partition("?")[0] == path} or {"GET"}
    possible |= {"OPTIONS"} | ({"HEAD"} if "GET" in possible else set())
    options = anonymous("OPTIONS", path + end)
    assert options.status in (200, 204)
    assert set(options.headers["allow"].split(", ")) == possible
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - possible:
        reply = anonymous(method, path + end)
        assert_problem(reply, 405, "method-not-allowed")
        assert set(reply.headers["allow"].split(", ")) == possible


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v2/nothing", "/v1/repositories/a/b/c", "/v1/commits/abcdef0/x/y", "/%00"]
)
def test_a_path_that_is_not_there_is_a_problem(anonymous: Client, path: str) -> None:
    reply = anonymous.get(path)
    assert reply.status in (400, 404)
    assert_problem(reply, reply.status)


def test_head_has_the_headers_of_get_and_no_body(admin: Client, one: str) -> None:
    for path in (one, f"{one}/tags", one.removesuffix("/one"), "/v1/commits", "/docs"):
        got, head = admin.get(path), admin("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        same = ("content-type", "content-length", "etag", "catalog-commit")
        assert [head.headers.get(name) for name in same] == [got.headers.get(name) for name in same]


def test_every_response_has_the_callers_request_id_if_it_is_sane(admin: Client, one: str) -> None:
    for path in (one, "/nowhere", "/healthz", "/v1/commits"):
        assert admin.get(path, X_Request_Id="build-17/step:3").headers["x-request-id"] == "build-17/step:3"
        for odd in ("a b", "x" * 129, "é", "<script>"):
            given = admin.get(path, X_Request_Id=odd).headers["x-request-id"]
            assert re.fullmatch(r"[0-9a-f]{32}", given)


def test_every_read_and_write_names_the_commit_of_the_catalog(admin: Client, one: str) -> None:
    written = admin.put(one, {"description": "second"}).commit
    assert COMMIT.fullmatch(written)
    name = one.split("/")[3]
    reads = [
        one,
        f"{one}/tags",
        f"{one}/history",
        f"{one}/diff",
        f"{one}/blame",
        f"/v1/repositories/{name}",
        "/v1/repositories",
        "/v1/commits",
        f"/v1/commits/{written}",
        f"/v1/changes?since={written}",
    ]
    assert [admin.get(path).commit for path in reads] == [written] * len(reads)


@pytest.mark.slow
def test_the_commit_of_a_write_carries_the_request_id_the_account_and_a_readable_subject(
    shared: Served, admin: Client, one: str
) -> None:
    token = shared.user("writer", "--email", "writer@example.org")
    namespace = one.split("/")[3]
    admin.post("/v1/namespaces", {"namespace": namespace, "writers": ["writer"]})
    reply = shared.client(token).patch(one, {"labels": {"team": "web"}}, X_Request_Id="req-4711")
    shown = git(
        shared.root,
        "show",
        "-s",
        "--format=%an <%ae>%n%cn%n%s%n%(trailers:key=Request-Id,valueonly)",
        reply.commit,
    )
    author, committer, subject, request_id = shown.splitlines()[:4]
    assert author == "writer <writer@example.org>"
    assert committer == "catalogd"
    assert one.removeprefix("/v1/repositories/") in subject
    assert "labels/team" in subject
    assert request_id == "req-4711"
    assert admin.get(f"/v1/commits/{reply.commit}").json["author"] == "writer"


def test_the_logo_of_every_repository_is_served(admin: Client, anonymous: Client, one: str) -> None:
    admin.put(one, {"logo": "own.png"})
    logo = anonymous.get(admin.get(one).json["logo_file"])
    assert (logo.status, logo.headers["content-type"], logo.body[:4]) == (200, "image/png", b"\x89PNG")
    assert anonymous.get("/static/../../../../etc/passwd").status == 404


def test_the_description_and_its_page_are_served_without_third_parties(anonymous: Client) -> None:
    described = anonymous.get("/openapi.json").json
    assert described["openapi"].startswith("3.1")
    templates = set(described["paths"])
    assert "/v1/repositories/{namespace}/{repo_name}/rollback" in {path.rstrip("/") for path in templates}
    page = anonymous.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(rb'(src|href)="(https?:)?//', page.body)
    assert anonymous.get("/metrics").headers["content-type"].startswith("text/plain")


# --- credentials and privacy


@pytest.mark.slow
def test_a_token_is_taken_in_all_its_forms_and_a_password_too(shared: Served) -> None:
    token = shared.user("formal")
    assert shared.run("user", "password", "formal", "--password-stdin", stdin=b"correct horse battery\n").status == 0
    good = [shared.with_header(f"{scheme} {token}") for scheme in ("Token", "Bearer", "token", "BEARER")]
    good += [shared.basic("formal", token), shared.basic("formal", "correct horse battery")]
    for number, client in enumerate(good):
        assert client.post("/v1/repositories/formal", {"repo_name": f"r{number}"}).status == 201, client.authorization


@pytest.mark.slow
def test_wrong_credentials_of_every_form_are_401_also_on_what_is_public(shared: Served, one: str) -> None:
    token = shared.user("informal")
    wrong = [
        "Token",
        "Token ",
        "Token x",
        f"Token {token}x",
        f"Digest {token}",
        f"Bearer {token[:-1]}",
        "Basic ???",
        "Basic aGk=",
        "",
        token,
    ]
    clients = [shared.with_header(header) for header in wrong]
    clients += [
        shared.basic("admin", token),
        shared.basic("informal", "wrong password"),
        shared.basic("", token),
        shared.basic("no-such-user", "wrong password"),
        shared.basic("../x", "wrong password"),
    ]
    for client in clients:
        assert_problem(client.get(one), 401, "unauthenticated")
        assert_problem(client.put(one, {"description": "x"}), 401, "unauthenticated")


@pytest.mark.slow
def test_a_token_may_do_what_its_scopes_and_namespace_allow_and_no_more(shared: Served, one: str, name: str) -> None:
    reader = shared.client(shared.user("scoped", "--admin", scope="read"))
    confined = shared.client(shared.run("token", "create", "scoped", "--namespace", "elsewhere").out.strip())
    for client in (reader, confined):
        assert client.get(one).status == 200
        for method, path in (
            ("PUT", one),
            ("PATCH", one),
            ("DELETE", one),
            ("PUT", f"{one}/tags/x"),
            ("POST", f"/v1/repositories/{name}"),
            ("POST", f"{one}/rollback"),
        ):
            body = {"repo_name": "two"} if path.endswith(name) else {"description": "x"}
            body = {"commit": newest(reader)} if "rollback" in path else {"image_id": IMAGE} if "tags" in path else body
            assert_problem(client(method, path, None if method == "DELETE" else body), 403, "forbidden")
    assert confined.post("/v1/repositories/elsewhere", {"repo_name": "mine"}).status == 201


def test_a_private_repository_does_not_exist_for_anonymous(shared: Served, admin: Client, name: str) -> None:
    anonymous = shared.anonymous()
    start = newest(admin)
    admin.post(f"/v1/repositories/{name}", {"repo_name": "open", "description": "zebra"})
    made = admin.post(f"/v1/repositories/{name}", {"repo_name": "secret", "description": "zebra", "is_public": False})
    secret, absent = (f"/v1/repositories/{name}/{one}" for one in ("secret", "absent"))
    admin.put(f"{secret}/tags/v1", {"image_id": IMAGE})
    for tail in (
        "",
        "/tags",
        "/tags/v1",
        "/history",
        "/diff",
        "/blame",
        f"?at={made.commit}",
        f"/tags?at={made.commit}",
    ):
        hidden, missing = anonymous.get(secret + tail), anonymous.get(absent + tail)
        assert_problem(hidden, 404, "not-found")
        told = [{k: v for k, v in reply.json.items() if k != "request_id"} for reply in (hidden, missing)]
        assert json.dumps(told[0]).replace("secret", "absent") == json.dumps(told[1])
        assert admin.get(secret + tail).status == 200
    for query in ("", "?search=zebra", "?ordering=-created_at", f"?at={newest(admin)}"):
        assert anonymous.get(f"/v1/repositories/{name}{query}").json["count"] == 1
        assert admin.get(f"/v1/repositories/{name}{query}").json["count"] == 2
    assert anonymous.get(f"/v1/repositories/{name}?is_public=false").json["count"] == 0
    assert admin.get(f"/v1/repositories/{name}?is_public=false").json["count"] == 1
    assert "secret" not in anonymous.get(f"/v1/repositories?search=zebra&namespace={name}").body.decode()
    assert "secret" not in anonymous.get("/v1/commits?page_size=100").body.decode()
    assert "secret" not in anonymous.get(f"/v1/changes?since={start}").body.decode()
    assert "secret" in admin.get(f"/v1/changes?since={start}").body.decode()
    assert_problem(anonymous.get(f"/v1/commits/{made.commit}"), 404, "not-found")
    assert admin.get(f"/v1/commits/{made.commit}").status == 200


def test_what_was_public_once_and_is_private_now_cannot_be_read_at_an_old_commit(
    shared: Served, admin: Client, one: str
) -> None:
    anonymous, public = shared.anonymous(), newest(admin)
    admin.put(one, {"is_public": False})
    for tail in (f"?at={public}", f"/tags?at={public}", "/history", "/diff", "/blame"):
        assert_problem(anonymous.get(one + tail), 404)
    assert anonymous.get(f"{one.removesuffix('/one')}?at={public}").json["count"] == 0


def test_what_is_public_now_and_was_private_once_shows_anonymous_only_its_public_past(
    shared: Served, admin: Client, name: str
) -> None:
    made = admin.post(f"/v1/repositories/{name}", {"repo_name": "r", "description": "hush", "is_public": False}).commit
    path = f"/v1/repositories/{name}/r"
    admin.put(path, {"is_public": True, "description": "open"})
    anonymous = shared.anonymous()
    assert anonymous.get(path).json["description"] == "open"
    assert_problem(anonymous.get(f"{path}?at={made}"), 404)
    for tail in ("/history", "/diff", f"/diff?from={made}", "/blame"):
        assert b"hush" not in anonymous.get(path + tail).body
    assert b"hush" not in anonymous.get(f"{path}/diff?from={made}", Accept="text/x-diff").body
    assert anonymous.get(f"{path}/history").json["count"] == 1
    assert admin.get(f"{path}/history").json["count"] == 2
    assert anonymous.get(f"/v1/repositories/{name}?at={made}").json["count"] == 0


# --- conditions


def test_an_etag_saves_reading_again_until_something_changes(admin: Client, one: str) -> None:
    first = admin.get(one)
    assert BLOB_ETAG.fullmatch(first.etag)
    for known in (first.etag, f'"x", {first.etag}', f"W/{first.etag}", "*"):
        again = admin.get(one, If_None_Match=known)
        assert (again.status, again.body, again.etag) == (304, b"", first.etag)
        assert again.commit == first.commit
    admin.put(one, {"description": "changed"})
    changed = admin.get(one, If_None_Match=first.etag)
    assert changed.status == 200
    assert changed.etag != first.etag
    assert admin.get(f"{one}/tags", If_None_Match=admin.get(f"{one}/tags").etag).status == 304


def test_the_etag_is_the_id_of_the_blob_in_git(shared: Served, admin: Client, one: str) -> None:
    path = "data/" + one.removeprefix("/v1/repositories/") + ".json"
    assert admin.get(one).etag == f'"{git(shared.root, "rev-parse", f"main:{path}").strip()}"'
    written = admin.put(one, {"description": "changed"})
    assert written.etag == f'"{git(shared.root, "rev-parse", f"main:{path}").strip()}"' == admin.get(one).etag


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "ROLLBACK"])
def test_if_match_lets_a_write_through_only_on_the_version_it_names(
    shared: Served, admin: Client, one: str, method: str
) -> None:
    old = admin.get(one)
    admin.put(one, {"description": "changed meanwhile"})
    before = newest(admin)

    def attempt(if_match: str):
        if method == "ROLLBACK":
            return admin.post(f"{one}/rollback", {"commit": old.commit}, If_Match=if_match)
        return admin(method, one, None if method == "DELETE" else {"description": "mine"}, If_Match=if_match)

    for stale in (old.etag, '"0000"', f"W/{admin.get(one).etag}", '"', f'"{NOBODYS_COMMIT}", {old.etag}'):
        reply = attempt(stale)
        assert_problem(reply, 400 if stale == '"' else 412)
        assert newest(admin) == before
    blob = admin.get(one).etag.strip('"')
    done = attempt(f'"zzz", "{blob}.7"')
    assert done.status in (200, 204)
    assert newest(admin) != before


@pytest.mark.parametrize("bad", ["abc", '"a', 'a"', '"a" "b"', "W/", "*, *", '"a";"b"', "'a'"])
def test_malformed_conditions_are_400(admin: Client, one: str, bad: str) -> None:
    assert_problem(admin.put(one, {"description": "x"}, If_Match=bad), 400, "malformed")
    assert_problem(admin.get(one, If_None_Match=bad), 400, "malformed")


def test_if_match_any_needs_something_to_be_there(admin: Client, one: str) -> None:
    assert admin.put(one, {"description": "x"}, If_Match="*").status == 200
    made = newest(admin)
    admin.delete(one)
    assert_problem(admin.post(f"{one}/rollback", {"commit": made}, If_Match="*"), 412)
    assert admin.post(f"{one}/rollback", {"commit": made}).status == 200
