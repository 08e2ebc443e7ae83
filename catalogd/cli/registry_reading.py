"""`catalogd reconcile`, and `catalogd import --registry`: a registry is read at once, while somebody looks on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from catalogd.accounts import Accounts
from catalogd.cli.common import ended_like_control_c, load_settings, open_catalog, open_state, with_settings
from catalogd.cli.terminal import echo
from catalogd.errors import BadSettings, RegistryFailed
from catalogd.registry.challenges import Mint
from catalogd.registry.client import RegistryClient
from catalogd.registry.creating import creation
from catalogd.registry.keys import Keys
from catalogd.registry.reconciling import (
    CHANGED,
    EXTRA,
    FAILED,
    IMPORT,
    MISSING,
    REFUSED,
    UNFIT,
    UNKNOWN,
    UNREAD,
    Reconciler,
    Report,
    Wanted,
)
from catalogd.registry.resuming import Marker
from catalogd.settings import Settings

T = TypeVar("T")

# As whom the catalog reads a registry by tokens of its own.
_READER = "catalogd"
# Of an import these are told when it has ended, so many of each kind.
_TOLD = (UNFIT, UNREAD, FAILED, REFUSED)
_MOST_TOLD = 20
_BELIEVE = " Is it the right registry? If so, run it again with --believe."


@click.command()
@click.option("--registry", metavar="URL", help="Address of the registry (CATALOGD_REGISTRY_URL).")
@click.option("--dry-run", is_flag=True, help="Tell the differences and change nothing.")
@click.option("--believe", is_flag=True, help="Remove the tags that the registry has not, however many.")
@with_settings
def reconcile(registry: str | None, dry_run: bool, believe: bool, catalog: str | None, config: Path | None) -> None:
    """Compare the catalog with its registry, and set and remove tags so that they are as there.

    May run beside a server. Each difference is a line. Tags are removed only after all of the registry was read. Exit
    status 1 where something could not be read, the registry lists nothing, or more than 100 tags and more than half of
    all were to be removed.
    """
    settings = _settings(registry, None, catalog, config)
    wanted = Wanted(dry_run=dry_run, believe=believe)
    with open_state(settings) as state, open_catalog(catalog, config) as opened, ended_like_control_c():
        may_create = creation(settings.registry_create, opened, Accounts(state, email_domain=settings.email_domain))

        def compare(client: RegistryClient) -> Report:
            reconciler = Reconciler(opened, client, may_create, settings.registry_jobs)
            return reconciler.run(wanted, tell=lambda difference: echo(str(difference)))

        report = _with_client(settings, compare, _own_tokens_for(settings, catalog, config))
    echo(_planned(report) if dry_run else _mended(report))
    if report.withheld:
        raise RegistryFailed(f"Nothing was removed: {report.withheld}.{'' if report.count(FAILED) else _BELIEVE}")
    _require_whole(report)


def import_registry(
    url: str, jobs: int | None, is_public: bool, namespaces: Sequence[str], catalog: str | None, config: Path | None
) -> None:
    """Fill the catalog from a registry; see `catalogd import`. Raises RegistryFailed, BadSettings."""
    settings = _settings(url, jobs, catalog, config)
    wanted = Wanted(IMPORT, is_public=is_public, namespaces=namespaces)
    about = {"registry": url, "public": is_public, "namespaces": sorted(namespaces)}
    with open_catalog(catalog, config) as opened, ended_like_control_c():
        marker = Marker(settings.catalog / ".git" / "catalogd", about)
        if marker.is_resumed:
            echo(f"An earlier import goes on: {_count(len(marker.done), 'repository')} done already.")
        is_finished = False

        def read(client: RegistryClient) -> Report:
            return _read_in(Reconciler(opened, client, lambda _: True, settings.registry_jobs), wanted, marker)

        try:
            report = _with_client(settings, read, _own_tokens_for(settings, catalog, config))
            is_finished = not any(report.count(kind) for kind in (FAILED, UNREAD, REFUSED))
        except KeyboardInterrupt:
            echo(
                f"Stopped with {_count(len(marker.done), 'repository')} done. The same command goes on with the others."
            )
            raise
        finally:
            marker.close(is_finished=is_finished)
    for kind in _TOLD:
        _tell(report, kind)
    echo(f"{_count(report.read, 'repository')} read: {report.created:,} created, {_count(report.set, 'tag')} set")
    _require_whole(report)


def own_tokens(settings: Settings) -> Mint:
    """Makes tokens for the registry of the settings, if it is this catalog that it asks who may read it."""
    keys = Keys.of(settings.catalog / ".git" / "catalogd")
    return lambda access: keys.mint(_READER, access, settings.registry_service).token


def registry_client(settings: Settings, mint: Mint | None = None) -> RegistryClient:
    """A client of the registry of the settings; to be closed. `mint` makes tokens where no user is set."""
    return RegistryClient(
        settings.registry_url,
        settings.registry_user,
        settings.registry_password,
        settings.registry_timeout,
        settings.registry_jobs,
        mint,
        settings.registry_service,
    )


def _read_in(reconciler: Reconciler, wanted: Wanted, marker: Marker) -> Report:
    with ExitStack() as stack:
        bar: Any = None

        def started(count: int) -> None:
            nonlocal bar
            hidden = not sys.stderr.isatty()
            bar = stack.enter_context(click.progressbar(length=count, label="Reading", file=sys.stderr, hidden=hidden))

        def finished(name: str, is_whole: bool) -> None:
            if is_whole:
                marker.note(name)
            bar.update(1)

        return reconciler.run(replace(wanted, done=frozenset(marker.done)), started=started, finished=finished)


def _settings(url: str | None, jobs: int | None, catalog: str | None, config: Path | None) -> Settings:
    """As given. Credentials for another registry than the one asked are left out: they are not for it to see."""
    settings = load_settings({"catalog": catalog, "registry_jobs": jobs}, config)
    if url is not None:
        flags = {"catalog": catalog, "registry_jobs": jobs, "registry_url": url}
        asked = load_settings(flags, config)
        if settings.registry_url not in ("", asked.registry_url):
            asked = replace(asked, registry_user="", registry_password="")
        settings = asked
    if not settings.registry_url:
        raise BadSettings("There is no registry: give --registry URL, or set CATALOGD_REGISTRY_URL.")
    return settings


def _own_tokens_for(settings: Settings, catalog: str | None, config: Path | None) -> Mint | None:
    """None for a registry that only the command line names: it could use the tokens at the one of the settings."""
    usual = load_settings({"catalog": catalog}, config).registry_url
    return own_tokens(settings) if settings.registry_url == usual else None


def _with_client(settings: Settings, use: Callable[[RegistryClient], T], mint: Mint | None) -> T:
    """What comes of it. Where the registry refuses at its first answer, a user is asked for on a terminal."""
    while True:
        try:
            with registry_client(settings, mint) as client:
                return use(client)
        except RegistryFailed as error:
            if not error.is_refused or not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise
            click.echo(f"catalogd: {error.detail}", err=True)
            user = click.prompt(f"User at {settings.registry_url}", default=settings.registry_user or None, err=True)
            password = click.prompt("Password", hide_input=True, err=True)
            settings = replace(settings, registry_user=user, registry_password=password)


def _planned(report: Report) -> str:
    missing, changed, extra = (report.count(kind) for kind in (MISSING, CHANGED, EXTRA))
    would = f"{_count(missing + changed, 'tag')} would be set, {extra:,} removed. Nothing was changed."
    return f"{_count(report.read, 'repository')} compared: {would if report.differences else 'no difference.'}"


def _mended(report: Report) -> str:
    done = (
        f"{_count(report.set, 'tag')} set, {report.removed:,} removed, {_count(report.created, 'repository')} created."
    )
    if report.count(UNKNOWN):
        done += f" Not in the catalog, and not created: {_count(report.count(UNKNOWN), 'repository')}."
    return f"{_count(report.read, 'repository')} compared: {done if report.differences else 'no difference.'}"


def _count(number: int, what: str) -> str:
    many = what.removesuffix("y") + "ies" if what.endswith("y") else what + "s"
    return f"{number:,} {what if number == 1 else many}"


def _tell(report: Report, kind: str) -> None:
    found = [str(difference) for difference in report.differences if difference.kind == kind]
    for line in found[:_MOST_TOLD]:
        echo(line)
    if len(found) > _MOST_TOLD:
        echo(f"{kind}: and {len(found) - _MOST_TOLD:,} more")


def _require_whole(report: Report) -> None:
    failed, unread, refused = (report.count(kind) for kind in (FAILED, UNREAD, REFUSED))
    if failed or unread:
        raise RegistryFailed(
            f"{_count(failed, 'repository')} and {_count(unread, 'tag')} could not be read. Run it again for them."
        )
    if refused:
        raise RegistryFailed(f"{_count(refused, 'document')} could not be written; mend these, and run it again.")
