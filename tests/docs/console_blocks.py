"""Runs the console blocks of a document as a reader would: in one shell, in order, beside a server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
# What of the caller's environment a reader has too: the way to a package index.
_KEPT = ("PIP_", "SSL_", "REQUESTS_", "HTTP", "http", "NO_PROXY", "no_proxy")
_NOT_AT_THE_TOP = frozenset({".git", ".venv", "catalog", "build", "dist"})
_NOWHERE = frozenset({"__pycache__", "catalogd.egg-info", ".hypothesis", ".pytest_cache", ".ruff_cache"})
_MARK = "-- next command --"
# A reader takes longer than this from one block to the next; git's index follows within it, mostly much sooner.
_PAUSE = """for _ in {1..30}; do
    [ -n "$(git --no-optional-locks -C '%s' status --porcelain 2>/dev/null)" ] || break
    sleep 0.05
done"""

_NORMAL = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z"), "<time>"),
    (re.compile(r"\bcatd_\w+"), "<token>"),
    (re.compile(r"\b[0-9a-f]{7,64}\b"), "<id>"),
)


@dataclass(frozen=True)
class Command:
    """A command of a document, the output that is printed below it, and whether it begins a block."""

    line: int
    text: str
    output: str
    begins: bool


def commands(document: Path) -> list[Command]:
    """The commands in the ```console blocks of a document."""
    found: list[Command] = []
    text = document.read_text()
    for block in re.finditer(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, block.start(1)) + 1
        begins = True
        for part in re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]:
            first, _, output = part.partition("\n")
            while first.endswith("\\"):
                more, _, output = output.partition("\n")
                first += "\n" + more
            found.append(Command(line, first, output, begins))
            line += part.count("\n")
            begins = False
    return found


@dataclass(frozen=True)
class Reader:
    """Somebody with an empty home directory, a checkout and a free port."""

    home: Path
    checkout: Path
    port: int
    environment: dict[str, str]

    @classmethod
    def new(cls, directory: Path) -> Reader:
        """A copy of this project as it is now, in `directory`."""
        home, checkout = directory / "home", directory / "catalogd"
        home.mkdir()
        shutil.copytree(PROJECT, checkout, ignore=_not_copied)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        kept = {key: value for key, value in os.environ.items() if key.startswith(_KEPT)}
        environment = {
            **kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "HOME": str(home), "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8", "CATALOGD_LISTEN": f"127.0.0.1:{port}",
        }  # fmt: skip
        return cls(home, checkout, port, environment)

    def reuse_this_interpreter(self) -> None:
        """Instead of an installation: `.venv/bin/catalogd` runs the checkout with the tests' packages."""
        programs = self.checkout / ".venv" / "bin"
        programs.mkdir(parents=True)
        program = programs / "catalogd"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m catalogd "$@"\n')
        program.chmod(0o755)
        self.environment.update(PYTHONPATH=str(self.checkout))

    def as_here(self, text: str) -> str:
        return text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")

    def as_printed(self, text: str) -> str:
        return text.replace(f"127.0.0.1:{self.port}", "127.0.0.1:8080")

    @contextmanager
    def server(self, command: str, *, patience: float) -> Iterator[str]:
        """Runs a command that serves until the block is left; gives what it has printed once it serves."""
        printed = self.home / "server.out"
        with printed.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", self.as_here(command)], cwd=self.checkout, env=self.environment, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + patience
            while "Serving the catalog" not in printed.read_text() and process.poll() is None:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
            time.sleep(0.5)
            yield self.as_printed(printed.read_text())
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=30)

    def run(self, chosen: list[Command]) -> list[str]:
        """What each of the commands prints, run in one shell."""
        script = []
        for command in chosen:
            pause = _PAUSE % (self.checkout / "catalog") if command.begins else ""
            script += [pause, f"printf '%s\\n' '{_MARK}'", self.as_here(command.text)]
        done = subprocess.run(
            ["bash"], input="\n".join(script) + "\n", cwd=self.checkout, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
        )  # fmt: skip
        return [self.as_printed(part) for part in done.stdout.split(_MARK + "\n")[1:]]


def difference(command: Command, printed: str) -> str | None:
    """How the real output differs from the documented one, where `...` is anything; None if not at all."""
    if _pattern(command.output).fullmatch(_normal(printed)):
        return None
    return f"line {command.line}: $ {command.text}\n--- documented\n{command.output}\n--- real\n{printed}"


def _not_copied(directory: str, names: list[str]) -> set[str]:
    """What a clone would not have."""
    left_out = _NOWHERE | _NOT_AT_THE_TOP if Path(directory) == PROJECT else _NOWHERE
    return left_out & set(names)


def _pattern(output: str) -> re.Pattern[str]:
    return re.compile(".*?".join(re.escape(part) for part in _normal(output).split("...")), re.DOTALL)


def _normal(text: str) -> str:
    for pattern, replacement in _NORMAL:
        text = pattern.sub(replacement, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
