"""`catalogd registry`: the configuration of a registry beside the catalog, its keys, and a registry to try."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from catalogd.accounts import DEFAULT_SCOPES, SCOPE_REGISTRY, Accounts
from catalogd.catalog import Catalog
from catalogd.cli import serving
from catalogd.cli.common import (
    ended_like_control_c,
    hand,
    load_settings,
    log_to_stderr,
    open_catalog,
    open_people,
    with_settings,
)
from catalogd.cli.registry_config import Wanted, as_yaml
from catalogd.cli.running import serve_with
from catalogd.cli.terminal import Commands, echo
from catalogd.errors import AlreadyServed, Conflict, Unavailable
from catalogd.people import People
from catalogd.registry.keys import Keys
from catalogd.settings import Address, Settings

_USER = "registry"
_PROGRAM = "docker-registry"
_NOT_INSTALLED = (
    f"{_PROGRAM} is not installed. Debian and Ubuntu have it in the package {_PROGRAM}: apt-get install {_PROGRAM}"
)
# How long the registry may take to listen, and to end, in seconds.
_START, _END = 20.0, 10.0
_DEMO_USER, _DEMO_TOKEN = "demo", "catalogd registry demo"


@click.group(cls=Commands)
def registry() -> None:
    """A container registry that works with the catalog."""


@registry.command("config")
@click.option("--storage", default="/var/lib/registry", show_default=True, metavar="DIR", help="Where it keeps images.")
@click.option("--address", default=":5000", show_default=True, metavar="HOST:PORT", help="Where it listens.")
@click.option("--host", default="", metavar="URL", help="Its public address, where that is another one.")
@click.option(
    "--catalog-url", metavar="URL",
    help="The catalog's address, for clients and the registry. Default: the setting public_url, else where it listens.",
)  # fmt: skip
@click.option("--bundle", metavar="FILE", help="Where the registry finds the certificates. Default: in the catalog.")
@click.option("--token", help="What it reports events with. Default: a new token of the user `registry`.")
@with_settings
def config_(
    storage: str,
    address: str,
    host: str,
    catalog_url: str | None,
    bundle: str | None,
    token: str | None,
    catalog: str | None,
    config: Path | None,
) -> None:
    """Print the complete configuration of a registry (distribution 2.8 or 3.x).

    Each time with a new token, and the user `registry` is made if there is none.
    """
    settings = load_settings({"catalog": catalog}, config)
    with open_people(catalog, config) as (people, opened, accounts):
        keys = Keys.of(opened.store.private)
        keys.prepare()
        wanted = Wanted(
            catalog=(catalog_url or settings.public_url or f"http://{settings.listen}").rstrip("/"),
            token=token or _reporting_token(people, opened, accounts),
            service=settings.registry_service,
            bundle=Path(bundle) if bundle else keys.bundle,
            storage=Path(storage),
            address=address,
            host=host,
            secret=secrets.token_urlsafe(32),
        )
    click.echo(as_yaml(wanted), nl=False)


@registry.command("rotate-key")
@click.option("--root", is_flag=True, help="Make a new root, which the registry has to be told of.")
@with_settings
def rotate_key(root: bool, catalog: str | None, config: Path | None) -> None:
    """Sign the registry's tokens with a new key from now on. Those that clients have stay good.

    With --root, make a new root beside the old one; the registry must be restarted, and after that the key rotated.
    """
    with open_catalog(catalog, config) as opened:
        keys = Keys.of(opened.store.private)
        if not root:
            keys.rotate()
            echo("Tokens are signed with a new key now. The registry needs nothing.")
            return
        keys.rotate_root()
        echo(f"{keys.bundle} has a new root at its end. Tokens are signed under the old one until the last step:")
        echo("  1. Restart the registry, with this file as its rootcertbundle.")
        echo("  2. Run: catalogd registry rotate-key")
        echo("  3. Some minutes later, take the old certificate out of the file and restart the registry again.")


@registry.command("demo")
@click.option("--listen", metavar="HOST:PORT", help="Where the catalog is served. Default: a free port of 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The registry's port. Default: a free one.")
@with_settings
def demo(listen: str | None, port: int, catalog: str | None, config: Path | None) -> None:
    """Serve the catalog with a registry beside it, for a try. Control-C ends both.

    Needs the program docker-registry. Its images are kept in `.git/catalogd/registry/demo/`.
    """
    settings = load_settings({"catalog": catalog, "listen": listen or "127.0.0.1:0"}, config)
    program = shutil.which(_PROGRAM, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    if program is None:
        raise Unavailable(_NOT_INSTALLED)
    log_to_stderr("warning")
    serving.begin_if_absent(settings)
    here = Address(settings.listen.host, settings.listen.port or _free_port())
    there = f"127.0.0.1:{port or _free_port()}"
    settings = dataclasses.replace(settings, listen=here, registry_url=f"http://{there}", workers=1)
    file, token = _prepare_demo(catalog, config, settings, there)
    with ended_like_control_c(), _running(program, file, there):
        echo(f"A registry runs at {there}. Try it, as the user {_DEMO_USER}:")
        _show_commands(f"http://{here}", there, token)
        serve_with(settings)


def _reporting_token(people: People, catalog: Catalog, accounts: Accounts) -> str:
    """Raises AlreadyExists where an organization is called like the user, Conflict."""
    _ensure_user(people, catalog, accounts, _USER)
    token, _ = accounts.create_token(_USER, "events of a registry", (SCOPE_REGISTRY,))
    return token


def _ensure_user(people: People, catalog: Catalog, accounts: Accounts, name: str) -> None:
    if not accounts.are_users([name]):
        people.add_user(hand(catalog).account, name)
    elif not accounts.user(name).is_active:
        raise Conflict(f"The user {name} is not active; `catalogd user change {name} --active` makes it so.")


# --- the demo


def _prepare_demo(catalog: str | None, config: Path | None, settings: Settings, address: str) -> tuple[Path, str]:
    """(the registry's configuration, a token to push with)."""
    with open_people(catalog, config) as (people, opened, accounts):
        if opened.store.is_served():  # perhaps by a demo, whose tokens are in use
            raise AlreadyServed(f"{settings.catalog} is served already: stop that server first.")
        admin = accounts.ensure_admin()
        if admin is not None:
            echo(f"The user {admin[0]} was made. Its token, shown only now: {admin[1]}")
        keys = Keys.of(opened.store.private)
        keys.prepare()
        directory = keys.directory / "demo"
        (directory / "storage").mkdir(parents=True, exist_ok=True)
        for user in (_USER, _DEMO_USER):
            _ensure_user(people, opened, accounts, user)
        # Those of the demo before, which has ended: nobody needs them any more.
        for left in [*accounts.list_tokens(_DEMO_USER), *accounts.list_tokens(_USER)]:
            if left.name == _DEMO_TOKEN:
                accounts.revoke_token(left.id)
        token, _ = accounts.create_token(_DEMO_USER, _DEMO_TOKEN, DEFAULT_SCOPES)
        reporting, _ = accounts.create_token(_USER, _DEMO_TOKEN, (SCOPE_REGISTRY,))
        wanted = Wanted(
            catalog=f"http://{settings.listen}",
            token=reporting,
            service=settings.registry_service,
            bundle=keys.bundle,
            storage=directory / "storage",
            address=address,
            host="",
            secret=secrets.token_urlsafe(32),
        )
    file = directory / "config.yml"
    file.touch(mode=0o600)
    file.write_text(as_yaml(wanted))
    return file, token


@contextmanager
def _running(program: str, file: Path, address: str) -> Iterator[None]:
    """The registry, which has begun to listen. Raises Unavailable where it does not."""
    with file.with_name("log").open("ab") as log:
        # In a group of its own: Control-C is ours, and it ends after the last event was taken.
        child = subprocess.Popen(
            [program, "serve", str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for(child, address, file.with_name("log"))
        yield
    finally:
        child.terminate()
        try:
            child.wait(_END)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_for(child: subprocess.Popen[bytes], address: str, log: Path) -> None:
    host, _, port = address.rpartition(":")
    until = time.monotonic() + _START
    while time.monotonic() < until and child.poll() is None:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Unavailable(f"The registry does not listen at {address}; what it says is in {log}.")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _show_commands(catalog: str, registry: str, token: str) -> None:
    image = f"{_DEMO_USER}/busybox"
    echo(
        f"  skopeo copy --dest-tls-verify=false --dest-creds {_DEMO_USER}:{token} \\\n"
        f"    docker://docker.io/library/busybox docker://{registry}/{image}:latest"
    )
    echo(f"  skopeo inspect --tls-verify=false --creds {_DEMO_USER}:{token} docker://{registry}/{image}:latest")
    echo(f"  curl -H 'Authorization: Token {token}' {catalog}/v1/repositories/{image}/tags")
    sys.stdout.flush()
