"""The file of a proposal: proposals/<number>.json in the repository of proposals."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from catalogd.errors import Conflict
from catalogd.proposals.shapes import Changed, Proposal, Review, Revision

DIRECTORY = "proposals"


def path_of(number: int) -> str:
    """Where the file of a proposal is."""
    return f"{DIRECTORY}/{number}.json"


def number_of(name: str) -> int | None:
    """The number of the proposal whose file has this name, None if it is none."""
    stem, dot, ending = name.partition(".")
    return int(stem) if dot and ending == "json" and stem.isdecimal() and stem.isascii() else None


def dumps(proposal: Proposal) -> bytes:
    """A member a line, so that what an event has changed is seen in `git diff`."""
    return (json.dumps(asdict(proposal), ensure_ascii=False, indent=1) + "\n").encode()


def loads(data: bytes) -> Proposal:
    """Raises Conflict where a hand has broken the file."""
    try:
        members: dict[str, Any] = json.loads(data)
        members["revisions"] = tuple(_revision(revision) for revision in members["revisions"])
        members["reviews"] = tuple(Review(**review) for review in members["reviews"])
        proposal = Proposal(**members)
    except (ValueError, TypeError, KeyError) as error:
        raise _broken(str(error)) from error
    if not proposal.revisions:
        raise _broken("it has no revision")
    return proposal


def _revision(members: dict[str, Any]) -> Revision:
    both = members["changes"], members.get("steps", ())
    changes, steps = (tuple(Changed(**change) for change in found) for found in both)
    return Revision(**{**members, "authors": tuple(members["authors"]), "changes": changes, "steps": steps})


def _broken(why: str) -> Conflict:
    return Conflict(f"The file of the proposal is broken: {why}.")
