"""`catalogd propose`: from arguments to the changes of a proposal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from catalogd.cli.acting import Work, body_of, with_proposals
from catalogd.cli.proposal_text import tell_outcome
from catalogd.documents import escape, loads, unescape
from catalogd.errors import NotJson
from catalogd.names import POLICY_PATH

# Their values are text, whatever they look like; so are those of all labels.
_TEXTS = frozenset({"description", "full_description", "logo"})
_MOST_TITLE = 200
_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.command()
@click.argument("targets", metavar="[NAMESPACE[/NAME]]...", nargs=-1)
@click.option("--set", "given", metavar="FIELD=VALUE", multiple=True, help="Give a field a value.")
@click.option("--unset", metavar="FIELD", multiple=True, help="Take a field away.")
@click.option("--delete", is_flag=True, help="Delete it.")
@click.option("--patch", metavar="FILE", type=_FILE, help="A merge patch (RFC 7396) in a file; - is standard input.")
@click.option("--changes", metavar="FILE", type=_FILE, help="All changes as the API takes them, a list, in a file.")
@click.option("--title", help="What it does, on one line. Default: what changes.")
@click.option("--description", help="Why.")
@click.option(
    "--into", metavar="N", type=click.IntRange(1),
    help="Revise proposal N instead: these changes replace those that it makes to the same.",
)  # fmt: skip
@with_proposals
def propose(
    work: Work,
    targets: tuple[str, ...],
    given: tuple[str, ...],
    unset: tuple[str, ...],
    delete: bool,
    patch: Path | None,
    changes: Path | None,
    title: str | None,
    description: str | None,
    into: int | None,
) -> None:
    """Propose to change or delete repositories, to make new ones, or to change namespaces or policy.json.

    FIELD is a name (description), a name and a key (labels.tier), or a JSON pointer as `diff` prints it (/labels/tier).
    VALUE is JSON where it can be read so and the field is not a text. What commits of git have, `git push` proposes.
    """
    ways = {"--changes": changes, "--patch": patch, "--delete": delete, "--set": given, "--unset": unset}
    is_reworded = into is not None and not (title is None and description is None)
    _require_one_way([way for way, how in ways.items() if how], targets, is_reworded)
    if title is None and into is None:
        title = _title(targets, delete, [*(pair.partition("=")[0] for pair in given), *unset])
    body: dict[str, object] = {}
    if changes is not None:
        body["changes"] = _read(changes)
    elif targets:
        document = None if delete else _read(patch) if patch is not None else _patch(given, unset)
        body["changes"] = [_change(target, document) for target in targets]
    body |= {name: text for name, text in (("title", title), ("description", description)) if text is not None}
    checked = body_of(body)
    if into is None:
        tell_outcome(work.proposals.open(work.caller, checked))
    else:
        tell_outcome(work.proposals.revise(work.caller, into, checked))


def named(target: str) -> dict[str, str]:
    """The members of a body that say of what something is."""
    namespace, slash, repo_name = target.partition("/")
    if target == POLICY_PATH:
        return {}
    return {"namespace": namespace, "repo_name": repo_name} if slash else {"namespace": namespace}


def _require_one_way(ways: list[str], targets: tuple[str, ...], is_reworded: bool) -> None:
    """Raises UsageError."""
    if len(ways) > 1 and ways != ["--set", "--unset"]:
        raise click.UsageError(f"{ways[0]} and {ways[1]} exclude each other.")
    if ways == ["--changes"] and targets:
        raise click.UsageError("--changes says itself what it changes; name nothing beside it.")
    if (bool(ways) != bool(targets) and ways != ["--changes"]) or not (ways or is_reworded):
        raise click.UsageError('Say what to change, and how, e.g. library/nginx --set description="A web server"')


def _change(target: str, document: object) -> dict[str, object]:
    where = named(target)
    return {**where, "document": document} if where else {"policy": document}


def _patch(given: tuple[str, ...], unset: tuple[str, ...]) -> dict[str, object]:
    patch: dict[str, object] = {}
    for pair in given:
        field, equals, text = pair.partition("=")
        if not equals:
            raise click.BadParameter('must be FIELD=VALUE, e.g. description="A web server"', param_hint="--set")
        _put(patch, field, _value(_keys(field), text))
    for field in unset:
        _put(patch, field, None)
    return patch


def _put(patch: dict[str, Any], field: str, value: object) -> None:
    *above, last = _keys(field)
    for key in above:
        patch = patch.setdefault(key, {})
        if not isinstance(patch, dict):
            raise click.UsageError(f"{field} is part of a field that is given as a whole.")
    patch[last] = value


def _keys(field: str) -> list[str]:
    """A name and a key of what it holds, which may have dots itself, or as many as a JSON pointer has."""
    if field.startswith("/"):
        return [unescape(token) for token in field[1:].split("/")]
    name, dot, key = field.partition(".")
    return [name, key] if dot else [name]


def _value(keys: list[str], text: str) -> object:
    if keys[0] in _TEXTS or (keys[0] == "labels" and len(keys) > 1):
        return text
    try:
        return loads(text.encode("utf-8", "surrogateescape"))
    except NotJson:
        return text


def _title(targets: tuple[str, ...], delete: bool, fields: list[str]) -> str:
    if not targets:
        raise click.UsageError("Say with --title what these changes do.")
    what = ", ".join(targets[:3]) + (f" and {len(targets) - 3} more" if len(targets) > 3 else "")
    if delete:
        return f"Delete {what}"
    changed = ", ".join("/".join(map(escape, _keys(field))) for field in fields)
    return (f"Update {what}: {changed}" if changed else f"Update {what}")[:_MOST_TITLE]


def _read(file: Path) -> object:
    with click.open_file(str(file), "rb") as opened:
        return loads(opened.read(), what="standard input" if str(file) == "-" else file.name)
