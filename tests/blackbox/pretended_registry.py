"""A registry that does what no real one does: it fails, hangs, drips, lies, and counts what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from real_registry import Image, digest_of

JSON = "application/json"


@dataclass
class Answer:
    """What is sent. `drip` parts the body into bytes, so many seconds apart; `cut` leaves out its last bytes."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: float = 0.0
    cut: int = 0


def said(what: object, status: int = 200, **headers: str) -> Answer:
    """JSON, with header names that have underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(what).encode(), {"Content-Type": JSON, **named})


def unknown(code: str) -> Answer:
    return said({"errors": [{"code": code}]}, 404)


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    query: str
    authorization: str | None


@dataclass
class Pretended:
    """`holds` has images by repository and tag. `answer` gets each request before, and may answer it itself."""

    holds: dict[str, dict[str, Image]] = field(default_factory=dict)
    answer: Callable[[Asked], Answer | None] = lambda _: None
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def listings(self) -> list[str]:
        """The repositories whose tags were listed, each time."""
        ends = "/tags/list"
        return [one.path.removeprefix("/v2/").removesuffix(ends) for one in self.asked if one.path.endswith(ends)]

    def hang(self) -> Answer:
        """Say nothing until the test ends."""
        self.ended.wait(30)
        return Answer(500)

    def reply(self, asked: Asked) -> Answer:
        """What a registry answers."""
        self.asked.append(asked)
        return self.answer(asked) or self._honest(asked.path)

    def _honest(self, path: str) -> Answer:
        if path == "/v2/_catalog":
            return said({"repositories": sorted(self.holds)})
        name, kind, reference = path.removeprefix("/v2/").rsplit("/", 2)
        tags = self.holds.get(name)
        if tags is None:
            return unknown("NAME_UNKNOWN")
        if kind == "tags":
            return said({"name": name, "tags": sorted(tags)})
        images = [*tags.values(), *(child for image in tags.values() for child in image.children)]
        for image in (image for image in images if kind == "manifests"):
            if reference == image.digest or tags.get(reference) is image:
                return Answer(
                    200, image.manifest, {"Content-Type": image.media_type, "Docker-Content-Digest": image.digest}
                )
        for blob in (blob for image in images for blob in image.blobs if kind == "blobs"):
            if reference == digest_of(blob):
                return Answer(200, blob)
        return unknown("MANIFEST_UNKNOWN")


@contextmanager
def pretended(**holds: dict[str, Image]) -> Iterator[Pretended]:
    """A registry on a free port. `__` in a keyword stands for "/"."""
    registry = Pretended({name.replace("__", "/"): tags for name, tags in holds.items()})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = Asked(self.command, url.path, url.query, self.headers.get("Authorization"))
            with suppress(OSError):
                self._send(registry.reply(asked))

        do_HEAD = do_GET

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            body = b"" if self.command == "HEAD" else answer.body[: len(answer.body) - answer.cut]
            self.close_connection = bool(answer.cut)
            for start in range(len(body)) if answer.drip else ():
                self.wfile.write(body[start : start + 1])
                self.wfile.flush()
                time.sleep(answer.drip)
            if not answer.drip:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    registry.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield registry
    finally:
        registry.ended.set()
        server.shutdown()
        server.server_close()
