"""The calls on organizations: what they take and refuse, who sees the members, and how the last owner stays."""

from __future__ import annotations

import itertools
import json

import pytest
from falcon import testing
from web_site import Site, problem

from catalogd.documents import canonical
from catalogd.store import Draft, Edit

_NUMBERS = itertools.count(1)
ALL = "/v1/namespaces"
LISTS = ("owners", "writers", "readers")


@pytest.fixture(scope="module")
def site(own_site: Site) -> Site:
    return own_site


@pytest.fixture(scope="module")
def people(site: Site) -> dict[str, testing.TestClient]:
    return {name: site.user(name) for name in ("olga", "will", "rita", "sam")}


@pytest.fixture
def name() -> str:
    return f"team{next(_NUMBERS)}"


@pytest.fixture
def team(site: Site, people, name: str) -> str:
    """The path of an organization with a member of each kind; sam is none."""
    body = {"namespace": name, "description": "d", "owners": ["olga"], "writers": ["will"], "readers": ["rita"]}
    assert site.client.simulate_post(ALL, json=body).status_code == 201
    return f"{ALL}/{name}"


def test_an_admin_makes_an_organization_and_is_its_owner_unless_said_otherwise(site, people, name):
    made = site.client.simulate_post(f"{ALL}/", json={"namespace": name})
    assert (made.status_code, made.headers["location"]) == (201, f"{ALL}/{name}")
    assert made.json == {
        "namespace": name, "description": "", "owners": ["admin"], "writers": [], "readers": [], "role": "owner",
    }  # fmt: skip
    read = site.client.simulate_get(f"{ALL}/{name}/")
    assert (read.json, read.headers["etag"]) == (made.json, made.headers["etag"])
    assert read.headers["catalog-commit"] == made.headers["catalog-commit"]
    problem(site.client.simulate_post(ALL, json={"namespace": name}), 409, "already-exists")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/namespace"]),
        ({"namespace": "Not Valid"}, ["/namespace"]),
        ({"namespace": 5}, ["/namespace"]),
        ({"namespace": "nul"}, ["/namespace"]),
        ({"namespace": "good", "owners": []}, ["/owners"]),
        ({"namespace": "good", "owners": "olga"}, ["/owners"]),
        ({"namespace": "good", "owners": ["olga", "nobody"], "readers": ["none"]}, ["/owners/1", "/readers/0"]),
        ({"namespace": "good", "writers": [1]}, ["/writers/0"]),
        ({"namespace": "good", "description": None}, ["/description"]),
        ({"namespace": "good", "members": ["olga"]}, ["/members"]),
        ([], [""]),
    ],
)
def test_an_unfit_organization_is_refused_with_what_is_wrong_and_not_made(site, people, body, pointers):
    head = site.catalog.store.head()
    found = problem(site.client.simulate_post(ALL, json=body), 422, "invalid")
    assert set(pointers) <= {*found, *(pointer.rpartition("/")[0] for pointer in found)}
    assert site.catalog.store.head() == head


def test_only_an_admin_with_the_scope_makes_one(site, people, name):
    head = site.catalog.store.head()
    plain_admin = site.with_token(site.accounts.create_token("admin")[0])
    for client, status in ((people["olga"], 403), (plain_admin, 403), (site.anonymous, 401)):
        problem(client.simulate_post(ALL, json={"namespace": name}), status)
    assert site.catalog.store.head() == head


def test_members_and_history_are_shown_to_members_alone(site, people, team, name):
    seen = {who: client.simulate_get(team).json for who, client in people.items()}
    assert {who: one["role"] for who, one in seen.items()} == {
        "olga": "owner", "will": "writer", "rita": "reader", "sam": None,
    }  # fmt: skip
    for who in ("olga", "will", "rita"):
        assert seen[who]["owners"] == ["olga"]
    confined = site.with_token(site.accounts.create_token("olga", namespace="other")[0])
    for client in (people["sam"], site.anonymous, confined):
        shown = client.simulate_get(team).json
        assert shown == {"namespace": name, "description": "d", "role": None}
        assert not [
            row for row in client.simulate_get(ALL, params={"page_size": 100}).json["results"] if "owners" in row
        ]
        assert client.simulate_get(f"{team}/history").status_code in (401, 404)
    assert people["rita"].simulate_get(f"{team}/history").json["count"] == 1


