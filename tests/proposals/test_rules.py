"""Who may propose, review and merge what, and what keeps a proposal from being merged."""

from __future__ import annotations

import json

import pytest
from review_site import ReviewSite, change, git, web

from catalogd.accounts import ANONYMOUS
from catalogd.catalog import Caller
from catalogd.documents import Role
from catalogd.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Protected,
    ReadOnly,
    Unauthenticated,
)
from catalogd.proposals import NotMergeable, NotResolved, ProposalQuery

NEW = {"description": "new"}


def policy(site: ReviewSite, **members: object) -> None:
    site.commit_by_hand("policy.json", json.dumps(members))


def open_numbers(site: ReviewSite, who: str, **query: object) -> list[int]:
    page = site.proposals.list(site.as_(who), ProposalQuery(**query))
    return [view.proposal.number for view in page.results]


# Who proposes


@pytest.mark.parametrize("who", ["sten", "rita", "will", "ada", "root"])
def test_anyone_who_may_read_proposes(site, who):
    view = site.propose(who, web(**NEW))
    assert (view.proposal.number, view.proposal.author, view.proposal.state) == (1, who, "open")
    assert site.document()["description"] == "old"


def test_who_is_not_logged_in_proposes_nothing(site):
    with pytest.raises(Unauthenticated):
        site.proposals.open(Caller(ANONYMOUS, "r"), {"title": "A", "changes": [web(**NEW)]})


def test_to_a_stranger_what_is_private_is_as_what_is_not_there(site):
    told = []
    for name in ("secret", "nothing"):
        with pytest.raises(NotFound) as error:
            site.propose("sten", change("acme", name, **NEW))
        told.append(error.value.detail.replace(name, "*"))
    assert told[0] == told[1]


def test_a_reader_proposes_a_new_repository_and_a_change_of_a_private_one(site):
    view = site.propose("rita", change("acme", "fresh", **NEW), change("acme", "secret", **NEW))
    assert [each.path for each in view.proposal.changes] == ["data/acme/fresh.json", "data/acme/secret.json"]


def test_an_organization_is_proposed_by_its_readers(site):
    members = {"namespace": "acme", "document": {"writers": ["will", "sten"]}}
    assert site.propose("rita", members).proposal.namespaces == ["acme"]
    with pytest.raises(Forbidden):
        site.propose("sten", members)


def test_the_policy_is_proposed_by_admins(site):
    with pytest.raises(Forbidden):
        site.propose("ada", {"policy": {"approvals": 2}})
    assert site.propose("root", {"policy": {"approvals": 2}}).proposal.changes[0].path == "policy.json"


def test_a_token_that_is_confined_proposes_in_its_namespace_only(site):
    body = {"title": "A", "changes": [change("other", "db", **NEW)]}
    with pytest.raises(Forbidden):
        site.proposals.open(site.as_("olga", namespace="acme"), body)
    assert site.proposals.open(site.as_("olga", namespace="other"), body).proposal.number == 1


def test_what_a_token_is_not_confined_to_it_does_not_revise_or_close(site):
    site.propose("olga", change("other", "db", **NEW))
    robot = site.as_("olga", namespace="acme")
    for act in (
        lambda: site.proposals.revise(robot, 1, {"title": "Another"}),
        lambda: site.proposals.close(robot, 1),
    ):
        with pytest.raises(Forbidden, match="confined"):
            act()
    inside = site.as_("olga", namespace="other")
    assert site.proposals.revise(inside, 1, {"title": "Another"}).proposal.title == "Another"
    assert site.proposals.close(inside, 1).proposal.state == "closed"


def test_a_token_that_is_confined_makes_nobody_an_owner(site):
    robot = site.as_("ada", namespace="acme")
    members = {"namespace": "acme", "document": {"owners": ["ada", "sten"]}}
    site.approve("bert", site.proposals.open(robot, {"title": "A", "changes": [members]}))
    with pytest.raises(Forbidden, match="confined"):
        site.proposals.merge(robot, 1)
    assert site.proposals.merge(site.as_("ada"), 1).proposal.state == "merged"


