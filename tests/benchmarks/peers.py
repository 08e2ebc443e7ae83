"""What catalogd is measured against, each in an environment and a process of its own.

The environments are made once, in the directory for temporary files, and stay there: `python -m venv` and pip.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.client import Client

# As many threads as `catalogd serve` has by default.
THREADS = 16
MEMORY, POSTGRESQL = "memory", "postgresql+history"
BUCKET, COLLECTION = "catalog", "repositories"
# Records that are put in one request of Kinto's batch endpoint.
_AT_ONCE = 500

_FALCON = ("falcon", "waitress")
_KINTO = ("kinto[postgresql]", "waitress")
_USER, _SECRET = "bench", "bench"

# What both print first is their port. They log nothing: waitress would, for each request that waits for a thread.
_SERVE_FALCON = """
import logging, sys, falcon
from waitress.server import create_server

logging.disable(logging.WARNING)
body = sys.stdin.buffer.read()

class Constant:
    def on_get(self, req, resp):
        resp.content_type = "application/json"
        resp.data = body

app = falcon.App()
app.add_route("/", Constant())
server = create_server(app, host="127.0.0.1", port=0, threads=int(sys.argv[1]))
print(server.effective_port, flush=True)
server.run()
"""
_SERVE_KINTO = """
import logging, sys
from pyramid.paster import get_app
from waitress.server import create_server

logging.disable(logging.WARNING)
server = create_server(get_app(sys.argv[2]), host="127.0.0.1", port=0, threads=int(sys.argv[1]))
print(server.effective_port, flush=True)
server.run()
"""
_SETTINGS = """
[app:main]
use = egg:kinto
kinto.userid_hmac_secret = bench
kinto.bucket_create_principals = system.Authenticated
kinto.batch_max_requests = {at_once}
multiauth.policies = basicauth
kinto.cache_backend = kinto.core.cache.memory
"""
_BACKENDS = {
    MEMORY: """
kinto.storage_backend = kinto.core.storage.memory
kinto.permission_backend = kinto.core.permission.memory
""",
    POSTGRESQL: """
kinto.storage_backend = kinto.core.storage.postgresql
kinto.storage_url = {url}
kinto.permission_backend = kinto.core.permission.postgresql
kinto.permission_url = {url}
kinto.includes = kinto.plugins.history
""",
}


@dataclass(frozen=True)
class Peer:
    """A server of somebody else. `path` is where what is read is: of bare Falcon its one body, of Kinto the collection.

    `authorization` is the value of that header for one who may read and write; "" where nobody need say who he is.
    """

    host: str
    port: int
    pid: int
    path: str
    authorization: str = ""

    def connect(self) -> Client:
        headers = {"Content-Type": "application/json"}
        if self.authorization:
            headers["Authorization"] = self.authorization
        return Client(self.host, self.port, headers)

    def record(self, identifier: str) -> str:
        """The path of a record of the collection."""
        return f"{self.path}/{identifier}"


@contextmanager
def bare_falcon(body: bytes) -> Iterator[Peer]:
    """Falcon on waitress, with one path, that answers it with a constant."""
    with _running(_environment(_FALCON), _SERVE_FALCON, str(THREADS), given=body) as (port, pid):
        yield Peer("127.0.0.1", port, pid, "/")


@contextmanager
def kinto(backend: str = MEMORY, *, database: str = "") -> Iterator[Peer]:
    """Kinto on waitress with an empty collection, which everybody may read.

    With POSTGRESQL it keeps its records and a history of them in the empty database at the URL `database`.
    """
    python = _environment(_KINTO)
    with tempfile.TemporaryDirectory(prefix="kinto-") as directory:
        ini = Path(directory) / "kinto.ini"
        # "%" has a meaning in the file.
        settings = (_SETTINGS + _BACKENDS[backend]).format(at_once=_AT_ONCE, url=database.replace("%", "%%"))
        ini.write_text(settings)
        if database:
            subprocess.run([python.with_name("kinto"), "migrate", "--ini", ini], check=True, capture_output=True)
        with _running(python, _SERVE_KINTO, str(THREADS), str(ini)) as (port, pid):
            path = f"/v1/buckets/{BUCKET}/collections/{COLLECTION}/records"
            credentials = base64.b64encode(f"{_USER}:{_SECRET}".encode()).decode()
            peer = Peer("127.0.0.1", port, pid, path, f"Basic {credentials}")
            _put(peer, f"/v1/buckets/{BUCKET}", {"permissions": {"read": ["system.Everyone"]}})
            _put(peer, f"/v1/buckets/{BUCKET}/collections/{COLLECTION}", {})
            yield peer


def fill(peer: Peer, records: Iterable[tuple[str, object]]) -> None:
    """Puts (identifier, content) into Kinto's collection."""
    waiting: list[dict[str, object]] = []
    for identifier, content in records:
        waiting.append({"method": "PUT", "path": peer.record(identifier), "body": {"data": content}})
        if len(waiting) == _AT_ONCE:
            _batch(peer, waiting)
            waiting = []
    if waiting:
        _batch(peer, waiting)


def _batch(peer: Peer, requests: list[dict[str, object]]) -> None:
    client = peer.connect()
    status, answer = client.request("POST", "/v1/batch", json.dumps({"requests": requests}).encode())
    client.close()
    refused = [each for each in json.loads(answer)["responses"] if each["status"] > 201] if status == 200 else answer
    if refused:
        raise RuntimeError(f"Kinto does not take the records: {refused[:1]!r}")


def _put(peer: Peer, path: str, body: object) -> None:
    client = peer.connect()
    status, answer = client.request("PUT", path, json.dumps(body).encode())
    client.close()
    if status not in (200, 201):
        raise RuntimeError(f"PUT {path}: {status}: {answer!r}")


@contextmanager
def _running(python: Path, program: str, *arguments: str, given: bytes = b"") -> Iterator[tuple[int, int]]:
    """(port, process id) of a server. What goes wrong is on standard error."""
    # Its own packages only, not those of this process.
    command = [python, "-I", "-W", "ignore", "-c", program, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        process.stdin.write(given)
        process.stdin.close()
        port = process.stdout.readline()
        if not port:
            raise RuntimeError(f"{python} does not serve")
        yield int(port), process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def _environment(packages: tuple[str, ...]) -> Path:
    """The Python of an environment with these packages, made where there is none yet."""
    key = hashlib.sha256(repr((packages, sys.version)).encode()).hexdigest()[:12]
    home = Path(tempfile.gettempdir()) / f"catalogd-peers-{key}"
    python, is_whole = home / "bin" / "python", home / "whole"
    if not is_whole.exists():
        venv.create(home, clear=True, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        subprocess.run(install, check=True)
        is_whole.touch()
    return python
