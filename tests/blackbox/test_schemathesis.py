"""Calls that Schemathesis makes up from `/openapi.json`, all of its checks on each, against a server as users have it.

Whatever it finds is a fault of the server or of the description. schemathesis.toml and schemathesis_hooks.py say what
it has to know beside that; the seed is always the same. For longer:

    CATALOGD_TEST_SCHEMATHESIS="20 7" ./tests/run tests/blackbox/test_schemathesis.py    20 times the calls, seed 7
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from forked_program import PROGRAM
from served_catalog import IMAGE, Served, environment, is_sound

HERE = Path(__file__).parent
TIMES, SEED = map(int, os.environ.get("CATALOGD_TEST_SCHEMATHESIS", "1 1").split())

pytestmark = pytest.mark.slow


@dataclass
class Tried:
    """A run of Schemathesis that goes on."""

    served: Served
    process: subprocess.Popen
    said: Path

    def ended(self) -> str:
        """What it said; fails where it found anything."""
        self.process.wait(1200 * TIMES)
        said = self.said.read_text()
        assert self.process.returncode == 0, said
        return said


def populated(new_catalog, name: str) -> Served:
    """A server on a catalog that has one of everything, by the names that the examples of the description have."""
    served = new_catalog(name)
    for user in ("alice", "bob", "carol"):
        served.user(user)
    admin = served.client()
    assert admin.post("/v1/namespaces", {"namespace": "madams", "owners": ["admin"], "writers": ["bob"]}).status == 201
    assert admin.post("/v1/repositories/madams", {"repo_name": "repo"}).status == 201
    assert admin.post("/v1/repositories/madams", {"repo_name": "old", "is_public": False}).status == 201
    assert admin.put("/v1/repositories/madams/repo/tags/latest", {"image_id": IMAGE}).status == 201
    change = {"namespace": "madams", "repo_name": "repo", "document": {"description": "Described"}}
    assert (
        served.client(served.user("dave")).post("/v1/proposals", {"title": "Say it", "changes": [change]}).status == 201
    )
    return served


def begin(served: Served, who: str, most: int, *which: str) -> Tried:
    """Starts it as "admin" or as "nobody"."""
    site = served.home / f"{served.root.name}.json"
    command = ["env", f"PYTHONPATH={HERE.parents[1]}", f"CATALOGD_CATALOG={served.root}", *PROGRAM]
    site.write_text(json.dumps({"url": served.url, "command": command, "as": who}))
    said = site.with_suffix(".txt")
    arguments = [
        "--config-file", HERE / "schemathesis.toml", "run", f"{served.url}/openapi.json", "--checks", "all", *which,
        "--max-examples", most * TIMES, "--seed", SEED, "--continue-on-failure", "--no-color",
    ]  # fmt: skip
    told = {"PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "SCHEMATHESIS_SITE": str(site)}
    with said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "schemathesis.cli", *map(str, arguments)],
            cwd=served.home,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(served.home, **told),
        )
    return Tried(served, process, said)


# Each has a server of its own, and all go on at once, since each waits half of the time. To give bounds to each
# parameter of each call takes longest, so two share that.
_CALLS = ("--phases", "examples,coverage,fuzzing")
_OF_REPOSITORIES = ("Repositories", "Tags", "History", "Stars")
RUNS = {
    "admin-repositories": ("admin", 1, *_CALLS, *(f"--include-tag={tag}" for tag in _OF_REPOSITORIES)),
    "admin-others": ("admin", 1, *_CALLS, *(f"--exclude-tag={tag}" for tag in _OF_REPOSITORIES)),
    "admin-sequences": ("admin", 12, "--phases", "stateful"),
    "nobody": ("nobody", 1, "--phases", "examples,fuzzing,stateful" + (",coverage" if TIMES > 1 else "")),
}


# So many calls are done at least, not refused: half as many as there are.
LEAST_DONE = {"admin-repositories": 150, "admin-others": 300, "admin-sequences": 120, "nobody": 30}


def calls_done(served: Served) -> int:
    """How many requests the server has answered with a 2xx."""
    metrics = served.anonymous().get("/metrics").body.decode()
    done = re.findall(r'^catalogd_http_requests_total{.*status="2\d\d".*} ([\d.e+]+)$', metrics, re.MULTILINE)
    return round(sum(map(float, done)))


@pytest.fixture
def tried(new_catalog) -> Iterator[dict[str, Tried]]:
    if importlib.util.find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed")
    runs: dict[str, Tried] = {}
    try:
        for name, how in RUNS.items():
            runs[name] = begin(populated(new_catalog, name), *how)
        yield runs
    finally:
        for run in runs.values():
            run.process.kill()
            run.process.wait()


def test_whatever_is_made_up_from_the_description_is_answered_as_it_says(tried: dict[str, Tried]) -> None:
    for name, run in tried.items():
        assert "FAILURES" not in run.ended(), name
        assert calls_done(run.served) > LEAST_DONE[name], name
        assert run.served.client().get("/healthz").json["status"] == "ok", name
        assert is_sound(run.served.root), name