def test_who_became_a_user_after_it_was_proposed_can_be_made_a_member(site):
    view = site.propose("rita", {"namespace": "acme", "document": {"writers": ["will", "neo"]}})
    site.approve("ada", view)
    assert "does not fit" in site.seen("ada", view).why_not[0]
    site.accounts.add_user("neo", email="neo@example.org", is_admin=False, password=None)
    assert site.seen("ada", view).is_mergeable
    assert site.merge("ada", view).proposal.state == "merged"


def test_a_proposal_whose_objects_are_lost_keeps_nobody_from_the_others(site):
    policy(site, on_green=["/labels"])
    lost, kept = site.propose("ada", web(**NEW)), site.propose("ada", web(description="newer"))
    packs = site.catalog.store.proposals.packs
    site.close()
    for index in packs.glob("*.idx"):
        if f" {lost.proposal.changes[0].new}" in f" {git(packs, 'verify-pack', '-v', str(index))}".replace("\n", " "):
            index.unlink()
            index.with_suffix(".pack").unlink()
    site.open()
    assert open_numbers(site, "root") == [2, 1]
    assert open_numbers(site, "sten") == [2]
    assert "is lost" in site.seen("ada", lost).why_not[0]
    assert "is lost" not in site.seen("ada", kept).why_not[0]
    assert 2 in open_numbers(site, "ada", reviewer="bert")
    with pytest.raises(NotMergeable, match="is lost"):
        site.merge("ada", lost)
    assert site.proposals.close(site.as_("ada"), 1).proposal.state == "closed"


def test_what_would_change_nothing_is_refused(site):
    with pytest.raises(Invalid):
        site.propose("ada", web(description="old"))


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"changes": [web(**NEW)]}, "/title"),
        ({"title": "A"}, "/changes"),
        ({"title": "A\nB", "changes": [web(**NEW)]}, "/title"),
        ({"title": "A", "changes": []}, "/changes"),
        ({"title": "A", "changes": [web(**NEW), web(**NEW)]}, "/changes/1"),
        ({"title": "A", "changes": [{"namespace": "acme"}]}, "/changes/0"),
        ({"title": "A", "changes": [{**web(**NEW), "odd": 1}]}, "/changes/0/odd"),
        ({"title": "A", "changes": [web(download=5)]}, "/changes/0/document/download"),
        ({"title": "A", "changes": [web(is_public=None)]}, "/changes/0/document/is_public"),
        ({"title": "A", "changes": [{"namespace": "acme", "repo_name": "web", "document": 5}]}, "/changes/0/document"),
        (
            {"title": "A", "changes": [{"namespace": "acme", "repo_name": "no", "document": None}]},
            "/changes/0/document",
        ),
        ({"title": "A", "changes": [{"namespace": "../x", "repo_name": "no", "document": {}}]}, "/changes/0/namespace"),
    ],
)
def test_a_body_of_another_form_is_refused_with_its_place(site, body, pointer):
    with pytest.raises(Invalid) as error:
        site.proposals.open(site.as_("ada"), body)
    assert error.value.faults[0].pointer == pointer
    assert open_numbers(site, "root") == []


def test_a_policy_is_proposed_by_nothing_else_in_its_change(site):
    with pytest.raises(Invalid, match="no other member beside policy") as error:
        site.propose("root", {"policy": {}, "namespace": "acme"})
    assert error.value.faults[0].pointer == "/changes/0"


def test_a_review_of_another_form_is_refused_with_its_place(site):
    view = site.propose("rita", web(**NEW))
    for pointer, said in (
        ("/verdict", {"verdict": "maybe"}),
        ("/comment", {"verdict": "comment", "comment": " "}),
        ("/comment", {"verdict": "request_changes"}),
        ("/comment", {"comment": "nul\0"}),
        ("/namespace", {"namespace": "acme", "repo_name": "secret"}),
        ("/namespace", {"namespace": "../x", "repo_name": "web"}),
        ("/pointer", {"pointer": "description"}),
        ("/pointer", {"pointer": 5}),
        ("/pointer", {"pointer": f"/{'x' * 1000}"}),
    ):
        with pytest.raises(Invalid) as error:
            body = {"verdict": "approve", "head": view.proposal.head, **said}
            site.proposals.review(site.as_("ada"), view.proposal.number, body)
        assert error.value.faults[0].pointer == pointer, said
    assert site.seen("ada", view).proposal.reviews == ()


