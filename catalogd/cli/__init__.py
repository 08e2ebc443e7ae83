"""The command line: the only reader of flags and environment."""

from __future__ import annotations

import click

import catalogd
from catalogd.cli import accounts, checking, history, serving, transfer, upkeep
from catalogd.cli.common import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(catalogd.__version__, prog_name="catalogd")
def main() -> None:
    """A catalog of container image repositories whose database is a git working tree."""


for command in (
    serving.init, serving.serve, checking.check,
    history.log, history.show, history.diff, history.blame, history.rollback,
    accounts.user, accounts.token,
    transfer.import_, transfer.export, transfer.backup,
    upkeep.doctor, upkeep.maintenance,
):  # fmt: skip
    main.add_command(command)
