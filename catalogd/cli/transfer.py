"""Catalogs in and out: import, export, backup."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import click

import catalogd
from catalogd.cli.common import hand, load_settings, open_catalog, open_state, with_settings
from catalogd.cli.terminal import echo
from catalogd.errors import Malformed
from catalogd.registry.keys import Keys
from catalogd.store import rfc3339, short

_MOST_LINE = 16 << 20
# Of a backup. What there is nothing of is left out.
_MEMBERS = ("catalog.bundle", "proposals.bundle", "state.db")


@click.command("import")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--registry", metavar="URL", help="Read a container registry instead of a file.")
@click.option(
    "--jobs", type=int, help="With --registry: how many requests at once (CATALOGD_REGISTRY_JOBS, default 8)."
)
@click.option("--public", is_flag=True, help="With --registry: everybody may see what is created. Default: private.")
@click.option("--namespace", "namespaces", metavar="NS", multiple=True, help="With --registry: only this; repeatable.")
@with_settings
def import_(
    file: Path | None,
    registry: str | None,
    jobs: int | None,
    public: bool,
    namespaces: tuple[str, ...],
    catalog: str | None,
    config: Path | None,
) -> None:
    """Create and update the repositories in FILE, JSON lines (.jsonl or .jsonl.gz), in one commit.

    All of it is checked before anything is written. A field that no document has becomes a label.

    With --registry, create and update those of a registry, each in a commit of its own; nothing is removed. An import
    that was broken off goes on where it was when it is run again. The user is CATALOGD_REGISTRY_USER with
    CATALOGD_REGISTRY_PASSWORD, or is asked for on a terminal when the registry wants one.
    """
    if (file is None) == (registry is None):
        raise click.UsageError("Give a FILE or --registry URL, and not both.")
    if registry is not None:
        from catalogd.cli.registry_reading import import_registry  # HTTP, which the other commands here do without

        import_registry(registry, jobs, public, namespaces, catalog, config)
        return
    if jobs is not None or public or namespaces:
        raise click.UsageError("--jobs, --public and --namespace are for --registry.")
    assert file is not None
    with open_catalog(catalog, config) as opened:
        lines = list(_lines(file))
        with click.progressbar(
            length=len(lines), label="Checking", file=sys.stderr, hidden=not sys.stderr.isatty()
        ) as bar:
            title = "standard input" if str(file) == "-" else file.name
            imported = opened.import_lines(hand(opened), lines, title=title, progress=_Advance(bar.update))
        counts = [(len(imported.created), "created"), (len(imported.updated), "updated")]
        counts.append((len(imported.unchanged), "unchanged"))
        done = ", ".join(f"{count:,} {what}" for count, what in counts if count) or "nothing in the file"
        made = imported.created or imported.updated
        echo(f"{done}{f', in commit {short(imported.commit)}' if made else ''}")
        if imported.labels:
            labels = ", ".join(f"{key} ({count:,})" for key, count in sorted(imported.labels.items()))
            echo(f"fields that became labels: {labels}")


@click.command()
@click.argument("file", default="-", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--public", is_flag=True, help="Only what everybody may see.")
@with_settings
def export(file: Path, public: bool, catalog: str | None, config: Path | None) -> None:
    """Write every document as a line of JSON to FILE (.gz compresses) or standard output; import reads it."""
    with open_catalog(catalog, config) as opened:
        if str(file) == "-":
            _write(opened.export_lines(only_public=public), sys.stdout.buffer)
            return
        whole = file.with_name(f".{file.name}.{os.getpid()}")  # an export that fails leaves the earlier one
        try:
            with gzip.open(whole, "wb") if file.suffix == ".gz" else whole.open("wb") as out:
                _write(opened.export_lines(only_public=public), out)
            whole.replace(file)
        finally:
            whole.unlink(missing_ok=True)


@click.command()
@click.argument("file", metavar="FILE.tar.gz", type=click.Path(dir_okay=False, path_type=Path))
@with_settings
def backup(file: Path, catalog: str | None, config: Path | None) -> None:
    """Write the catalog and its proposals with all their history, the accounts and the registry's keys to FILE,
    while it is served.
    """
    settings = load_settings({"catalog": catalog}, config)
    if file.exists():
        raise click.UsageError(f"{file} exists already.")
    with (
        open_catalog(catalog, config) as opened,
        tempfile.TemporaryDirectory(dir=file.absolute().parent) as directory,
    ):
        bundle, proposals, accounts = (Path(directory) / name for name in _MEMBERS)
        # Proposals first: so the catalog's bundle has all commits that theirs lacks. If something is merged in between,
        # the proposal is open in its bundle; the merge is known by its trailers, and recorded by whoever asks next.
        opened.store.proposals.bundle(proposals, opened.store.head())
        head = opened.store.bundle(bundle)
        with open_state(settings) as state:
            has_accounts = state.backup(accounts)
        about = {"catalogd": catalogd.__version__, "commit": head, "made_at": rfc3339(time.time())}
        whole = Path(directory) / "backup.tar.gz"
        with tarfile.open(whole, "w:gz", compresslevel=1) as archive:
            for member in filter(Path.exists, (bundle, proposals, accounts)):
                archive.add(member, member.name)
            for key in Keys.of(opened.store.private).files():
                archive.add(key, f"registry/{key.name}")
            _add(archive, "about.json", json.dumps(about, indent=2).encode() + b"\n")
        whole.chmod(0o600)  # it holds password hashes, and keys
        whole.rename(file)
    echo(f"{file}: commit {short(head)}" + ("" if has_accounts else "; the accounts are in a database of their own"))


def _lines(file: Path) -> Iterator[bytes]:
    raw: Any = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    with raw:
        buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw)
        packed = buffered.peek(2)[:2] == b"\x1f\x8b"
        stream = gzip.GzipFile(fileobj=buffered) if packed else buffered
        number = 0
        try:
            while line := stream.readline(_MOST_LINE + 1):
                number += 1
                if len(line) > _MOST_LINE:
                    raise Malformed(f"Line {number} is longer than {_MOST_LINE:,} bytes.")
                yield line
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise Malformed(f"The file is no whole gzip file: it ends or breaks after line {number}.") from error


def _write(lines: Iterator[bytes], out: IO[bytes] | gzip.GzipFile) -> None:
    for line in lines:
        out.write(line + b"\n")
    out.flush()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mtime = int(time.time())
    archive.addfile(member, io.BytesIO(data))


class _Advance:
    """Moves a progress bar to a line's number; never back, when a draft is made again."""

    def __init__(self, update: Callable[[int], None]):
        self._update = update
        self._at = 0

    def __call__(self, number: int) -> None:
        if number > self._at:
            self._update(number - self._at)
            self._at = number
