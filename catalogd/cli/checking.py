"""`catalogd check`: what the CI of a pull request and the pre-commit hook run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from catalogd.check import ERROR, MOST_BYTES, Finding, entry_finding, fixed
from catalogd.check import check as findings_in
from catalogd.check_formats import FORMATS
from catalogd.cli.terminal import echo
from catalogd.errors import NotACatalog
from catalogd.names import KINDS, POLICY_PATH, schema_path
from catalogd.store import Checkout, Received, all_files, schemas_beside

_DOCUMENTS = ("data/", "namespaces/")


@click.command()
@click.argument("path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--base", metavar="REV", help="Check only what changed since this branch left REV.")
@click.option("--staged", is_flag=True, help="Check what the next commit has, as the pre-commit hook does.")
@click.option("--received", is_flag=True, help="Check what a push brings, as the pre-receive hook does.")
@click.option("--format", "format_", type=click.Choice(sorted(FORMATS)), default="text", show_default=True)
@click.option("--fix", is_flag=True, help="Write the canonical form where only that differs.")
def check(path: Path, base: str | None, staged: bool, received: bool, format_: str, fix: bool) -> None:
    """Check the documents of a catalog's working tree.

    Exit status 1 if there is an error; another form than the canonical one is a warning.
    """
    if bool(base) + staged + received > 1:
        raise click.UsageError("--base, --staged and --received exclude each other.")
    if fix and (staged or received):
        raise click.UsageError("--fix changes the working tree, not what is staged or pushed; run it before `git add`.")
    if received:
        _check_received(Received(path), FORMATS[format_])
        return
    files, others = _chosen(path, base, staged)
    if fix:
        files = [(name, _fix(path, name, data)) for name, data in files]
    findings = list(findings_in(files, _site_schemas(path, files), others=others))
    checked = sum(not name.startswith("schemas/") for name, _ in files)
    echo_raw(FORMATS[format_](findings, checked))
    if any(finding.severity == ERROR for finding in findings):
        raise SystemExit(1)


def _check_received(received: Received, formatted: Callable[[Sequence[Finding], int], str]) -> None:
    """Of each branch that was pushed, what it changes; git tells on standard input what was pushed."""
    refused = False
    for ref, base, commit in received.branches(os.fsdecode(sys.stdin.buffer.read())):
        files = received.changed(base, commit)
        odd = {file.path: entry_finding(file.path, file.mode, file.size) for file in files}
        documents = [file for file in files if odd[file.path] is None and _is_checked(file.path)]
        changed = {file.path for file in files}
        others = [path for path in received.paths(commit) if path not in changed]
        schemas = received.schemas(commit, MOST_BYTES)
        findings = [finding for finding in odd.values() if finding is not None]
        findings += findings_in(received.contents(documents), schemas, others=others)
        if findings:
            echo(f"{ref}:")
            echo_raw(formatted(findings, len(documents)))
        refused = refused or any(finding.severity == ERROR for finding in findings)
    if refused:
        raise SystemExit(1)


def _is_checked(path: str) -> bool:
    return path == POLICY_PATH or path.startswith(_DOCUMENTS)


def echo_raw(text: str) -> None:
    """The formats have made their text safe already."""
    click.echo(text.rstrip("\n"))


def _chosen(path: Path, base: str | None, staged: bool) -> tuple[list[tuple[str, bytes]], list[str]]:
    if not base and not staged:
        files = list(all_files(path))
        if not files and not any((path / name).is_dir() for name in ("data", "schemas")):
            raise NotACatalog(f"{path} has neither data/ nor schemas/; is it a catalog?")
        return files, []
    checkout = Checkout(path, os.environ.get("GIT_INDEX_FILE") if staged else None)
    files = list(checkout.staged() if staged else checkout.changed_since(base or ""))
    chosen = {name for name, _ in files}
    return files, [name for name in checkout.tracked() if name not in chosen]


def _site_schemas(path: Path, files: list[tuple[str, bytes]]) -> dict[str, bytes]:
    """The catalog's own schemas: as they are checked, else as they are in the working tree."""
    checked = {kind: data for name, data in files for kind in KINDS if name == schema_path(kind)}
    return schemas_beside(path) | checked


def _fix(path: Path, name: str, data: bytes) -> bytes:
    better = None if name.startswith("schemas/") else fixed(name, data)
    if better is None:
        return data
    (path / name).write_bytes(better)
    echo(f"fixed {name}")
    return better
