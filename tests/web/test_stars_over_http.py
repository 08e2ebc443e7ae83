"""Stars as calls: what they answer, and ETags that tell apart whatever differs."""

from __future__ import annotations

import itertools

import pytest
from falcon import testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web_site import Site, problem

from catalogd.state.activity import count_pulls

_NUMBERS = itertools.count(1)
_DAYS = itertools.cycle((23, 24, 24, 20))
USERS = ("ann", "bob", "eve")


@pytest.fixture(scope="module")
def site(own_site: Site) -> Site:
    return own_site


@pytest.fixture(scope="module")
def clients(site: Site) -> dict[str, testing.TestClient]:
    return {**{name: site.user(name) for name in USERS}, "nobody": site.anonymous}


@pytest.fixture
def path(site: Site) -> str:
    """A repository of the test's own."""
    name = f"r{next(_NUMBERS)}"
    site.create(f"stars/{name}")
    return f"/v1/repositories/stars/{name}"


def test_a_star_is_set_and_taken_back_with_204_and_no_body(clients, path):
    for method, starred in (("PUT", True), ("PUT", True), ("DELETE", False), ("DELETE", False)):
        reply = clients["ann"].simulate_request(method, f"{path}/star")
        assert (reply.status_code, reply.content) == (204, b"")
        assert "catalog-commit" in reply.headers
        detail = clients["ann"].simulate_get(path).json
        assert (detail["is_repo_starred"], detail["repo_starred_count"]) == (starred, int(starred))


def test_a_star_takes_no_body_but_the_empty_object_that_some_clients_send(clients, path):
    assert clients["ann"].simulate_put(f"{path}/star", json={}).status_code == 204
    assert problem(clients["ann"].simulate_put(f"{path}/star", json={"x": 1}), 422) == [""]


def test_who_may_not_star_is_told_why(site, clients, path):
    problem(site.anonymous.simulate_put(f"{path}/star"), 401)
    reading = site.with_token(site.accounts.create_token("ann", scopes=("read",))[0])
    problem(reading.simulate_put(f"{path}/star"), 403)
    problem(clients["ann"].simulate_put("/v1/repositories/stars/nothing/star"), 404)
    problem(clients["ann"].simulate_put(f"{path}/star", headers={"If-Match": '"x"'}), 400)


def test_the_starred_are_a_list_of_repositories_in_pages(site):
    liking = site.user("liking")
    for name in ("b", "a", "c"):
        site.create(f"liked/{name}")
        liking.simulate_put(f"/v1/repositories/liked/{name}/star")
    page = liking.simulate_get("/v1/user/starred", params={"page_size": 2}).json
    assert (page["count"], [row["repo_name"] for row in page["results"]]) == (3, ["a", "b"])
    assert {row["repo_starred_count"] for row in page["results"]} == {1}
    assert page["next"].endswith("/v1/user/starred?page_size=2&page=2")
    site.client.simulate_patch("/v1/repositories/liked/c", json={"is_public": False})
    assert liking.simulate_get("/v1/user/starred").json["count"] == 2
    problem(liking.simulate_get("/v1/user/starred", params={"page": 2}), 404)
    problem(site.anonymous.simulate_get("/v1/user/starred"), 401)


def test_a_write_compares_the_blob_of_a_tag_and_not_the_stars(site, clients, path):
    clients["ann"].simulate_put(f"{path}/star")
    tag = clients["ann"].simulate_get(path).headers["etag"]
    assert "." in tag
    clients["bob"].simulate_put(f"{path}/star")
    changed = site.client.simulate_patch(path, json={"description": "x"}, headers={"If-Match": tag})
    assert changed.status_code == 200
    problem(site.client.simulate_patch(path, json={"description": "y"}, headers={"If-Match": tag}), 412)


def test_a_star_of_ones_own_changes_the_tag_and_the_same_view_has_the_same_one(clients, path):
    ann, bob, nobody = (clients[name] for name in ("ann", "bob", "nobody"))

    def tags() -> list[str]:
        return [client.simulate_get(path).headers["etag"] for client in (ann, bob, nobody)]

    [unstarred] = set(tags())
    ann.simulate_put(f"{path}/star")
    starred = tags()
    assert starred[1] == starred[2]
    assert len({unstarred, *starred}) == 3
    known = ann.simulate_get(path, headers={"If-None-Match": starred[0]})
    assert (known.status_code, known.headers["etag"]) == (304, starred[0])
    assert ann.simulate_get(path, headers={"If-None-Match": unstarred}).status_code == 200


ACTS = st.tuples(st.sampled_from(("star", "unstar", "pull", "fold", "edit", "back")), st.sampled_from(USERS))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTS, max_size=12))
def test_there_are_never_two_bodies_under_one_tag(site: Site, clients: dict[str, testing.TestClient], acts) -> None:
    name = f"p{next(_NUMBERS)}"
    site.create(f"stars/{name}", description="first")
    path = f"/v1/repositories/stars/{name}"
    bodies: dict[str, bytes] = {}
    for act, user in (("fold", ""), *acts):
        if act == "fold":
            site.activity.fold()
        elif act == "pull":
            with site.activity.state._database.writing() as connection:
                count_pulls(connection, {("stars", name): (1, f"2026-11-{next(_DAYS):02}T08:00:00.000Z")})
        elif act in ("edit", "back"):
            site.client.simulate_patch(path, json={"description": "first" if act == "back" else "second"})
        else:
            clients[user].simulate_request({"star": "PUT", "unstar": "DELETE"}[act], f"{path}/star")
        for client in clients.values():
            reply = client.simulate_get(path)
            assert bodies.setdefault(reply.headers["etag"], reply.content) == reply.content
