"""Runs the server of a catalog: alone in this process, or as several workers."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from catalogd import memory
from catalogd.accounts import Accounts
from catalogd.activity import Activity
from catalogd.catalog import Catalog
from catalogd.cli.common import log_to_stderr, open_state
from catalogd.cli.registry_reading import own_tokens, registry_client
from catalogd.cli.terminal import echo
from catalogd.errors import CatalogdError
from catalogd.following import Follower
from catalogd.giturl import primary_of, without_credentials
from catalogd.lookout import Elsewhere, Lookout
from catalogd.registry.creating import creation
from catalogd.registry.follower import RegistryFollower
from catalogd.registry.keeping import Keeper, Kept, heard
from catalogd.registry.keys import Keys
from catalogd.server import Server, bind
from catalogd.settings import Address, Settings
from catalogd.shared.memory import Load
from catalogd.shared.shares import Shares
from catalogd.state import State
from catalogd.throttle import Throttle
from catalogd.upkeep import FilesUpkeep, Upkeep
from catalogd.upstream import Upstream
from catalogd.web.admission import Admission
from catalogd.web.app import make_app
from catalogd.web.metrics import Metrics
from catalogd.workers import Place, Supervisor

log = logging.getLogger(__name__)


# Names for the bell: who is told that there is something to do.
_LOOKOUT, _FOLLOWER = "l", "f"
# And for the board, where the lookout has its own.
_KEEPER = "k"
# Connections that wait to be taken.
_BACKLOG = 1024


def serve_with(settings: Settings) -> None:
    """Serves the catalog until the process is told to stop."""
    memory.tune()  # before any thread starts; workers are forks of this process
    if settings.workers > 1:
        _serve_by_workers(settings)
        return
    shares = Shares()
    with _opened(settings, shares) as catalog:
        _claim(catalog, settings)
        with open_state(settings) as state:
            accounts = Accounts(state, email_domain=settings.email_domain)
            server, upkeep = _assembled(catalog, accounts, state, settings, shares)
            upkeep.start()
            try:
                _greet(server.address, accounts.ensure_admin(), settings)
                server.run()
            finally:
                upkeep.stop()


def _serve_by_workers(settings: Settings) -> None:
    """All that this process opens is closed before it has workers: neither git's children nor SQLite survive a fork."""
    with ExitStack() as stack:
        with _opened(settings, Shares()) as catalog:
            _claim(catalog, settings)
            stack.callback(os.close, catalog.store.keep_server_lock())
            shares = Shares(settings.workers, catalog.store.private / "workers")
        sockets = bind(settings.listen)
        stack.callback(_close, sockets)
        for bound in sockets:
            bound.listen(_BACKLOG)
        with open_state(settings) as state:
            admin = Accounts(state, email_domain=settings.email_domain).ensure_admin()
        throttle = Throttle(mutex=shares.mutex("logins"))
        address = Address(settings.listen.host, sockets[0].getsockname()[1])
        supervisor = Supervisor(settings.workers, partial(_work, settings, shares, throttle, sockets))
        supervisor.run(partial(_greet, address, admin, settings), partial(_close, sockets))


def _work(settings: Settings, shares: Shares, throttle: Throttle, sockets: list[socket.socket], place: Place) -> None:
    """What one worker does, from its start to its end."""
    log_to_stderr(settings.log_level, f"worker {place.number + 1}")
    shares.be(place.number)
    with _opened(settings, shares) as catalog, open_state(settings) as state:
        accounts = Accounts(state, email_domain=settings.email_domain, throttle=throttle, processes=settings.workers)
        server, upkeep = _assembled(catalog, accounts, state, settings, shares, sockets, place.load)
        upkeep.start()
        try:
            place.serve(server)
        finally:
            upkeep.stop()


@contextmanager
def _opened(settings: Settings, shares: Shares) -> Iterator[Catalog]:
    catalog = Catalog.open(
        settings.catalog, lock_timeout=settings.lock_timeout, git_children=settings.git_children, shares=shares
    )
    try:
        yield catalog
    finally:
        catalog.close()


