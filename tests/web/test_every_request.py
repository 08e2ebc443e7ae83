"""What is checked of every request, whatever it asks for."""

from __future__ import annotations

import base64

import pytest
from falcon import testing
from web_site import MAX_BODY, Site

from catalogd.web.errors import is_git, is_registry
from catalogd.web.operation import Operation
from catalogd.web.parameters import PAGE
from catalogd.web.routes import OPERATIONS

NAMES = {
    "namespace": "nobody", "repo_name": "nothing", "tag": "latest", "commit": "0" * 40, "user": "nobody",
    "token": "0" * 12, "number": "999999", "review": "1",
}  # fmt: skip
# Those of git clients have tests of their own: their errors are for people who sit before git.
OURS = [operation for operation in OPERATIONS if not is_git(operation.path)]
CALLS = [(operation.method, operation.path.format(**NAMES)) for operation in OURS]
RIGHTS = {call: operation.right for call, operation in zip(CALLS, OURS, strict=True)}


def is_problem(reply: testing.Result, status: int) -> bool:
    problem = reply.json
    assert reply.headers["content-type"] == "application/problem+json"
    assert list(problem)[:4] == ["type", "title", "status", "detail"]
    assert problem["type"].startswith("urn:catalogd:")
    assert problem["request_id"] == reply.headers["x-request-id"]
    assert problem["status"] == reply.status_code
    return reply.status_code == status


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_works_with_and_without_a_slash_at_its_end(site: Site, method: str, path: str) -> None:
    replies = [site.client.simulate_request(method, path + end, json={}) for end in ("", "/")]
    assert replies[0].status_code == replies[1].status_code
    assert replies[0].status_code not in range(300, 400)
    assert replies[0].status_code < 500


@pytest.mark.parametrize("path", sorted({path for method, path in CALLS if method == "GET"}))
def test_head_answers_as_get_without_the_body(site: Site, path: str) -> None:
    got, head = site.client.simulate_get(path), site.client.simulate_head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    if path not in ("/metrics", "/healthz"):
        assert head.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize("path", sorted({path for _, path in CALLS}))
def test_options_and_405_say_what_is_possible(site: Site, path: str) -> None:
    options = site.client.simulate_options(path)
    refused = site.client.simulate_request("TRACE", path)
    assert options.status_code == 204
    assert is_problem(refused, 405)
    possible = {method for method, other in CALLS if other == path} | {"OPTIONS"}
    possible |= {"HEAD"} if "GET" in possible else set()
    for reply in (options, refused):
        assert set(reply.headers["allow"].split(", ")) == possible


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_refuses_wrong_credentials_unless_it_takes_none(site: Site, method: str, path: str) -> None:
    reply = site.anonymous.simulate_request(method, path, headers={"Authorization": "Token wrong"})
    if RIGHTS[method, path].takes_credentials:
        assert is_problem(reply, 401)
        scheme = "Basic" if is_registry(path) else "Token"
        assert reply.headers["www-authenticate"].startswith(f'{scheme} realm="catalogd"')
    else:
        assert reply.status_code != 401


@pytest.mark.parametrize(
    ("method", "path"), [call for call, operation in zip(CALLS, OURS, strict=True) if not operation.is_foreign]
)
def test_every_call_names_the_parameters_that_it_does_not_know(site: Site, method: str, path: str) -> None:
    reply = site.client.simulate_request(method, path, params={"nonsense": "1"}, json={})
    assert is_problem(reply, 400)
    assert "nonsense" in [fault["pointer"] for fault in reply.json["errors"]]


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/a", "/v1/repositories/a/b/c", "/static/", "/static/../app.py"])
def test_a_path_that_is_not_there_is_a_problem(site: Site, path: str) -> None:
    assert is_problem(site.client.simulate_get(path), 404)


def test_the_callers_request_id_comes_back(site: Site) -> None:
    reply = site.client.simulate_get("/healthz", headers={"X-Request-Id": "trace-1/2.3"})
    assert reply.headers["x-request-id"] == "trace-1/2.3"


@pytest.mark.parametrize("given", ["", "a b", "a,b", "x" * 129, "é", '"'])
def test_a_request_id_that_is_not_sane_is_replaced(site: Site, given: str) -> None:
    reply = site.client.simulate_get("/healthz", headers={"X-Request-Id": given})
    assert len(reply.headers["x-request-id"]) == 32