def test_a_resolution_of_another_form_is_refused_with_its_place(site):
    view = site.propose("rita", web(**NEW))
    for pointer, resolve in (
        ("/resolve", "ours"),
        ("/resolve", []),
        ("/resolve/0", ["ours"]),
        ("/resolve/0", [{"namespace": "acme", "repo_name": "web", "take": "ours"}]),
        ("/resolve/0/take", [{"namespace": "acme", "repo_name": "web", "pointer": "/description", "take": "both"}]),
        ("/resolve/0/namespace", [{"namespace": 5, "pointer": "/description", "take": "ours"}]),
    ):
        with pytest.raises(Invalid) as error:
            site.proposals.revise(site.as_("rita"), view.proposal.number, {"resolve": resolve})
        assert error.value.faults[0].pointer == pointer, resolve
    assert site.seen("rita", view).proposal.head == view.proposal.head


# Checks


def test_what_does_not_fit_the_schema_is_proposed_but_not_merged(site):
    view = site.propose("ada", web(labels={"a": 5}))
    assert [finding.pointer for finding in view.merging.findings] == ["/labels/a"]
    site.approve("bert", view)
    with pytest.raises(NotMergeable):
        site.merge("ada", view)
    better = site.proposals.revise(site.as_("ada"), 1, {"changes": [web(labels={"a": "5"})]})
    assert better.merging.findings == ()
    assert site.merge("ada", site.approve("bert", better)).proposal.state == "merged"
    assert site.document()["labels"] == {"a": "5"}


def test_an_organization_needs_an_owner_and_members_who_are_users(site):
    for members, pointer in (({"owners": []}, "/owners"), ({"readers": ["nobody"]}, "/readers/0")):
        view = site.propose("ada", {"namespace": "acme", "document": members})
        assert [finding.pointer for finding in view.merging.findings] == [pointer]


def test_an_organization_goes_only_with_the_last_of_its_repositories(site):
    gone = [{"namespace": "other", "document": None}]
    view = site.propose("olga", *gone)
    assert not view.merging.fits
    view = site.propose("olga", *gone, {"namespace": "other", "repo_name": "db", "document": None})
    assert view.merging.fits
    assert site.merge("olga", site.approve("root", view)).proposal.state == "merged"


# Approvals


@pytest.mark.parametrize("who", ["bert", "root"])
def test_an_owner_or_an_admin_approves(site, who):
    view = site.propose("ada", web(**NEW))
    assert [each.missing for each in view.required] == [1]
    assert site.approve(who, view).is_mergeable
    merged = site.merge("ada", view)
    assert site.document()["description"] == "new"
    assert merged.proposal.commit == site.catalog.store.head()


@pytest.mark.parametrize("who", ["will", "rita"])
def test_the_approval_of_no_owner_counts_for_nothing(site, who):
    view = site.approve(who, site.propose("ada", web(**NEW)))
    assert view.required[0].given_by == ()
    with pytest.raises(NotMergeable):
        site.merge("ada", view)


def test_who_has_no_role_comments_only(site):
    view = site.propose("ada", web(**NEW))
    for verdict in ("approve", "request_changes"):
        with pytest.raises(Forbidden):
            site.review("sten", view, verdict)
    assert site.review("sten", view, "comment").proposal.reviews[0].reviewer == "sten"


def test_an_author_does_not_approve(site):
    view = site.propose("ada", web(**NEW))
    with pytest.raises(Forbidden):
        site.approve("ada", view)
    # Nor does an admin who has revised it.
    site.proposals.revise(site.as_("root"), 1, {"changes": [web(description="newer")]})
    with pytest.raises(Forbidden):
        site.approve("root", site.seen("root", view))


