"""`catalogd sync`: brings the catalog and its upstream together at once, and settles what is in conflict."""

from __future__ import annotations

from pathlib import Path

import click

from catalogd.catalog import OURS, THEIRS, Unfit, Unjoinable
from catalogd.check_formats import safe, text
from catalogd.cli.common import ended_like_control_c, load_settings, open_catalog, with_settings
from catalogd.cli.merging import conflict_in_words
from catalogd.cli.terminal import echo
from catalogd.errors import BadSettings
from catalogd.upstream import Upstream

_MOST_SHOWN = 50


@click.command()
@click.option("--upstream", metavar="URL", help="The git URL of the upstream (CATALOGD_UPSTREAM).")
@click.option("--ours", metavar="PATH", multiple=True, help="Where both changed a field of this file, take ours.")
@click.option("--theirs", metavar="PATH", multiple=True, help="Where both changed a field of this file, take theirs.")
@with_settings
def sync(
    upstream: str | None, ours: tuple[str, ...], theirs: tuple[str, ...], catalog: str | None, config: Path | None
) -> None:
    """Take in what the upstream has, merge it with what was written here, and push that. May run beside a server.

    PATH is a file of the catalog, as data/acme/web.json, or a directory, or `.` for all. Only fields that both sides
    have changed are decided by it; all else is merged. Exit status 1 where something stays in conflict.
    """
    both = set(ours) & set(theirs)
    if both:
        raise click.UsageError(f"--ours and --theirs exclude each other for {sorted(both)[0]}.")
    settings = load_settings({"catalog": catalog, "upstream": upstream}, config)
    if not settings.upstream:
        raise BadSettings("There is no upstream: give --upstream, or set CATALOGD_UPSTREAM.")
    sides = {_tidy(path): OURS for path in ours} | {_tidy(path): THEIRS for path in theirs}
    with open_catalog(catalog, config) as opened:
        before = opened.store.head()
        found = Upstream(opened, opened.store.remote(settings.upstream), settings.upstream_interval)
        try:
            with ended_like_control_c():
                found.sync(sides)
        except Unjoinable as error:
            _tell_conflicts(error)
            raise SystemExit(1) from None
        except Unfit as error:
            click.echo(text(error.findings, len({finding.path for finding in error.findings})).rstrip("\n"), err=True)
            _say("Mend these on the upstream, then run it again.")
            raise SystemExit(1) from None
        moved = opened.store.head() != before
        echo(f"Both are at {opened.store.head()}{'' if moved else ', as before'}.")


def _tidy(path: str) -> str:
    return path.removeprefix("./").rstrip("/") or "."


def _tell_conflicts(error: Unjoinable) -> None:
    path = ""
    for found in error.conflicts[:_MOST_SHOWN]:
        if found.path != path:
            path = found.path
            _say(path)
        click.echo(conflict_in_words(found), err=True)
    if len(error.conflicts) > _MOST_SHOWN:
        _say(f"and {len(error.conflicts) - _MOST_SHOWN:,} more")
    _say(f"{error.detail} Run it again with --ours PATH or --theirs PATH, or merge by hand.")


def _say(line: str) -> None:
    click.echo(safe(line), err=True)
