"""`catalogd doctor` and `catalogd maintenance`."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import click

from catalogd.cli.common import open_catalog, with_settings
from catalogd.cli.terminal import echo
from catalogd.proposals import examination


@click.command()
@click.option(
    "--repair", is_flag=True, help="Mend what can be mended: read model and git's index anew, and refs of proposals."
)
@with_settings
def doctor(repair: bool, catalog: str | None, config: Path | None) -> None:
    """Examine a catalog: objects, working tree, index, documents, read model, proposals. Exit status 1 if any is wrong.

    To open the catalog at all already mends what a crash left behind.
    """
    with open_catalog(catalog, config) as opened:
        if repair:
            opened.repair()
            examination.repair(opened.store.proposals)
        sick = False
        for examined in chain(opened.examine(), examination.examine(opened.store.proposals)):
            echo(f"{'ok' if not examined.faults else 'WRONG':6} {examined.what}")
            for fault in examined.faults[:20]:
                echo(f"         {fault}")
            if len(examined.faults) > 20:
                echo(f"         and {len(examined.faults) - 20:,} more")
            if examined.faults:
                sick = True
                echo(f"       {examined.advice}")
        if sick:
            raise SystemExit(1)


@click.command()
@click.option("--full", is_flag=True, help="All in one pack, and drop what has been unreachable for two weeks.")
@click.option(
    "--rebuild-public", is_flag=True, help="Begin the public repository anew: it forgets what was public once."
)
@with_settings
def maintenance(full: bool, rebuild_public: bool, catalog: str | None, config: Path | None) -> None:
    """Fold packs and index the history. A server does it by itself; it may run beside one."""
    with open_catalog(catalog, config) as opened:
        before = opened.store.maintenance.packs()
        if full:
            opened.store.maintenance.full()
        else:
            opened.store.maintenance.fold()
        if rebuild_public:
            opened.publish_anew()
        echo(f"packs: {before} before, {opened.store.maintenance.packs()} now")