def test_there_are_never_two_bodies_of_an_organization_under_one_tag(site, people, team):
    bodies: dict[str, bytes] = {}
    for client in (*people.values(), site.client, site.anonymous):
        reply = client.simulate_get(team)
        assert bodies.setdefault(reply.headers["etag"], reply.content) == reply.content
        again = client.simulate_get(team, headers={"If-None-Match": reply.headers["etag"]})
        assert again.status_code == 304
    assert len(bodies) == 4  # owner, writer, reader, anybody


def test_put_keeps_what_it_does_not_name_and_patch_takes_null_for_the_default(site, people, team):
    put = people["olga"].simulate_put(team, json={"writers": ["sam", "olga", "will"]})
    assert put.status_code == 200
    assert (put.json["writers"], put.json["description"], put.json["readers"]) == (
        ["olga", "sam", "will"],
        "d",
        ["rita"],
    )
    patched = people["olga"].simulate_patch(team, json={"description": None, "writers": None})
    assert (patched.json["writers"], patched.json["description"]) == ([], "")
    head = site.catalog.store.head()
    same = people["olga"].simulate_patch(team, json={"writers": []})
    assert (same.status_code, same.json, site.catalog.store.head()) == (200, patched.json, head)


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/json"])
def test_a_patch_has_either_type(people, team, content_type):
    reply = people["olga"].simulate_patch(team, body='{"readers": ["sam"]}', headers={"Content-Type": content_type})
    assert reply.json["readers"] == ["sam"]


@pytest.mark.parametrize(
    ("method", "body", "pointers"),
    [
        ("PUT", {"owners": []}, ["/owners"]),
        ("PATCH", {"owners": None}, ["/owners"]),
        ("PATCH", {"owners": []}, ["/owners"]),
        ("PUT", {"owners": None}, ["/owners"]),
        ("PUT", {"readers": ["rita", "ghost"]}, ["/readers/1"]),
        ("PUT", {"writers": ["will", "No Name"]}, ["/writers/1"]),
        ("PATCH", {"namespace": "other"}, ["/namespace"]),
        ("PUT", {"role": "owner"}, ["/role"]),
        ("PUT", [], [""]),
        ("PUT", {"description": "two\nlines"}, ["/description"]),
    ],
)
def test_an_unfit_update_is_refused_and_changes_nothing(site, people, team, method, body, pointers):
    before = people["olga"].simulate_get(team)
    assert problem(people["olga"].simulate_request(method, team, json=body), 422) == pointers
    assert people["olga"].simulate_get(team).content == before.content


def test_who_is_no_owner_is_told_so_and_changes_nothing(site, people, team):
    head = site.catalog.store.head()
    robot = site.with_token(site.accounts.create_token("olga", namespace="other")[0])
    reading = site.with_token(site.accounts.create_token("olga", scopes=("read",))[0])
    tries = [(people[who], 403) for who in ("will", "rita", "sam")]
    for client, status in [*tries, (robot, 403), (reading, 403), (site.anonymous, 401)]:
        problem(client.simulate_put(team, json={"owners": ["sam"]}), status)
        problem(client.simulate_patch(team, json={"owners": ["sam"]}), status)
        problem(client.simulate_delete(team), status)
    assert site.catalog.store.head() == head


def test_a_role_that_is_given_or_taken_counts_in_the_next_request(site, people, team, name):
    path = f"/v1/repositories/{name}"
    problem(people["sam"].simulate_post(path, json={"repo_name": "one"}), 403)
    people["olga"].simulate_put(team, json={"writers": ["sam"]})
    assert people["sam"].simulate_post(path, json={"repo_name": "one", "is_public": False}).status_code == 201
    people["olga"].simulate_put(team, json={"writers": []})
    problem(people["sam"].simulate_patch(f"{path}/one", json={"description": "x"}), 404)
    people["olga"].simulate_put(team, json={"owners": ["sam"]})
    problem(people["olga"].simulate_put(team, json={"owners": ["olga"]}), 403)


def test_a_write_with_the_tag_of_another_version_is_refused(people, team):
    olga = people["olga"]
    old = olga.simulate_get(team).headers["etag"]
    assert olga.simulate_put(team, json={"description": "x"}, headers={"If-Match": old}).status_code == 200
    for stale in (old, '"0123456789"', f"W/{olga.simulate_get(team).headers['etag']}"):
        headers = {"If-Match": stale}
        problem(olga.simulate_put(team, json={"description": "y"}, headers=headers), 412, "precondition-failed")
        problem(olga.simulate_patch(team, json={"description": "y"}, headers=headers), 412)
        problem(olga.simulate_delete(team, headers=headers), 412)
    problem(olga.simulate_put(team, json={"description": "y"}, headers={"If-Match": "no tag"}), 400)
    assert olga.simulate_get(team).json["description"] == "x"
    now = olga.simulate_get(team).headers["etag"]
    assert olga.simulate_delete(team, headers={"If-Match": now}).status_code == 204