def test_each_namespace_is_approved_by_an_owner_of_its_own(site):
    view = site.propose("sten", web(**NEW), change("other", "db", **NEW))
    view = site.approve("ada", view)
    assert {each.namespace: each.missing for each in view.required} == {"acme": 0, "other": 1}
    with pytest.raises(NotMergeable):
        site.merge("ada", view)
    assert site.approve("olga", view).is_mergeable
    site.merge("sten", view)
    assert (site.document()["description"], site.document("other", "db")["description"]) == ("new", "new")
    assert len(site.log("%s")) == len(set(site.log("%H")))


def test_who_is_an_owner_is_what_main_says_when_it_is_merged(site):
    view = site.approve("bert", site.propose("ada", web(**NEW)))
    assert view.is_mergeable
    site.people.grant(site.as_("ada"), "acme", "bert", Role.WRITER)
    assert not site.seen("ada", view).is_mergeable
    with pytest.raises(NotMergeable):
        site.merge("ada", view)


def test_a_proposal_makes_nobody_an_owner_of_itself(site):
    view = site.propose("will", {"namespace": "acme", "document": {"owners": ["ada", "bert", "rita"]}})
    assert site.approve("rita", view).required[0].given_by == ()


def test_who_has_lost_the_right_of_an_admin_has_approved_nothing(site):
    view = site.approve("rule", site.propose("ada", web(**NEW)))
    assert view.is_mergeable
    site.accounts.change_user("rule", is_admin=False)
    with pytest.raises(NotMergeable):
        site.merge("ada", view)


def test_an_approval_is_of_the_head_that_was_seen(site):
    first = site.propose("ada", web(**NEW))
    site.proposals.revise(site.as_("ada"), 1, {"changes": [web(description="other")]})
    with pytest.raises(PreconditionFailed):
        site.approve("bert", first)


def test_approvals_are_void_when_the_head_changes(site):
    view = site.approve("bert", site.propose("ada", web(**NEW)))
    view = site.proposals.revise(site.as_("ada"), 1, {"changes": [web(description="something else")]})
    assert view.required[0].given_by == ()
    with pytest.raises(NotMergeable):
        site.merge("ada", view)


def test_approvals_are_kept_when_only_main_moved(site):
    view = site.approve("bert", site.propose("ada", web(**NEW)))
    site.update("will", full_description="more")
    site.update("olga", "other", "db", description="elsewhere")
    assert site.seen("ada", view).is_mergeable
    site.merge("ada", view)
    assert (site.document()["description"], site.document()["full_description"]) == ("new", "more")


def test_another_title_leaves_approvals_alone(site):
    site.approve("bert", site.propose("ada", web(**NEW)))
    assert site.proposals.revise(site.as_("ada"), 1, {"title": "Better words"}).is_mergeable


# Requests for changes


def test_a_request_for_changes_blocks_until_its_reviewer_approves(site):
    view = site.review("rita", site.propose("ada", web(**NEW)), "request_changes")
    view = site.approve("bert", view)
    assert not view.is_mergeable
    revised = site.proposals.revise(site.as_("ada"), 1, {"changes": [web(description="better")]})
    assert not site.approve("bert", revised).is_mergeable
    assert site.approve("rita", revised).is_mergeable


def test_an_owner_dismisses_a_request_for_changes_but_not_its_author(site):
    view = site.approve("bert", site.review("rita", site.propose("ada", web(**NEW)), "request_changes"))
    for who in ("ada", "will"):
        with pytest.raises(Forbidden):
            site.proposals.dismiss(site.as_(who), 1, 1)
    view = site.proposals.dismiss(site.as_("bert"), 1, 1, {"comment": "It is on holiday"})
    assert view.is_mergeable
    assert view.proposal.reviews[0].dismissed_by == "bert"
    assert view.proposal.reviews[-1].comment == "It is on holiday"


def test_a_reviewer_who_asks_for_changes_takes_the_approval_back(site):
    view = site.approve("bert", site.propose("ada", web(**NEW)))
    view = site.review("bert", view, "request_changes")
    assert view.required[0].given_by == ()
    site.proposals.dismiss(site.as_("root"), 1, 2)
    assert site.seen("ada", view).required[0].given_by == ()


