"""Users and tokens from the shell."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from catalogd.accounts import DEFAULT_SCOPES, SCOPES, Accounts
from catalogd.cli.common import hand, load_settings, open_people, open_state, with_settings
from catalogd.cli.terminal import Commands, echo

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@contextmanager
def _accounts(catalog: str | None, config: Path | None) -> Iterator[Accounts]:
    settings = load_settings({"catalog": catalog}, config)
    with open_state(settings) as state:
        yield Accounts(state, email_domain=settings.email_domain)


@click.group(cls=Commands)
def user() -> None:
    """Users: those who write, and those who read what is private."""


@user.command("add")
@click.argument("name")
@click.option("--admin", is_flag=True, help="May do everything.")
@click.option("--email", help="For the author line of their commits.")
@click.option("--password-stdin", is_flag=True, help="Read a password, one line, from standard input.")
@click.option("--take-over", is_flag=True, help="Also where the namespace has repositories: they become this user's.")
@with_settings
def user_add(
    name: str,
    admin: bool,
    email: str | None,
    password_stdin: bool,
    take_over: bool,
    catalog: str | None,
    config: Path | None,
) -> None:
    """Make a user. The namespace of that name becomes theirs."""
    with open_people(catalog, config) as (people, opened, _):
        password = _password_from_stdin() if password_stdin else None
        account = hand(opened).account
        people.add_user(account, name, email=email, is_admin=admin, password=password, take_over=take_over)


@user.command("password")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read it from standard input instead of asking.")
@with_settings
def user_password(name: str, password_stdin: bool, catalog: str | None, config: Path | None) -> None:
    """Set a user's password."""
    with _accounts(catalog, config) as accounts:
        if password_stdin:
            password = _password_from_stdin()
        else:
            password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        accounts.set_password(name, password)


@user.command("list")
@with_settings
def user_list(catalog: str | None, config: Path | None) -> None:
    """All users."""
    with _accounts(catalog, config) as accounts:
        for info in accounts.list_users():
            given = {"admin": info.is_admin, "password": info.has_password, "not active": not info.is_active}
            marks = [mark for mark, is_so in given.items() if is_so]
            echo(f"{info.name:24}  {info.email:40}  {', '.join(marks)}".rstrip())


@user.command("remove")
@click.argument("name")
@with_settings
def user_remove(name: str, catalog: str | None, config: Path | None) -> None:
    """Remove a user with all tokens and stars, and from all organizations. Their commits and repositories stay."""
    with open_people(catalog, config) as (people, opened, _):
        people.remove_user(hand(opened), name, keep_admin=False)


@user.command("change")
@click.argument("name")
@click.option("--email", help="For the author line of their commits; empty for none.")
@click.option("--admin/--no-admin", default=None, help="May do everything, or not.")
@click.option("--active/--inactive", default=None, help="Whether their credentials are good for anything.")
@with_settings
def user_change(
    name: str, email: str | None, admin: bool | None, active: bool | None, catalog: str | None, config: Path | None
) -> None:
    """Change what a user is."""
    wanted = {"email": email, "is_admin": admin, "is_active": active}
    changes = {key: value or (None if key == "email" else value) for key, value in wanted.items() if value is not None}
    if not changes:
        raise click.UsageError("Say what to change: --email, --admin or --no-admin, --active or --inactive.")
    with _accounts(catalog, config) as accounts:
        accounts.change_user(name, keep_admin=False, **changes)


@click.group(cls=Commands)
def token() -> None:
    """Tokens, with which clients prove who they are."""


@token.command("create")
@click.argument("user_name", metavar="USER")
@click.option("--name", default="", help="To recognise it by in `token list`.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(sorted(SCOPES)),
    help=f"What it is for; repeatable. Default: {', '.join(sorted(DEFAULT_SCOPES))}.",
)  # fmt: skip
@click.option("--namespace", help="Confine it to one namespace.")
@click.option("--expires", metavar="90d", help="When it stops: in so many h, d or w. Default: never.")
@with_settings
def token_create(
    user_name: str,
    name: str,
    scopes: tuple[str, ...],
    namespace: str | None,
    expires: str | None,
    catalog: str | None,
    config: Path | None,
) -> None:
    """Make a token and print it, once, on standard output."""
    with _accounts(catalog, config) as accounts:
        plain, _ = accounts.create_token(user_name, name, scopes or DEFAULT_SCOPES, namespace, _moment(expires))
        click.echo(plain)


@token.command("list")
@click.argument("user_name", metavar="[USER]", required=False)
@with_settings
def token_list(user_name: str | None, catalog: str | None, config: Path | None) -> None:
    """Tokens: id, user, scopes, and when they were made and last used."""
    with _accounts(catalog, config) as accounts:
        for info in accounts.list_tokens(user_name):
            confined = f" in {info.namespace}" if info.namespace else ""
            expires = f"  expires {info.expires_at[:10]}" if info.expires_at else ""
            used = f"used {info.last_used_at[:16]}Z" if info.last_used_at else "never used"
            echo(f"{info.id}  {info.user:20}  {','.join(info.scopes)}{confined}  {used}{expires}  {info.name}".rstrip())


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@with_settings
def token_revoke(token_id: str, catalog: str | None, config: Path | None) -> None:
    """Refuse a token from now on, by its id in `token list`."""
    with _accounts(catalog, config) as accounts:
        accounts.revoke_token(token_id)


def _password_from_stdin() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _moment(expires: str | None) -> datetime | None:
    if expires is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", expires)
    if found is None:
        raise click.BadParameter("must be a number of h, d or w, e.g. 90d", param_hint="--expires")
    return datetime.now(UTC) + timedelta(**{_UNITS[found[2]]: int(found[1])})
