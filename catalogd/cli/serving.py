"""`catalogd init` and `catalogd serve`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from catalogd import forges
from catalogd.catalog import Catalog
from catalogd.cli.common import ended_like_control_c, hand, load_settings, log_to_stderr, open_people, with_settings
from catalogd.cli.running import serve_with
from catalogd.cli.terminal import echo
from catalogd.documents import builtin_schema
from catalogd.errors import BadSettings, NotACatalog
from catalogd.giturl import without_credentials
from catalogd.names import KINDS, schema_path
from catalogd.sample import sample_files
from catalogd.settings import Settings
from catalogd.store import ATTRIBUTES, ATTRIBUTES_CONTENT, Store, begin_as_clone, has_main, short


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--with-sample", is_flag=True, help="Put a few invented repositories in it.")
@click.option(
    "--ci",
    type=click.Choice(list(forges.FORGES)),
    help="Commit the check of pull requests and CODEOWNERS for this forge, also to a catalog that is there.",
)
@click.option(
    "--ci-install", metavar="REQUIREMENT", default=forges.DEFAULT_REQUIREMENT,
    help="With --ci: what pip installs for the check. Default: this version of catalogd.",
)  # fmt: skip
def init(directory: Path, with_sample: bool, ci: str | None, ci_install: str) -> None:
    """Make a new catalog in DIR."""
    if ci is None or with_sample or not (directory / ".git").exists():
        _create(directory, with_sample)
        echo(f"{directory} is a catalog now; `catalogd serve --catalog {directory}` serves it.")
    if ci is not None:
        _add_ci(directory, ci, ci_install)


def _add_ci(directory: Path, forge: str, requirement: str) -> None:
    with open_people(str(directory), None) as (people, catalog, _):
        files = forges.files(forge, people.owners(), requirement)
        done = catalog.equip(hand(catalog), f"Check pull requests on {forge}", files, forges.MADE_BY)
    said = f"are there now, in commit {short(done.commit)}" if done.changed else "are there already as they should be"
    echo(f"{' and '.join(files)} {said}. Nothing else was changed.")


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Where to serve (CATALOGD_LISTEN, default 127.0.0.1:8080).")
@click.option("--workers", type=int, help="Processes that answer requests (CATALOGD_WORKERS, default 1).")
@click.option("--threads", type=int, help="Threads of each that answer requests (CATALOGD_THREADS, default 16).")
@click.option("--public-url", metavar="URL", help="Base of the links in responses (CATALOGD_PUBLIC_URL).")
@click.option("--follow", metavar="URL", help="Be a replica of the catalog at this git URL (CATALOGD_FOLLOW).")
@click.option("--upstream", metavar="URL", help="Keep together with this git repository (CATALOGD_UPSTREAM).")
@click.option("--log-level", help="debug, info, warning or error (CATALOGD_LOG_LEVEL, default info).")
@with_settings
def serve(
    listen: str | None,
    workers: int | None,
    threads: int | None,
    public_url: str | None,
    follow: str | None,
    upstream: str | None,
    log_level: str | None,
    catalog: str | None,
    config: Path | None,
) -> None:
    """Serve the catalog; make it, and an admin with a token, if there is none.

    With --follow it is a replica: it begins as a clone, follows, and takes no writes. With --upstream what is written
    here is pushed there, and what is merged there comes in.
    """
    flags = {
        "catalog": catalog, "listen": listen, "workers": workers, "threads": threads, "public_url": public_url,
        "follow": follow, "upstream": upstream, "log_level": log_level,
    }  # fmt: skip
    settings = load_settings(flags, config)
    if settings.follow and settings.upstream:
        raise BadSettings("A replica has no upstream of its own: give --follow or --upstream, not both.")
    log_to_stderr(settings.log_level)
    begin_if_absent(settings)
    serve_with(settings)


def begin_if_absent(settings: Settings) -> None:
    """Makes the catalog if there is none: anew, or as a clone where it follows another one."""
    if not settings.catalog.exists() or not any(settings.catalog.iterdir()):
        _begin(settings)


@ended_like_control_c()
def _begin(settings: Settings) -> None:
    source = settings.follow or (settings.upstream if settings.upstream and has_main(settings.upstream) else "")
    if not source:
        _create(settings.catalog, with_sample=False)
        return
    echo(f"Cloning {without_credentials(source)} into {settings.catalog}")
    sys.stdout.flush()
    begin_as_clone(settings.catalog.absolute(), source)


def _create(directory: Path, with_sample: bool) -> None:
    """A catalog with one commit: the schemas, git's attributes, and the sample if it is wanted."""
    if (directory / ".git").exists():
        raise NotACatalog(f"{directory} is a git working tree already; a new catalog needs a directory of its own.")
    Store.create(directory)
    catalog = Catalog.open(directory)
    try:
        files = {schema_path(kind): builtin_schema(kind) for kind in KINDS}
        files[ATTRIBUTES] = ATTRIBUTES_CONTENT
        if with_sample:
            files |= sample_files()
        catalog.begin(hand(catalog), files)
    finally:
        catalog.close()
