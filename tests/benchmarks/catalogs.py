"""Catalogs of any size, and servers on them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.client import Client
from tests.benchmarks.wrk import processor_time

PER_NAMESPACE = 10


def name_of(number: int, per_namespace: int = PER_NAMESPACE) -> tuple[str, str]:
    """(namespace, repo_name) of the repository with this number."""
    return f"team-{number // per_namespace:05d}", f"app-{number % per_namespace}"


def spread(number: int, size: int) -> int:
    """The one with this number in an order that goes to and fro in a catalog of this size."""
    return number * 7919 % size


def path_of(name: tuple[str, str]) -> str:
    """Of the repository in the interface."""
    return "/v1/repositories/{}/{}".format(*name)


def file_of(name: tuple[str, str]) -> str:
    """Of the same in the working tree."""
    return "data/{}/{}.json".format(*name)


def make(directory: Path, size: int, per_namespace: int = PER_NAMESPACE) -> Path:
    """A catalog of `size` invented repositories, so many a namespace, each with three tags."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = directory / f"{size}.jsonl"
    with lines.open("w") as out:
        for number in range(size):
            namespace, repo_name = name_of(number, per_namespace)
            tags = [{"tag": f"1.{k}", "image_id": f"{number * 7 + k:064x}"} for k in range(3)]
            document = {
                "namespace": namespace,
                "repo_name": repo_name,
                "description": f"Application {repo_name} of {namespace}",
                "full_description": "A few words about what it is for.\n" * 5,
                "tags": tags,
            }
            out.write(json.dumps(document) + "\n")
    root = directory / f"catalog-{size}"
    catalogd("init", str(root))
    catalogd("import", str(lines), "--catalog", str(root))
    return root


def catalogd(*arguments: str) -> str:
    """Run a command of catalogd; returns its output."""
    command = [sys.executable, "-m", "catalogd", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}{done.stdout}")
    return done.stdout


@dataclass(frozen=True)
class Served:
    """A server, and an admin's token for it."""

    host: str
    port: int
    token: str
    pid: int

    def connect(self, *, anonymous: bool = False) -> Client:
        headers = {"Content-Type": "application/json"}
        if not anonymous:
            headers["Authorization"] = f"Token {self.token}"
        return Client(self.host, self.port, headers)

    def rest(self) -> None:
        """Wait until it has done what it begins with, as to make the public repository of a large catalog."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            before = processor_time(self.pid)
            time.sleep(1)
            if processor_time(self.pid) - before < 0.05:
                return


@contextmanager
def serving(root: Path, *arguments: str, token: bool = True) -> Iterator[Served]:
    """A real server on a free port, in a process of its own; without `token` only for anonymous clients."""
    command = [sys.executable, "-m", "catalogd", "serve", "--catalog", str(root), "--listen", "127.0.0.1:0", *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "CATALOGD_LOG_LEVEL": "error"},
    )
    try:
        address = re.search(r"http://([0-9.]+):([0-9]+)", process.stdout.readline())
        made = catalogd("token", "create", _admin(root), "--catalog", str(root)).strip() if token else ""
        yield Served(address[1], int(address[2]), made, process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _admin(root: Path) -> str:
    users = catalogd("user", "list", "--catalog", str(root)).split()
    if users:
        return users[0]
    catalogd("user", "add", "bench", "--admin", "--catalog", str(root))
    return "bench"
