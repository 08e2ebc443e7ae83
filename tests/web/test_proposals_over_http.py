"""The calls on proposals: what they take and refuse, what they show and to whom. The rules have tests of their own."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from falcon import testing
from jsonschema import Draft202012Validator
from web_site import IMAGE, Site, problem

from catalogd.web.app import description
from catalogd.web.history import DIFF

pytestmark = pytest.mark.slow

_NUMBERS = itertools.count(1)
DESCRIPTION = description()
ALL = "/v1/proposals"
NO_HEAD = "0" * 40
NOT_THERE = f"{ALL}/999999"
SAME_ID = {"X-Request-Id": "same"}

Propose = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def site(own_site: Site) -> Site:
    return own_site


@pytest.fixture(scope="module")
def people(site: Site) -> dict[str, testing.TestClient]:
    return {name: site.user(name) for name in ("olga", "will", "rita", "sam")}


@pytest.fixture
def team(site: Site, people) -> str:
    """An organization with a member of each kind, a public repository and a private one; sam is a stranger to it."""
    name = f"team{next(_NUMBERS)}"
    body = {"namespace": name, "owners": ["olga"], "writers": ["will"], "readers": ["rita"]}
    assert site.client.simulate_post("/v1/namespaces", json=body).status_code == 201
    site.create(f"{name}/one", description="first", full_description="all of it")
    site.create(f"{name}/secret", description="hush", is_public=False)
    return name


def change(team: str, repo_name: str = "one", **fields: object) -> dict[str, Any]:
    return {"namespace": team, "repo_name": repo_name, "document": fields or {"description": "better"}}


def propose(client: testing.TestClient, *changes: dict[str, Any], title: str = "Describe it") -> dict[str, Any]:
    reply = client.simulate_post(ALL, json={"title": title, "changes": list(changes)})
    assert reply.status_code == 201, reply.text
    return fits("Proposal", reply)


def fits(schema: str, reply: testing.Result) -> Any:
    """The JSON of a reply, which is what the description says, without a member more."""
    components = json.loads(json.dumps(DESCRIPTION["components"]))
    for one in components["schemas"].values():
        if "properties" in one:
            one["additionalProperties"] = False
    reference = {"$ref": f"#/components/schemas/{schema}", "components": components}
    Draft202012Validator(reference).validate(reply.json)
    return reply.json


def path_of(proposal: dict[str, Any]) -> str:
    return f"{ALL}/{proposal['number']}"


def review(client: testing.TestClient, proposal: dict[str, Any], **said: object) -> dict[str, Any]:
    body = {"verdict": "approve", "head": proposal["head"], **said}
    reply = client.simulate_post(f"{path_of(proposal)}/reviews", json=body)
    assert reply.status_code == 200, reply.text
    return fits("Proposal", reply)


def numbers(client: testing.TestClient, **query: object) -> list[int]:
    reply = client.simulate_get(ALL, params={"page_size": 100, **query})
    return [row["number"] for row in fits("ProposalPage", reply)["results"]]


# --- opening


def test_a_proposal_says_where_it_is_and_what_it_would_do(people, team):
    reply = people["sam"].simulate_post(
        f"{ALL}/", json={"title": " Describe it ", "description": "Why\nnot?", "changes": [change(team)]}
    )
    made = fits("Proposal", reply)
    assert (reply.status_code, reply.headers["location"]) == (201, path_of(made))
    assert made["url"] == f"http://falconframework.org{path_of(made)}"
    assert (made["title"], made["description"], made["author"], made["state"]) == (
        "Describe it", "Why\nnot?", "sam", "open",
    )  # fmt: skip
    file = {"path": f"data/{team}/one.json", "namespace": team, "repo_name": "one"}
    assert made["changes"] == [file | {"action": "update"}]
    assert made["checks"] == [file | {"ok": True, "faults": []}]
    assert (made["namespaces"], made["revision"], made["mergeable"]) == ([team], 1, False)
    assert made["required"] == [{"namespace": team, "approvals": 1, "missing": 1, "given_by": [], "owners": None}]
    assert len(made["why_not"]) == 1
    assert fits("Proposal", people["sam"].simulate_get(f"{path_of(made)}/")) == made


def test_who_approves_is_told_to_members(people, team):
    made = propose(people["sam"], change(team))
    owners = {who: client.simulate_get(path_of(made)).json["required"][0]["owners"] for who, client in people.items()}
    assert owners == {"olga": ["olga"], "will": ["olga"], "rita": ["olga"], "sam": None}


def test_one_proposal_makes_changes_and_deletes_documents_and_changes_organization_and_policy(site, team):
    made = propose(
        site.client,
        change(team, "new", description="born"),
        change(team, "one", labels={"a": "b"}),
        {"namespace": team, "repo_name": "secret", "document": None},
        {"namespace": team, "document": {"description": "a team"}},
        {"policy": {"approvals": 2}},
    )
    assert {one["path"]: (one["namespace"], one["repo_name"], one["action"]) for one in made["changes"]} == {
        f"data/{team}/new.json": (team, "new", "create"),
        f"data/{team}/one.json": (team, "one", "update"),
        f"data/{team}/secret.json": (team, "secret", "delete"),
        f"namespaces/{team}.json": (team, None, "update"),
        "policy.json": (None, None, "create"),
    }
    assert made["namespaces"] == [team]
    assert [one["namespace"] for one in made["required"]] == [team, None]
    difference = fits("ProposalDiff", site.client.simulate_get(f"{path_of(made)}/diff"))
    fields = {one["path"]: one["fields"] for one in difference}
    assert fields[f"data/{team}/one.json"] == [{"pointer": "/labels/a", "after": "b"}]
    assert fields["policy.json"] == []
    assert site.client.simulate_post(f"{path_of(made)}/close").status_code == 200


def test_what_does_not_fit_is_proposed_and_each_fault_told_by_file_pointer_and_line(people, team):
    made = propose(people["sam"], change(team, labels={"a": 5}, logo="no logo"))
    (check,) = made["checks"]
    assert (check["ok"], check["path"]) == (False, f"data/{team}/one.json")
    assert {(fault["pointer"], fault["severity"]) for fault in check["faults"]} == {
        ("/labels/a", "error"), ("/logo", "error"),
    }  # fmt: skip
    assert all(fault["line"] > 1 and fault["detail"] for fault in check["faults"])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, "/title"),
        ({"title": "t"}, "/changes"),
        ({"title": "", "changes": [change("TEAM")]}, "/title"),
        ({"title": "two\nlines", "changes": [change("TEAM")]}, "/title"),
        ({"title": 5, "changes": [change("TEAM")]}, "/title"),
        ({"title": "t" * 201, "changes": [change("TEAM")]}, "/title"),
        ({"title": "t", "description": 5, "changes": [change("TEAM")]}, "/description"),
        ({"title": "t", "changes": []}, "/changes"),
        ({"title": "t", "changes": {}}, "/changes"),
        ({"title": "t", "changes": ["x"]}, "/changes/0"),
        ({"title": "t", "changes": [{"namespace": "TEAM"}]}, "/changes/0"),
        ({"title": "t", "changes": [{"namespace": "TEAM", "repo_name": "one", "document": []}]}, "/changes/0/document"),
        ({"title": "t", "changes": [change("TEAM") | {"patch": {}}]}, "/changes/0/patch"),
        ({"title": "t", "changes": [change("TEAM"), change("TEAM")]}, "/changes/1"),
        ({"title": "t", "changes": [change("Not A Name")]}, "/changes/0/namespace"),
        ({"title": "t", "changes": [change("TEAM", "Not A Name")]}, "/changes/0/repo_name"),
        ({"title": "t", "changes": [change("TEAM", tags=[])]}, "/changes/0/document/tags"),
        ({"title": "t", "changes": [change("TEAM", description="first")]}, "/changes"),
        ({"title": "t", "changes": [change("TEAM")], "head": NO_HEAD}, "/head"),
    ],
)
def test_an_unfit_proposal_is_refused_with_what_is_wrong_and_not_made(site, people, team, body, pointer):
    body = json.loads(json.dumps(body).replace("TEAM", team))
    before = site.catalog.store.proposals.head()
    assert pointer in problem(people["olga"].simulate_post(ALL, json=body), 422, "invalid")
    assert site.catalog.store.proposals.head() == before


def test_it_takes_strict_json_of_its_type_only(people, team):
    made = propose(people["sam"], change(team))
    for method, path in (("POST", ALL), ("PATCH", path_of(made)), ("POST", f"{path_of(made)}/reviews")):
        send = people["sam"].simulate_request
        problem(send(method, path, body="{", headers={"Content-Type": "application/json"}), 400, "malformed")
        problem(send(method, path, body='{"a":1,"a":2}', headers={"Content-Type": "application/json"}), 400)
        problem(send(method, path, body="{}", headers={"Content-Type": "text/plain"}), 415)
        problem(send(method, path), 415)
    problem(people["sam"].simulate_post(f"{path_of(made)}/merge", body="x=1", headers={"Content-Type": "a/b"}), 415)
    problem(people["sam"].simulate_post(f"{path_of(made)}/close", json={"a": 1}), 422)


# --- what is not there, or not to be seen


@pytest.mark.parametrize("number", ["0", "-1", "01", "x", "1.5", "%20", "9" * 30, "%D9%A1", "1e3"])
def test_what_can_be_no_number_is_not_there(site, number):
    path = f"{ALL}/{number}"
    calls = [("GET", ""), ("GET", "/diff"), ("PATCH", ""), ("POST", "/reviews"), ("POST", "/reviews/1/dismiss"),
             ("POST", "/merge"), ("POST", "/close"), ("POST", "/reopen")]  # fmt: skip
    for method, part in calls:
        body = None if method == "GET" else {}
        problem(site.client.simulate_request(method, path + part, json=body), 404, "not-found")


def test_a_hidden_proposal_is_refused_to_the_byte_as_one_that_is_not_there(site, people, team):
    hidden = propose(people["rita"], change(team, "secret", description="better"))
    robot = site.with_token(site.accounts.create_token("rita", namespace="elsewhere")[0])
    calls: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("GET", "/diff", None),
        ("PATCH", "", {"title": "x"}),
        ("PATCH", "", {"changes": [change(team)]}),
        ("POST", "/reviews", {"verdict": "approve", "head": hidden["head"]}),
        ("POST", "/reviews", {"verdict": "comment", "comment": "c", "head": NO_HEAD}),
        ("POST", "/reviews/1/dismiss", None),
        ("POST", "/merge", None),
        ("POST", "/merge", {"head": NO_HEAD}),
        ("POST", "/close", None),
        ("POST", "/reopen", None),
    ]
    for client in (people["sam"], robot, site.anonymous):
        for method, part, body in calls:
            told = []
            for path in (path_of(hidden), NOT_THERE):
                reply = client.simulate_request(method, path + part, json=body, headers=SAME_ID)
                assert reply.status_code in (401, 403, 404)
                told.append(reply.text.replace(path.rpartition("/")[2], "N"))
            assert told[0] == told[1], (method, part)
        assert hidden["number"] not in numbers(client, state="all", namespace=team)
    assert people["rita"].simulate_get(path_of(hidden)).status_code == 200


def test_one_that_touches_something_hidden_is_hidden_whole(people, team):
    made = propose(people["rita"], change(team), change(team, "secret", description="better"))
    assert people["sam"].simulate_get(path_of(made)).status_code == 404
    assert people["will"].simulate_get(path_of(made)).status_code == 200


def test_one_that_would_hide_something_is_hidden_for_others(people, team):
    made = propose(people["olga"], change(team, is_public=False))
    assert people["sam"].simulate_get(path_of(made)).status_code == 404


def test_it_is_hidden_for_good_once_what_it_began_with_is(site, people, team):
    made = propose(people["sam"], change(team))
    path = f"/v1/repositories/{team}/one"
    for flag, status in ((False, 404), (True, 404)):
        site.client.simulate_patch(path, json={"is_public": flag})
        assert people["sam"].simulate_get(path_of(made)).status_code == status
        assert people["rita"].simulate_get(path_of(made)).status_code == 200
    # What is proposed now begins with what everybody may see.
    assert people["sam"].simulate_get(path_of(propose(people["sam"], change(team)))).status_code == 200


def test_an_e_mail_is_nowhere_in_what_is_shown(site, people, team):
    made = propose(people["sam"], change(team))
    review(people["olga"], made)
    merged = people["sam"].simulate_post(f"{path_of(made)}/merge")
    replies = [merged, site.anonymous.simulate_get(path_of(made)), site.anonymous.simulate_get(f"{ALL}?state=all")]
    assert all("@" not in reply.text for reply in replies)
    assert "@" not in site.anonymous.simulate_get(f"/v1/commits/{merged.json['commit']}").text


# --- lists


def test_a_list_is_of_the_open_ones_newest_first_in_pages(people, team):
    made = [propose(people["sam"], change(team, labels={"n": str(n)}))["number"] for n in range(3)]
    people["sam"].simulate_post(f"{ALL}/{made[1]}/close")
    assert numbers(people["sam"], namespace=team) == [made[2], made[0]]
    first = people["sam"].simulate_get(ALL, params={"namespace": team, "page_size": 1, "state": "all"})
    assert (first.json["count"], first.json["previous"]) == (3, None)
    assert first.json["next"].startswith(f"http://falconframework.org{ALL}?") and "page=2" in first.json["next"]
    assert 'rel="next"' in first.headers["link"] and len(first.headers["catalog-commit"]) == 40
    problem(people["sam"].simulate_get(ALL, params={"namespace": team, "page": 2}), 404)


def test_a_row_has_no_more_than_a_list_needs(people, team):
    made = propose(people["sam"], change(team))
    (row,) = people["sam"].simulate_get(ALL, params={"namespace": team}).json["results"]
    left_out = {"checks", "conflicts", "required", "why_not", "blocked_by", "reviews", "revisions"}
    assert row == {name: value for name, value in made.items() if name not in left_out}


def test_lists_are_filtered_by_state_namespace_author_and_wanted_reviewer(site, people, team):
    waits = propose(people["sam"], change(team))["number"]
    approved = propose(people["will"], change(team, labels={"a": "b"}))
    review(people["olga"], approved)
    merged = propose(people["sam"], change(team, labels={"c": "d"}))
    review(people["olga"], merged)
    assert people["sam"].simulate_post(f"{path_of(merged)}/merge").status_code == 200
    elsewhere = propose(site.client, change("sam", "new"))["number"]

    def found(**query: object) -> list[int]:
        return [number for number in numbers(site.client, **query) if number >= waits]

    assert found() == [elsewhere, approved["number"], waits]
    assert found(state="merged") == [merged["number"]]
    assert found(state="closed") == []
    assert found(state="all", namespace=team) == [merged["number"], approved["number"], waits]
    assert found(author="will") == [approved["number"]]
    assert found(reviewer="olga") == [waits]
    assert found(reviewer="sam") == [elsewhere]
    assert found(reviewer="nobody") == found(author="nobody") == found(namespace="nobody") == []


def test_the_filter_by_reviewer_tells_nobody_who_owns_what_or_is_an_admin(site, people, team):
    waits = propose(people["sam"], change(team))["number"]
    for who in ("olga", "will", "rita"):
        assert numbers(people[who], namespace=team, reviewer="olga") == [waits]
        assert numbers(people[who], namespace=team, reviewer="admin") == []
    for client in (people["sam"], site.anonymous):
        for reviewer in ("olga", "admin"):
            assert numbers(client, namespace=team, reviewer=reviewer) == []
    assert numbers(site.client, namespace=team, reviewer="admin") == [waits]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("state=done", "state"), ("state=", "state"), ("state=open&state=all", "state"), ("author=", "author"),
     ("namespace=Not%20One", "namespace"), ("reviewer=" + "x" * 300, "reviewer"), ("page=0", "page"),
     ("at=1234567", "at")],
)  # fmt: skip
def test_a_malformed_query_is_refused_by_name(site, query, pointer):
    assert problem(site.client.simulate_get(ALL, query_string=query), 400, "malformed") == [pointer]


# --- the difference


def test_the_unified_difference_is_what_git_applies(site, people, team, tmp_path):
    made = propose(
        people["olga"],
        change(team, "new", description="born"),
        change(team, "one", description="better"),
        {"namespace": team, "repo_name": "secret", "document": None},
    )
    reply = people["olga"].simulate_get(f"{path_of(made)}/diff", headers={"Accept": DIFF})
    assert reply.headers["content-type"] == f"{DIFF}; charset=utf-8"
    # In a clone, so that nothing of the catalog's working tree is touched.
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", site.catalog.store.root, clone], check=True)
    subprocess.run(["git", "apply", "--index", "-"], input=reply.content, cwd=clone, check=True)
    changed = subprocess.run(
        ["git", "diff", "--cached", "--name-status"], cwd=clone, capture_output=True, text=True, check=True
    )
    assert changed.stdout.split() == [
        "A", f"data/{team}/new.json", "M", f"data/{team}/one.json", "D", f"data/{team}/secret.json",
    ]  # fmt: skip
    document = json.loads((clone / "data" / team / "one.json").read_text())
    assert document["description"] == "better"


def test_the_difference_is_against_the_base_whatever_has_become_of_main(people, team):
    made = propose(people["sam"], change(team))
    people["olga"].simulate_put(f"/v1/repositories/{team}/one", json={"description": "otherwise"})
    (file,) = fits("ProposalDiff", people["sam"].simulate_get(f"{path_of(made)}/diff"))
    assert file["fields"] == [{"pointer": "/description", "before": "first", "after": "better"}]


# --- revisions, conflicts, reviews, merges


def test_a_revision_replaces_what_it_names_and_may_say_which_head_it_means(people, team):
    made = propose(people["rita"], change(team), change(team, "secret", description="better"))
    wrong = {"head": NO_HEAD, "changes": [change(team, labels={"a": "b"})]}
    problem(people["rita"].simulate_patch(path_of(made), json=wrong), 412, "precondition-failed")
    revised = fits("Proposal", people["rita"].simulate_patch(path_of(made), json=wrong | {"head": made["head"]}))
    assert (revised["revision"], [each["head"] for each in revised["revisions"]]) == (
        2,
        [made["head"], revised["head"]],
    )
    fields = {one["repo_name"]: one["fields"] for one in people["rita"].simulate_get(f"{path_of(made)}/diff").json}
    assert fields["one"] == [{"pointer": "/labels/a", "after": "b"}]
    assert fields["secret"] == [{"pointer": "/description", "before": "hush", "after": "better"}]


def test_a_title_is_changed_without_a_new_revision(people, team):
    made = propose(people["sam"], change(team))
    worded = fits("Proposal", people["sam"].simulate_patch(path_of(made), json={"title": "Say it"}))
    assert (worded["title"], worded["head"], worded["revision"]) == ("Say it", made["head"], 1)
    assert problem(people["sam"].simulate_patch(path_of(made), json={"state": "merged"}), 422) == ["/state"]


def test_a_conflict_is_told_by_field_with_all_values_and_resolved_by_saying_which_to_take(people, team):
    made = propose(people["sam"], change(team, description="theirs", labels={"a": "b"}))
    people["olga"].simulate_put(f"/v1/repositories/{team}/one", json={"description": "ours", "labels": {"a": "c"}})
    file = {"path": f"data/{team}/one.json", "namespace": team, "repo_name": "one"}
    told = [
        file | {"pointer": "/description", "base": "first", "ours": "ours", "theirs": "theirs"},
        # Absent on a side is left out there: null is a value.
        file | {"pointer": "/labels/a", "ours": "c", "theirs": "b"},
    ]
    shown = fits("Proposal", people["sam"].simulate_get(path_of(made)))
    assert (shown["conflicts"], shown["mergeable"]) == (told, False)
    refused = people["sam"].simulate_post(f"{path_of(made)}/merge")
    problem(refused, 409, "not-mergeable")
    assert (fits("Problem", refused)["conflicts"], refused.json["why_not"]) == (told, shown["why_not"])
    takes = [{"namespace": team, "repo_name": "one", "pointer": "/description", "take": "ours"}]
    half = people["sam"].simulate_patch(path_of(made), json={"resolve": takes})
    problem(half, 409, "in-conflict")
    assert fits("Problem", half)["conflicts"] == told[1:]
    takes.append({"namespace": team, "repo_name": "one", "pointer": "/labels/a", "take": "theirs"})
    resolved = fits("Proposal", people["sam"].simulate_patch(path_of(made), json={"resolve": takes}))
    assert (resolved["conflicts"], resolved["revision"]) == ([], 2)
    review(people["olga"], resolved)
    assert people["sam"].simulate_post(f"{path_of(made)}/merge").status_code == 200
    now = people["sam"].simulate_get(f"/v1/repositories/{team}/one").json
    assert (now["description"], now["labels"]) == ("ours", {"a": "b"})


@pytest.mark.parametrize(
    ("resolve", "pointer"),
    [
        ([], "/resolve"),
        ({}, "/resolve"),
        (["x"], "/resolve/0"),
        ([{"namespace": "TEAM", "repo_name": "one", "pointer": "/description", "take": "mine"}], "/resolve/0/take"),
        ([{"namespace": "TEAM", "repo_name": "one", "pointer": "/description", "take": "ours"}], "/resolve/0"),
    ],
)
def test_a_resolution_that_makes_no_sense_is_refused(people, team, resolve, pointer):
    made = propose(people["sam"], change(team))
    body = json.loads(json.dumps({"resolve": resolve}).replace("TEAM", team))
    assert problem(people["sam"].simulate_patch(path_of(made), json=body), 422, "invalid") == [pointer]


def test_a_review_is_of_a_head_and_perhaps_of_a_field(people, team):
    made = propose(people["sam"], change(team))
    about = {"namespace": team, "repo_name": "one", "pointer": "/description"}
    asked = review(people["rita"], made, verdict="request_changes", comment="Why?", **about)
    (found,) = asked["reviews"]
    assert found == {
        "id": 1, "reviewer": "rita", "verdict": "request_changes", "comment": "Why?", "head": made["head"],
        "current": True, "path": f"data/{team}/one.json", **about, "created_at": found["created_at"],
        "dismissed_by": None,
    }  # fmt: skip
    assert (asked["blocked_by"], asked["mergeable"]) == ([1], False)
    revised = people["sam"].simulate_patch(path_of(made), json={"changes": [change(team, description="best")]}).json
    assert (revised["reviews"][0]["current"], revised["blocked_by"]) == (False, [1])
    dismissed = people["olga"].simulate_post(f"{path_of(made)}/reviews/1/dismiss", json={"comment": "It is done."})
    told = fits("Proposal", dismissed)
    assert (told["blocked_by"], told["reviews"][0]["dismissed_by"]) == ([], "olga")
    assert [(one["verdict"], one["comment"]) for one in told["reviews"][1:]] == [("comment", "It is done.")]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/verdict"),
        ({"verdict": "approve"}, "/head"),
        ({"verdict": "maybe", "head": "HEAD"}, "/verdict"),
        ({"verdict": "comment", "head": "HEAD"}, "/comment"),
        ({"verdict": "request_changes", "comment": " ", "head": "HEAD"}, "/comment"),
        ({"verdict": "approve", "comment": 5, "head": "HEAD"}, "/comment"),
        ({"verdict": "approve", "head": "HEAD", "pointer": "description"}, "/pointer"),
        ({"verdict": "approve", "head": "HEAD", "namespace": "other"}, "/namespace"),
        ({"verdict": "approve", "head": "HEAD", "line": 5}, "/line"),
        ([], ""),
    ],
)
def test_an_unfit_review_is_refused_with_what_is_wrong(people, team, body, pointer):
    made = propose(people["sam"], change(team))
    body = json.loads(json.dumps(body).replace("HEAD", made["head"]))
    assert pointer in problem(people["olga"].simulate_post(f"{path_of(made)}/reviews", json=body), 422, "invalid")
    assert people["olga"].simulate_get(path_of(made)).json["reviews"] == []


def test_a_review_or_merge_of_another_head_is_refused(people, team):
    made = propose(people["sam"], change(team))
    review(people["olga"], made)
    stale = {"verdict": "approve", "head": NO_HEAD}
    problem(people["olga"].simulate_post(f"{path_of(made)}/reviews", json=stale), 412, "precondition-failed")
    problem(people["sam"].simulate_post(f"{path_of(made)}/merge", json={"head": NO_HEAD}), 412)
    assert people["sam"].simulate_get(path_of(made)).json["state"] == "open"
    assert people["sam"].simulate_post(f"{path_of(made)}/merge", json={"head": made["head"]}).status_code == 200


@pytest.mark.parametrize("review_id", ["0", "x", "7", "9" * 30])
def test_a_review_that_is_not_there_is_not_dismissed(people, team, review_id):
    made = propose(people["sam"], change(team))
    problem(people["olga"].simulate_post(f"{path_of(made)}/reviews/{review_id}/dismiss"), 404, "not-found")


def test_a_merged_proposal_says_by_which_commit_and_is_merged_once(people, team):
    made = propose(people["sam"], change(team))
    review(people["olga"], made)
    reply = people["will"].simulate_post(f"{path_of(made)}/merge", json={})
    merged = fits("Proposal", reply)
    assert (merged["state"], merged["ended_by"], merged["commit"]) == (
        "merged",
        "will",
        reply.headers["catalog-commit"],
    )
    assert merged["checks"] == merged["required"] == []
    commit = people["sam"].simulate_get(f"/v1/commits/{merged['commit']}").json
    assert (commit["author"], commit["proposal"], commit["reviewed_by"]) == ("sam", made["number"], ["olga"])
    again = people["will"].simulate_post(f"{path_of(made)}/merge")
    problem(again, 409)
    assert "merged already" in again.json["detail"]
    for part in ("close", "reopen"):
        problem(people["sam"].simulate_post(f"{path_of(made)}/{part}"), 409, "conflict")
    problem(people["sam"].simulate_patch(path_of(made), json={"title": "x"}), 409, "conflict")
    read = people["sam"].simulate_get(path_of(made))
    assert (read.json, read.headers["catalog-commit"]) == (
        people["sam"].simulate_get(path_of(made)).json,
        merged["commit"],
    )


def test_one_is_closed_and_opened_again_with_its_reviews(people, team):
    made = propose(people["sam"], change(team))
    review(people["olga"], made)
    closed = fits("Proposal", people["sam"].simulate_post(f"{path_of(made)}/close", json={}))
    assert (closed["state"], closed["ended_by"], closed["mergeable"]) == ("closed", "sam", False)
    problem(people["sam"].simulate_post(f"{path_of(made)}/merge"), 409, "not-mergeable")
    opened = fits("Proposal", people["sam"].simulate_post(f"{path_of(made)}/reopen"))
    assert (opened["state"], opened["ended_by"], opened["mergeable"]) == ("open", None, True)


def test_a_write_takes_no_if_match(people, team):
    made = propose(people["sam"], change(team))
    for method, part in (("PATCH", ""), ("POST", "/merge"), ("POST", "/close")):
        reply = people["sam"].simulate_request(method, path_of(made) + part, json={}, headers={"If-Match": '"x"'})
        problem(reply, 400, "malformed")


# --- what a repository would be


def test_a_repository_its_tags_and_one_tag_are_read_as_they_would_be(people, team):
    path = f"/v1/repositories/{team}/one"
    people["olga"].simulate_put(f"{path}/tags/v1", json={"image_id": IMAGE})
    made = propose(people["sam"], change(team))
    people["olga"].simulate_put(path, json={"labels": {"a": "b"}})
    at = {"at": f"proposals/{made['number']}"}
    would_be = people["sam"].simulate_get(path, params=at)
    detail = fits("RepositoryDetail", would_be)
    assert (detail["description"], detail["labels"]) == ("better", {"a": "b"})
    assert len(would_be.headers["catalog-commit"]) == 40
    known = people["sam"].simulate_get(path, params=at, headers={"If-None-Match": would_be.headers["etag"]})
    assert known.status_code == 304
    tags = fits("TagList", people["sam"].simulate_get(f"{path}/tags", params=at))
    assert [tag["tag"] for tag in tags] == ["v1"]
    assert fits("Tag", people["sam"].simulate_get(f"{path}/tags/v1", params=at)) == tags[0]
    problem(people["sam"].simulate_get(f"{path}/tags/v2", params=at), 404)
    problem(people["sam"].simulate_get(f"{path}/tags/-", params=at), 400)
    assert people["sam"].simulate_get(path).json["description"] == "first"


def test_what_a_proposal_makes_or_deletes_is_there_or_not_and_what_it_leaves_is_as_it_is(site, people, team):
    site.create(f"{team}/other", description="another")
    made = propose(people["olga"], change(team, "new"), {"namespace": team, "repo_name": "secret", "document": None})
    at = {"at": f"proposals/{made['number']}"}

    def read(who: str, repo_name: str) -> testing.Result:
        return people[who].simulate_get(f"/v1/repositories/{team}/{repo_name}", params=at)

    assert read("olga", "new").json["description"] == "better"
    assert read("olga", "other").json["description"] == "another"
    problem(read("olga", "secret"), 404, "not-found")
    problem(read("olga", "nothing"), 404, "not-found")
    for repo_name in ("new", "secret", "other"):
        problem(read("sam", repo_name), 404, "not-found")


def test_what_would_be_in_conflict_is_told_as_such(people, team):
    made = propose(people["sam"], change(team))
    people["olga"].simulate_put(f"/v1/repositories/{team}/one", json={"description": "otherwise"})
    for part in ("", "/tags", "/tags/v1"):
        path = f"/v1/repositories/{team}/one{part}"
        reply = people["sam"].simulate_get(path, params={"at": f"proposals/{made['number']}"})
        problem(reply, 409, "not-mergeable")
        assert [one["pointer"] for one in reply.json["conflicts"]] == ["/description"]


@pytest.mark.parametrize("at", ["proposals/", "proposals/0", "proposals/x", "proposals/1/", "proposals", "Proposals/1"])
def test_what_is_no_proposal_is_a_malformed_moment(site, team, at):
    reply = site.client.simulate_get(f"/v1/repositories/{team}/one", params={"at": at})
    assert problem(reply, 400, "malformed") == ["at"]


def test_a_list_or_a_comparison_is_not_of_a_proposal(site, people, team):
    at = f"proposals/{propose(people['sam'], change(team))['number']}"
    for path in ("/v1/repositories", f"/v1/repositories/{team}"):
        reply = site.client.simulate_get(path, params={"at": at})
        assert problem(reply, 400, "malformed") == ["at"]
        assert "repository by repository" in reply.json["detail"]
    reply = site.client.simulate_get(f"/v1/repositories/{team}/one/diff", params={"from": at})
    assert problem(reply, 400, "malformed") == ["from"]
