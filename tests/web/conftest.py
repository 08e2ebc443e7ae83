"""A real catalog in a real git working tree, real accounts, and a real server on a free port; nothing is mocked."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import falcon
import pytest
from falcon import testing

from catalogd.accounts import Accounts
from catalogd.catalog import Catalog
from catalogd.server import Server
from catalogd.settings import Address, Settings
from catalogd.state import State
from catalogd.store import Store
from catalogd.web.app import make_app
from catalogd.web.metrics import Metrics

MAX_BODY = 1024 * 1024
IMAGE = "a4002247cb22e78c8d9ffeccdf7ea23d7763f53493d4d763cb4dbe58bf3566b5"
OTHER_IMAGE = "e72ac664f4f0c6a061ac4ef332557a70d69b0c62fb6add35f1c181ff7fff2287"


@dataclasses.dataclass
class Site:
    """An application, what it stands on, and a client of it whose requests carry a token unless they say otherwise."""

    app: falcon.App
    catalog: Catalog
    accounts: Accounts
    token: str

    @property
    def client(self) -> testing.TestClient:
        return testing.TestClient(self.app, headers={"Authorization": f"Token {self.token}"})

    @property
    def anonymous(self) -> testing.TestClient:
        return testing.TestClient(self.app)

    def create(self, path: str, **fields: object) -> testing.Result:
        namespace, repo_name = path.split("/")
        created = self.client.simulate_post(
            f"/v1/repositories/{namespace}", json={"repo_name": repo_name, **fields}
        )
        assert created.status_code == 201, created.text
        return created


@pytest.fixture(scope="session")
def settings() -> Settings:
    return dataclasses.replace(Settings(), listen=Address("127.0.0.1", 0), max_body=MAX_BODY, threads=4)


@pytest.fixture(scope="session")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    state = State(tmp_path_factory.mktemp("state") / "state.db")
    yield Accounts(state, email_domain="users.example.org")
    state.close()


@pytest.fixture(scope="session")
def token(accounts: Accounts) -> str:
    accounts.add_user("alice", email="alice@example.org")
    return accounts.create_token("alice")[0]


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, accounts: Accounts, token: str, settings: Settings
) -> Iterator[Site]:
    """One for each module of tests: they keep to names of their own."""
    root: Path = tmp_path_factory.mktemp("catalog") / "catalog"
    Store.create(root)
    catalog = Catalog.open(root)
    yield Site(make_app(catalog, accounts, settings, Metrics(catalog.health)), catalog, accounts, token)
    catalog.close()


class Wire:
    """A server that runs, and raw sockets to it."""

    def __init__(self, server: Server):
        self.server = server
        self.thread = threading.Thread(target=server.run)
        self.thread.start()

    def connect(self, timeout: float = 10.0) -> socket.socket:
        return socket.create_connection(self.server.address, timeout=timeout)

    def send(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """(status, headers in lower case, body) of the first reply to what is sent as it is."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_reply(connection)

    def close(self) -> None:
        self.server.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()


def read_reply(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One reply, to the length that it announces."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection, received)
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += _more(connection, body)
    return int(status.split(" ")[1]), headers, body


def _more(connection: socket.socket, so_far: bytes) -> bytes:
    data = connection.recv(65536)
    assert data, f"the connection was closed after {so_far[:500]!r}"
    return data


@pytest.fixture(scope="module")
def wire(site: Site, settings: Settings) -> Iterator[Wire]:
    running = Wire(Server(site.app, settings))
    yield running
    running.close()
