"""Which worker of a server has a connection, as the system sees it; and connections to each of them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from served_catalog import Client, Served, wait_for


def workers(served: Served) -> list[int]:
    """The process ids of a server's workers: those of its children that are what it is."""
    assert served.process is not None
    parent, found = served.process.pid, []
    with suppress(OSError):  # it has ended
        command = Path(f"/proc/{parent}/cmdline").read_bytes()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                is_child = int((process / "stat").read_text().rpartition(") ")[2].split()[1]) == parent
                if is_child and (process / "cmdline").read_bytes() == command:
                    found.append(int(process.name))
    return sorted(found)


def worker_of(served: Served, client: Client) -> int | None:
    """The one that has accepted a client's connection."""
    socket = client._connection.sock
    port = socket.getsockname()[1]
    for worker in workers(served):
        inode = _inode(worker, served.address[1], port)
        with suppress(OSError):
            for descriptor in Path(f"/proc/{worker}/fd").iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) == f"socket:[{inode}]":
                        return worker
    return None


def _inode(process: int, ours: int, theirs: int) -> str | None:
    """Of the server's end of a connection between two ports (proc(5), /proc/net/tcp)."""
    for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
        if (local, remote) == (ours, theirs):
            return fields[9]
    return None


def one_of_each(served: Served, number: int = 2) -> list[Client]:
    """A client of each worker, with the admin's token, on a connection that stays."""
    found: dict[int, Client] = {}
    others: list[Client] = []

    def another() -> bool:
        client = served.client()
        assert client.get("/healthz").status == 200
        worker = worker_of(served, client)
        if worker is None or worker in found:
            # Open until the end: the least busy worker takes the next one.
            others.append(client)
        else:
            found[worker] = client
        return len(found) == number

    wait_for(another, 15.0, f"each of {number} workers takes a connection")
    for client in others:
        client.close()
    return [found[worker] for worker in sorted(found)]
