"""`podman search`, the real one, against the server: anonymous and logged in."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served_catalog import IMAGE, Served, environment

pytestmark = pytest.mark.slow


class Podman:
    """podman with files and credentials of its own."""

    def __init__(self, home: Path, served: Served):
        self._home = home
        self.host = served.url.removeprefix("http://")

    def __call__(self, command: str, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        storage = ("--root", str(self._home / "root"), "--runroot", str(self._home / "run"), "--storage-driver", "vfs")
        return subprocess.run(
            ["podman", *storage, command, "--tls-verify=false", *arguments],
            input=stdin,
            env=environment(self._home, XDG_RUNTIME_DIR=str(self._home)),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def login(self, user: str, secret: str) -> str:
        """What it says."""
        ran = self("login", "--username", user, "--password-stdin", self.host, stdin=secret)
        return ran.stdout + ran.stderr

    def search(self, term: str, *options: str) -> list[dict[str, Any]]:
        """What is found; names without the host."""
        ran = self("search", "--format", "json", *options, f"{self.host}/{term}")
        assert ran.returncode == 0, ran.stderr
        found = json.loads(ran.stdout or "[]")
        return [{**result, "Name": result["Name"].removeprefix(f"{self.host}/")} for result in found]

    def names(self, term: str, *options: str) -> list[str]:
        return [result["Name"] for result in self.search(term, *options)]


@pytest.fixture(scope="module")
def catalog(shared: Served) -> Iterator[tuple[Served, str]]:
    """With what is public, and `amy/web-secret`, of the user whose token it is."""
    token = shared.user("amy")
    admin, amy = shared.client(), shared.client(token)
    for namespace, repo_name, fields in (
        ("acme", "web", {"description": "The storefront"}),
        ("library", "nginx", {"description": "Serves the web"}),
        ("acme", "db", {"description": "Orders"}),
        ("amy", "web-secret", {"is_public": False}),
    ):
        admin.post(f"/v1/repositories/{namespace}", {"repo_name": repo_name, **fields})
    for path in ("acme/web/tags/v2", "acme/web/tags/latest", "amy/web-secret/tags/v1"):
        admin.put(f"/v1/repositories/{path}", {"image_id": IMAGE})
    assert amy("PUT", "/v1/repositories/acme/web/star").status == 204
    yield shared, token


@pytest.fixture
def podman(catalog: tuple[Served, str], program: Callable[[str], object]) -> Iterator[Podman]:
    program("podman")
    # It takes no path of more than 50 characters, which pytest's have.
    with tempfile.TemporaryDirectory(prefix="podman-") as home:
        yield Podman(Path(home), catalog[0])


def test_podman_finds_what_is_public_best_first(podman):
    found = podman.search("web")
    assert [(it["Name"], it["Description"], it["Stars"], it["Official"]) for it in found] == [
        ("acme/web", "The storefront", 1, ""),
        ("library/nginx", "Serves the web", 0, "[OK]"),
    ]
    assert podman.names("web", "--limit", "1") == ["acme/web"]
    assert podman.names("web", "--limit", "1000", "--filter", "stars=1") == ["acme/web"]
    assert podman.names("web", "--filter", "is-official") == ["library/nginx"]
    assert podman.names('store "front AND') == []


def test_podman_lists_names_and_tags_of_what_is_public_without_a_login(podman):
    assert podman.names("") == ["acme/db", "acme/web", "library/nginx"]
    assert podman.names("", "--limit", "2") == ["acme/db", "acme/web"]
    tags = podman.search("acme/web", "--list-tags")
    assert [(it["Name"], it["Tags"]) for it in tags] == [("acme/web", ["latest", "v2"])]
    hidden = podman("search", "--list-tags", f"{podman.host}/amy/web-secret")
    assert hidden.returncode != 0


def test_podman_logs_in_and_then_lists_what_its_user_may_see(podman, catalog):
    assert "invalid username/password" in podman.login("amy", "wrong")
    assert "Login Succeeded" in podman.login("amy", catalog[1])
    assert podman.names("") == ["acme/db", "acme/web", "amy/web-secret", "library/nginx"]
    assert [it["Tags"] for it in podman.search("amy/web-secret", "--list-tags")] == [["v1"]]
    # It sends no credentials with a search for words.
    assert podman.names("web") == ["acme/web", "library/nginx"]
