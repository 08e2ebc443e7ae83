"""`catalogd hooks`: for those who work with plain git."""

from __future__ import annotations

from pathlib import Path

import click

from catalogd.cli.terminal import Commands, echo
from catalogd.store import Clone


@click.group(cls=Commands)
def hooks() -> None:
    """Hooks and the merge driver for clones and git servers; a catalog that catalogd serves has them."""


@hooks.command("install")
@click.argument(
    "directory", metavar="[DIR]", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--force", is_flag=True, help="Replace hooks that somebody else has written.")
def hooks_install(directory: Path, force: bool) -> None:
    """Set up the checks of commits and pushes, and the merge by field, in a clone or a bare repository.

    Run it again when you upgrade: it uses the Python that it runs with.
    """
    for written in Clone(directory).install(force):
        echo(f"set up {written}")
