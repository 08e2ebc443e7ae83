"""What the repository of proposals keeps, whatever the catalog that lends to it drops."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from review_site import git, web

from catalogd.errors import CatalogdError
from catalogd.proposals import NotMergeable, ProposalQuery
from catalogd.store import Signature
from catalogd.store.maintenance import Maintenance

pytestmark = pytest.mark.slow


def test_a_revision_stays_though_the_catalog_drops_what_it_got_of_it_for_a_merge_that_failed(site):
    view = site.approve("ada", site.propose("will", web(description="new")))
    repository, commits = site.catalog.store.proposals, view.proposal.revisions
    with repository.lock.held():  # as if it was pushed: then a merge gives its commits to the catalog
        pushed = replace(view.proposal, revisions=(replace(commits[0], pushed=True),))
        site.proposals._register.record(pushed, Signature("will", ""), "Push")
    site.catalog.follow_index()
    document = site.root / "data" / "acme" / "web.json"
    there = document.read_bytes()
    document.write_bytes(b"{}")
    with pytest.raises(CatalogdError, match="edited by hand"):
        site.merge("will", view)
    document.write_bytes(there)
    assert git(site.root, "cat-file", "-t", view.proposal.head).strip() == "commit"

    with repository.lock.held():
        Maintenance(repository._open()[0], repository.packs, borrows=True).fold()
    site.close()
    for file in (site.root / ".git" / "objects" / "pack").iterdir():
        os.utime(file, (1, 1))
    site.open()
    site.catalog.store.maintenance.full()
    site.reopen()
    assert site.catalog.store.proposals.fsck() == []
    assert site.merge("will", view).proposal.state == "merged"


def test_a_proposal_whose_content_is_lost_keeps_nobody_from_the_others(site):
    views = [site.propose("ada", web(description=text)) for text in ("lost", "kept")]
    repository = site.catalog.store.proposals
    lost = views[0].proposal.changes[0].new
    for index in repository.packs.glob("*.idx"):
        if lost in git(repository.directory, "verify-pack", "-v", str(index)):
            index.unlink()
            index.with_suffix(".pack").unlink()
    site.reopen()
    for who in ("ada", "sten", "root"):
        numbers = [view.proposal.number for view in site.proposals.list(site.as_(who), ProposalQuery()).results]
        assert numbers == ([2] if who == "sten" else [2, 1])
    assert "lost" in site.seen("ada", views[0]).why_not[0]
    with pytest.raises(NotMergeable):
        site.merge("ada", views[0])
    assert site.proposals.close(site.as_("ada"), 1).proposal.state == "closed"
    assert not site.approve("bert", views[1]).why_not