def _claim(catalog: Catalog, settings: Settings) -> None:
    """This server is the one of the catalog."""
    catalog.store.hold_server_lock()
    catalog.store.be_replica_of(primary_of(settings.follow) if settings.follow else "")
    try:
        # So that a registry can be told of them; without them all else is served.
        Keys.of(catalog.store.private).prepare()
    except CatalogdError:
        log.exception("there are no keys to sign tokens for a registry with; it is tried again when one is asked for")


def _close(sockets: Iterable[socket.socket]) -> None:
    for bound in sockets:
        bound.close()


def _assembled(
    catalog: Catalog,
    accounts: Accounts,
    state: State,
    settings: Settings,
    shares: Shares,
    sockets: list[socket.socket] | None = None,
    load: Load | None = None,
) -> tuple[Server, Upkeep | FilesUpkeep]:
    """The server of this process, and what it does beside answering. What one process must do does the first."""
    activity = Activity(catalog, state)
    lookout = _lookout(catalog, settings)
    asked = lookout if lookout is None or shares.is_first else _elsewhere(lookout, shares)
    metrics = Metrics(asked.health if asked else catalog.health, shares.tallies)
    follower: RegistryFollower | None = None
    keeper: Keeper | None = None
    wake: Callable[[], None] = _nothing
    # What a registry tells a replica goes to the primary, which mends as well.
    if not catalog.primary:
        metrics.watch_changes(state.count_changes)
        if shares.is_first:
            follower = _registry_follower(catalog, accounts, state, settings, metrics)
            keeper = _keeper(catalog, accounts, settings, shares) if settings.registry_url else None
        wake = follower.wake if follower else _wake_elsewhere(shares)
        if settings.registry_url:
            metrics.watch_comparisons(keeper.status if keeper else partial(_heard, shares))
    app = make_app(catalog, accounts, activity, settings, metrics, asked, wake)
    server = Server(app, settings, Admission(catalog, accounts), sockets, load)
    if not shares.is_first:
        return server, FilesUpkeep(catalog, settings)
    if shares.bell is not None:
        on = {_LOOKOUT: lookout.wake} if lookout else {}
        shares.bell.listen({**on, _FOLLOWER: follower.wake} if follower else on)
    told = partial(shares.board.post, _LOOKOUT) if shares.board else _nothing
    return server, Upkeep(catalog, activity, settings, lookout, follower, keeper, told)


def _nothing(*_: object) -> None:
    pass


def _elsewhere(lookout: Lookout, shares: Shares) -> Elsewhere:
    assert shares.board is not None and shares.bell is not None
    return Elsewhere(lookout, partial(shares.board.read, _LOOKOUT), partial(shares.bell.ring, _LOOKOUT))


def _heard(shares: Shares) -> Kept:
    assert shares.board is not None
    return heard(shares.board.read(_KEEPER))


def _wake_elsewhere(shares: Shares) -> Callable[[], None]:
    """Tells the first worker's follower that changes wait."""
    assert shares.bell is not None
    return partial(shares.bell.ring, _FOLLOWER)


def _lookout(catalog: Catalog, settings: Settings) -> Lookout | None:
    if settings.follow:
        return Follower(catalog, catalog.store.remote(settings.follow), settings.follow_interval)
    if settings.upstream:
        return Upstream(catalog, catalog.store.remote(settings.upstream), settings.upstream_interval)
    return None


def _registry_follower(
    catalog: Catalog, accounts: Accounts, state: State, settings: Settings, metrics: Metrics
) -> RegistryFollower:
    client = registry_client(settings, own_tokens(settings)) if settings.registry_url else None
    may_create = creation(settings.registry_create, catalog, accounts)
    return RegistryFollower(catalog, state, may_create, client, settings.registry_jobs, metrics.followed)


def _keeper(catalog: Catalog, accounts: Accounts, settings: Settings, shares: Shares) -> Keeper:
    """What compares with the registry."""
    may_create = creation(settings.registry_create, catalog, accounts)
    connect = partial(registry_client, settings, own_tokens(settings))
    tell = partial(shares.board.post, _KEEPER) if shares.board else _nothing
    return Keeper(catalog, connect, may_create, settings.registry_interval, settings.registry_jobs, tell)


def _greet(address: Address, admin: tuple[str, str] | None, settings: Settings) -> None:
    url = f"http://{address}"
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
