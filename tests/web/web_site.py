"""What the tests of the web stand on: an application over a real catalog, and a real server with raw sockets
to it.
"""

from __future__ import annotations

import dataclasses
import socket
import threading

import falcon
from falcon import testing

from catalogd.accounts import Accounts
from catalogd.activity import Activity
from catalogd.catalog import Catalog
from catalogd.server import Server

MAX_BODY = 1024 * 1024
SYNC_SECRET = "It's a Secret to Everybody"
IMAGE = "a4002247cb22e78c8d9ffeccdf7ea23d7763f53493d4d763cb4dbe58bf3566b5"
OTHER_IMAGE = "e72ac664f4f0c6a061ac4ef332557a70d69b0c62fb6add35f1c181ff7fff2287"


@dataclasses.dataclass
class Site:
    """An application, what it stands on, and a client of it whose requests carry a token unless they say
    otherwise.
    """

    app: falcon.App
    catalog: Catalog
    accounts: Accounts
    activity: Activity
    token: str

    @property
    def client(self) -> testing.TestClient:
        return self.with_token(self.token)

    @property
    def anonymous(self) -> testing.TestClient:
        return testing.TestClient(self.app)

    def with_token(self, token: str) -> testing.TestClient:
        return testing.TestClient(self.app, headers={"Authorization": f"Token {token}"})

    def user(self, name: str, **token: object) -> testing.TestClient:
        """A client of a new user, whose token is as said."""
        self.accounts.add_user(name)
        return self.with_token(self.accounts.create_token(name, **token)[0])

    def create(self, path: str, **fields: object) -> testing.Result:
        namespace, repo_name = path.split("/")
        created = self.client.simulate_post(f"/v1/repositories/{namespace}", json={"repo_name": repo_name, **fields})
        assert created.status_code == 201, created.text
        return created


def problem(reply: testing.Result, status: int, slug: str | None = None) -> list[str]:
    """The pointers of a problem, which has the one shape of all errors (RFC 9457)."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert slug is None or reply.json["type"] == f"urn:catalogd:{slug}"
    assert reply.json["status"] == status
    assert reply.json["title"] and reply.json["detail"].endswith((".", "?"))
    return [fault["pointer"] for fault in reply.json.get("errors", [])]


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
