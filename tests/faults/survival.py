"""What must hold of a catalog whatever has happened to it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from served_catalog import Client, Reply, Served, git, wait_for

DONE, REFUSED, UNKNOWN = "done", "refused", "unknown"

# What is left of processes that have ended.
_LITTER = ("objects/pack/tmp_*", "*.lock", "refs/**/*.lock", "catalogd/.followed*")
_TRAILERS = "--format=%(trailers:key=Request-Id,valueonly)"


def require_old_or_new(before: Reply, after: Reply, new: dict | None, outcome: str) -> None:
    """A document is wholly as it was, or wholly as a write makes it (None: not there), as its outcome says.

    Of a write whose outcome nobody knows it may be either.
    """
    if (after.status, after.headers.get("etag")) == (before.status, before.headers.get("etag")):
        assert outcome != DONE, "an acknowledged write is not there"
        assert after.status == 404 or after.json == before.json
        return
    assert outcome != REFUSED, "a write is there that was refused"
    if new is None:
        assert after.status == 404, after.body
    else:
        assert after.status == 200, after.body
        assert {key: after.json[key] for key in new} == new


def require_each_once(root: Path, acknowledged: Iterable[str], refused: Iterable[str]) -> None:
    """The history has each acknowledged request in one commit, none twice, and none that was refused."""
    found = Counter(git(root, "log", _TRAILERS, "main").split())
    assert set(acknowledged) - found.keys() == set(), "acknowledged requests are in no commit"
    assert [request for request, times in found.items() if times > 1] == []
    assert set(refused) & found.keys() == set(), "requests are in the history that were refused"


def require_as_in_git(client: Client, root: Path) -> None:
    """The read model shows what main has: the commit, each document's blob, and what is in it."""
    head = git(root, "rev-parse", "main").strip()
    assert client.get("/healthz").json["commit"] == head
    listed = git(root, "ls-tree", "-r", head, "data/").splitlines()
    shown = client.get("/v1/repositories?page_size=100").json
    assert shown["count"] == len(listed)
    found = {f"data/{one['namespace']}/{one['repo_name']}.json": one["description"] for one in shown["results"]}
    for line in listed:
        blob, path = line.split()[2:4]
        document = json.loads(git(root, "cat-file", "blob", blob))
        assert found[path] == document.get("description", "")
    _, namespace, name = path.split("/")
    reply = client.get(f"/v1/repositories/{namespace}/{name.removesuffix('.json')}")
    assert reply.headers["etag"] == f'"{blob}"'


def require_sound(served: Served) -> None:
    """`doctor` and git find nothing wrong, and nothing is left of processes that have ended."""
    doctor = served.run("doctor")
    assert doctor.status == 0 and "WRONG" not in doctor.out, doctor.out + doctor.err
    fsck = ("fsck", "--strict", "--full", "--no-dangling", "--no-progress")
    assert git(served.root, *fsck, check=False) == ""
    assert git(served.root, "status", "--porcelain") == ""
    # The server has locks of its own now and then.
    wait_for(lambda: not litter(served), 10.0, "nothing is left of processes that have ended")


def litter(served: Served) -> list[str]:
    """Files of processes that have ended, and lock files of nobody."""
    git_dir = served.root / ".git"
    found = [path for pattern in _LITTER for path in git_dir.glob(pattern)]
    mine = f"{served.process.pid}-"
    found += [path for path in (git_dir / "catalogd/scratch").iterdir() if not path.name.startswith(mine)]
    return [str(path.relative_to(git_dir)) for path in found]
