"""What the policy refuses of edits that are no proposals, and what goes on all the same."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest
from review_site import ReviewSite, git, web

from catalogd.catalog import Deltas
from catalogd.documents import Role
from catalogd.errors import Conflict, Forbidden, Invalid, NotFound, Protected
from catalogd.proposals import ProposalQuery

IMAGE = "0" * 64
PROTECTED = {"namespaces": {"acme": {"protected": True, "direct": ["/tags", "/labels/ci"]}}}


def policy(site: ReviewSite, content: object = PROTECTED) -> None:
    site.commit_by_hand("policy.json", content if isinstance(content, str) else json.dumps(content))


def commits(site: ReviewSite) -> list[str]:
    """Those of acme/web, the oldest first."""
    return git(site.root, "log", "--format=%H", "--reverse", "main", "--", "data/acme/web.json").split()


REFUSED: dict[str, Callable[[ReviewSite], object]] = {
    "update": lambda site: site.update("ada", description="new"),
    "put": lambda site: site.catalog.update(site.as_("root"), "acme", "web", {"is_public": False}, patch=False),
    "create": lambda site: site.catalog.create(site.as_("will"), "acme", {"repo_name": "fresh"}),
    "delete": lambda site: site.catalog.delete(site.as_("ada"), "acme", "web"),
    "tag configs": lambda site: site.catalog.merge_tag_configs(site.as_("ada"), "acme", "web", {"latest": {"a": "b"}}),
    "rollback": lambda site: site.catalog.rollback(site.as_("ada"), "acme", "web", commits(site)[0]),
    "revert": lambda site: site.catalog.revert(site.as_("ada"), commits(site)[-1]),
    "describe the organization": lambda site: site.people.update_organization(
        site.as_("ada"), "acme", {"description": "We"}, patch=True
    ),
    "grant": lambda site: site.people.grant(site.as_("root"), "acme", "sten", Role.OWNER),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_protected_is_not_written_directly(site, what):
    if what in ("rollback", "revert"):
        site.update("ada", description="newer")
    policy(site)
    before = site.catalog.store.head()
    with pytest.raises(Protected, match=r"namespace acme is protected by policy\.json: propose") as raised:
        REFUSED[what](site)
    assert raised.value.faults
    assert site.catalog.store.head() == before


def test_an_organization_that_is_protected_is_neither_made_nor_deleted_directly(site):
    policy(site, {"protected": True})
    with pytest.raises(Protected):
        site.people.create_organization(site.as_("root"), {"namespace": "fresh", "owners": ["ada"]})
    with pytest.raises(Protected):
        site.catalog.create(site.as_("sten"), "sten", {"repo_name": "own"})
    policy(site, {})
    site.catalog.delete(site.as_("olga"), "other", "db")
    policy(site, {"namespaces": {"other": {"protected": True}}})
    with pytest.raises(Protected):
        site.catalog.delete_organization(site.as_("olga"), "other")


def test_the_fields_that_are_refused_are_named(site):
    policy(site)
    with pytest.raises(Protected) as raised:
        site.update("ada", description="new", labels={"ci": "1", "tier": "front"}, logo="b.png")
    assert [fault.pointer for fault in raised.value.faults] == ["/description", "/labels/tier", "/logo"]


def test_direct_fields_are_written_and_what_comes_with_them(site):
    policy(site)
    caller = site.as_("ada")
    site.catalog.put_tag(caller, "acme", "web", "v1", {"image_id": IMAGE})
    assert site.document()["pushed_at"]
    site.update("will", labels={"ci": "passed"})
    assert site.document()["labels"] == {"a": "1", "ci": "passed"}
    site.catalog.delete_tag(caller, "acme", "web", "v1")
    assert site.catalog.tags(caller, "acme", "web").tags == []
    assert site.catalog.revert(caller, site.catalog.store.head())["changes"]
    assert [tag["tag"] for tag in site.catalog.tags(caller, "acme", "web").tags] == ["v1"]


def test_nobody_makes_or_takes_a_repository_by_its_direct_fields(site):
    policy(site, {"protected": True, "direct": ["/description", "/tags", "/is_public", "/logo", "/labels"]})
    with pytest.raises(Protected):
        site.catalog.create(site.as_("ada"), "acme", {"repo_name": "fresh"})
    with pytest.raises(Protected):
        site.catalog.delete(site.as_("ada"), "acme", "web")


def test_direct_fields_are_of_repositories_and_never_of_organizations(site):
    policy(site, {"protected": True, "direct": ["/description"]})
    site.update("ada", description="direct")
    with pytest.raises(Protected):
        site.people.update_organization(site.as_("ada"), "acme", {"description": "We"}, patch=True)


def test_an_edit_that_changes_nothing_is_none(site):
    policy(site)
    before = site.catalog.store.head()
    site.update("ada", description="old")
    assert site.catalog.store.head() == before


def test_who_may_not_write_or_see_hears_of_that_and_not_of_the_policy(site):
    policy(site)
    with pytest.raises(NotFound):
        site.update("sten", "acme", "secret", description="new")
    with pytest.raises(Forbidden) as raised:
        site.update("rita", description="new")
    assert not isinstance(raised.value, Protected)


def test_other_namespaces_are_written_as_ever(site):
    policy(site)
    site.update("olga", "other", "db", description="new")
    site.people.grant(site.as_("olga"), "other", "ada", Role.READER)


def test_an_import_names_each_line_that_the_policy_refuses_and_imports_nothing(site):
    policy(site)
    rows = [("acme", "web", {"logo": "b.png"}), ("other", "db", {"logo": "b.png"}), ("acme", "fresh", {})]
    lines = [json.dumps({"namespace": n, "repo_name": r, **more}).encode() for n, r, more in rows]
    before = site.catalog.store.head()
    with pytest.raises(Invalid) as raised:
        site.catalog.import_lines(site.as_("root"), lines, title="rows")
    assert [fault.pointer for fault in raised.value.faults] == ["line 1", "line 3"]
    assert "protected by policy.json" in raised.value.faults[0].detail
    assert site.catalog.store.head() == before
    site.catalog.import_lines(site.as_("root"), lines[1:2], title="rows")


def test_counting_and_the_removal_of_users_go_on(site):
    policy(site, {"protected": True})
    assert site.catalog.count(site.as_("root"), 1, {("acme", "web"): Deltas(stars=2)}, "2999-01-01T00:00:00.000Z")
    assert site.document()["repo_starred_count"] == 2
    assert site.people.remove_user(site.as_("root"), "rita")
    assert site.catalog.roles_of("rita") == {}


def test_the_policy_itself_is_not_reverted_away(site):
    policy(site)
    site.catalog.follow_index()
    with pytest.raises(Protected, match=r"policy\.json is reviewed itself"):
        site.catalog.revert(site.as_("root"), site.catalog.store.head())


@pytest.mark.parametrize("content", ["{", "[]", '{"approvals": -1}', '{"protect": true}'])
def test_a_policy_that_a_hand_has_broken_stops_all_direct_writes_and_no_read(site, content):
    policy(site, content)
    for namespace, name in (("acme", "web"), ("other", "db")):
        with pytest.raises(Conflict, match=r"policy\.json is broken"):
            site.update("root", namespace, name, description="new")
    assert site.document()["description"] == "old"
    policy(site, {})
    site.update("ada", description="new")


def test_proposals_are_read_and_reviewed_but_not_merged_under_a_broken_policy(site):
    view = site.propose("sten", web(description="new"))
    policy(site, "{")
    view = site.approve("bert", view)
    assert not view.is_mergeable
    assert "policy.json is broken" in view.why_not[0]
    for query in (ProposalQuery(), ProposalQuery(reviewer="ada")):
        assert site.proposals.list(site.as_("ada"), query).count == (query.reviewer is None)
    with pytest.raises(Conflict, match=r"policy\.json is broken"):
        site.merge("sten", view)
    policy(site, {})
    site.merge("sten", site.seen("sten", view))
    assert site.document()["description"] == "new"


def test_a_directory_in_place_of_the_policy_is_no_way_around_it(site):
    (site.root / "policy.json").mkdir()
    site.commit_by_hand("policy.json/x", "{}")
    with pytest.raises(Conflict, match=r"policy\.json is broken"):
        site.update("ada", description="new")


def test_a_policy_that_comes_while_an_edit_waits_counts_for_it(site):
    site.catalog.follow_index()
    raised: list[Exception] = []

    def update() -> None:
        try:
            site.update("ada", description="new")
        except Protected as error:
            raised.append(error)

    thread = threading.Thread(target=update)
    with site.catalog.store.lock.held():
        thread.start()
        time.sleep(0.2)  # it is drafted without the lock, and waits for it
        (site.root / "policy.json").write_text(json.dumps(PROTECTED))
        git(site.root, "add", "policy.json")
        who = ("-c", "user.name=Hand", "-c", "user.email=hand@example.org", "-c", "core.hooksPath=/dev/null")
        git(site.root, *who, "commit", "-qm", "Protect")
    thread.join()
    assert len(raised) == 1
    assert site.document()["description"] == "old"


def test_what_is_protected_comes_in_by_a_proposal(site):
    policy(site)
    site.merge("ada", site.approve("bert", site.propose("ada", web(description="new"))))
    assert site.document()["description"] == "new"


def test_only_who_sees_everything_sees_commits_of_the_policy(site):
    policy(site)
    commit = site.catalog.store.head()
    assert site.catalog.commit(site.as_("root"), commit)["changes"][0]["path"] == "policy.json"
    with pytest.raises(NotFound):
        site.catalog.commit(site.as_("ada"), commit)


def test_doctor_looks_at_the_policy(site):
    policy(site, '{\n  "approvals": -1\n}\n')
    faults = {examined.what: examined.faults for examined in site.catalog.examine()}["documents"]
    assert [fault.split(" ")[0:2] for fault in faults] == [["policy.json:2:", "/approvals"]]
