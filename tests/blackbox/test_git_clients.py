"""Real git clients against a real server: clone and fetch of the whole catalog over HTTP."""

from __future__ import annotations

import gzip
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from socket import create_connection

import pytest
from git_user import GitUser
from served_catalog import Client, Served, environment, wait_for
from two_workers import workers

pytestmark = pytest.mark.slow

PRIVATE = "hidden from most"


@pytest.fixture(scope="module")
def cloned(shared: Served) -> Iterator[Served]:
    admin = shared.client()
    for number in range(5):
        admin.post("/v1/repositories/team", {"repo_name": f"r{number}", "is_public": number > 0})
    admin.put("/v1/repositories/team/r0", {"description": PRIVATE})
    yield shared


@pytest.fixture
def user(cloned: Served, tmp_path: Path) -> GitUser:
    return GitUser(cloned, tmp_path)


def documents(clone: Path) -> set[str]:
    return {path.relative_to(clone / "data").as_posix() for path in (clone / "data").rglob("*.json")}


@pytest.mark.parametrize("version", [0, 1, 2])
def test_an_admin_clones_the_whole_catalog_by_every_version_of_the_protocol(
    cloned: Served, user: GitUser, version: int
) -> None:
    clone = user.clone(user.url(cloned.token), version=version).path
    assert {f"team/r{number}.json" for number in range(5)} <= documents(clone)
    assert PRIVATE in (clone / "data/team/r0.json").read_text()
    user.git("fsck", "--strict", cwd=clone)
    assert user.git("rev-parse", "HEAD", cwd=clone).strip() == cloned.client().get("/healthz").json["commit"]


@pytest.mark.parametrize("options", [("--depth=1",), ("--filter=blob:none",), ("--filter=tree:0",), ("--bare",)])
def test_shallow_and_partial_clones_work(cloned: Served, user: GitUser, options: tuple[str, ...]) -> None:
    clone = user.clone(user.url(cloned.token), *options).path
    assert PRIVATE in user.git("show", "main:data/team/r0.json", cwd=clone)


def test_a_fetch_brings_what_is_new_and_nothing_else(cloned: Served, user: GitUser) -> None:
    clone = user.clone(user.url(cloned.token)).path
    made = cloned.client().put("/v1/repositories/team/r1", {"description": f"new {time.time_ns()}"})
    user.git("pull", "-q", cwd=clone)
    assert user.git("rev-parse", "HEAD", cwd=clone).strip() == made.commit
    before = user.git("count-objects", "-v", cwd=clone)
    user.git("fetch", "-q", cwd=clone)
    assert user.git("count-objects", "-v", cwd=clone) == before


def test_only_main_is_shown_whatever_a_hand_has_made(cloned: Served, user: GitUser) -> None:
    subprocess.run(["git", "branch", "-f", "a-hands"], cwd=cloned.root, check=True)
    subprocess.run(["git", "tag", "-f", "a-hands"], cwd=cloned.root, check=True, capture_output=True)
    shown = user.git("ls-remote", user.url(cloned.token)).split()[1::2]
    assert shown == ["HEAD", "refs/heads/main"]


def test_another_branch_that_a_hand_has_checked_out_is_not_shown(served: Served, tmp_path: Path) -> None:
    subprocess.run(["git", "checkout", "-q", "-b", "wip"], cwd=served.root, check=True)
    subprocess.run(
        ["git", "commit", "-q", "--no-verify", "--allow-empty", "-m", "Not yet"],
        cwd=served.root,
        env=environment(tmp_path),
        check=True,
    )
    user = GitUser(served, tmp_path)
    assert user.git("ls-remote", user.url(served.token)).split()[1::2] == ["refs/heads/main"]
    subprocess.run(["git", "checkout", "-q", "main"], cwd=served.root, check=True)
    assert user.git("ls-remote", user.url(served.token)).split()[1::2] == ["HEAD", "refs/heads/main"]


def test_a_token_with_the_scope_catalog_clones_and_reads_nothing_private_otherwise(
    cloned: Served, user: GitUser
) -> None:
    token = cloned.user("mirror", scope="catalog")
    assert "team/r0.json" in documents(user.clone(user.url(token, "mirror")).path)
    assert cloned.client(token).get("/v1/repositories/team/r0").status == 404


def test_git_asks_for_credentials_and_takes_them_from_a_helper(cloned: Served, user: GitUser, tmp_path: Path) -> None:
    assert "could not read Username" in user.git("clone", "-q", user.url(), "none", check=False)
    helper = tmp_path / "helper"
    helper.write_text(f"#!/bin/sh\necho username=admin\necho password={cloned.token}\n")
    helper.chmod(0o755)
    user.git("-c", f"credential.helper={helper}", "clone", "-q", user.url(), "helped")
    assert "team/r0.json" in documents(tmp_path / "helped")


