"""The repository of proposals: what becomes of it where something goes wrong."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from store_tools import put, run_git

from catalogd.errors import CatalogdError
from catalogd.store import ProposalRepository, Signature, Store

BY = Signature("ada", "ada@example.org")


@pytest.fixture
def proposals(store: Store) -> ProposalRepository:
    put(store, "data/a/b.json", b"1\n")
    with store.proposals.lock.held():
        store.proposals.begin()
    return store.proposals


def propose(store: Store, number: int) -> str:
    repository = store.proposals
    with repository.lock.held():
        head = repository.revise(store.head() or "", BY, f"Change {number}", {"data/a/b.json": b"%d\n" % number})
        repository.record(number, f"proposals/{number}.json", b"{}\n", BY, f"Open proposal {number}", head)
        repository.keep_house()
    return head


def packs_of(repository: ProposalRepository) -> list[Path]:
    return list(repository.packs.glob("pack-*.pack"))


@pytest.mark.slow
def test_folding_keeps_what_the_catalog_has_too_but_need_not_keep(root, store, proposals):
    heads = [propose(store, number) for number in range(100, 120)]
    lent = root / ".git" / "objects" / "pack"
    # As a push to main leaves them which came too late, or a merge that was refused at last.
    for file in (*proposals.packs.glob("pack-*.pack"), *proposals.packs.glob("pack-*.idx")):
        shutil.copy(file, lent / file.name)
        (lent / file.name).chmod(0o644)
    given = {file.name for file in packs_of(proposals)}
    heads += [propose(store, number) for number in range(120, 140)]
    assert len(packs_of(proposals)) < 30
    assert (
        proposals.blob(run_git(proposals.directory, "rev-parse", f"{heads[0]}:data/a/b.json").stdout.strip())
        == b"100\n"
    )
    for name in given:
        (lent / name).unlink()
        (lent / name).with_suffix(".idx").unlink()
    assert not proposals.lacks(heads)
    assert proposals.fsck() == []


def test_an_event_is_recorded_though_packs_cannot_be_folded(store, proposals, caplog):
    propose(store, 1)
    (proposals.packs / "multi-pack-index.lock").touch()
    heads = [propose(store, number) for number in range(2, 36)]
    assert "could not be folded" in caplog.text
    assert proposals.heads()[35] == heads[-1]


def test_the_repository_is_made_as_a_whole_or_not_at_all(store, tmp_path, monkeypatch):
    put(store, "data/a/b.json", b"1\n")
    # git writes HEAD before the objects have their directory; this one goes no further.
    dies = tmp_path / "bin" / "git"
    dies.parent.mkdir()
    dies.write_text('#!/bin/sh\necho "ref: refs/heads/main" >HEAD\nexit 1\n')
    dies.chmod(0o755)
    repository = store.proposals
    with repository.lock.held():
        with monkeypatch.context() as context, pytest.raises(CatalogdError):
            context.setenv("PATH", str(dies.parent), prepend=os.pathsep)
            repository.begin()
        assert repository.head() is None
        repository.begin()
    assert repository.fsck() == []
