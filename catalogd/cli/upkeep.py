"""`catalogd doctor` and `catalogd maintenance`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import click

from catalogd.catalog import Catalog, Examined
from catalogd.cli.common import load_settings, open_catalog, open_state, with_settings
from catalogd.cli.terminal import echo
from catalogd.errors import CatalogdError
from catalogd.proposals import examination
from catalogd.registry.keys import Keys
from catalogd.settings import Settings


@click.command()
@click.option(
    "--repair", is_flag=True, help="Mend what can be mended: read model and git's index anew, and refs of proposals."
)
@with_settings
def doctor(repair: bool, catalog: str | None, config: Path | None) -> None:
    """Examine a catalog: objects, working tree, index, documents, read model, proposals, accounts, keys.

    Exit status 1 if any is wrong.

    To open the catalog at all already mends what a crash left behind.
    """
    with open_catalog(catalog, config) as opened:
        if repair:
            opened.repair()
            examination.repair(opened.store.proposals)
        sick = False
        of_proposals = examination.examine(opened.store.proposals)
        beside_git = _examine_beside_git(opened, load_settings({"catalog": catalog}, config))
        for examined in chain(opened.examine(), of_proposals, beside_git):
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


def _examine_beside_git(opened: Catalog, settings: Settings) -> Iterator[Examined]:
    """What no clone has: the state and the registry's keys. Nothing of what is not there yet."""
    if settings.state_url or (opened.store.private / "state.db").exists():
        try:
            with open_state(settings) as state:
                faults = state.faults()
        except CatalogdError as error:
            faults = [error.detail]
        yield Examined("accounts, stars and what a registry told", faults, "Restore the state from a backup.")
    keys = Keys.of(opened.store.private)
    if keys.directory.exists():
        advice = "Run catalogd registry rotate-key, or restore .git/catalogd/registry from a backup."
        yield Examined("keys of a registry's tokens", keys.faults(), advice)


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
