"""History, commits and changes over HTTP."""

from __future__ import annotations

from falcon.testing import TestClient
from web_site import Site

from catalogd.documents import dumps, loads
from catalogd.store import Draft, Edit, Reading


def commit_of(reply) -> str:
    return reply.headers["catalog-commit"]


def two_versions(site: Site, path: str) -> tuple[str, str]:
    first = commit_of(site.create(path, description="one"))
    return first, commit_of(site.client.simulate_put(f"/v1/repositories/{path}", json={"description": "two"}))


def test_the_history_tells_what_happened_newest_first(site: Site) -> None:
    first, second = two_versions(site, "history/one")
    reply = site.client.simulate_get("/v1/repositories/history/one/history", params={"page_size": "1"})
    assert reply.json["count"] == 2
    assert reply.json["next"].endswith("/v1/repositories/history/one/history?page_size=1&page=2")
    entry = reply.json["results"][0]
    assert list(entry) == ["commit", "author", "committed_at", "message", "proposal", "reviewed_by", "action", "fields"]
    assert (entry["commit"], entry["action"], entry["author"]) == (second, "updated", "alice")
    assert "/description" in entry["fields"]
    assert first != second


def test_two_states_are_compared_field_by_field(site: Site) -> None:
    first, second = two_versions(site, "diff/one")
    reply = site.client.simulate_get("/v1/repositories/diff/one/diff", params={"from": first, "to": second})
    assert {"pointer": "/description", "before": "one", "after": "two"} in reply.json
    assert commit_of(reply)


def test_a_field_that_is_not_there_is_left_out_of_its_side(site: Site) -> None:
    first = commit_of(site.create("diff/labels"))
    site.client.simulate_put("/v1/repositories/diff/labels", json={"labels": {"a": "1"}})
    reply = site.client.simulate_get("/v1/repositories/diff/labels/diff", params={"from": first})
    assert {"pointer": "/labels/a", "after": "1"} in reply.json


def test_without_a_first_state_it_is_the_one_before_the_last_change(site: Site) -> None:
    _, second = two_versions(site, "diff/last")
    later = commit_of(site.create("diff/other"))
    for to in (second, later, None):
        reply = site.client.simulate_get("/v1/repositories/diff/last/diff", params={"to": to} if to else {})
        assert {"pointer": "/description", "before": "one", "after": "two"} in reply.json


def test_two_states_are_compared_as_text_if_asked(site: Site) -> None:
    first, second = two_versions(site, "diff/text")
    reply = site.client.simulate_get(
        "/v1/repositories/diff/text/diff",
        params={"from": first, "to": second},
        headers={"Accept": "text/x-diff"},
    )
    assert reply.headers["content-type"] == "text/x-diff; charset=utf-8"
    assert '-  "description": "one",' in reply.text
    assert '+  "description": "two",' in reply.text


def test_blame_names_the_last_change_of_each_field(site: Site) -> None:
    first, second = two_versions(site, "blame/one")
    fields = site.client.simulate_get("/v1/repositories/blame/one/blame").json
    assert fields["/description"]["commit"] == second
    assert fields["/created_at"]["commit"] == first
    assert list(fields["/description"]) == ["commit", "author", "committed_at", "proposal", "reviewed_by"]


def test_a_rollback_restores_also_what_was_deleted(site: Site) -> None:
    first, _ = two_versions(site, "rollback/one")
    path = "/v1/repositories/rollback/one"
    back = site.client.simulate_post(f"{path}/rollback", json={"commit": first})
    assert (back.status_code, back.json["description"]) == (200, "one")
    assert back.headers["etag"] == site.client.simulate_get(path).headers["etag"]
    site.client.simulate_delete(path)
    assert site.client.simulate_post(f"{path}/rollback", json={"commit": first}).status_code == 200
    assert site.client.simulate_get(path).json["description"] == "one"


def test_a_rollback_takes_one_member_and_no_other(site: Site) -> None:
    two_versions(site, "rollback/body")
    for body in ({}, [], {"commit": "0" * 40, "force/d": True}, {"commit": 5}):
        reply = site.client.simulate_post("/v1/repositories/rollback/body/rollback", json=body)
        assert reply.status_code == 422, reply.text
    assert site.client.simulate_post(
        "/v1/repositories/rollback/body/rollback", json={"commit": "0" * 40, "force/d": 1}
    ).json["errors"] == [{"pointer": "/force~1d", "detail": "is not known; only commit is"}]


def test_a_rollback_meets_the_version_it_names_or_fails(site: Site) -> None:
    first, _ = two_versions(site, "rollback/match")
    reply = site.client.simulate_post(
        "/v1/repositories/rollback/match/rollback", json={"commit": first}, headers={"If-Match": '"0000"'}
    )
    assert reply.status_code == 412