def test_an_organization_with_repositories_is_not_deleted(site, people, team, name):
    site.create(f"{name}/one")
    reply = people["olga"].simulate_delete(team)
    problem(reply, 409, "conflict")
    assert "1 repository;" in reply.json["detail"]
    site.client.simulate_delete(f"/v1/repositories/{name}/one")
    assert people["olga"].simulate_delete(team).status_code == 204
    for reply in (people["olga"].simulate_get(team), people["olga"].simulate_delete(team),
                  site.client.simulate_put(team, json={"description": "x"})):  # fmt: skip
        problem(reply, 404, "not-found")


def test_organizations_are_listed_by_name_in_pages(site, people, team):
    first = site.anonymous.simulate_get(ALL, params={"page_size": 1}).json
    assert len(first["results"]) == 1
    everything = site.anonymous.simulate_get(ALL, params={"page_size": 100}).json
    names = [row["namespace"] for row in everything["results"]]
    assert (names, everything["count"]) == (sorted(names), len(names))
    problem(site.anonymous.simulate_get(ALL, params={"page": 10_000}), 404)
    problem(site.anonymous.simulate_get(ALL, params={"page": 0}), 400)


@pytest.mark.parametrize("bad", ["Not-Valid", "a%20b", "..%2fx", "x" * 129, "%00"])
def test_what_can_be_no_name_is_not_there(site, bad):
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        body = {"description": "x"} if method in ("PUT", "PATCH") else None
        assert site.client.simulate_request(method, f"{ALL}/{bad}", json=body).status_code in (400, 404)


def test_a_member_who_is_no_user_any_more_does_not_hinder_other_changes(site, people, team, name):
    """As a hand may have left it: only who is new must be a user."""
    site.accounts.add_user(f"{name}-gone")
    people["olga"].simulate_put(team, json={"readers": [f"{name}-gone"]})
    site.accounts.remove_user(f"{name}-gone")
    assert people["olga"].simulate_put(team, json={"description": "still"}).status_code == 200
    assert people["olga"].simulate_get(team).json["readers"] == [f"{name}-gone"]


def test_a_broken_organization_does_not_hinder_the_removal_of_a_user(site, people, team, name):
    hand = site.catalog.store
    gone = f"{name}-gone"
    site.accounts.add_user(gone)
    site.client.simulate_patch(team, json={"readers": [gone]})
    path = f"namespaces/{name}-broken.json"
    hand.submit(Edit("Hand", "hand@example.org", lambda reading: Draft("Break it", {path: b'{"owners": "x"}'})))
    assert site.client.simulate_delete(f"/v1/users/{gone}").status_code == 204
    assert site.client.simulate_get(team).json["readers"] == []


def test_a_name_with_a_past_is_given_to_a_new_user_only_if_that_is_meant(site, people, name):
    former = f"{name}-former"
    site.accounts.add_user(former)
    site.create(f"{former}/diary", is_public=False, description="a secret")
    site.client.simulate_delete(f"/v1/repositories/{former}/diary")
    assert site.client.simulate_delete(f"/v1/users/{former}").status_code == 204
    problem(site.client.simulate_post("/v1/users", json={"name": former}), 409, "already-exists")
    taken = site.client.simulate_post("/v1/users", json={"name": former, "take_over": True})
    assert taken.status_code == 201


def test_a_user_whom_organizations_name_already_is_made_only_if_that_is_meant(site, people, team, name):
    late = f"{name}-late"
    found = json.loads(site.client.simulate_get(team).text)
    document = {key: found[key] for key in ("namespace", "description", "owners", "writers")} | {"readers": [late]}
    path = f"namespaces/{document['namespace']}.json"
    data = canonical.dumps(document)
    site.catalog.store.submit(Edit("Hand", "hand@example.org", lambda reading: Draft("Name them", {path: data})))
    problem(site.client.simulate_post("/v1/users", json={"name": late}), 409, "already-exists")
