"""Texts made to be obeyed by what shows or reads them are texts; credentials that are made up are none."""

from __future__ import annotations

import base64
import json

import pytest
from web_site import Site, problem

MARKDOWN = [
    '<img src=x onerror="alert(1)">',
    "[a](javascript:alert(1))",
    "![b](data:image/svg+xml;base64,PHN2Zz4=)",
    "</script><script>alert(1)</script>",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "=HYPERLINK(1)",
    "%s%n%d {0} \\x1b]0;x\\x07",
]


def unsigned(header: dict, claims: dict, signature: str = "") -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return ".".join((*parts, signature))


FORGED = {
    "alg none": unsigned({"alg": "none"}, {"sub": "alice", "access": []}),
    "signed with the public key": unsigned({"alg": "HS256", "typ": "JWT"}, {"sub": "alice"}, "x" * 43),
    "a kid that is a path": unsigned({"alg": "HS256", "kid": "../../../../dev/null"}, {"sub": "alice"}, "x" * 43),
    "a kid that is a query": unsigned({"alg": "ES256", "kid": "' OR 1=1 --"}, {"sub": "alice"}, "x" * 86),
    "a header that names a key": unsigned({"alg": "RS256", "jku": "http://127.0.0.1:1/keys"}, {"sub": "alice"}, "x"),
    "a token's beginning": "catd_",
    "a token with a wildcard": "catd_" + "%" * 38,
    "a quote": "catd_' OR '1'='1",
    "60 KB": "catd_" + "x" * 60_000,
}


@pytest.fixture(scope="module")
def shown(site: Site) -> Site:
    site.create("texts/hostile", full_description="\n\n".join(MARKDOWN), description=MARKDOWN[0])
    return site


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_none_by_any_scheme(site: Site, forged: str) -> None:
    headers = [f"Bearer {forged}", f"Token {forged}"]
    if forged.startswith("catd_"):
        # What does not begin so is a password, which takes a hash.
        headers.append("Basic " + base64.b64encode(f"alice:{forged}".encode()).decode())
    for header in headers:
        reply = site.anonymous.simulate_get("/v1/user", headers={"Authorization": header})
        problem(reply, 401, "unauthenticated")
        assert forged[5:] == "" or forged[5:] not in reply.text


def test_a_token_made_for_the_registry_is_none_of_the_catalog(site: Site) -> None:
    made = site.client.simulate_get("/v1/registry/token").json["token"]
    problem(site.with_token(made).simulate_get("/v1/user"), 401)


def test_markup_comes_back_as_the_text_that_it_is_and_never_as_a_page(shown: Site) -> None:
    for path in (
        "/v1/repositories/texts/hostile",
        "/v1/repositories/texts",
        "/v1/search?q=onerror",
        "/v1/commits",
        "/v1/repositories/texts/hostile/history",
    ):
        reply = shown.anonymous.simulate_get(path)
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert shown.client.simulate_get("/v1/repositories/texts/hostile").json["full_description"] == "\n\n".join(MARKDOWN)
    plain = shown.client.simulate_get("/v1/repositories/texts/hostile/diff", headers={"Accept": "text/x-diff"})
    assert plain.headers["content-type"].startswith("text/x-diff")
    assert "onerror" not in shown.anonymous.simulate_get("/docs").text


def test_a_refusal_quotes_markup_in_json_only(site: Site) -> None:
    reply = site.client.simulate_get("/v1/repositories", params={"<script>": "</script>"})
    problem(reply, 400)
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "accept",
    ["text/html", "*/*;q=0", "application/xml", ",,,", "a" * 5000, "text/x-diff;q=x", "\xff", ";", "application/*"],
)
def test_no_accept_header_whatever_makes_a_read_fail(shown: Site, accept: str) -> None:
    for path in ("/v1/repositories/texts/hostile", "/v1/repositories/texts/hostile/diff"):
        reply = shown.client.simulate_get(path, headers={"Accept": accept})
        assert reply.status_code in (200, 400, 406), reply.text


@pytest.mark.parametrize("count", [100, 5_000])
def test_many_parameters_are_refused_in_few_words(site: Site, count: int) -> None:
    query = "&".join(f"p{number}=x" for number in range(count))
    reply = site.client.simulate_get("/v1/repositories", query_string=query)
    assert len(problem(reply, 400)) == 20


@pytest.mark.parametrize(("path", "parameter"), [("/v1/repositories", "label"), ("/v1/registry/token", "scope")])
def test_a_parameter_is_not_repeated_without_end(site: Site, path: str, parameter: str) -> None:
    for count, status in ((100, 200), (101, 400), (10_000, 400)):
        reply = site.client.simulate_get(path, query_string="&".join([f"{parameter}=a"] * count))
        assert reply.status_code == status, reply.text[:500]
    assert problem(reply, 400) == [parameter]