@pytest.mark.parametrize("host", ["a, b", "a b", "a/b", "a:b", "-a", "[::1", "a:70000", "a?b", "é"])
def test_a_host_that_is_none_is_refused(site: Site, host: str) -> None:
    assert is_problem(site.client.simulate_get("/healthz", headers={"Host": host}), 400)


@pytest.mark.parametrize("host", ["a", "catalog.example:8080", "127.0.0.1", "[::1]:80", "my_host"])
def test_a_host_may_be_a_name_or_an_address_with_a_port(site: Site, host: str) -> None:
    assert site.client.simulate_get("/healthz", headers={"Host": host}).status_code == 200


# --- queries

LIST = "/v1/repositories/nobody"
BAD_QUERIES = [
    "page=0", "page=-1", "page=1.5", "page=", "page=1e9", "page=%C2%B2", "page=01", "page_size=0",
    "page_size=101",
    "page_size=10000", "ordering=size", "ordering=--download", "is_public=maybe", "label=", "label==x",
    "at=yesterday", "at=123456", "at=" + "0" * 41, "at=2015-13-01T00:00:00Z", "at=2015-06-04", "page=1&page=2",
    "search=a&search=b",
    "search=%ff", "search=%zz", "search=%00", "search=" + "x" * 201, "search=%ed%a0%80",
]  # fmt: skip


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_a_malformed_query_is_a_400(site: Site, query: str) -> None:
    assert is_problem(site.client.simulate_get(LIST, query_string=query), 400)


@pytest.mark.parametrize(
    "query",
    [
        "", "page=1&page_size=100", "ordering=-download", "is_public=true", "is_public=False",
        "label=a&label=b%3Dc",
        "search=caf%C3%A9+au+lait", "search=", "&&", "label=a%3D%3D",
    ],
)  # fmt: skip
def test_a_sane_query_is_answered(site: Site, query: str) -> None:
    reply = site.client.simulate_get(LIST, query_string=query)
    assert reply.status_code == 200
    assert reply.json == {"count": 0, "next": None, "previous": None, "results": []}


def test_a_page_past_the_end_is_a_404_however_far(site: Site) -> None:
    for page in ("2", "1000000000", "9" * 18):
        assert is_problem(site.client.simulate_get(LIST, params={"page": page}), 404)


def test_everything_that_is_wrong_with_a_query_is_named_at_once(site: Site) -> None:
    reply = site.client.simulate_get(LIST, query_string="page=0&ordering=size&x=1")
    assert [fault["pointer"] for fault in reply.json["errors"]] == ["page", "ordering", "x"]


# --- bodies

CREATE = "/v1/repositories/bodies"
BAD_JSON = [
    b"", b"{", b'{"repo_name": "a", "repo_name": "b"}', b'{"repo_name": NaN}', b'{"a": 1e999}',
    b"\xef\xbb\xbf{}",
    b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"{} {}", b"[" * 1000 + b"]" * 1000,
    b'{"a": ' + b"9" * 5000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_JSON)
def test_what_is_no_strict_json_is_a_400(site: Site, body: bytes) -> None:
    reply = site.client.simulate_post(CREATE, body=body, headers={"Content-Type": "application/json"})
    assert is_problem(reply, 400)


@pytest.mark.parametrize("body", [b"null", b"1", b"[]", b'"a"', b"{}", b'{"repo_name": "a", "__proto__": {}}'])
def test_json_that_is_no_repository_is_a_422(site: Site, body: bytes) -> None:
    reply = site.client.simulate_post(CREATE, body=body, headers={"Content-Type": "application/json"})
    assert is_problem(reply, 422)
    assert reply.json["errors"]


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "json",
        "",
        "multipart/form-data",
    ],
)
def test_another_content_type_is_a_415_that_says_what_is_right(site: Site, content_type: str) -> None:
    reply = site.client.simulate_post(CREATE, body=b"{}", headers={"Content-Type": content_type})
    assert is_problem(reply, 415)
    assert reply.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; Charset=UTF-8", 'application/json;charset="utf-8"'],
)
def test_json_may_say_that_it_is_utf_8(site: Site, content_type: str) -> None:
    reply = site.client.simulate_post(CREATE, body=b"{}", headers={"Content-Type": content_type})
    assert is_problem(reply, 422)


# All but the one to which it does not matter what the body says.
TAKERS = [each for each in OURS if each.method in ("POST", "PUT", "PATCH") and each.id != "syncCatalog"]


