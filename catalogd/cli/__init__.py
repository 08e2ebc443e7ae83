"""The command line: the only reader of flags and environment."""

from __future__ import annotations

from importlib import import_module

import click

import catalogd
from catalogd.cli.terminal import Commands

# Where each command is. Only the module of the command in use is loaded: a commit by hand waits for `check`,
# which needs neither the web nor the accounts.
_MODULES = {
    "init": "serving", "serve": "serving", "check": "checking",
    "log": "history", "show": "history", "diff": "history", "blame": "history", "rollback": "history",
    "propose": "proposing", "proposal": "proposals",
    "user": "accounts", "token": "accounts", "namespace": "namespaces",
    "import": "transfer", "export": "transfer", "backup": "transfer",
    "reconcile": "registry_reading",
    "doctor": "upkeep", "maintenance": "upkeep",
    "hooks": "hooks", "merge-driver": "merging", "sync": "sync",
    "registry": "registry",
}  # fmt: skip


class _LoadedOnUse(Commands):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.commands and name in _MODULES:
            module = import_module(f"catalogd.cli.{_MODULES[name]}")
            found = [each for each in vars(module).values() if isinstance(each, click.Command)]
            self.add_command(next(each for each in found if each.name == name))
        return super().get_command(context, name)


@click.group(cls=_LoadedOnUse, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(catalogd.__version__, prog_name="catalogd")
def main() -> None:
    """A catalog of container image repositories whose database is a git working tree."""
