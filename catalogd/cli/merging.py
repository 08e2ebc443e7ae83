"""`catalogd merge-driver`: what git runs to merge one document."""

from __future__ import annotations

import json
from pathlib import Path

import click

from catalogd.check_formats import safe, text
from catalogd.documents import ABSENT, Conflict
from catalogd.merging import MergedFile, merge_files
from catalogd.store import schemas_beside

# Characters of a value, and fields, that are told.
_MOST_SHOWN = 60
_MOST_CONFLICTS = 50
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("merge-driver")
@click.argument("base", type=_FILE)
@click.argument("ours", type=_FILE)
@click.argument("theirs", type=_FILE)
@click.argument("path")
@click.option("--marker-size", type=click.IntRange(1, 1000), default=7, help="Length of conflict markers (git's %L).")
def merge_driver(base: Path, ours: Path, theirs: Path, path: str, marker_size: int) -> None:
    """Merge a document field by field into the file OURS, as a merge driver of git (%O %A %B %P).

    An empty file is a side without the document. Exit status 1 if fields are in conflict, which are named and marked
    in OURS, or if the merge does not fit the schema. What is no document is merged by line.
    """
    old, mine, yours = (file.read_bytes() for file in (base, ours, theirs))
    merged = merge_files(path, old, mine, yours, schemas_beside(Path()), marker_size)
    if merged.content is not None:
        ours.write_bytes(merged.content)
    if not merged.is_clean:
        click.echo(_why(path, merged), err=True)
        raise SystemExit(1)


def _why(path: str, merged: MergedFile) -> str:
    where = f"catalogd: {safe(path)}"
    if merged.conflicts:
        count = len(merged.conflicts)
        said = f"{where}: {count} field{'' if count == 1 else 's'} changed on both sides, each in its own way:"
        more = [f"  and {count - _MOST_CONFLICTS:,} more"] if count > _MOST_CONFLICTS else []
        return "\n".join([said, *map(conflict_in_words, merged.conflicts[:_MOST_CONFLICTS]), *more])
    if merged.findings:
        said = f"{where}: the changes of both sides do not fit together; mend the file and git add it:"
        return f"{said}\n{text(merged.findings, 1)}".rstrip("\n")
    if merged.content is None:
        return f"{where}: cannot be merged, as it is no text; ours stays, theirs is in git."
    return f"{where}: one of the sides is no JSON object, so it was merged by line; mend the marked lines."


def conflict_in_words(conflict: Conflict) -> str:
    """The field, and what each side has there."""
    sides = (f"{name} {_shown(getattr(conflict, name))}" for name in ("base", "ours", "theirs"))
    return f"  {safe(conflict.pointer) or 'the document'}: {', '.join(sides)}"


def _shown(value: object) -> str:
    if value is ABSENT:
        return "nothing"
    shown = safe(json.dumps(value))
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[: _MOST_SHOWN - 3]}..."
