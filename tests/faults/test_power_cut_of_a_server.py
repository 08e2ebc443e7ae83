"""The power is cut while a server takes writes: what it has acknowledged is there after the next start."""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from http.client import HTTPException

import pytest
from prepared import NAMESPACE
from served_catalog import Client
from survival import require_as_in_git, require_each_once, require_sound

pytestmark = pytest.mark.slow

CLIENTS = 3
# For so many seconds they may write until the power is cut.
PATIENCE = 60.0


class Writer:
    """Somebody who creates, changes and deletes documents over HTTP, and keeps what was acknowledged."""

    def __init__(self, client: Client, name: str):
        self._client = client
        self._name = name
        self.requests: list[str] = []
        # By path, the description that was acknowledged last, and the one that was sent after it; None is none.
        self.last: dict[str, str | None] = {}
        self.sent: dict[str, str | None] = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for its end, and raise what it met that was not foreseen."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._write_on()
        except BaseException as error:
            self._error = error

    def _write_on(self) -> None:
        for number in itertools.count():
            path = f"{NAMESPACE}/{self._name}-{number % 4}"
            is_there = self.last.get(path) is not None
            description = None if is_there and number % 5 == 4 else f"{self._name} writes {number}"
            self.sent[path] = description
            try:
                if not self._write(path, description, is_there, f"{self._name}-{number}"):
                    return
            except (OSError, HTTPException):
                return
            self.last[path] = self.sent.pop(path)

    def _write(self, path: str, description: str | None, is_there: bool, request_id: str) -> bool:
        if description is None:
            reply = self._client.delete(path, X_Request_Id=request_id)
        elif is_there:
            reply = self._client.patch(path, {"description": description}, X_Request_Id=request_id)
        else:
            body = {"repo_name": path.rpartition("/")[2], "description": description}
            reply = self._client.post(NAMESPACE, body, X_Request_Id=request_id)
        if reply.status not in (200, 201, 204):
            assert reply.status == 503, reply.body  # the disk is gone
            return False
        self.requests.append(request_id)
        return True


@pytest.mark.parametrize("after", [1, 40, 150, 300])
def test_what_a_server_has_acknowledged_is_there_after_a_power_cut(prepared, disk, tmp_path, after):
    served = prepared.copy(disk.root)
    served.log = tmp_path / "catalog.log"  # on a disk that stays
    subprocess.run(["sync"], check=True)
    served.start()
    writers = [Writer(served.client(), f"w{number}") for number in range(CLIENTS)]
    until = time.monotonic() + PATIENCE
    while sum(len(writer.requests) for writer in writers) < after and all(writer.is_running() for writer in writers):
        assert time.monotonic() < until, [len(writer.requests) for writer in writers]
        time.sleep(0.001)
    disk.shut_down()
    for writer in writers:
        writer.join()
    assert sum(len(writer.requests) for writer in writers) >= after, "they have ended before the power was cut"
    served.kill()
    disk.remount()

    served.start()
    client = served.client()
    for writer in writers:
        for path, description in writer.last.items():
            reply = client.get(path)
            found = reply.json["description"] if reply.status == 200 else None
            assert found in {description, writer.sent.get(path, description)}
    require_each_once(served.root, [request for writer in writers for request in writer.requests], ())
    assert client.post(NAMESPACE, {"repo_name": "after"}).status == 201
    require_as_in_git(client, served.root)
    require_sound(served)
    served.close(faultless=False)
