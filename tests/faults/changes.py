"""The writes that meet faults: what is sent, and what may be there afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prepared import ONE
from served_catalog import Client, Reply

# Larger than a block of the disk.
_LONG = "Nothing but a document of some length. " * 150


@dataclass(frozen=True)
class Change:
    """A request that writes: to which document, and what of it is there once it is done; None where there is none."""

    method: str
    address: str
    body: dict | None
    path: str
    new: dict | None

    def send(self, client: Client, request_id: str) -> Reply:
        return client(self.method, self.address, self.body, X_Request_Id=request_id)


def put(name: str, _: Client) -> Change:
    """A document is changed."""
    body = {"description": name, "full_description": f"{name} {_LONG}"}
    return Change("PUT", ONE, body, ONE, body)


def post(name: str, _: Client) -> Change:
    """A document is created in a namespace that is made for it."""
    body = {"repo_name": "first", "description": name, "full_description": _LONG}
    return Change("POST", f"/v1/repositories/{name}", body, f"/v1/repositories/{name}/first", body)


def delete(name: str, client: Client) -> Change:
    """A document is deleted; a directory goes with its last one."""
    there = f"/v1/repositories/{name}/last"
    assert client.post(f"/v1/repositories/{name}", {"repo_name": "last"}).status == 201
    return Change("DELETE", there, None, there, None)


KINDS: dict[str, Callable[[str, Client], Change]] = {"put": put, "post": post, "delete": delete}