@pytest.mark.parametrize(
    "token", [{"scope": "write"}, {"scope": "registry"}, {"scope": "catalog", "namespace": "team"}]
)
def test_who_may_not_read_everything_may_not_clone(cloned: Served, user: GitUser, token: dict[str, str]) -> None:
    name = f"some-{token['scope']}-{token.get('namespace', 'all')}"
    refused = user.git("clone", "-q", user.url(cloned.user(name, **token), name), "none", check=False)
    assert "remote: " in refused and "403" in refused
    assert "401" in str(cloned.anonymous().get("/catalog.git/info/refs?service=git-upload-pack").status)


def test_what_is_no_smart_protocol_is_refused_in_plain_text(cloned: Served, user: GitUser) -> None:
    admin = cloned.client()
    for path in ("info/refs", "HEAD", "objects/info/packs", "info/lfs/objects/batch", "info/lfs/locks"):
        reply = admin.get(f"/catalog.git/{path}")
        assert (reply.status, reply.headers["content-type"]) in (
            (403, "text/plain; charset=utf-8"),
            (404, "text/plain; charset=utf-8"),
        )
        assert b"no Git LFS" in reply.body


POST = "/catalog.git/git-upload-pack"
TYPE = "application/x-git-upload-pack-request"
BAD_REQUESTS = {
    "another type": (b"0000", {"Content_Type": "application/json"}, 415),
    "no protocol": (b"0000", {"Content_Type": TYPE, "Git_Protocol": "version=2; rm -rf /"}, 400),
    "no gzip": (b"0000", {"Content_Type": TYPE, "Content_Encoding": "gzip"}, 400),
    "half a gzip": (gzip.compress(b"0000")[:-3], {"Content_Type": TYPE, "Content_Encoding": "gzip"}, 400),
    "more than a gzip": (gzip.compress(b"0000") + b"0000", {"Content_Type": TYPE, "Content_Encoding": "gzip"}, 400),
    "a bomb": (gzip.compress(bytes(64 << 20)), {"Content_Type": TYPE, "Content_Encoding": "gzip"}, 413),
    "no packet lines": (b"hello", {"Content_Type": TYPE, "Git_Protocol": "version=2"}, 400),
}


@pytest.mark.parametrize("what", BAD_REQUESTS)
def test_a_bad_request_is_a_clear_4xx(cloned: Served, what: str) -> None:
    body, headers, status = BAD_REQUESTS[what]
    assert cloned.client()("POST", POST, body, **headers).status == status


def test_a_want_of_what_is_not_there_is_told_by_git_itself(cloned: Served) -> None:
    asked = b"0011command=fetch0001" + b"0032want " + b"1" * 40 + b"\n" + b"0009done\n" + b"0000"
    reply = cloned.client()("POST", POST, asked, Content_Type=TYPE, Git_Protocol="version=2")
    assert (reply.status, b"not our ref" in reply.body) == (200, True)


def test_sixteen_clones_at_once_are_all_served_and_leave_nothing_behind(cloned: Served, user: GitUser) -> None:
    url = user.url(cloned.token)
    home = environment(user.directory)
    clones = [
        subprocess.Popen(["git", "clone", "-q", url, f"c{number}"], cwd=user.directory, env=home)
        for number in range(16)
    ]
    assert [clone.wait(60) for clone in clones] == [0] * 16
    wait_for(lambda: not children_of(cloned), 5, "no git child is left")


def children_of(served: Served) -> list[str]:
    """The commands of the server's children that have not been waited for, but for the reader of objects, and for its
    workers.
    """
    assert served.process is not None
    servers = {served.process.pid, *workers(served)}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            command = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has just ended
            continue
        if int(parent) in servers and int(process.name) not in servers and "cat-file" not in command:
            found.append(command)
    return found


def test_a_reader_of_a_clone_that_stands_still_holds_up_nobody(cloned: Served, user: GitUser) -> None:
    head_of_main = user.git("ls-remote", user.url(cloned.token)).split()[0]
    body = b"0011command=fetch0001" + b"0032want " + head_of_main.encode() + b"\n" + b"0009done\n" + b"0000"
    head = (
        f"POST {POST} HTTP/1.1\r\nHost: x\r\nAuthorization: Token {cloned.token}\r\nContent-Type: {TYPE}\r\n"
        f"Git-Protocol: version=2\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    stalled = [create_connection(cloned.address) for _ in range(40)]
    try:
        for connection in stalled:
            connection.sendall(head.encode() + body)
        began = time.monotonic()
        client: Client = cloned.client()
        for _ in range(20):
            assert client.get("/v1/repositories/team/r1").status == 200
        assert time.monotonic() - began < 5
    finally:
        for connection in stalled:
            connection.close()
    wait_for(lambda: not children_of(cloned), 10, "no git child is left")


def test_nothing_of_the_users_configuration_is_believed(cloned: Served) -> None:
    """As of a hook that uploadpack.packObjectsHook would name."""
    (cloned.home / ".gitconfig").write_text("[uploadpack]\n\tpackObjectsHook = touch hooked\n")
    reply = cloned.client().get("/catalog.git/info/refs?service=git-upload-pack")
    assert reply.status == 200
    assert not list(cloned.home.rglob("hooked"))
