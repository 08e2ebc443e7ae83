"""What the commands on proposals share: the proposals of a catalog, and as whom the command acts."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from catalogd.accounts import SCOPES, Account, Accounts
from catalogd.catalog import Caller
from catalogd.cli.common import hand, open_people, with_settings
from catalogd.documents import loads
from catalogd.errors import Conflict
from catalogd.proposals import Proposals

_as_option = click.option(
    "--as", "user", metavar="USER",
    help="Act as this user, with no more rights than theirs. Default: as the operator, by git's name, who may do all.",
)  # fmt: skip


@dataclass(frozen=True)
class Work:
    """Proposals, and who is at work on them."""

    proposals: Proposals
    caller: Caller


def with_proposals(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --as, --catalog and --config; the command gets a Work first."""

    @functools.wraps(command)
    def opened(*, user: str | None, catalog: str | None, config: Path | None, **given: object) -> None:
        with open_people(catalog, config) as (people, there, accounts):
            caller = hand(there)
            if user is not None:
                caller = Caller(_account(accounts, user), caller.request_id)
            command(Work(Proposals(there, people), caller), **given)

    return _as_option(with_settings(opened))


def body_of(members: Mapping[str, object]) -> object:
    """What arguments say as a body, which has only what strict JSON has. Raises NotJson."""
    return loads(json.dumps(members).encode(), what="what the arguments say")


def _account(accounts: Accounts, name: str) -> Account:
    """Raises NotFound, Conflict."""
    user = accounts.user(name)
    if not user.is_active:
        raise Conflict(f"The user {name} is not active.")
    return Account(user.name, user.email, user.is_admin, frozenset(SCOPES), None)