def test_commits_are_listed_and_read(site: Site) -> None:
    _, second = two_versions(site, "commits/one")
    listed = site.client.simulate_get("/v1/commits", params={"page_size": "1"}).json["results"][0]
    assert list(listed) == ["commit", "author", "committed_at", "message", "proposal", "reviewed_by", "changes"]
    assert listed["commit"] == second
    assert listed["changes"] == [{"namespace": "commits", "repo_name": "one", "action": "updated"}]
    one = site.client.simulate_get(f"/v1/commits/{second[:12]}")
    assert list(one.json) == [
        "commit",
        "author",
        "committed_at",
        "message",
        "proposal",
        "reviewed_by",
        "count",
        "changes",
    ]
    assert {"pointer": "/description", "before": "one", "after": "two"} in one.json["changes"][0]["fields"]
    assert site.client.simulate_get("/v1/commits/" + "0" * 40).status_code == 404


def test_a_commit_is_undone_once(site: Site) -> None:
    _, second = two_versions(site, "revert/one")
    reply = site.client.simulate_post(f"/v1/commits/{second}/revert")
    assert (reply.status_code, commit_of(reply)) == (201, reply.json["commit"])
    assert reply.headers["location"] == f"/v1/commits/{reply.json['commit']}"
    assert site.client.simulate_get("/v1/repositories/revert/one").json["description"] == "one"
    assert site.client.simulate_post(f"/v1/commits/{second}/revert", json={}).status_code == 409
    assert site.client.simulate_post(f"/v1/commits/{second}/revert", json={"a": 1}).status_code == 422


def test_the_feed_tells_what_changed_since(site: Site) -> None:
    start = commit_of(site.create("feed/one"))
    site.create("feed/two")
    site.client.simulate_delete("/v1/repositories/feed/one")
    feed = site.client.simulate_get("/v1/changes", params={"since": start})
    assert list(feed.json) == ["from", "to", "results"]
    assert feed.json["from"] == start
    assert feed.json["to"] == commit_of(feed)
    by_name = {change["repo_name"]: change for change in feed.json["results"]}
    assert (by_name["one"]["action"], by_name["one"]["document"]) == ("deleted", None)
    assert by_name["two"]["document"]["repo_name"] == "two"


def test_a_feed_from_an_unknown_commit_is_gone_and_says_how_to_start_anew(site: Site) -> None:
    reply = site.client.simulate_get("/v1/changes", params={"since": "0" * 40})
    assert (reply.status_code, reply.json["type"]) == (410, "urn:catalogd:gone")
    assert "Catalog-Commit" in reply.json["detail"]
    assert site.client.simulate_get("/v1/changes").status_code == 400


def test_a_feed_from_long_ago_is_gone_too(site: Site, monkeypatch) -> None:
    monkeypatch.setattr("catalogd.catalog.timeline._MOST_CHANGED", 2)
    start = commit_of(site.create("feed/before"))
    for name in ("a", "b", "c"):
        reply = site.client.simulate_get("/v1/changes", params={"since": start})
        assert reply.status_code == 200
        site.create(f"feed/{name}")
    reply = site.client.simulate_get("/v1/changes", params={"since": start})
    assert (reply.status_code, reply.json["type"]) == (410, "urn:catalogd:gone")
    assert "More than 2 files" in reply.json["detail"]


def test_history_says_which_proposal_brought_a_change_and_who_approved_it(site: Site) -> None:
    start = commit_of(site.create("approved/one"))
    site.create("approved/hidden", is_public=False)

    def merge(number: int, **logos: str) -> str:
        """A proposal that gives repositories other logos."""

        def draft(reading: Reading) -> Draft:
            files = {f"data/approved/{name}.json": logo for name, logo in logos.items()}
            return Draft("Logos", {path: dumps(loads(reading.read(path)[1]) | {"logo": files[path]}) for path in files})

        trailers = {"Proposal": str(number), "Proposal-Head": f"{number:040x}", "Reviewed-by": ["bert", "rule"]}
        return site.catalog.store.submit(Edit("sten", "sten@example.org", draft, trailers)).commit

    def told(client: TestClient) -> set[tuple]:
        """What each call says of the last change of approved/one."""
        one = "/v1/repositories/approved/one"
        history = client.simulate_get(f"{one}/history").json["results"][0]
        commit = client.simulate_get(f"/v1/commits/{history['commit']}").json
        listed = [c for c in client.simulate_get("/v1/commits").json["results"] if c["commit"] == commit["commit"]]
        (changed,) = [
            change["last"]
            for change in client.simulate_get("/v1/changes", params={"since": start}).json["results"]
            if change["repo_name"] == "one"
        ]
        blamed = client.simulate_get(f"{one}/blame").json["/logo"]
        rows = (history, commit, *listed, changed, blamed)
        return {(row["commit"], row["author"], row["proposal"], tuple(row["reviewed_by"])) for row in rows}

    for_all = merge(4, one="a.png")
    assert told(site.anonymous) == told(site.client) == {(for_all, "sten", 4, ("bert", "rule"))}
    mixed = merge(5, one="b.png", hidden="b.png")
    assert told(site.client) == {(mixed, "sten", 5, ("bert", "rule"))}
    assert told(site.anonymous) == {(mixed, "sten", None, ())}
