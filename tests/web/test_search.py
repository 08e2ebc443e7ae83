"""What clients of registries find: what the caller may see, best first, whatever they send along."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from falcon import testing
from web_site import IMAGE, Site, problem

SOURCE = {"code_repo_client": "Simple", "code_repo_clone_url": "https://git.example/web.git"}
ODD_TERMS = (
    '"', "'", "web AND", "NEAR(", "*", "web*", "-", "a OR b)", "repo_name:", "é\u0301", "漢字", "🐳", "\ufffd", "^",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(own_site: Site) -> Site:
    """`amy` reads what is private in `amy`."""
    for path, fields in {
        "acme/web": {"description": "The storefront", "build_config": SOURCE},
        "acme/db": {"description": "Orders of the web shop"},
        "library/nginx": {"description": "A server"},
        "amy/web-secret": {"description": "Hers", "is_public": False},
    }.items():
        own_site.create(path, **fields)
    for path in ("acme/web/tags/v2", "acme/web/tags/latest", "amy/web-secret/tags/v1"):
        own_site.client.simulate_put(f"/v1/repositories/{path}", json={"image_id": IMAGE})
    return own_site


@pytest.fixture(scope="module")
def amy(site: Site) -> testing.TestClient:
    client = site.user("amy")
    assert client.simulate_put("/v1/repositories/acme/web/star").status_code == 204
    return client


def names(client: testing.TestClient, term: str | None = None, **query: Any) -> list[str]:
    reply = client.simulate_get("/v1/search", params={**query, **({} if term is None else {"q": term})})
    assert reply.status_code == 200, reply.text
    return [result["name"] for result in reply.json["results"]]


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_result_says_what_clients_show(site, amy):
    reply = site.anonymous.simulate_get("/v1/search", params={"q": "storefront", "n": "25"})
    found = {
        "name": "acme/web",
        "description": "The storefront",
        "star_count": 1,
        "is_official": False,
        "is_automated": True,
    }
    assert reply.json == {
        "num_results": 1, "query": "storefront", "page": 1, "page_size": 25, "num_pages": 1, "results": [found],
    }  # fmt: skip
    official = site.anonymous.simulate_get("/v1/search", params={"q": "ngin"}).json["results"]
    assert [(it["name"], it["is_official"]) for it in official] == [("library/nginx", True)]


def test_what_is_found_in_the_name_comes_first_and_only_what_the_caller_may_see(site, amy):
    assert names(site.anonymous, "web") == ["acme/web", "acme/db"]
    assert names(amy, "web") == ["acme/web", "amy/web-secret", "acme/db"]
    assert names(site.anonymous, "hers") == []


def test_without_a_term_everything_is_found(site, amy):
    everything = ["acme/db", "acme/web", "library/nginx"]
    assert names(site.anonymous) == names(site.anonymous, "") == names(site.anonymous, "  ") == everything


def test_more_than_there_may_be_is_cut_and_pages_follow(site, amy):
    for asked, given in (("1000", 100), ("100", 100), ("0", 25), ("2", 2)):
        reply = site.anonymous.simulate_get("/v1/search", params={"n": asked}).json
        assert (reply["page_size"], reply["num_results"]) == (given, 3)
    assert reply["num_pages"] == 2
    assert names(site.anonymous, n="2", page="2") == ["library/nginx"]
    problem(site.anonymous.simulate_get("/v1/search", params={"page": "3"}), 404)


@pytest.mark.parametrize("term", ODD_TERMS)
def test_an_odd_term_is_only_words(site, term):
    assert set(names(site.anonymous, term)) <= {"acme/db", "acme/web", "library/nginx"}


def test_a_long_term_counts_only_at_its_beginning(site):
    assert names(site.anonymous, "storefront" + " " * 190 + "nowhere " * 1250) == ["acme/web"]
    assert names(site.anonymous, "x" * 10_000) == []


@pytest.mark.parametrize("query", ["q=%ff", "q=%", "q=%00", "q=a&q=b", "n=-1", "n=many", "n=" + "9" * 30, "page=0"])
def test_what_no_client_sends_is_a_clear_error(site, query):
    problem(site.anonymous.simulate_get("/v1/search", query_string=query), 400)


def test_parameters_that_only_other_registries_know_are_passed_over(site):
    assert names(site.anonymous, "storefront", limit="3", filter="stars=3") == ["acme/web"]
    assert site.anonymous.simulate_get("/v2/", params={"a": "b"}).status_code == 401


def test_to_log_in_is_to_be_asked_for_a_password(site, amy):
    refused = site.anonymous.simulate_get("/v2/")
    problem(refused, 401)
    assert refused.headers["www-authenticate"] == 'Basic realm="catalogd"'
    assert refused.headers["docker-distribution-api-version"] == "registry/2.0"
    token, _ = site.accounts.create_token("amy")
    logged_in = site.anonymous.simulate_get("/v2/", headers=basic("amy", token))
    assert (logged_in.status_code, logged_in.json) == (200, {})
    assert logged_in.headers["docker-distribution-api-version"] == "registry/2.0"
    wrong = site.anonymous.simulate_get("/v2/", headers=basic("amy", "wrong"))
    problem(wrong, 401)
    assert wrong.headers["www-authenticate"] == 'Basic realm="catalogd"'


def test_the_credentials_of_nobody_are_none_for_clients_that_send_them(site):
    nobody = basic("", "")
    for path in ("/v1/search", "/v2/_catalog", "/v2/acme/web/tags/list"):
        assert site.anonymous.simulate_get(path, headers=nobody).json == site.anonymous.simulate_get(path).json
        problem(site.anonymous.simulate_get(path, headers=basic("", "secret")), 401)
    problem(site.anonymous.simulate_get("/v1/repositories", headers=nobody), 401)


def test_the_names_of_a_registry_are_those_that_the_caller_may_see(site, amy):
    first = site.anonymous.simulate_get("/v2/_catalog", params={"n": "2"})
    assert first.json == {"repositories": ["acme/db", "acme/web"]}
    assert first.headers["link"] == '</v2/_catalog?n=2&page=2>; rel="next"'
    second = site.anonymous.simulate_get("/v2/_catalog", query_string="n=2&page=2")
    assert second.json == {"repositories": ["library/nginx"]}
    assert "link" not in second.headers
    assert "amy/web-secret" in amy.simulate_get("/v2/_catalog").json["repositories"]
    assert problem(site.anonymous.simulate_get("/v2/_catalog", params={"last": "acme/db"}), 400) == ["last"]


def test_tags_are_listed_for_those_who_may_read_the_repository(site, amy):
    assert site.anonymous.simulate_get("/v2/acme/web/tags/list").json == {"name": "acme/web", "tags": ["latest", "v2"]}
    assert site.anonymous.simulate_get("/v2/library/nginx/tags/list").json["tags"] == []
    assert amy.simulate_get("/v2/amy/web-secret/tags/list").json["tags"] == ["v1"]
    problem(site.anonymous.simulate_get("/v2/amy/web-secret/tags/list"), 404)


def test_the_first_call_of_docker_is_told_not_to_send_passwords_everywhere(site):
    reply = site.anonymous.simulate_get("/v1/_ping")
    assert reply.json == {"standalone": False}
    assert reply.headers["x-docker-registry-standalone"] == "false"
