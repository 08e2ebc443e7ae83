"""What in docs/ is made from the code: `python -m tests.docs.generated_parts` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from catalogd import rights
from catalogd.cli import main
from catalogd.settings import SETTINGS
from catalogd.web.app import description
from catalogd.web.openapi import markdown
from catalogd.web.routes import OPERATIONS

DOCS = Path(__file__).parents[2] / "docs"
REGENERATE = "run: python -m tests.docs.generated_parts"

# Every command has these; they are told once.
_EVERYWHERE = frozenset({"catalog", "config"})


def api() -> str:
    """docs/api.md."""
    return markdown(description())


def settings_table() -> str:
    """The table of settings."""
    rows = ["| setting | environment | default | what it is |", "| --- | --- | --- | --- |"]
    for setting in SETTINGS:
        default = f"`{setting.default}`" if setting.default else "empty"
        rows.append(f"| `{setting.name}` | `{setting.variable}` | {default} | {setting.help} |")
    return "\n".join(rows)


def commands() -> str:
    """Every command with its options."""
    return "\n\n".join(_command(path, command) for path, command in walk(main, ("catalogd",)))


def walk(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group that does something, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))
        else:
            yield (*path, name), command


def _command(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=path[-1])
    arguments = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    text = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    lines = [f"#### `{' '.join([*path, *arguments])}`", "", text]
    options = [p for p in command.params if isinstance(p, click.Option) and p.name not in _EVERYWHERE]
    if options:
        lines += ["", "| option | what it does |", "| --- | --- |"]
        for option in options:
            names, words = option.get_help_record(context) or ("", "")
            lines.append(f"| `{_cell(names)}` | {_cell(words)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def rights_table() -> str:
    """Every call, by what it needs."""
    rows = ["| needed | scope of a token | calls |", "| --- | --- | --- |"]
    for right in rights.RIGHTS:
        calls = [f"`{operation.method} {operation.path}`" for operation in OPERATIONS if operation.right is right]
        scope = f"`{right.least_scope}`" if right.least_scope else "any"
        rows.append(f"| {right.words} | {scope if right.takes_credentials else ''} | {'<br>'.join(calls)} |")
    return "\n".join(rows)


# The page of each part, its name there, and what makes it.
PARTS = {
    ("operations.md", "settings"): settings_table,
    ("operations.md", "commands"): commands,
    ("security.md", "rights"): rights_table,
}


def part_of(document: str, name: str) -> str:
    """What stands between the two marks of a generated part."""
    return _found(document, name)[0]


def with_part(document: str, name: str, text: str) -> str:
    """The document with that part replaced."""
    found = _found(document, name)
    return document[: found.start()] + text + document[found.end() :]


def _found(document: str, name: str) -> re.Match[str]:
    found = re.search(rf"(?<=<!-- {name}: generated -->\n).*?(?=\n<!-- end -->)", document, re.DOTALL)
    assert found, f"there is no generated part {name}"
    return found


def write() -> None:
    """Write all of them."""
    (DOCS / "api.md").write_text(api())
    for (page, name), make in PARTS.items():
        file = DOCS / page
        file.write_text(with_part(file.read_text(), name, make()))


if __name__ == "__main__":
    write()