def test_a_request_for_changes_says_what(site):
    with pytest.raises(Invalid):
        site.review("bert", site.propose("ada", web(**NEW)), "request_changes", comment=" ")


# Merging


def test_who_merges(site):
    for who in ("sten", "rita", "olga"):
        view = site.approve("bert", site.propose("ada", web(description=who)))
        with pytest.raises(Forbidden):
            site.merge(who, view)
    assert site.merge("will", view).proposal.ended_by == "will"


def test_a_proposal_is_merged_once(site):
    view = site.approve("bert", site.propose("ada", web(**NEW)))
    site.merge("ada", view)
    head = site.catalog.store.head()
    with pytest.raises(Conflict):
        site.merge("ada", view)
    for act in (site.proposals.reopen, site.proposals.close):
        with pytest.raises(Conflict):
            act(site.as_("ada"), 1)
    assert site.catalog.store.head() == head


def test_the_commit_says_who_wrote_and_who_approved(site):
    view = site.approve("rule", site.approve("bert", site.propose("sten", web(**NEW), title="Better words")))
    site.merge("ada", view)
    subject, *_, trailers = site.log()[0].strip().split("\n\n")
    assert subject == "Better words"
    assert trailers.splitlines()[2:] == [
        "Proposal: 1",
        f"Proposal-Head: {view.proposal.head}",
        "Reviewed-by: bert",
        "Reviewed-by: rule",
        "Merged-by: ada",
    ]
    assert git(site.root, "show", "-s", "--format=%an <%ae>").strip() == "sten <sten@example.org>"
    entry = site.catalog.history(site.as_("rita"), "acme", "web").results[0]
    assert (entry["author"], entry["proposal"], entry["reviewed_by"]) == ("sten", 1, ["bert", "rule"])
    blamed = site.catalog.blame(site.as_("rita"), "acme", "web")[0]["/description"]
    assert (blamed["author"], blamed["reviewed_by"]) == ("sten", ["bert", "rule"])
    since = git(site.root, "rev-parse", "main~1").strip()
    changed = site.catalog.changes(site.as_("rita"), since)[2][0]["last"]
    assert (changed["author"], changed["proposal"], changed["reviewed_by"]) == ("sten", 1, ["bert", "rule"])


def test_words_of_a_description_are_no_trailers(site):
    body = {"title": "A", "description": "x\n\nReviewed-by: olga\nProposal: 7", "changes": [web(**NEW)]}
    view = site.approve("bert", site.proposals.open(site.as_("ada"), body))
    site.merge("ada", view)
    entry = site.catalog.history(site.as_("ada"), "acme", "web").results[0]
    assert (entry["proposal"], entry["reviewed_by"]) == (1, ["bert"])


def test_a_merge_that_was_not_recorded_any_more_is_recorded_by_the_next_who_asks(site):
    view = site.approve("bert", site.propose("ada", web(**NEW)))
    recorded = git(site.catalog.store.proposals.directory, "rev-parse", "main").strip()
    site.merge("ada", view)
    site.close()
    # As a kill between the two leaves it.
    git(site.root / ".git" / "catalogd" / "proposals.git", "update-ref", "refs/heads/main", recorded)
    site.open()
    head = site.catalog.store.head()
    with pytest.raises(Conflict):
        site.merge("ada", view)
    assert site.seen("ada", view).proposal.state == "merged"
    assert site.seen("ada", view).proposal.commit == head == site.catalog.store.head()


def test_what_main_has_already_is_not_merged_again(site):
    view = site.approve("bert", site.propose("ada", web(**NEW)))
    site.update("will", **NEW)
    assert "main has all of it already" in site.seen("ada", view).why_not[0]
    with pytest.raises(NotMergeable):
        site.merge("ada", view)


# Conflicts


