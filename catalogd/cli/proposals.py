"""`catalogd proposal`: to look at proposals, to review them, and to merge them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from catalogd.cli.acting import Work, body_of, with_proposals
from catalogd.cli.history import tell_changes
from catalogd.cli.proposal_text import (
    say,
    tell_line,
    tell_outcome,
    tell_whole,
    why_not_merged,
    why_not_resolved,
)
from catalogd.cli.proposing import named
from catalogd.cli.terminal import Commands, echo
from catalogd.proposals import APPROVE, COMMENT, OPEN, REQUEST_CHANGES, STATES, NotMergeable, NotResolved, ProposalQuery
from catalogd.store import short

_ALL = "all"
_LEAST_OF_AN_ID = 7
_number = click.argument("number", metavar="N", type=click.IntRange(1))
_head = click.option("--head", metavar="ID", help="Only if this is its head still, by at least 7 digits.")


@click.group(cls=Commands)
def proposal() -> None:
    """Proposals: edits that others review before they are merged. `catalogd propose` makes them."""


@proposal.command("list")
@click.option(
    "--state", type=click.Choice([*STATES, _ALL]), default=OPEN, show_default=True, help="Those in this state."
)
@click.option("--namespace", help="Those that change something of this namespace.")
@click.option("--author", metavar="USER", help="Those by this user.")
@click.option("--reviewer", metavar="USER", help="Those that wait for an approval of this user.")
@click.option("-n", "--number", default=20, show_default=True, type=click.IntRange(1, 100_000), help="How many.")
@with_proposals
def proposal_list(
    work: Work, state: str, namespace: str | None, author: str | None, reviewer: str | None, number: int
) -> None:
    """Proposals, the newest first, and what each waits for."""
    query = ProposalQuery(None if state == _ALL else state, namespace, author, reviewer, page_size=number)
    page = work.proposals.list(work.caller, query)
    for view in page.results:
        tell_line(view)
    if page.count > len(page.results):
        echo(f"and {page.count - len(page.results):,} more")


@proposal.command("show")
@_number
@with_proposals
def proposal_show(work: Work, number: int) -> None:
    """What is proposed, what was said of it, and what it waits for."""
    tell_whole(work.proposals.get(work.caller, number))


@proposal.command("diff")
@_number
@click.option("--unified", is_flag=True, help="Lines of the files instead of fields.")
@with_proposals
def proposal_diff(work: Work, number: int, unified: bool) -> None:
    """What a proposal changes, field by field."""
    for file in work.proposals.diff(work.caller, number, unified=True)[1]:
        if unified:
            echo(file.unified.rstrip("\n"))
            continue
        echo(file.path)
        if file.fields:
            tell_changes(file.fields, indent="  ")
        else:
            for line in file.unified.rstrip("\n").split("\n")[2:]:
                echo(f"    {line}")


@proposal.command("review")
@_number
@click.option("--approve", "verdict", flag_value=APPROVE, help="Let it be merged.")
@click.option("--request-changes", "verdict", flag_value=REQUEST_CHANGES, help="Hold it up until you approve.")
@click.option("--comment", "verdict", flag_value=COMMENT, help="Neither.")
@click.option("-m", "--message", default="", help="What you have to say; an approval needs none.")
@click.option("--about", metavar="NAMESPACE[/NAME]", help="What of it the message is about.")
@click.option("--field", metavar="POINTER", help="And which field, as `proposal diff` prints it.")
@_head
@with_proposals
def proposal_review(
    work: Work, number: int, verdict: str | None, message: str, about: str | None, field: str | None, head: str | None
) -> None:
    """Say what you think of a proposal as it is now."""
    if verdict is None:
        raise click.UsageError("Say --approve, --request-changes or --comment.")
    body = {"verdict": verdict, "comment": message, "head": _head_of(work, number, head)}
    body |= named(about) if about else {}
    body |= {"pointer": field} if field else {}
    tell_outcome(work.proposals.review(work.caller, number, body_of(body)))


@proposal.command("dismiss")
@_number
@click.argument("review", type=click.IntRange(1))
@click.option("-m", "--message", default="", help="Why.")
@with_proposals
def proposal_dismiss(work: Work, number: int, review: int, message: str) -> None:
    """Put a request for changes aside, by its number in `proposal show`."""
    tell_outcome(work.proposals.dismiss(work.caller, number, review, body_of({"comment": message})))


@proposal.command("resolve")
@_number
@click.argument("choices", metavar="[NAMESPACE[/NAME] POINTER {ours|theirs}]...", nargs=-1, required=True)
@with_proposals
def proposal_resolve(work: Work, number: int, choices: tuple[str, ...]) -> None:
    """Say which value each field in conflict takes: ours is that of main, theirs that of the proposal.

    All fields in conflict are to be named, as `proposal show` prints them. That makes a new revision.
    """
    if len(choices) % 3:
        raise click.UsageError("Say three things of each field, e.g. library/nginx /description theirs")
    triples = zip(choices[::3], choices[1::3], choices[2::3], strict=True)
    resolve = [{**named(target), "pointer": pointer, "take": take} for target, pointer, take in triples]
    with _conflicts_told():
        tell_outcome(work.proposals.revise(work.caller, number, body_of({"resolve": resolve})))


@proposal.command("merge")
@_number
@_head
@with_proposals
def proposal_merge(work: Work, number: int, head: str | None) -> None:
    """Merge a proposal into main, in one commit. What is against it is told, with both values of fields in conflict."""
    with _conflicts_told():
        body = None if head is None else body_of({"head": _head_of(work, number, head)})
        view = work.proposals.merge(work.caller, number, body)
        echo(f"proposal {number} is merged, in commit {short(view.proposal.commit or '')}")


@proposal.command("close")
@_number
@with_proposals
def proposal_close(work: Work, number: int) -> None:
    """Close a proposal without merging it."""
    work.proposals.close(work.caller, number)
    echo(f"proposal {number} is closed")


@proposal.command("reopen")
@_number
@with_proposals
def proposal_reopen(work: Work, number: int) -> None:
    """Open a closed proposal again."""
    tell_outcome(work.proposals.reopen(work.caller, number))


def _head_of(work: Work, number: int, given: str | None) -> str:
    """The head that is meant: the present one where nothing or its beginning is given."""
    there = work.proposals.get(work.caller, number).proposal.head
    return there if given is None or (len(given) >= _LEAST_OF_AN_ID and there.startswith(given)) else given


@contextmanager
def _conflicts_told() -> Iterator[None]:
    try:
        yield
    except NotMergeable as error:
        say(why_not_merged(error.view))
        raise SystemExit(1) from None
    except NotResolved as error:
        say(why_not_resolved(error.conflicts))
        raise SystemExit(1) from None