@pytest.mark.parametrize("operation", TAKERS, ids=lambda operation: operation.id)
def test_every_call_that_takes_a_body_refuses_a_compressed_one(site: Site, operation: Operation) -> None:
    assert 415 in operation.errors
    kind = operation.body.media_types[0] if operation.body else "application/json"
    headers = {"Content-Encoding": "gzip", "Content-Type": kind}
    client = site.with_token(site.accounts.create_token("alice", scopes=["registry", "admin"])[0])
    path = operation.path.format(**NAMES)
    assert is_problem(client.simulate_request(operation.method, path, body=b"\x1f\x8b", headers=headers), 415)


@pytest.mark.parametrize(
    "operation", [each for each in OURS if PAGE in each.parameters], ids=lambda operation: operation.id
)
def test_every_list_answers_404_past_its_end(site: Site, operation: Operation) -> None:
    commit = site.create(f"past/{operation.id.lower()}").headers["catalog-commit"]
    names = {**NAMES, "namespace": "past", "repo_name": operation.id.lower(), "commit": commit}
    assert is_problem(site.client.simulate_get(operation.path.format(**names), params={"page": 10**9}), 404)


def test_only_a_patch_takes_a_merge_patch(site: Site) -> None:
    merge_patch = {"Content-Type": "application/merge-patch+json"}
    path = "/v1/repositories/nobody/nothing"
    assert is_problem(site.client.simulate_patch(path, body=b"{}", headers=merge_patch), 404)
    assert is_problem(site.client.simulate_put(path, body=b"{}", headers=merge_patch), 415)
    refused = site.client.simulate_patch(path, body=b"{}", headers={"Content-Type": "text/plain"})
    assert refused.headers["accept-patch"] == "application/merge-patch+json, application/json"


def test_a_body_that_is_too_large_is_a_413(site: Site) -> None:
    reply = site.client.simulate_post(CREATE, body=b" " * (MAX_BODY + 1), headers={"Content-Type": "application/json"})
    assert is_problem(reply, 413)


# --- conditions


@pytest.mark.parametrize("tag", ["abc", '"abc', '"a" "b"', "W/abc", '"a\nb"', "**", ""])
def test_a_malformed_if_match_is_a_400(site: Site, tag: str) -> None:
    path = "/v1/repositories/nobody/nothing"
    assert is_problem(site.client.simulate_delete(path, headers={"If-Match": tag}), 400)


def test_a_write_that_knows_no_condition_refuses_one(site: Site) -> None:
    path = "/v1/commits/1234567/revert"
    assert is_problem(site.client.simulate_post(path, headers={"If-Match": "*"}), 400)


def test_a_tag_is_written_only_to_the_version_that_if_match_names(site: Site) -> None:
    made = site.create("conditions/tags")
    path, current = "/v1/repositories/conditions/tags/tags/latest", made.headers["etag"]
    image = {"image_id": "a" * 64}
    assert is_problem(site.client.simulate_put(path, json=image, headers={"If-Match": '"0000"'}), 412)
    assert site.client.simulate_put(path, json=image, headers={"If-Match": current}).status_code == 201
    assert is_problem(site.client.simulate_delete(path, headers={"If-Match": current}), 412)


# --- credentials


@pytest.mark.parametrize("header", ["Token", "Basic !!", "Basic YQ==", "Digest x", "", "Basic /w=="])
def test_credentials_that_cannot_be_read_are_a_401(site: Site, header: str) -> None:
    assert is_problem(site.anonymous.simulate_get(LIST, headers={"Authorization": header}), 401)


def test_a_token_works_by_three_schemes(site: Site) -> None:
    pair = base64.b64encode(f"alice:{site.token}".encode()).decode()
    for header in (f"Token {site.token}", f"token  {site.token}", f"Bearer {site.token}", f"Basic {pair}"):
        reply = site.anonymous.simulate_post(CREATE, json={}, headers={"Authorization": header})
        assert is_problem(reply, 422), header


@pytest.mark.parametrize("call", [call for call in CALLS if RIGHTS[call].needs_credentials], ids=" ".join)
def test_who_needs_credentials_and_has_none_hears_so_whether_anything_is_there_or_not(
    site: Site, call: tuple[str, str]
) -> None:
    assert is_problem(site.anonymous.simulate_request(*call, body=b"no JSON"), 401)


def test_a_write_without_credentials_is_a_401(site: Site) -> None:
    assert is_problem(site.anonymous.simulate_post(CREATE, json={"repo_name": "a"}), 401)