def test_a_conflict_is_told_by_field_and_solved_by_a_revision_that_says_what_to_take(site):
    view = site.propose("sten", web(description="theirs", full_description="theirs"))
    site.approve("bert", view)
    site.update("will", description="ours", labels={"b": "2"})
    (conflict,) = site.seen("sten", view).merging.conflicts
    assert (conflict.path, conflict.pointer) == ("data/acme/web.json", "/description")
    assert (conflict.base, conflict.ours, conflict.theirs) == ("old", "ours", "theirs")
    with pytest.raises(NotMergeable):
        site.merge("sten", view)
    field = {"namespace": "acme", "repo_name": "web", "pointer": "/description"}
    with pytest.raises(Invalid):
        site.proposals.revise(site.as_("sten"), 1, {"resolve": [{**field, "pointer": "/labels", "take": "ours"}]})
    view = site.proposals.revise(site.as_("sten"), 1, {"resolve": [{**field, "take": "theirs"}]})
    assert view.merging.conflicts == ()
    assert view.required[0].given_by == ()
    site.merge("sten", site.approve("bert", view))
    document = site.document()
    assert (document["description"], document["full_description"]) == ("theirs", "theirs")
    assert document["labels"] == {"a": "1", "b": "2"}


def test_a_revision_that_leaves_a_conflict_is_refused(site):
    site.propose("sten", web(description="theirs"), change("other", "db", description="theirs"))
    site.update("will", description="ours")
    with pytest.raises(NotResolved):
        site.proposals.revise(site.as_("sten"), 1, {"changes": [change("other", "db", description="again")]})
    view = site.proposals.revise(site.as_("sten"), 1, {"changes": [web(description="again")]})
    assert view.merging.conflicts == ()
    assert len(view.proposal.changes) == 2


def test_a_deletion_of_what_was_changed_meanwhile_is_a_conflict(site):
    view = site.propose("ada", {"namespace": "acme", "repo_name": "web", "document": None})
    site.update("will", description="still in use")
    assert [conflict.pointer for conflict in site.seen("ada", view).merging.conflicts] == [""]


# Closing


def test_an_author_or_an_owner_closes_and_reopens(site):
    view = site.propose("sten", web(**NEW))
    for who in ("will", "olga"):
        with pytest.raises(Forbidden):
            site.proposals.close(site.as_(who), 1)
    assert site.proposals.close(site.as_("bert"), 1).proposal.state == "closed"
    with pytest.raises(NotMergeable):
        site.merge("sten", view)
    with pytest.raises(Conflict):
        site.approve("bert", view)
    assert site.proposals.reopen(site.as_("sten"), 1).proposal.state == "open"


def test_only_its_author_revises(site):
    site.propose("sten", web(**NEW))
    for who in ("bert", "rita"):
        with pytest.raises(Forbidden):
            site.proposals.revise(site.as_(who), 1, {"title": "Mine"})


# What is seen


def test_what_touches_something_private_is_seen_by_its_readers_only(site):
    view = site.propose("rita", change("acme", "secret", **NEW), web(**NEW))
    for who in ("sten", "olga"):
        assert open_numbers(site, who) == []
        for act in (site.proposals.get, site.proposals.diff, site.proposals.close, site.proposals.merge):
            with pytest.raises(NotFound):
                act(site.as_(who), view.proposal.number)
    assert open_numbers(site, "will") == [1]


def test_what_turns_private_takes_its_proposals_with_it(site):
    view = site.propose("sten", web(**NEW))
    assert open_numbers(site, "olga") == [1]
    site.update("ada", is_public=False)
    assert open_numbers(site, "olga") == open_numbers(site, "sten") == []
    with pytest.raises(NotFound):
        site.seen("sten", view)
    assert open_numbers(site, "rita") == [1]


def test_a_proposal_to_hide_something_is_hidden(site):
    site.propose("ada", web(is_public=False))
    assert open_numbers(site, "sten") == []
    assert open_numbers(site, "rita") == [1]


def test_members_are_told_to_members_only(site):
    site.propose("sten", web(**NEW))
    assert [each.owners for each in site.proposals.get(site.as_("olga"), 1).required] == [None]
    assert [each.owners for each in site.proposals.get(site.as_("rita"), 1).required] == [("ada", "bert")]


