"""What every command needs and is quick to load: one way to fail, and text that is safe for a terminal."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from catalogd.check_formats import safe
from catalogd.errors import CatalogdError


class Commands(click.Group):
    """Turns every error that is meant for the user into one line and exit status 1."""

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order in which a user comes to need them, not in that of the alphabet."""
        return list(self.commands)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except CatalogdError as error:
            lines = [f"catalogd: {safe(error.detail)}"]
            lines += [f"  {safe(fault.pointer)}: {safe(fault.detail)}" for fault in error.faults]
            click.echo("\n".join(lines), err=True)
            raise SystemExit(1) from None
        except BrokenPipeError:
            # Whoever read our output, `head` say, has had enough. Python would complain once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
        except OSError as error:
            where = f": {safe(os.fsdecode(error.filename))}" if isinstance(error.filename, str | bytes) else ""
            click.echo(f"catalogd: {error.strerror or error}{where}", err=True)
            raise SystemExit(1) from None


def echo(text: str = "") -> None:
    """Print text that may come from a document: what a terminal would obey is spelled out."""
    click.echo("\n".join(safe(line) for line in text.split("\n")))
