"""A real docker-registry on a free port, and images small enough to push by hand.

`registry(directory)` starts Debian's `docker-registry`, with deletion allowed and no notifications unless `config` says
otherwise. Images are pushed by raw HTTP, so nothing is needed to build them; `skopeo` works on them as on any others.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

needs_registry = pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is not installed")
needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")

_START_SECONDS = 20.0


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Image:
    """A manifest and the blobs that it names; of an index its children. `size` is what a tag should tell."""

    manifest: bytes
    media_type: str
    blobs: tuple[bytes, ...] = ()
    children: tuple[Image, ...] = ()

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def image_id(self) -> str:
        """64 hex digits: of the configuration, or of an index itself."""
        about = json.loads(self.manifest)
        return (about["config"]["digest"] if "config" in about else self.digest).removeprefix("sha256:")

    @property
    def size(self) -> int:
        return sum(len(blob) for blob in {*self.blobs, *(blob for child in self.children for blob in child.blobs)})


def image(
    content: str,
    architecture: str = "amd64",
    variant: str | None = None,
    *,
    docker: bool = False,
    config_type: str | None = None,
) -> Image:
    """An image of one layer; another `content` makes another image. `config_type` makes it an artifact."""
    about: dict[str, Any] = {"architecture": architecture, "os": "linux", "config": {}, "rootfs": {"type": "layers"}}
    if variant:
        about["variant"] = variant
    layer = f"a layer with {content}".encode()
    about["rootfs"]["diff_ids"] = [digest_of(layer)]
    config = json.dumps(about).encode()
    kinds = (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER) if docker else (MANIFEST, CONFIG, LAYER)
    manifest = {
        "schemaVersion": 2,
        "mediaType": kinds[0],
        "config": _descriptor(config, config_type or kinds[1]),
        "layers": [_descriptor(layer, kinds[2])],
    }
    return Image(json.dumps(manifest).encode(), kinds[0], (config, layer))


def index(*images: tuple[Image, str], docker: bool = False) -> Image:
    """An index of (image, platform), a platform such as `arm64/v8`; "" leaves it out."""
    media_type = DOCKER_LIST if docker else INDEX
    listed = []
    for child, platform in images:
        entry = _descriptor(child.manifest, child.media_type)
        if platform:
            architecture, _, variant = platform.partition("/")
            entry["platform"] = {"architecture": architecture, "os": "linux"} | (
                {"variant": variant} if variant else {}
            )
        listed.append(entry)
    about = {"schemaVersion": 2, "mediaType": media_type, "manifests": listed}
    return Image(json.dumps(about).encode(), media_type, (), tuple(child for child, _ in images))


def _descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


@dataclass
class RealRegistry:
    """A registry that runs, or did. `log` is what it has written."""

    port: int
    config: Path
    log: Path
    authorization: str | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def start(self) -> None:
        """Returns when it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(self.config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            assert self.process.poll() is None, self.log.read_text()
            try:
                self.ask("GET", "/v2/")
                return
            except (OSError, HTTPException):
                time.sleep(0.02)
        raise AssertionError(f"the registry does not answer: {self.log.read_text()}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=20)
            self.process = None

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers by lower-case name, body)."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.authorization:
            sent["Authorization"] = self.authorization
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def push_blob(self, name: str, data: bytes) -> str:
        """Returns the digest."""
        digest = digest_of(data)
        if self.ask("HEAD", f"/v2/{name}/blobs/{digest}")[0] == 200:
            return digest
        status, headers, body = self.ask("POST", f"/v2/{name}/blobs/uploads/", b"")
        assert status == 202, (status, body)
        where = headers["location"].partition(self.host)[2]
        where += ("&" if "?" in where else "?") + f"digest={digest}"
        status, _, body = self.ask("PUT", where, data, Content_Type="application/octet-stream")
        assert status == 201, (status, body)
        return digest

    def push(self, name: str, tag: str | Sequence[str] | None, what: Image) -> str:
        """Push an image with a tag, or several, or None: by its digest. Returns the digest."""
        for child in what.children:
            self.push(name, None, child)
        for blob in what.blobs:
            self.push_blob(name, blob)
        references = [what.digest] if tag is None else [tag] if isinstance(tag, str) else list(tag)
        for reference in references:
            path = f"/v2/{name}/manifests/{reference}"
            status, _, body = self.ask("PUT", path, what.manifest, Content_Type=what.media_type)
            assert status == 201, (status, body)
        return what.digest

    def delete(self, name: str, digest: str) -> None:
        """Delete a manifest with all its tags."""
        status, _, body = self.ask("DELETE", f"/v2/{name}/manifests/{digest}")
        assert status == 202, (status, body)

    def tags(self, name: str) -> set[str]:
        status, _, body = self.ask("GET", f"/v2/{name}/tags/list")
        return set(json.loads(body)["tags"] or ()) if status == 200 else set()


def skopeo(*arguments: str) -> str:
    """Run skopeo; returns what it says."""
    done = subprocess.run(["skopeo", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def configuration(directory: Path, port: int) -> dict[str, Any]:
    """The configuration of a registry as a plain object; JSON is YAML. Change it and hand it to `registry`."""
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def registry(
    directory: Path, config: Mapping[str, Any] | str | None = None, port: int | None = None, **more: Any
) -> Iterator[RealRegistry]:
    """A registry in a directory of its own, stopped in the end.

    `config` is a whole configuration, as an object or as YAML, for `port`; `more` are members beside those of
    `configuration`, such as `notifications` and `auth`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    file = directory / "registry.yml"
    whole = config if config is not None else {**configuration(directory, port), **more}
    file.write_text(whole if isinstance(whole, str) else json.dumps(whole, indent=2))
    os.makedirs(directory / "storage", exist_ok=True)
    running = RealRegistry(port, file, directory / "registry.log")
    running.start()
    try:
        yield running
    finally:
        running.stop(signal.SIGKILL)
