"""Organizations from the shell: namespaces with members."""

from __future__ import annotations

from pathlib import Path

import click

from catalogd.cli.common import hand, open_catalog, open_people, with_settings
from catalogd.cli.terminal import Commands, echo
from catalogd.documents import Role
from catalogd.documents.organizations import LISTS
from catalogd.forges import FORGES, codeowners
from catalogd.store import short

_ROLES = {role.name.lower(): role for role in reversed(Role) if role}

# As a page's size: more organizations than any catalog has.
_ALL = 1 << 31


@click.group(cls=Commands)
def namespace() -> None:
    """Namespaces: organizations, with owners, writers and readers. Their documents stand in the catalog."""


@namespace.command("add")
@click.argument("name")
@click.option("--owner", "owners", multiple=True, required=True, help="A user who owns it; repeatable.")
@click.option("--description", default="", help="What it is, on one line.")
@with_settings
def namespace_add(
    name: str, owners: tuple[str, ...], description: str, catalog: str | None, config: Path | None
) -> None:
    """Make an organization."""
    with open_people(catalog, config) as (people, opened, _):
        body = {"namespace": name, "description": description, "owners": list(dict.fromkeys(owners))}
        echo(f"{name} is a namespace now, in commit {short(people.create_organization(hand(opened), body).commit)}")


@namespace.command("show")
@click.argument("name")
@with_settings
def namespace_show(name: str, catalog: str | None, config: Path | None) -> None:
    """What an organization is, and who its members are."""
    with open_catalog(catalog, config) as opened:
        document = opened.organization(hand(opened), name).document
        echo(document["namespace"] + (f": {document['description']}" if document["description"] else ""))
        for title in LISTS:
            if document[title]:
                echo(f"  {title:8} {', '.join(document[title])}")


@namespace.command("list")
@with_settings
def namespace_list(catalog: str | None, config: Path | None) -> None:
    """All organizations, and how many members they have."""
    with open_catalog(catalog, config) as opened:
        for found in opened.organizations(hand(opened), 1, _ALL).results:
            document = found.document
            counts = "  ".join(f"{title}: {len(document[title])}" for title in LISTS)
            echo(f"{document['namespace']:24}  {counts}  {document['description'][:60]}".rstrip())


@namespace.command("grant")
@click.argument("name")
@click.argument("user")
@click.argument("role", type=click.Choice(list(_ROLES)))
@with_settings
def namespace_grant(name: str, user: str, role: str, catalog: str | None, config: Path | None) -> None:
    """Give a user a role in an organization, in place of the one they have."""
    with open_people(catalog, config) as (people, opened, _):
        found, changed = people.grant(hand(opened), name, user, _ROLES[role])
        echo(f"{user} is {role} of {name}" + (f" now, in commit {short(found.commit)}" if changed else " already"))


@namespace.command("revoke")
@click.argument("name")
@click.argument("user")
@with_settings
def namespace_revoke(name: str, user: str, catalog: str | None, config: Path | None) -> None:
    """Take a user's role in an organization away. The last owner stays."""
    with open_people(catalog, config) as (people, opened, _):
        found, changed = people.grant(hand(opened), name, user, Role.NONE)
        said = f" any more, in commit {short(found.commit)}" if changed else ""
        echo(f"{user} is no member of {name}{said}")


@namespace.command("remove")
@click.argument("name")
@with_settings
def namespace_remove(name: str, catalog: str | None, config: Path | None) -> None:
    """Delete an organization that has no repositories. Its history stays."""
    with open_catalog(catalog, config) as opened:
        echo(f"{name} is gone, in commit {short(opened.delete_organization(hand(opened), name))}")


@namespace.command("codeowners")
@click.option(
    "--forge", type=click.Choice(list(FORGES)), default="github", show_default=True, help="Whose rules it follows."
)
@with_settings
def namespace_codeowners(forge: str, catalog: str | None, config: Path | None) -> None:
    """Print a CODEOWNERS file for a forge: the owners of each namespace, whose review a change of it needs."""
    with open_people(catalog, config) as (people, _, _):
        echo(codeowners(forge, people.owners()).rstrip("\n"))
