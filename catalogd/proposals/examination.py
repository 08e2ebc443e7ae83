"""What `catalogd doctor` looks at of proposals, and its repair. Slower than the register, which passes over faults."""

from __future__ import annotations

from collections.abc import Iterator

from catalogd.catalog import Examined
from catalogd.errors import Conflict
from catalogd.proposals import form
from catalogd.proposals.shapes import Proposal
from catalogd.store import ProposalRepository


def examine(repository: ProposalRepository) -> Iterator[Examined]:
    """Looks at everything; at nothing where there never was a proposal."""
    if not repository.exists():
        return
    yield Examined(
        "git's objects of proposals (git fsck --strict)",
        repository.fsck(),
        "Restore .git/catalogd/proposals.git from a backup.",
    )
    with repository.lock.held():
        proposals, faults = _read(repository)
        there = repository.heads()
    faults += _lost(repository, proposals)
    wrong = [number for number, head in _heads(proposals).items() if there.get(number) != head]
    yield Examined("proposals", faults, "Restore .git/catalogd/proposals.git from a backup.")
    told = [f"refs/proposals/{number}/head is not the newest head of the proposal" for number in wrong]
    yield Examined("heads of proposals", told, "Run catalogd doctor --repair.")


def repair(repository: ProposalRepository) -> None:
    """Let the ref of each proposal be what its file says. Raises NoSpace, StoreFailed, Unavailable."""
    if not repository.exists():
        return
    with repository.lock.held():
        there = repository.heads()
        heads = _heads(_read(repository)[0])
        lost = repository.lacks(set(heads.values()))
        for number, head in heads.items():
            if there.get(number) != head and head not in lost:
                repository.set_head(number, head)


def _read(repository: ProposalRepository) -> tuple[list[Proposal], list[str]]:
    """(the proposals that can be read, oldest first; what is wrong with the files of others)."""
    proposals, faults = {}, []
    try:
        snapshot = repository.snapshot(repository.head())
        for name in snapshot.names(form.DIRECTORY):
            path, number = f"{form.DIRECTORY}/{name}", form.number_of(name)
            if number is None:
                continue
            try:
                found = snapshot.read(path)
                proposal = form.loads(found[1] if found else b"")
            except Conflict as error:
                faults.append(f"{path}: {error.detail}")
                continue
            if proposal.number == number:
                proposals[number] = proposal
            else:
                faults.append(f"{path} says that it is proposal {proposal.number}.")
    except KeyError as error:
        faults.append(f"the object {error.args[0]} is not there")
    return [proposals[number] for number in sorted(proposals)], faults


def _lost(repository: ProposalRepository, proposals: list[Proposal]) -> list[str]:
    """Which commits of the proposals are not there."""
    named = {
        commit: proposal.number
        for proposal in proposals
        for revision in proposal.revisions
        for commit in (revision.base, revision.head)
    }
    return [f"{commit} of proposal {named[commit]} is not there" for commit in sorted(repository.lacks(named))]


def _heads(proposals: list[Proposal]) -> dict[int, str]:
    return {proposal.number: proposal.head for proposal in proposals}
