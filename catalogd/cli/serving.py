"""`catalogd init` and `catalogd serve`."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path

import click

from catalogd import forges
from catalogd.accounts import Accounts
from catalogd.activity import Activity
from catalogd.catalog import Catalog
from catalogd.cli.common import ended_like_control_c, hand, load_settings, open_people, open_state, with_settings
from catalogd.cli.registry_reading import own_tokens, registry_client
from catalogd.cli.terminal import echo
from catalogd.documents import builtin_schema
from catalogd.errors import BadSettings, CatalogdError, NotACatalog
from catalogd.following import Follower
from catalogd.giturl import primary_of, without_credentials
from catalogd.lookout import Lookout
from catalogd.names import KINDS, schema_path
from catalogd.registry.creating import creation
from catalogd.registry.follower import RegistryFollower
from catalogd.registry.keeping import Keeper
from catalogd.registry.keys import Keys
from catalogd.sample import sample_files
from catalogd.server import Server
from catalogd.settings import Settings
from catalogd.store import ATTRIBUTES, ATTRIBUTES_CONTENT, Store, begin_as_clone, has_main, short
from catalogd.upkeep import Upkeep
from catalogd.upstream import Upstream
from catalogd.web.admission import Admission
from catalogd.web.app import make_app
from catalogd.web.metrics import Metrics

log = logging.getLogger(__name__)


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
@click.option("--threads", type=int, help="Threads that answer requests (CATALOGD_THREADS, default 16).")
@click.option("--public-url", metavar="URL", help="Base of the links in responses (CATALOGD_PUBLIC_URL).")
@click.option("--follow", metavar="URL", help="Be a replica of the catalog at this git URL (CATALOGD_FOLLOW).")
@click.option("--upstream", metavar="URL", help="Keep together with this git repository (CATALOGD_UPSTREAM).")
@click.option("--log-level", help="debug, info, warning or error (CATALOGD_LOG_LEVEL, default info).")
@with_settings
def serve(
    listen: str | None,
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
        "catalog": catalog, "listen": listen, "threads": threads, "public_url": public_url, "follow": follow,
        "upstream": upstream, "log_level": log_level,
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


def serve_with(settings: Settings) -> None:
    """Serves the catalog until the process is told to stop."""
    opened = Catalog.open(settings.catalog, lock_timeout=settings.lock_timeout, git_children=settings.git_children)
    try:
        opened.store.hold_server_lock()
        opened.store.be_replica_of(primary_of(settings.follow) if settings.follow else "")
        with open_state(settings) as state:
            accounts = Accounts(state, email_domain=settings.email_domain)
            _serve(opened, accounts, Activity(opened, state), settings)
    finally:
        opened.close()


def _serve(catalog: Catalog, accounts: Accounts, activity: Activity, settings: Settings) -> None:
    _prepare_keys(catalog)
    lookout = _lookout(catalog, settings)
    metrics = Metrics(lookout.health if lookout else catalog.health)
    follower = _registry_follower(catalog, accounts, activity, settings)
    if follower is not None:
        metrics.watch(follower)
    keeper = _keeper(catalog, accounts, settings)
    if keeper is not None:
        metrics.watch_comparisons(keeper.status)
    app = make_app(catalog, accounts, activity, settings, metrics, lookout, follower)
    server = Server(app, settings, Admission(catalog, accounts))
    upkeep = Upkeep(catalog, activity, settings, lookout, follower, keeper)
    upkeep.start()
    try:
        _greet(f"http://{server.address}", accounts.ensure_admin(), settings)
        server.run()
    finally:
        upkeep.stop()


def _prepare_keys(catalog: Catalog) -> None:
    """So that a registry can be told of them; without them all else is served."""
    try:
        Keys.of(catalog.store.private).prepare()
    except CatalogdError:
        log.exception("there are no keys to sign tokens for a registry with; it is tried again when one is asked for")


def _lookout(catalog: Catalog, settings: Settings) -> Lookout | None:
    if settings.follow:
        return Follower(catalog, catalog.store.remote(settings.follow), settings.follow_interval)
    if settings.upstream:
        return Upstream(catalog, catalog.store.remote(settings.upstream), settings.upstream_interval)
    return None


def _registry_follower(
    catalog: Catalog, accounts: Accounts, activity: Activity, settings: Settings
) -> RegistryFollower | None:
    """None for a replica: what a registry tells goes to the primary."""
    if catalog.primary:
        return None
    client = registry_client(settings, own_tokens(settings)) if settings.registry_url else None
    may_create = creation(settings.registry_create, catalog, accounts)
    return RegistryFollower(catalog, activity.state, may_create, client, settings.registry_jobs)


def _keeper(catalog: Catalog, accounts: Accounts, settings: Settings) -> Keeper | None:
    """What compares with the registry. A replica has none: what it would mend, its primary does."""
    if catalog.primary or not settings.registry_url:
        return None
    may_create = creation(settings.registry_create, catalog, accounts)
    connect = partial(registry_client, settings, own_tokens(settings))
    return Keeper(catalog, connect, may_create, settings.registry_interval, settings.registry_jobs)


def _greet(url: str, admin: tuple[str, str] | None, settings: Settings) -> None:
    echo(f"Serving the catalog {settings.catalog} at {url} (documentation: {url}/docs)")
    if settings.follow:
        echo(f"It is a replica of {primary_of(settings.follow)}.")
    elif settings.upstream:
        echo(f"It is kept together with {without_credentials(settings.upstream)}.")
    if admin is not None:
        name, token = admin
        echo(f"The user {name} was made. Its token, shown only now: {token}")
    if admin is not None and not settings.follow:
        echo("Try it:")
        echo(
            f"  curl -H 'Authorization: Token {token}' -H 'Content-Type: application/json' \\\n"
            f'    -d \'{{"repo_name": "hello", "description": "My first repository"}}\' \\\n'
            f"    {url}/v1/repositories/{name}/"
        )
    sys.stdout.flush()


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


def log_to_stderr(level: str) -> None:
    """What the server logs goes to standard error."""
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("git").setLevel(logging.WARNING)
