"""A registry that sends more than the state can take keeps nobody else waiting."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from served_catalog import Served

pytestmark = pytest.mark.slow

# More than the threads that answer all else.
NOTIFICATIONS = 24
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def pull(name: str, number: int) -> dict:
    target = {"repository": name, "mediaType": MANIFEST, "digest": f"sha256:{number:064x}"}
    request = {"method": "GET", "addr": "192.0.2.7:40000", "useragent": "docker/27.0"}
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"id": f"event-{number}", "action": "pull", "timestamp": moment, "target": target, "request": request}


def test_while_notifications_wait_for_the_state_everybody_else_is_answered(served: Served):
    admin, registry = served.client(), served.user("registry", scope="registry")
    assert admin.post("/v1/repositories/team", {"repo_name": "app"}).status == 201

    def notify(number: int) -> int:
        sender = served.client(registry)
        return sender.post("/v1/registry/events", {"events": [pull("team/app", number)]}).status

    state = sqlite3.connect(served.root / ".git/catalogd/state.db", isolation_level=None)
    with ThreadPoolExecutor(NOTIFICATIONS) as pool:
        state.execute("BEGIN IMMEDIATE")
        try:
            sent = [pool.submit(notify, number) for number in range(NOTIFICATIONS)]
            time.sleep(0.5)
            began = time.monotonic()
            assert admin.get("/v1/repositories/team/app").status == 200
            assert time.monotonic() - began < 3
            assert not any(one.done() for one in sent)
        finally:
            state.execute("ROLLBACK")
            state.close()
        assert {one.result() for one in sent} == {202}
    assert admin.get("/v1/repositories/team/app").json["download"] == NOTIFICATIONS
