"""Pushes to main of a catalog with a policy: what is protected is proposed, and nothing gets around that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from git_user import Clone, document
from served_catalog import IMAGE, Served, commit_by_hand, git
from test_pushes import TEAM, WEB, Site, site_of

pytestmark = pytest.mark.slow

POLICY = {"namespaces": {"team": {"protected": True, "direct": ["/tags"]}}}
PROPOSE = "Propose it instead: git push origin HEAD:refs/for/main"


@pytest.fixture
def open_site(served: Served, tmp_path: Path) -> Site:
    """Without a policy."""
    return site_of(served, tmp_path, ["wanda", "olga"])


@pytest.fixture
def site(open_site: Site) -> Site:
    protect(open_site)
    return open_site


def protect(site: Site, policy: object = POLICY) -> None:
    site.served.settle()
    (site.served.root / "policy.json").write_text(json.dumps(policy, indent=2) + "\n")
    commit_by_hand(site.served.root, "Set the policy", "policy.json")


def refused(site: Site, clone: Clone) -> str:
    before = site.head
    taken, said = clone.push()
    assert not taken, said
    assert site.head == before
    return said


def test_what_is_protected_is_refused_by_file_with_how_to_propose_it(site: Site) -> None:
    clone = site.clone("olga")
    clone.edit(WEB, description="direct")
    clone.write("data/team/fresh.json", document("team", "fresh"))
    clone.edit(TEAM, description="We")
    (clone.path / "data/team/other.json").unlink()
    clone.commit()
    said = refused(site, clone)
    for path in (WEB, "data/team/fresh.json", TEAM, "data/team/other.json"):
        assert f"{path}: The namespace team is protected by policy.json" in said, said
    assert PROPOSE in said


def test_direct_fields_and_other_namespaces_are_pushed_as_ever(site: Site) -> None:
    clone = site.clone("wanda")
    clone.edit(WEB, tags=[{"tag": "v1", "image_id": IMAGE}])
    clone.commit("Tag")
    clone.pushes()
    admin = site.clone("admin")
    admin.edit("data/alien/thing.json", description="not protected")
    admin.commit()
    admin.pushes()


def test_an_admin_pushes_the_first_policy_which_counts_from_the_next_commit_on(open_site: Site) -> None:
    site = open_site
    clone = site.clone("olga")
    clone.write("policy.json", POLICY)
    clone.commit("Protect")
    assert "is changed by admins only" in refused(site, clone)

    admin = site.clone("admin")
    admin.write("policy.json", {"approval": 1})
    admin.commit("Protect")
    assert "policy.json:2: /approval" in refused(site, admin)

    admin = site.clone("admin")
    admin.write("policy.json", POLICY)
    admin.commit("Protect")
    admin.edit(WEB, description="direct")
    admin.commit("And write")
    assert PROPOSE in refused(site, admin)
    admin.git("reset", "-q", "--hard", "HEAD~1")
    admin.pushes()
    assert json.loads((site.served.root / "policy.json").read_text()) == POLICY
    admin.edit(WEB, description="direct")
    admin.commit("Write")
    assert PROPOSE in refused(site, admin)


@pytest.mark.parametrize("content", [None, {}])
def test_a_policy_that_there_is_neither_goes_nor_changes_by_a_push(site: Site, content: dict | None) -> None:
    admin = site.clone("admin")
    if content is None:
        (admin.path / "policy.json").unlink()
    else:
        admin.write("policy.json", content)
    admin.commit("Unprotect")
    admin.edit(WEB, description="direct")
    admin.commit("And write")
    said = refused(site, admin)
    assert "policy.json: is reviewed itself" in said and WEB not in said, said
    assert PROPOSE in said


def test_a_branch_from_before_the_policy_does_not_bring_what_it_protects(open_site: Site) -> None:
    site = open_site
    admin = site.clone("admin")
    admin.git("checkout", "-q", "-b", "topic")
    admin.write("policy.json", {"approvals": 0})
    admin.commit("A policy of ours")
    protect(site)
    admin.git("fetch", "-q")
    admin.git("checkout", "-q", "-B", "main", "origin/main")
    admin.git("merge", "-q", "--no-ff", "--no-edit", "-X", "theirs", "topic", check=False)
    admin.git("checkout", "-q", "topic", "--", "policy.json")
    admin.commit("Merge topic")
    assert "policy.json: is reviewed itself" in refused(site, admin)

    wanda = site.clone("wanda")
    wanda.git("checkout", "-q", "-b", "topic", "HEAD~1")
    wanda.edit(WEB, description="of the branch")
    wanda.commit("Describe web")
    wanda.git("revert", "--no-edit", "HEAD")
    wanda.git("checkout", "-q", "main")
    wanda.git("merge", "-q", "--no-ff", "--no-edit", "topic")
    assert PROPOSE in refused(site, wanda)


def test_a_branch_of_direct_fields_comes_in_whatever_main_has_changed_meanwhile(site: Site) -> None:
    """A branch is held to what it changes itself, not to how main looks now."""
    clone = site.clone("wanda")
    clone.git("checkout", "-q", "-b", "topic")
    clone.edit(WEB, tags=[{"tag": "v2", "image_id": IMAGE}])
    clone.commit("Tag")
    protect(site, {})
    assert site.served.client().patch("/v1/repositories/team/web", {"description": "by the API"}).status == 200
    protect(site)
    clone.git("fetch", "-q")
    clone.git("merge", "-q", "--no-edit", "origin/main")
    clone.edit(WEB, tags=[{"tag": "v3", "image_id": IMAGE}])
    clone.commit("Tag once more")
    assert site.served.client().put("/v1/repositories/team/web/tags/v9", {"image_id": IMAGE}).status in (200, 201)
    clone.git("checkout", "-q", "main")
    clone.git("pull", "-q", "--ff-only")
    clone.git("merge", "-q", "--no-ff", "--no-commit", "-s", "ours", "topic")
    clone.edit(WEB, tags=[{"tag": "v3", "image_id": IMAGE}, *clone.read(WEB)["tags"][-1:]])
    clone.commit("Merge topic")
    clone.pushes()
    web = json.loads((site.served.root / WEB).read_text())
    assert (web["description"], [tag["tag"] for tag in web["tags"]]) == ("by the API", ["v3", "v9"])


def test_what_a_hand_has_broken_is_not_taken_away_by_a_push(site: Site) -> None:
    site.served.settle()
    (site.served.root / WEB).write_text("{")
    git(site.served.root, "add", WEB)
    git(site.served.root, "-c", "core.hooksPath=/dev/null", "commit", "-qm", "Break it")
    clone = site.clone("olga")
    (clone.path / WEB).unlink()
    clone.commit("Remove what is broken")
    assert f"{WEB}: The namespace team is protected" in refused(site, clone)


def test_a_broken_policy_lets_nothing_through(open_site: Site) -> None:
    site = open_site
    site.served.settle()
    (site.served.root / "policy.json").write_text("{")
    git(site.served.root, "add", "policy.json")
    git(site.served.root, "-c", "core.hooksPath=/dev/null", "commit", "-qm", "Break it")
    clone = site.clone("admin")
    clone.edit("data/alien/thing.json", description="direct")
    clone.commit()
    assert "policy.json is broken" in refused(site, clone)


def test_the_public_repository_has_no_policy(site: Site) -> None:
    user = site.user("wanda")
    public = user.clone(user.url(repository="public"))
    assert not (public.path / "policy.json").exists()
    assert (public.path / WEB).exists()