def test_the_list_is_filtered(site):
    site.propose("sten", web(**NEW))
    site.propose("ada", change("other", "db", **NEW))
    site.proposals.close(site.as_("sten"), 1)
    assert open_numbers(site, "root") == [2]
    assert open_numbers(site, "root", state=None) == [2, 1]
    assert open_numbers(site, "root", state="closed") == [1]
    assert open_numbers(site, "root", state=None, author="sten") == [1]
    assert open_numbers(site, "root", namespace="other") == [2]
    assert open_numbers(site, "root", reviewer="olga") == [2]
    assert open_numbers(site, "root", reviewer="bert") == []
    site.approve("olga", site.proposals.get(site.as_("olga"), 2))
    assert open_numbers(site, "root", reviewer="olga") == []
    assert open_numbers(site, "root", state=None, page_size=1, page=2) == [1]


def test_a_repository_is_read_as_it_would_be(site):
    site.propose("sten", web(description="would be"))
    site.update("will", full_description="on main")
    found = site.proposals.detail(site.as_("olga"), "acme", "web", 1).document
    assert (found["description"], found["full_description"]) == ("would be", "on main")
    assert site.proposals.detail(site.as_("olga"), "other", "db", 1).document["description"] == "data"
    with pytest.raises(NotFound):
        site.proposals.detail(site.as_("olga"), "acme", "secret", 1)
    assert site.proposals.tags(site.as_("olga"), "acme", "web", 1).tags == []
    site.update("will", description="in conflict")
    with pytest.raises(NotMergeable):
        site.proposals.detail(site.as_("olga"), "acme", "web", 1)


def test_what_was_merged_is_read_as_it_became(site):
    view = site.approve("bert", site.propose("sten", web(**NEW)))
    site.merge("sten", view)
    site.update("will", description="later")
    assert site.proposals.detail(site.as_("olga"), "acme", "web", 1).document["description"] == "new"


def test_the_difference_is_told_by_field_and_by_line(site):
    site.propose("rita", web(**NEW), change("acme", "fresh"))
    _, (fresh, changed) = site.proposals.diff(site.as_("rita"), 1, unified=True)
    assert [field.pointer for field in fresh.fields] == [""]
    assert fresh.unified.startswith("--- /dev/null\n+++ b/data/acme/fresh.json\n")
    assert [(field.pointer, field.before, field.after) for field in changed.fields] == [("/description", "old", "new")]
    assert '-  "description": "old",\n+  "description": "new",\n' in changed.unified


# The policy


def test_a_policy_asks_for_more_approvals(site):
    policy(site, approvals=2)
    view = site.approve("bert", site.propose("sten", web(**NEW)))
    assert view.required[0].missing == 1
    assert site.approve("ada", view).is_mergeable


def test_a_policy_lets_fields_in_on_green_checks_alone(site):
    policy(site, on_green=["/description", "/labels"])
    view = site.propose("sten", web(description="new", labels={"b": "2"}))
    assert view.is_mergeable
    site.merge("sten", view)
    assert site.document()["description"] == "new"
    assert not site.propose("sten", web(description="newer", logo="a.png")).is_mergeable
    assert not site.propose("rita", change("acme", "fresh", description="new")).is_mergeable
    assert not site.propose("sten", web(description=5)).is_mergeable
    blocked = site.propose("sten", web(description="newer"))
    assert not site.review("rita", blocked, "request_changes").is_mergeable


def test_members_never_come_in_without_an_approval(site):
    policy(site, approvals=0)
    assert site.propose("sten", web(**NEW)).is_mergeable
    view = site.propose("rita", {"namespace": "acme", "document": {"owners": ["ada", "bert", "rita"]}})
    assert [each.missing for each in view.required] == [1]
    with pytest.raises(NotMergeable):
        site.merge("rita", view)


def test_members_never_come_in_on_green_checks(site):
    policy(site, on_green=["/description"])
    assert not site.propose("rita", {"namespace": "acme", "document": {"description": "We"}}).is_mergeable


