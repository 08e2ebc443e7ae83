"""History from the shell: log, show, diff, blame, rollback."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from catalogd.cli.common import hand, open_catalog, repository_argument, with_settings
from catalogd.cli.terminal import echo
from catalogd.documents import ABSENT, FieldChange, canonical
from catalogd.names import document_path
from catalogd.store import short

_WIDTH = 72


@click.command()
@click.argument("repository", metavar="[NAMESPACE/NAME]", required=False)
@click.option("-n", "--number", default=20, show_default=True, type=click.IntRange(1, 100_000), help="How many.")
@with_settings
def log(repository: str | None, number: int, catalog: str | None, config: Path | None) -> None:
    """The commits of the catalog, or of one repository, newest first."""
    with open_catalog(catalog, config) as opened:
        if repository is None:
            for row in opened.commits(hand(opened), 1, number).results:
                touched = [c.get("path") or f"{c['namespace']}/{c['repo_name']}" for c in row["changes"]]
                _commit_line(
                    row,
                    ", ".join(touched[:3]) + (f" and {len(touched) - 3} more" if len(touched) > 3 else ""),
                )
            return
        namespace, _, repo_name = repository.partition("/")
        for row in opened.history(hand(opened), namespace, repo_name, 1, number).results:
            fields = [pointer.lstrip("/") for pointer in row["fields"] if pointer != "/updated_at"]
            _commit_line(row, f"{row['action']} {', '.join(fields)}".strip())


@click.command()
@repository_argument
@click.option("--at", metavar="COMMIT|TIME", help="As it was at a commit or an RFC 3339 time.")
@with_settings
def show(repository: tuple[str, str], at: str | None, catalog: str | None, config: Path | None) -> None:
    """The document of a repository, as it stands in git."""
    with open_catalog(catalog, config) as opened:
        caller = hand(opened)
        found = opened.detail(caller, *repository, at=at)
        document = {**found.document, "tags": opened.tags(caller, *repository, at=at).tags}
        echo(canonical.dumps(document).decode().rstrip("\n"))


@click.command()
@repository_argument
@click.option("--from", "from_", metavar="COMMIT|TIME", help="Default: before the last change.")
@click.option("--to", metavar="COMMIT|TIME", help="Default: now.")
@click.option("--unified", is_flag=True, help="Lines of the file instead of fields.")
@with_settings
def diff(
    repository: tuple[str, str],
    from_: str | None,
    to: str | None,
    unified: bool,
    catalog: str | None,
    config: Path | None,
) -> None:
    """What changed in a repository, field by field."""
    with open_catalog(catalog, config) as opened:
        caller = hand(opened)
        if unified:
            echo(opened.unified_diff(caller, *repository, from_, to)[0].rstrip("\n"))
            return
        tell_changes(opened.diff(caller, *repository, from_, to)[0])


@click.command()
@repository_argument
@with_settings
def blame(repository: tuple[str, str], catalog: str | None, config: Path | None) -> None:
    """Who last changed each field of a repository, and when."""
    with open_catalog(catalog, config) as opened:
        fields, _ = opened.blame(hand(opened), *repository)
        for pointer, last in fields.items():
            by = f"{short(last['commit'])}  {last['committed_at'][:19]}Z  {last['author'][:20]:20}"
            echo(f"{by}  {pointer}{_brought(last)}")


@click.command()
@repository_argument
@click.argument("commit")
@with_settings
def rollback(repository: tuple[str, str], commit: str, catalog: str | None, config: Path | None) -> None:
    """Make a repository what it was at COMMIT, in a new commit; restores a deleted one."""
    with open_catalog(catalog, config) as opened:
        written = opened.rollback(hand(opened), *repository, commit)
        path = document_path(*repository)
        echo(f"{path} is as it was, in commit {short(written.commit)}" if written.changed else f"{path} is so already")


def _commit_line(row: dict[str, Any], touched: str) -> None:
    subject = row["message"].split("\n", 1)[0]
    by = f"{short(row['commit'])}  {row['committed_at'][:19]}Z  {row['author'][:16]:16}"
    echo(f"{by}  {subject[:_WIDTH]}{_brought(row)}")
    if touched and touched not in subject:
        echo(f"{'':14}{touched[:100]}")


def _brought(row: dict[str, Any]) -> str:
    """By which proposal, and who approved it."""
    if row["proposal"] is None:
        return ""
    approved = f", reviewed by {', '.join(row['reviewed_by'])}" if row["reviewed_by"] else ""
    return f"  (proposal {row['proposal']}{approved})"


def tell_changes(changes: Iterable[FieldChange], indent: str = "") -> None:
    """Each field, with its value before and after."""
    for change in changes:
        echo(f"{indent}{change.pointer or 'the document as a whole'}")
        for sign, value in (("-", change.before), ("+", change.after)):
            if value is not ABSENT:
                text = value if isinstance(value, str) else canonical.one_line(value)
                for line in text.split("\n"):
                    echo(f"{indent}  {sign} {line}")
