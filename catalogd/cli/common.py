"""What the commands on a catalog share: settings, an open catalog, and names of repositories as arguments."""

from __future__ import annotations

import getpass
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from catalogd import settings as settings_module
from catalogd.accounts import SCOPES, Account, Accounts
from catalogd.catalog import Caller, Catalog
from catalogd.errors import NotACatalog
from catalogd.giturl import primary_of
from catalogd.people import People
from catalogd.settings import Settings
from catalogd.state import State
from catalogd.store import GitFailed

catalog_option = click.option(
    "--catalog", metavar="DIR", help="The catalog's directory (CATALOGD_CATALOG, default ./catalog)."
)
config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A settings file (TOML; CATALOGD_CONFIG).",
)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --catalog and --config."""
    return catalog_option(config_option(command))


def load_settings(flags: Mapping[str, object], config: Path | None) -> Settings:
    """Flag, then environment, then the file: the one named, else `.git/catalogd/catalogd.toml` of the catalog."""
    given = {name: value for name, value in flags.items() if value is not None}
    if config is None and os.environ.get("CATALOGD_CONFIG"):
        config = Path(os.environ["CATALOGD_CONFIG"])
    if config is None:
        root = settings_module.load(given, os.environ, None).catalog
        beside = root / ".git" / "catalogd" / "catalogd.toml"
        config = beside if beside.is_file() else None
    return settings_module.load(given, os.environ, config)


def log_to_stderr(level: str, who: str = "") -> None:
    """What the server logs goes to standard error; `who` stands in front of the logger's name."""
    form = f"%(asctime)s %(levelname)s {who and who + ' '}%(name)s: %(message)s"
    logging.basicConfig(level=level.upper(), format=form, stream=sys.stderr, force=True)
    logging.getLogger("git").setLevel(logging.WARNING)


@contextmanager
def ended_like_control_c() -> Iterator[None]:
    """SIGTERM ends what runs as Control-C does: a git that was started is ended, too, and what was begun is removed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def open_catalog(catalog: str | None, config: Path | None) -> Iterator[Catalog]:
    """The catalog that the command works on."""
    settings = load_settings({"catalog": catalog}, config)
    logging.basicConfig(level=logging.WARNING, format="catalogd: %(message)s", stream=sys.stderr)
    opened = Catalog.open(settings.catalog, lock_timeout=settings.lock_timeout)
    if settings.follow:
        opened.store.take_no_writes(primary_of(settings.follow))
    try:
        yield opened
    finally:
        opened.close()


def open_state(settings: Settings) -> State:
    """The state of a catalog: the database of the settings, else the SQLite file beside the read model."""
    if settings.state_url:
        return State(settings.state_url)
    private = settings.catalog / ".git" / "catalogd"
    if not private.is_dir():
        raise NotACatalog(f"{settings.catalog} is no catalog; `catalogd init` or `catalogd serve` makes one.")
    return State(private / "state.db")


@contextmanager
def open_people(catalog: str | None, config: Path | None) -> Iterator[tuple[People, Catalog, Accounts]]:
    """Users and organizations, for commands that work on either or both."""
    settings = load_settings({"catalog": catalog}, config)
    with open_state(settings) as state, open_catalog(catalog, config) as opened:
        accounts = Accounts(state, email_domain=settings.email_domain)
        yield People(opened, accounts), opened, accounts


def hand(catalog: Catalog) -> Caller:
    """Whoever sits at the shell: may do anything that the files allow, and signs as git would sign."""
    try:
        name, email = catalog.store.identity()
    except GitFailed:
        name, email = getpass.getuser(), ""
    return Caller(Account(name, email, True, frozenset(SCOPES), None), f"cli-{os.getpid()}")


def split_name(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, str]:
    """A callback for arguments that name a repository: NAMESPACE/NAME."""
    namespace, slash, repo_name = value.partition("/")
    if not slash:
        raise click.BadParameter("must be NAMESPACE/NAME, e.g. library/nginx")
    return namespace, repo_name


repository_argument = click.argument("repository", metavar="NAMESPACE/NAME", callback=split_name)