def test_what_is_protected_is_written_by_proposals_only(site):
    policy(site, namespaces={"acme": {"protected": True, "direct": ["/tags"]}})
    caller, image = site.as_("ada"), "0" * 64
    for act in (
        lambda: site.update("ada", description="new"),
        lambda: site.catalog.create(caller, "acme", {"repo_name": "fresh"}),
        lambda: site.catalog.delete(caller, "acme", "web"),
        lambda: site.people.grant(caller, "acme", "sten", Role.READER),
    ):
        with pytest.raises(Protected):
            act()
    site.catalog.put_tag(caller, "acme", "web", "v1", {"image_id": image})
    site.update("olga", "other", "db", description="not protected")
    site.merge("ada", site.approve("bert", site.propose("ada", web(**NEW))))
    assert site.document()["description"] == "new"


def test_a_policy_is_changed_by_proposals_that_an_admin_approves(site):
    policy(site, approvals=1)
    view = site.propose("root", {"policy": {"approvals": 2}})
    assert site.catalog.store.snapshot().read("policy.json") is not None
    with pytest.raises(Forbidden):
        site.approve("root", view)
    assert site.approve("rule", view).is_mergeable
    site.merge("root", view)
    assert site.propose("sten", web(**NEW)).required[0].approvals == 2


def test_a_policy_that_is_none_is_not_merged(site):
    view = site.propose("root", {"policy": {"approvals": -1, "odd": True}})
    assert {finding.pointer for finding in view.merging.findings} == {"/approvals", "/odd"}


def test_a_policy_that_a_hand_has_broken_stops_writes(site):
    site.commit_by_hand("policy.json", "{")
    with pytest.raises(Conflict, match=r"policy\.json is broken"):
        site.update("ada", **NEW)


def test_a_policy_in_a_proposal_says_nothing_of_itself(site):
    policy(site, approvals=2)
    view = site.propose("root", {"policy": {"approvals": 0}}, web(**NEW))
    view = site.approve("rule", view)
    assert {each.namespace: each.missing for each in view.required} == {"acme": 1, None: 0}


# The repository of proposals


def test_a_clone_has_the_whole_review(site, tmp_path):
    view = site.propose("sten", web(**NEW))
    view = site.proposals.revise(site.as_("sten"), 1, {"changes": [web(description="newer")]})
    site.merge("sten", site.approve("bert", view))
    git(tmp_path, "clone", "-q", str(site.catalog.store.proposals.directory), "clone")
    told = git(tmp_path / "clone", "log", "--first-parent", "--reverse", "--format=%an: %s").splitlines()
    assert told == [
        "catalogd: Begin the proposals",
        "sten: Open proposal 1: A change",
        "sten: Revise proposal 1",
        "bert: Approve proposal 1",
        "sten: Merge proposal 1",
    ]
    stored = json.loads((tmp_path / "clone" / "proposals" / "1.json").read_text())
    for revision in stored["revisions"]:
        assert git(tmp_path / "clone", "cat-file", "-t", revision["head"]).strip() == "commit"
    fsck = git(site.catalog.store.proposals.directory, "fsck", "--strict", "--no-dangling")
    assert fsck == ""
    ref = git(site.catalog.store.proposals.directory, "rev-parse", "refs/proposals/1/head").strip()
    assert ref == stored["revisions"][-1]["head"]


def test_nothing_that_is_not_merged_is_in_the_catalog(site):
    view = site.propose("sten", web(**NEW))
    with pytest.raises(KeyError):
        site.catalog.store.blob(view.proposal.changes[0].new)


def test_all_of_it_is_there_after_a_restart(site):
    view = site.approve("bert", site.propose("sten", web(**NEW)))
    site.reopen()
    assert site.seen("sten", view).proposal == view.proposal
    assert site.merge("sten", view).proposal.state == "merged"


def test_a_replica_has_no_proposals(site):
    site.propose("sten", web(**NEW))
    site.catalog.store.take_no_writes("http://primary.example.org")
    for act in (
        lambda: site.proposals.list(site.as_("root"), ProposalQuery()),
        lambda: site.proposals.get(site.as_("root"), 1),
        lambda: site.propose("sten", web(**NEW)),
    ):
        with pytest.raises(ReadOnly):
            act()
