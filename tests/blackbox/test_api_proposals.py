"""Proposals as people have them: over HTTP, on a server that may be started anew in between."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from served_catalog import COMMIT, TIME, Client, Reply, Served, assert_problem, git, pages

pytestmark = pytest.mark.slow

ALL = "/v1/proposals"
ONE = "/v1/repositories/team/one"


@pytest.fixture
def people(served: Served) -> dict[str, str]:
    """Tokens: olga owns `team`, will writes there, sam is a stranger to it."""
    tokens = {name: served.user(name) for name in ("olga", "will", "sam")}
    team = {"namespace": "team", "owners": ["olga"], "writers": ["will"]}
    assert served.client().post("/v1/namespaces", team).status == 201
    assert served.client().post("/v1/repositories/team", {"repo_name": "one", "description": "first"}).status == 201
    return tokens


def change(repo_name: str = "one", **fields: object) -> dict[str, Any]:
    return {"namespace": "team", "repo_name": repo_name, "document": fields}


def propose(client: Client, *changes: dict[str, Any], title: str = "Describe it") -> tuple[str, dict[str, Any]]:
    """The path of a new proposal, and what is told of it."""
    reply = client.post(f"{ALL}/", {"title": title, "changes": list(changes)})
    assert reply.status == 201, reply.body
    return reply.headers["location"], reply.json


def approve(client: Client, path: str) -> None:
    reply = client.post(f"{path}/reviews/", {"verdict": "approve", "head": client.get(path).json["head"]})
    assert reply.status == 200, reply.body


def test_a_proposal_fails_a_check_is_revised_reviewed_and_merged_beside_an_edit_of_main(
    served: Served, people: dict[str, str]
) -> None:
    sam, olga, will = (served.client(people[name]) for name in ("sam", "olga", "will"))
    path, made = propose(sam, change(description="better", labels={"team": 5}))
    assert made["url"] == f"{served.url}{path}"
    assert TIME.fullmatch(made["created_at"]) and COMMIT.fullmatch(made["head"])
    assert [fault["pointer"] for fault in made["checks"][0]["faults"]] == ["/labels/team"]
    assert_problem(sam.post(f"{path}/merge"), 409, "not-mergeable")

    revised = sam.patch(path, {"head": made["head"], "changes": [change(description="better")]}).json
    assert revised["checks"][0]["ok"]
    asked = {"verdict": "request_changes", "comment": "Say what it is for.", "head": revised["head"]}
    blocked = olga.post(f"{path}/reviews", asked).json
    assert blocked["blocked_by"] == [1]
    sam.patch(path, {"changes": [change(description="a base for services")]})
    served.kill()
    served.start()
    sam, olga, will = (served.client(people[name]) for name in ("sam", "olga", "will"))
    approve(olga, path)

    assert will.put(ONE, {"full_description": "All that there is to say."}).status == 200
    told = sam.get(path).json
    assert (told["mergeable"], told["why_not"], told["revision"]) == (True, [], 3)
    would_be = sam.get(f"{ONE}?at=proposals/{told['number']}").json
    merged = sam.post(f"{path}/merge", {"head": told["head"]})
    assert merged.status == 200, merged.body

    now = sam.get(ONE)
    assert (now.json["description"], now.json["full_description"]) == (
        "a base for services",
        "All that there is to say.",
    )
    assert {**would_be, "updated_at": ""} == {**now.json, "updated_at": ""}
    assert merged.json["commit"] == merged.commit == now.commit
    (entry, *_) = sam.get(f"{ONE}/history").json["results"]
    assert (entry["author"], entry["proposal"], entry["reviewed_by"]) == ("sam", told["number"], ["olga"])
    blame = sam.get(f"{ONE}/blame").json
    assert (blame["/description"]["author"], blame["/full_description"]["author"]) == ("sam", "will")
    said = git(served.root, "log", "-1", "--format=%an|%cn|%B", "main")
    assert said.startswith("sam|catalogd|Describe it\n")
    for trailer in (f"Proposal: {told['number']}", f"Proposal-Head: {told['head']}", "Reviewed-by: olga"):
        assert f"\n{trailer}\n" in said
    assert git(served.root, "rev-list", "--count", "--min-parents=2", "main").strip() == "0"


def test_of_many_merges_at_once_each_happens_once_and_none_loses_a_field(
    served: Served, people: dict[str, str]
) -> None:
    olga = served.client(people["olga"])
    paths = []
    for number in range(6):
        path, _ = propose(served.client(people["sam"]), change(labels={f"n{number}": "x"}), title=f"Add {number}")
        approve(olga, path)
        paths.append(path)

    def merge(path: str) -> Reply:
        return served.client(people["sam"]).post(f"{path}/merge")

    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(merge, paths * 2))
    assert sorted(reply.status for reply in replies) == [200] * 6 + [409] * 6
    assert olga.get(ONE).json["labels"] == {f"n{number}": "x" for number in range(6)}
    numbers = git(served.root, "log", "--format=%(trailers:key=Proposal,valueonly,separator=)", "main").split()
    assert sorted(map(int, numbers)) == list(range(1, 7))
    assert [row["state"] for row in pages(olga, f"{ALL}?state=all&page_size=4")] == ["merged"] * 6


def test_a_public_url_is_where_proposals_are(served: Served, people: dict[str, str]) -> None:
    served.stop()
    served.arguments = ("--public-url", "https://catalog.example/base")
    served.start()
    path, made = propose(served.client(people["sam"]), change(description="better"))
    assert (path, made["url"]) == (f"{ALL}/1", f"https://catalog.example/base{ALL}/1")


def test_the_unified_difference_is_what_git_applies_to_a_clone(
    served: Served, people: dict[str, str], tmp_path: Path
) -> None:
    sam = served.client(people["sam"])
    path, _ = propose(sam, change(description='better\\ "quoted" ünd'))
    patch = sam.get(f"{path}/diff", Accept="text/x-diff")
    assert patch.headers["content-type"] == "text/x-diff; charset=utf-8"
    clone = tmp_path / "public"
    git(tmp_path, "clone", "-q", f"{served.url}/public.git", str(clone))
    subprocess.run(["git", "apply", "--index", "-"], input=patch.body, cwd=clone, check=True)
    assert "better" in (clone / "data/team/one.json").read_text()


def test_a_replica_has_no_proposals_and_says_where_they_are(
    served: Served, people: dict[str, str], new_catalog
) -> None:
    path, _ = propose(served.client(people["sam"]), change(description="better"))
    token = served.run("token", "create", "admin", "--scope", "catalog").out.strip()
    follow = f"http://admin:{token}@127.0.0.1:{served.address[1]}/catalog.git"
    replica = new_catalog("replica", "--follow", follow)
    for client in (replica.anonymous(), replica.client()):
        calls = [
            client.get(it) for it in (ALL, path, f"{path}/diff", f"{ONE}?at=proposals/1", f"{ONE}/tags?at=proposals/1")
        ]
        calls += [client.post(it, {}) for it in (ALL, f"{path}/reviews", f"{path}/merge", f"{path}/close")]
        for reply in [*calls, client.patch(path, {"title": "x"})]:
            assert served.url in assert_problem(reply, 403, "replica")["detail"]
            assert reply.headers["link"].startswith(f"<{served.url}/v1/")
