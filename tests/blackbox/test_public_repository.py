"""The public repository: what everybody may see of the catalog, by git without credentials, and no byte more."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from served_catalog import Client, Served, commit_by_hand, environment, git, run, wait_for

pytestmark = pytest.mark.slow

POST, TYPE = "git-upload-pack", "application/x-git-upload-pack-request"
# Not the one that the schema has as an example.
HIDDEN_IMAGE = "5e" * 32
_NUMBERS = itertools.count()


class Follower:
    """Somebody who has cloned what is public."""

    def __init__(self, served: Served, directory: Path):
        self._directory = directory
        self.clone = directory / f"clone{next(_NUMBERS)}"
        self.git("clone", "-q", "http://{}:{}/public.git".format(*served.address), str(self.clone), cwd=directory)

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.clone,
            capture_output=True,
            text=True,
            env={**environment(self._directory), "GIT_TERMINAL_PROMPT": "0"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pull(self) -> set[str]:
        """The files there are after a pull."""
        self.git("pull", "-q")
        return set(self.git("ls-files").split())


@pytest.fixture
def follower(served: Served, tmp_path: Path) -> Follower:
    admin = served.client()
    admin.post("/v1/repositories/team", {"repo_name": "open", "description": "for all"})
    admin.post("/v1/repositories/team", {"repo_name": "secret", "description": "zeus", "is_public": False})
    assert served.run("user", "add", "olga").status == 0
    admin.post("/v1/namespaces", {"namespace": "team", "description": "The team", "owners": ["olga"]})
    return Follower(served, tmp_path)


PUBLIC = {
    "data/team/open.json", "namespaces/team.json", "schemas/repository.schema.json", "schemas/namespace.schema.json",
}  # fmt: skip


def everything_in(repository: Path) -> bytes:
    """All objects of a repository, reachable or not."""
    listed = git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").encode()
    return subprocess.run(["git", "cat-file", "--batch"], cwd=repository, input=listed, capture_output=True).stdout


def public_of(served: Served) -> Path:
    return served.root / ".git" / "catalogd" / "public.git"


def test_what_is_public_is_cloned_without_credentials_and_passes_the_check(served: Served, follower: Follower) -> None:
    assert follower.pull() == PUBLIC
    assert (follower.clone / "data/team/open.json").read_bytes() == (served.root / "data/team/open.json").read_bytes()
    organization = json.loads((follower.clone / "namespaces/team.json").read_text())
    assert organization == {"namespace": "team", "description": "The team"}
    follower.git("fsck", "--strict")
    assert run(served.home, "check", follower.clone).status == 0
    assert "Location" not in served.anonymous().get("/public.git/info/refs?service=git-upload-pack").headers


def test_what_becomes_private_is_gone_with_the_next_fetch_and_what_becomes_public_is_there(
    served: Served, follower: Follower
) -> None:
    admin = served.client()
    for _ in range(3):
        admin.patch("/v1/repositories/team/open", {"is_public": False})
        assert follower.pull() == PUBLIC - {"data/team/open.json"}
        admin.patch("/v1/repositories/team/open", {"is_public": True})
        assert follower.pull() == PUBLIC
    admin.patch("/v1/repositories/team/secret", {"is_public": True})
    assert follower.pull() == PUBLIC | {"data/team/secret.json"}
    admin.delete("/v1/repositories/team/open")
    assert "data/team/open.json" not in follower.pull()


def test_the_public_repository_moves_within_a_second_also_where_nobody_asks(served: Served, follower: Follower) -> None:
    document = json.loads((served.root / "data/team/open.json").read_text()) | {"description": "by hand"}
    served.settle()
    (served.root / "data/team/open.json").write_text(json.dumps(document, indent=2))
    commit = commit_by_hand(served.root, "Edit by hand", "data/team/open.json")
    of = public_of(served).with_name("public.of")
    wait_for(lambda: of.read_text().strip() == commit, 2, "the public repository shows the commit")
    assert b"by hand" in everything_in(public_of(served))


def test_nothing_in_it_tells_of_what_is_hidden_or_who_has_done_what(served: Served, follower: Follower) -> None:
    admin = served.client()
    admin.put("/v1/repositories/team/secret/tags/v1", {"image_id": HIDDEN_IMAGE})
    token = served.user("zenobia", "--admin", "--email", "zenobia@example.org")
    served.client(token).patch("/v1/repositories/team/open", {"description": "edited"})
    files = [served.root / f"data/team/{name}.json" for name in ("open", "secret")]
    served.settle()
    for file in files:
        file.write_text(json.dumps(json.loads(file.read_text()) | {"full_description": "both at once"}, indent=2))
    commit_by_hand(served.root, "Announce zeus", *(str(file.relative_to(served.root)) for file in files))
    follower.pull()
    everything = everything_in(public_of(served))
    assert b"both at once" in everything
    for hidden in (b"secret", b"zeus", b"zenobia", b"olga", b"Hand", b"Announce", b"Request-Id", HIDDEN_IMAGE.encode()):
        assert hidden not in everything, hidden


def test_no_object_that_is_or_was_private_is_to_be_had_by_its_id(served: Served, follower: Follower) -> None:
    admin = served.client()
    for number in range(100):
        admin.patch("/v1/repositories/team/open", {"is_public": bool(number % 2), "description": f"version {number}"})
        if number % 10 == 0:
            follower.pull()
    follower.pull()
    all_of_them = ("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
    kinds = dict(line.split() for line in git(served.root, *all_of_them).splitlines())
    shown = {line.split()[0] for line in git(public_of(served), *all_of_them).splitlines()}
    private = sorted(kinds.keys() - shown)
    assert len(private) > 250
    for object_id in private:
        reply = want(served.anonymous(), "public.git", object_id)
        assert (reply.status, b"not our ref" in reply.body) == (200, True), object_id
    for object_id in private[::10]:
        assert want(served.anonymous(), "catalog.git", object_id).status == 401
    contents = {key: git(served.root, "cat-file", "blob", key) for key, kind in kinds.items() if kind == "blob"}
    hidden = {key for key, text in contents.items() if text.startswith("{") and is_hidden(json.loads(text))}
    assert hidden
    assert not shown & hidden


def is_hidden(document: dict) -> bool:
    return document.get("is_public") is False or isinstance(document.get("owners"), list)


def want(client: Client, repository: str, object_id: str):
    asked = b"0011command=fetch0001" + b"0032want " + object_id.encode() + b"\n" + b"0009done\n" + b"0000"
    return client("POST", f"/{repository}/{POST}", asked, Content_Type=TYPE, Git_Protocol="version=2")


def test_rebuilt_it_forgets_what_was_public_once(served: Served, follower: Follower) -> None:
    admin = served.client()
    admin.patch("/v1/repositories/team/open", {"description": "an old word"})
    follower.pull()
    admin.patch("/v1/repositories/team/open", {"is_public": False})
    assert b"an old word" in everything_in(public_of(served))
    assert served.run("maintenance", "--rebuild-public").status == 0
    assert b"an old word" not in everything_in(public_of(served))
    follower.git("fetch", "-q")
    assert follower.git("rev-list", "--count", "origin/main").strip() == "1"


def test_it_is_made_anew_where_it_is_lost(served: Served, follower: Follower) -> None:
    served.stop()
    shutil.rmtree(public_of(served))
    served.start()
    assert Follower(served, served.home).pull() == PUBLIC


def test_a_push_is_refused_with_a_message(served: Served, follower: Follower) -> None:
    (follower.clone / "x").write_text("x")
    follower.git("add", "x")
    follower.git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x")
    with pytest.raises(AssertionError, match="takes no pushes"):
        follower.git("push", "-q", "origin", "main")
