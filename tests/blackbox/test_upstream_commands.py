"""The commands that meet an upstream for the first time, or wait for one that does not answer."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import pytest
from forked_program import PROGRAM
from served_catalog import environment, git, run

pytestmark = pytest.mark.slow


def test_an_upstream_that_is_no_catalog_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main", "other")
    (tmp_path / "other/README.md").write_text("Read me\n")
    git(tmp_path / "other", "add", ".")
    git(tmp_path / "other", "commit", "-qm", "Only a readme")
    ran = run(tmp_path, "serve", "--catalog", "catalog", "--upstream", "other")
    assert ran.status == 1
    assert "other is no catalog" in ran.err and "schemas/repository.schema.json" in ran.err
    assert not (tmp_path / "catalog").exists()


@pytest.mark.parametrize("command", ["sync", "serve"])
def test_a_command_that_is_stopped_while_the_upstream_is_silent_ends_git(tmp_path: Path, command: str) -> None:
    if command == "sync":
        assert run(tmp_path, "init", "catalog").status == 0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/catalog.git"
        called = [*PROGRAM, command, "--catalog", "catalog", "--upstream", url]
        running = subprocess.Popen(called, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.DEVNULL)
        silent.accept()
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 1
        # While the other side is still there: git does not end by itself.
        assert url not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
