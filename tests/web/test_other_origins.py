"""Writes that a page of another site has made a browser send are refused; all others are not."""

from __future__ import annotations

import pytest
from web_site import Site, problem

from catalogd.errors import Forbidden
from catalogd.web.requests import check_origin

# What the test client sends as Host.
OURS = "falconframework.org"
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "something new"},
    {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{OURS}"},
    {"Origin": "http://evil.example"},
    {"Origin": f"http://{OURS}.evil.example"},
    {"Origin": f"http://{OURS}:8080"},
    {"Origin": f"http://evil.example/{OURS}"},
    {"Origin": f"http://user@{OURS}"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": OURS},
    {"Origin": "http://["},
    {"Origin": "data:text/html,x"},
]
OWN = [
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{OURS}"},
    {"Origin": f"http://{OURS}"},
    {"Origin": f"https://{OURS}"},
]


def told(headers: dict[str, str]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in headers.items()) or "neither header"


@pytest.mark.parametrize("headers", FOREIGN, ids=told)
def test_a_write_from_another_site_is_refused_and_changes_nothing(site: Site, headers) -> None:
    site.client.simulate_post("/v1/repositories/origins", json={"repo_name": "there"})
    there = site.client.simulate_get("/v1/repositories/origins/there").headers["etag"]
    path, head = "/v1/repositories/origins/there", site.catalog.store.head()
    replies = [
        site.client.simulate_post("/v1/repositories/origins", json={"repo_name": "made"}, headers=headers),
        site.client.simulate_put(path, json={"description": "changed"}, headers=headers),
        site.client.simulate_patch(path, json={"description": "changed"}, headers=headers),
        site.client.simulate_put(f"{path}/star", headers=headers),
        site.client.simulate_delete(path, headers=headers),
        site.client.simulate_post("/v1/user/tokens", json={}, headers=headers),
        site.client.simulate_post("/v1/users", json={"name": "made"}, headers=headers),
        site.anonymous.simulate_post("/v1/generate-api-token", body="username=a&password=b",
                                     headers={"Content-Type": "application/x-www-form-urlencoded", **headers}),
    ]  # fmt: skip
    for reply in replies:
        problem(reply, 403, "forbidden")
    assert site.catalog.store.head() == head
    assert site.client.simulate_get(path).headers["etag"] == there
    assert site.client.simulate_get("/v1/users/made").status_code == 404


@pytest.mark.parametrize("headers", FOREIGN, ids=told)
def test_a_read_from_another_site_is_answered_and_no_page_there_may_look_at_it(site: Site, headers) -> None:
    reply = site.client.simulate_get("/v1/repositories/origins", headers=headers)
    assert reply.status_code == 200
    assert not [name for name in reply.headers if name.startswith("access-control-")]
    preflight = site.client.simulate_options("/v1/repositories/origins", headers=headers)
    assert not [name for name in preflight.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("headers", OWN, ids=told)
def test_a_write_of_a_program_or_of_our_own_page_is_not_refused(site: Site, headers) -> None:
    site.client.simulate_post("/v1/repositories/origins", json={"repo_name": "own"})
    path = "/v1/repositories/origins/own"
    assert site.client.simulate_patch(path, json={"description": "x"}, headers=headers).status_code == 200
    assert site.client.simulate_put(f"{path}/star", headers=headers).status_code == 204


def test_a_page_at_the_public_url_is_our_own_also_where_a_proxy_changes_the_host() -> None:
    behind = {"HTTP_HOST": "backend:8080", "HTTP_ORIGIN": "https://catalog.example.org"}
    check_origin(behind, "https://catalog.example.org")
    for public_url in ("", "https://other.example.org", "https://catalog.example.org:8443"):
        with pytest.raises(Forbidden):
            check_origin(behind, public_url)
    with pytest.raises(Forbidden):
        check_origin({"HTTP_ORIGIN": "null"}, "")


def test_the_page_of_the_description_may_try_every_call(site: Site) -> None:
    """Its script asks the server that it came from: as same-origin, with a token in a header."""
    page = site.anonymous.simulate_get("/docs")
    policy = page.headers["content-security-policy"]
    assert "connect-src 'self'" in policy
    headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Origin": f"http://{OURS}"}
    made = site.client.simulate_post("/v1/repositories/origins", json={"repo_name": "tried"}, headers=headers)
    assert made.status_code == 201
