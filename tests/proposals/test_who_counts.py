"""Credentials that are good for less, users who are no more, comments and revisions without end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from review_site import change, web

from catalogd.catalog import Caller
from catalogd.errors import Conflict, Forbidden
from catalogd.proposals import NotMergeable

NEW = {"description": "new"}


def without_scope_admin(caller: Caller) -> Caller:
    return caller._replace(account=replace(caller.account, scopes=frozenset({"read", "write"})))


def test_the_approval_of_an_owner_who_may_not_log_in_any_more_does_not_count(site):
    view = site.approve("bert", site.propose("will", web(**NEW)))
    site.accounts.change_user("bert", is_active=False)
    with pytest.raises(NotMergeable):
        site.merge("will", view)
    site.accounts.change_user("bert", is_active=True)
    assert site.merge("will", view).proposal.state == "merged"


def test_the_approval_of_a_user_who_was_removed_does_not_count_in_the_namespace_of_that_name(site):
    site.catalog.create(site.as_("bert"), "bert", {"repo_name": "own", "description": "old"})
    view = site.approve("bert", site.propose("sten", change("bert", "own", **NEW)))
    site.people.remove_user(site.as_("root"), "bert")
    with pytest.raises(NotMergeable):
        site.merge("sten", view)


def test_an_approval_with_a_token_that_administers_nothing_is_none_of_the_policy(site):
    view = site.propose("root", {"policy": {"approvals": 2}}, web(**NEW))
    body = {"verdict": "approve", "head": view.proposal.head}
    with pytest.raises(Forbidden):
        site.proposals.review(without_scope_admin(site.as_("rule")), view.proposal.number, body)
    assert not site.approve("rule", view).why_not


def test_comments_without_end_keep_nobody_from_approving(site, monkeypatch):
    monkeypatch.setattr("catalogd.proposals.reviewing._MOST_WITH_COMMENT", 3)
    view = site.propose("will", web(**NEW))
    with pytest.raises(Conflict):
        for _ in range(4):
            site.review("sten", view, "comment")
    assert not site.approve("ada", view).why_not


def test_proposals_without_end_are_refused_also_where_they_were_closed_meanwhile(site, monkeypatch):
    monkeypatch.setattr("catalogd.proposals.proposing._MOST_OPEN", 1)
    first = site.propose("will", web(**NEW)).proposal.number
    with pytest.raises(Conflict, match="will has 1 open proposals"):
        site.propose("will", web(**NEW))
    site.proposals.close(site.as_("will"), first)
    site.propose("will", web(**NEW))
    with pytest.raises(Conflict, match="will has 1 open proposals"):
        site.proposals.reopen(site.as_("will"), first)


def test_revisions_without_end_are_refused(site, monkeypatch):
    monkeypatch.setattr("catalogd.proposals.proposing._MOST_REVISED", 6)
    view = site.propose("will", web(**NEW))
    for text in ("newer", "newest"):
        view = site.proposals.revise(site.as_("will"), 1, {"changes": [web(description=text)]})
    with pytest.raises(Conflict, match="revised 2 times"):
        site.proposals.revise(site.as_("will"), 1, {"changes": [web(description="newest of all")]})
    assert site.seen("will", view) == view
