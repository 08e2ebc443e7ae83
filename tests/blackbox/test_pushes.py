"""`git push origin main` over HTTP: an edit like any other, taken as it is or refused with reasons."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from git_user import Clone, GitUser, document
from served_catalog import IMAGE, OTHER_IMAGE, Client, Served, commit_by_hand, git, wait_for
from test_git_clients import children_of

pytestmark = pytest.mark.slow

TEAM = "namespaces/team.json"
WEB = "data/team/web.json"
ROLES = ("olga", "wanda", "rita")


@dataclass
class Site:
    """A catalog with an organization `team` that has an owner, a writer and a reader, all of whom may push."""

    served: Served
    home: Path
    tokens: dict[str, str] = field(default_factory=dict)

    def user(self, name: str) -> GitUser:
        directory = self.home / name
        directory.mkdir(exist_ok=True)
        token = self.tokens.get(name) or self.served.token
        return GitUser(self.served, directory, name, token)

    def clone(self, name: str) -> Clone:
        return self.user(name).clone()

    @property
    def head(self) -> str:
        return git(self.served.root, "rev-parse", "main").strip()


def site_of(served: Served, home: Path, names: Iterable[str] = ROLES) -> Site:
    site = Site(served, home)
    admin = served.client()
    for name in ROLES:
        assert admin.post("/v1/users", {"name": name}).status == 201
    for name in names:
        made = served.run("token", "create", name, "--scope", "write", "--scope", "catalog")
        site.tokens[name] = made.out.strip()
    members = {"owners": ["olga"], "writers": ["wanda"], "readers": ["rita"]}
    assert admin.post("/v1/namespaces", {"namespace": "team", **members}).status == 201
    assert admin.post("/v1/repositories/team", {"repo_name": "web", "description": "first"}).status == 201
    assert admin.put("/v1/repositories/team/web/tags/latest", {"image_id": IMAGE}).status in (200, 201)
    assert admin.post("/v1/repositories/team", {"repo_name": "other", "is_public": False}).status == 201
    assert admin.post("/v1/repositories/alien", {"repo_name": "thing", "is_public": False}).status == 201
    return site


@pytest.fixture(scope="module")
def site(shared: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield site_of(shared, tmp_path_factory.mktemp("users"))


@pytest.fixture
def own_site(served: Served, tmp_path: Path) -> Site:
    return site_of(served, tmp_path, ["wanda"])


@pytest.fixture
def api(site: Site) -> Client:
    return site.served.client()


# What is taken


def test_a_writer_creates_and_changes_repositories_and_the_api_has_them_at_once(site: Site, api: Client) -> None:
    clone = site.clone("wanda")
    clone.write("data/team/fresh.json", document("team", "fresh", description="by git"))
    clone.edit(WEB, description="changed by git", labels={"tier": "front"})
    commit = clone.commit("Add fresh, and describe web")
    clone.pushes()
    found = api.get("/v1/repositories/team/fresh")
    assert (found.json["description"], found.commit) == ("by git", commit)
    assert api.get("/v1/repositories/team/web").json["labels"] == {"tier": "front"}
    entry = api.get("/v1/repositories/team/web/history").json["results"][0]
    assert (entry["commit"], entry["author"], entry["message"].strip()) == (
        commit, "wanda", "Add fresh, and describe web",
    )  # fmt: skip


def test_files_and_index_of_the_catalog_follow(site: Site) -> None:
    clone = site.clone("wanda")
    clone.edit(WEB, full_description=f"at {time.time_ns()}")
    clone.commit()
    clone.pushes()
    assert (site.served.root / WEB).read_bytes() == (clone.path / WEB).read_bytes()
    site.served.settle()


def test_several_commits_keep_their_ids_and_each_is_in_the_history(site: Site, api: Client) -> None:
    clone = site.clone("wanda")
    clone.write("data/team/many.json", document("team", "many"))
    made = [clone.commit("Begin many")]
    for number in range(3):
        clone.edit("data/team/many.json", description=f"version {number}")
        made.append(clone.commit(f"Version {number}"))
    clone.pushes()
    assert site.head == made[-1]
    history = api.get("/v1/repositories/team/many/history").json["results"]
    assert [entry["commit"] for entry in history] == made[::-1]


def test_an_owner_deletes_and_changes_who_belongs_to_the_namespace(site: Site, api: Client) -> None:
    clone = site.clone("olga")
    clone.write("data/team/brief.json", document("team", "brief"))
    clone.commit("Add brief")
    clone.pushes()
    (clone.path / "data/team/brief.json").unlink()
    clone.edit(TEAM, readers=["rita", "admin"])
    clone.commit("Remove brief, let admin read")
    clone.pushes()
    assert api.get("/v1/repositories/team/brief").status == 404
    assert api.get("/v1/namespaces/team").json["readers"] == ["admin", "rita"]


def test_a_merge_is_taken_on_either_side(site: Site, api: Client) -> None:
    clone = site.clone("wanda")
    clone.git("checkout", "-q", "-b", "topic")
    clone.write("data/team/topic.json", document("team", "topic"))
    topic = clone.commit("Add topic")
    clone.git("checkout", "-q", "main")
    clone.git("merge", "-q", "--no-ff", "-m", "Merge topic", "topic")
    clone.pushes()
    assert api.get("/v1/repositories/team/topic/history").json["results"][0]["commit"] == topic

    # A pull without rebase, which has main as its second parent.
    clone.edit("data/team/topic.json", description="mine")
    mine = clone.commit("Describe topic")
    assert api.put("/v1/repositories/team/web", {"logo": f"{time.time_ns()}.png"}).status == 200
    clone.git("pull", "-q", "--no-rebase", "--no-edit")
    clone.pushes()
    assert api.get("/v1/repositories/team/topic").json["description"] == "mine"
    assert api.get("/v1/repositories/team/topic/history").json["results"][0]["commit"] == mine
    assert git(site.served.root, "fsck", "--strict") == ""


def test_a_branch_into_which_main_was_merged_is_taken(site: Site, api: Client) -> None:
    """With what others have done meanwhile, which the pusher may not do: in that branch it is not theirs."""
    clone = site.clone("wanda")
    clone.git("checkout", "-q", "-b", "topic")
    clone.write("data/team/branched.json", document("team", "branched"))
    clone.commit("Begin branched")
    assert api.put("/v1/repositories/alien/thing", {"description": f"{time.time_ns()}"}).status == 200
    admins = site.clone("admin")
    schema = admins.read("schemas/namespace.schema.json")
    admins.write("schemas/namespace.schema.json", {**schema, "$comment": f"{time.time_ns()}"})
    admins.commit("Note something in the schema")
    admins.pushes()
    clone.git("fetch", "-q")
    clone.git("merge", "-q", "--no-edit", "origin/main")
    clone.edit("data/team/branched.json", description="done")
    clone.commit("Describe branched")
    clone.git("checkout", "-q", "-B", "main", "origin/main")
    clone.git("merge", "-q", "--no-ff", "--no-edit", "topic")
    clone.pushes()
    assert api.get("/v1/repositories/team/branched").json["description"] == "done"


def test_a_branch_may_keep_what_use_has_counted_in_main_where_it_merges_a_document(site: Site, api: Client) -> None:
    clone = site.clone("wanda")
    clone.write("data/team/counted.json", document("team", "counted"))
    clone.commit()
    clone.pushes()
    clone.git("switch", "-qc", "counting")
    clone.edit("data/team/counted.json", description="of the branch")
    clone.commit()
    admin = site.clone("admin")
    admin.edit("data/team/counted.json", download=5, full_description="of main")
    admin.commit("Count")
    admin.pushes()
    clone.git("fetch", "-q")
    clone.git("merge", "-q", "--no-commit", "-s", "ours", "origin/main")
    clone.edit("data/team/counted.json", download=5, full_description="of main")
    clone.commit("Merge main")
    assert api.patch("/v1/repositories/alien/thing", {"description": "meanwhile"}).status == 200
    clone.git("switch", "-q", "main")
    clone.git("pull", "-q", "--ff-only")
    clone.git("merge", "-q", "--no-edit", "counting")
    clone.pushes()
    assert api.get("/v1/repositories/team/counted").json["download"] == 5


def test_a_push_over_a_newer_main_is_refused_and_taken_after_a_pull(site: Site, api: Client) -> None:
    one, other = site.clone("wanda"), site.clone("wanda")
    for number, clone in enumerate((one, other)):
        clone.write(f"data/team/race{number}.json", document("team", f"race{number}"))
        clone.commit(f"Add race{number}")
    one.pushes()
    taken, said = other.push()
    assert not taken and "fetch first" in said
    other.git("pull", "-q", "--rebase")
    other.pushes()
    assert api.get("/v1/repositories/team/race0").status == api.get("/v1/repositories/team/race1").status == 200


def test_an_admin_pushes_the_commits_of_others_and_what_others_may_not(site: Site, api: Client) -> None:
    clone = site.clone("admin")
    clone.edit(WEB, download=7)
    clone.write("namespaces/guild.json", {"namespace": "guild", "owners": ["olga"]})
    clone.commit("Count", GIT_AUTHOR_NAME="Somebody Else", GIT_AUTHOR_EMAIL="else@example.org")
    clone.pushes()
    assert api.get("/v1/repositories/team/web").json["download"] == 7
    assert api.get("/v1/namespaces/guild").json["owners"] == ["olga"]
    assert api.get("/v1/commits?page_size=1").json["results"][0]["author"] == "Somebody Else"


def test_a_large_push_comes_in_pieces(site: Site, api: Client) -> None:
    """More than git sends at once (http.postBuffer); first it asks with nothing whether it may."""
    clone = site.clone("wanda")
    noise = os.urandom(40_000).hex()
    for number in range(40):
        part = noise[number * 1000 : number * 1000 + 60_000]
        clone.write(f"data/team/large{number}.json", document("team", f"large{number}", full_description=part))
    clone.commit("Add much")
    clone.git("-c", "http.postBuffer=65536", "push", "-q", "origin", "main")
    assert api.get("/v1/repositories/team/large39").status == 200


def test_a_push_from_a_shallow_clone_is_taken(site: Site) -> None:
    user = site.user("wanda")
    clone = user.clone(None, "--depth=1")
    clone.write("data/team/shallow.json", document("team", "shallow"))
    commit = clone.commit()
    clone.pushes()
    assert site.head == commit


def test_a_document_in_another_form_is_taken_with_a_note(site: Site) -> None:
    clone = site.clone("wanda")
    clone.write("data/team/flat.json", b'{"namespace": "team", "repo_name": "flat"}')
    clone.commit()
    assert "not in canonical form" in clone.pushes()


def test_a_deleted_repository_comes_back_by_a_revert(site: Site, api: Client) -> None:
    clone = site.clone("olga")
    clone.write("data/team/phoenix.json", document("team", "phoenix"))
    clone.commit()
    clone.pushes()
    assert api.put("/v1/repositories/team/phoenix/tags/v1", {"image_id": IMAGE}).status in (200, 201)
    assert api.delete("/v1/repositories/team/phoenix").status == 204
    clone.git("pull", "-q", "--rebase")
    clone.git("revert", "--no-edit", "HEAD")
    clone.pushes()
    assert api.get("/v1/repositories/team/phoenix/tags").json[0]["tag"] == "v1"


# What is refused, and how it is said


def edited(path: str, **fields: object) -> Callable[[Clone], None]:
    return lambda clone: clone.edit(path, **fields)


def removed(path: str) -> Callable[[Clone], None]:
    return lambda clone: (clone.path / path).unlink()


def added(path: str, **document: object) -> Callable[[Clone], None]:
    return lambda clone: clone.write(path, document)


def tagged(clone: Clone) -> None:
    tags = clone.read(WEB)["tags"]
    clone.edit(WEB, tags=[{**tags[0], "pushed_at": "2001-01-01T00:00:00.000Z"}])


REFUSED: dict[str, tuple[str, Callable[[Clone], object], str]] = {
    "a reader": ("rita", edited(WEB, description="by a reader"), "needs a writer of the namespace team"),
    "another's namespace": ("wanda", edited("data/alien/thing.json", is_public=True), "writer of the namespace alien"),
    "a new repository elsewhere": ("olga", added("data/alien/x.json", **document("alien", "x")), "namespace alien"),
    "a deletion by a writer": ("wanda", removed("data/team/other.json"), "needs an owner of the namespace team"),
    "making oneself owner": ("wanda", edited(TEAM, owners=["wanda"]), "needs an owner of the namespace team"),
    "no owner": ("olga", edited(TEAM, owners=[]), "/owners: must"),
    "a member who is no user": ("olga", edited(TEAM, readers=["nobody"]), "/readers/0: must be a user"),
    "an organization": ("olga", added("namespaces/mine.json", namespace="mine", owners=["olga"]), "needs an admin"),
    "an organization of a user's name": (
        "admin", added("namespaces/rita.json", namespace="rita", owners=["olga"]), "There is a user rita already",
    ),
    "an organization with repositories": ("olga", removed(TEAM), "has"),
    "a counter": ("olga", edited(WEB, download=99), "/download: is kept by the catalog itself"),
    "stars": ("olga", edited(WEB, repo_starred_count=5), "Leave it as it was: 0"),
    "a time of a push": ("olga", edited(WEB, pushed_at="2001-01-01T00:00:00.000Z"), "/pushed_at: is kept"),
    "a time of creation": ("olga", edited(WEB, created_at="2001-01-01T00:00:00.000Z"), "/created_at: is kept"),
    "an update in the future": ("olga", edited(WEB, updated_at="2199-01-01T00:00:00.000Z"), "is in the future"),
    "a tag's time": ("wanda", tagged, "/tags/0/pushed_at: changes where the tag does not"),
    "counters of a new one": ("wanda", added("data/team/n.json", **document("team", "n", upload=3)), "as it was: 0"),
    "another type": ("wanda", edited(WEB, is_public="yes"), "/is_public: must be"),
    "another namespace than the path's": ("wanda", edited(WEB, namespace="alien"), "/namespace: must be"),
    "an unknown field": ("wanda", edited(WEB, colour="red"), "/colour"),
    "a schema": ("olga", edited("schemas/repository.schema.json", title="Mine"), "only an admin changes"),
    "a broken schema": ("admin", lambda clone: clone.write("schemas/namespace.schema.json", "[]"), "Mend the schema"),
    "a file at the top": ("admin", lambda clone: clone.write(".gitattributes", "* -text\n"), "is no place for"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_api_would_refuse_is_refused_with_its_place(site: Site, what: str) -> None:
    name, change, words = REFUSED[what]
    clone = site.clone(name)
    change(clone)
    clone.commit(f"Try {what}")
    before = site.head
    taken, said = clone.push()
    assert not taken
    assert "remote: This push is refused, and nothing of it is kept:" in said
    assert words in said, said
    assert site.head == before


def test_each_commit_is_looked_at_and_not_only_what_they_come_to(site: Site) -> None:
    clone = site.clone("wanda")
    clone.edit(WEB, download=99)
    clone.commit("Count")
    clone.git("revert", "--no-edit", "HEAD")
    taken, said = clone.push()
    assert not taken and "/download" in said


def test_commits_must_be_the_pushers_and_the_message_tells_how_to_mend_them(site: Site) -> None:
    clone = site.clone("wanda")
    clone.edit(WEB, description=f"by {time.time_ns()}")
    clone.commit(GIT_AUTHOR_NAME="Wanda Wander", GIT_COMMITTER_EMAIL="wanda@example.org")
    taken, said = clone.push()
    assert not taken and "its author is Wanda Wander <" in said
    assert f"git config user.email {clone.user.email}" in said
    told = next(line for line in said.splitlines() if "git rebase --exec" in line).partition("git rebase")[2].strip()
    assert told == "--exec 'git commit --amend --no-edit --reset-author' origin/main"
    clone.git("rebase", "-q", "--exec", "git commit -q --amend --no-edit --reset-author", "origin/main")
    clone.pushes()


def test_a_token_needs_write_and_the_whole_catalog(site: Site) -> None:
    for scopes, words in ((["catalog"], "scope write"), (["write"], "scope catalog")):
        options = [part for scope in scopes for part in ("--scope", scope)]
        token = site.served.run("token", "create", "olga", *options).out.strip()
        user = site.user("olga")
        clone = user.clone()
        clone.commit()
        taken, said = clone.push(user.url(token), "main")
        assert not taken and words in said and "403" in said


def test_git_asks_for_credentials_and_takes_them_from_a_helper(site: Site) -> None:
    user = site.user("wanda")
    clone = user.clone()
    clone.edit(WEB, description=f"by {time.time_ns()}")
    clone.commit()
    url = f"{site.served.url}/catalog.git"
    taken, said = clone.push(url, "main")
    assert not taken and "could not read Username" in said
    helper = user.directory / "helper"
    helper.write_text(f"#!/bin/sh\necho username=wanda\necho password={user.token}\n")
    helper.chmod(0o755)
    clone.git("-c", f"credential.helper={helper}", "push", "-q", url, "main")


def test_what_is_public_takes_no_push(site: Site) -> None:
    user = site.user("admin")
    clone = user.clone(user.url(repository="public"))
    clone.commit()
    taken, said = clone.push()
    assert not taken and "takes no pushes. Push to /catalog.git" in said


def test_many_faults_are_counted_and_not_all_told(site: Site) -> None:
    clone = site.clone("wanda")
    for number in range(80):
        clone.write(f"data/team/bad{number}.json", document("team", f"bad{number}", is_public="no"))
    clone.commit()
    taken, said = clone.push()
    assert not taken and "and 30 more" in said
    assert said.count("/is_public") == 50


def test_a_file_that_a_hand_has_edited_is_not_pushed_over(site: Site) -> None:
    file = site.served.root / "data/team/other.json"
    was = file.read_bytes()
    clone = site.clone("wanda")
    clone.edit("data/team/other.json", description="pushed")
    clone.commit()
    file.write_bytes(was + b"\n")
    try:
        taken, said = clone.push()
        assert not taken and "data/team/other.json is edited by hand" in said
        assert file.read_bytes() == was + b"\n"
    finally:
        file.write_bytes(was)
    clone.pushes()


def test_a_push_after_a_commit_by_hand_and_writes_meanwhile_lose_nothing(own_site: Site) -> None:
    """Hands, the API and pushes at once: all of it is in the history."""
    api = own_site.served.client()
    stop, made = threading.Event(), []

    def write() -> None:
        client = own_site.served.client()
        while not stop.wait(0.3):
            made.append(client.put("/v1/repositories/alien/thing", {"description": f"{time.time_ns()}"}).commit)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        clone = own_site.clone("wanda")
        for number in range(5):
            clone.write(f"data/team/busy{number}.json", document("team", f"busy{number}"))
            clone.commit(f"Busy {number}")
            deadline = time.monotonic() + 30
            while not clone.push()[0]:
                assert time.monotonic() < deadline
                clone.git("pull", "-q", "--rebase")
            made.append(clone.head)
    finally:
        stop.set()
        writer.join()
    (own_site.served.root / WEB).write_bytes((own_site.served.root / WEB).read_bytes() + b"\n")
    made.append(commit_by_hand(own_site.served.root, "By hand", WEB))
    history = git(own_site.served.root, "rev-list", "main").split()
    assert set(made) <= set(history)
    assert all(api.get(f"/v1/repositories/team/busy{number}").status == 200 for number in range(5))
    own_site.served.settle()


def test_a_push_survives_a_kill_right_after_it(own_site: Site) -> None:
    clone = own_site.clone("wanda")
    clone.edit(WEB, description="before the kill", tags=[{"tag": "v1", "image_id": OTHER_IMAGE}])
    commit = clone.commit()
    clone.pushes()
    own_site.served.kill()
    scratch = own_site.served.root / ".git/catalogd/scratch"
    (scratch / "999999999-push-left").mkdir()
    (scratch / "999999999-push-left/HEAD").write_text("left")
    own_site.served.start()
    assert own_site.head == commit
    assert own_site.served.client().get("/v1/repositories/team/web").json["description"] == "before the kill"
    assert not list(scratch.glob("*-push-*"))
    assert git(own_site.served.root, "fsck", "--strict") == ""


def slow_push(site: Site, name: str) -> tuple[Clone, subprocess.Popen[bytes]]:
    """A push that takes a while, under way."""
    clone = site.clone(name)
    for number in range(300):
        clone.write(f"data/team/slow{number}.json", document("team", f"slow{number}", description=f"{time.time_ns()}"))
    clone.commit("Add many")
    push = subprocess.Popen(
        ["git", "push", "-q", "origin", "main"],
        cwd=clone.path,
        env=clone.user.environment(),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return clone, push


def test_a_client_that_goes_away_leaves_nothing_behind(own_site: Site) -> None:
    scratch = own_site.served.root / ".git/catalogd/scratch"
    for delay in (0.03, 0.08, 0.15, 0.3):
        before = own_site.head
        clone, push = slow_push(own_site, "wanda")
        time.sleep(delay)
        os.killpg(push.pid, signal.SIGKILL)  # with the child of it that speaks HTTP
        push.wait()
        wait_for(lambda: not list(scratch.glob("*-push-*")) and not children_of(own_site.served), 15, "all has ended")
        assert own_site.head in (before, clone.head)
        assert own_site.head == clone.head or clone.head not in objects(own_site)
    assert git(own_site.served.root, "fsck", "--strict") == ""


def test_a_server_that_is_killed_has_all_of_a_push_or_nothing(own_site: Site) -> None:
    for delay in (0.05, 0.12, 0.25):
        before = own_site.head
        clone, push = slow_push(own_site, "wanda")
        time.sleep(delay)
        own_site.served.kill()
        acknowledged = push.wait(10) == 0
        own_site.served.start()
        assert own_site.head == clone.head or (own_site.head == before and not acknowledged)
        # Between its objects and the move of main, a kill leaves the objects, which nothing shows and upkeep prunes.
        assert git(own_site.served.root, "fsck", "--strict", "--no-dangling") == ""
        assert not list((own_site.served.root / ".git/catalogd/scratch").glob("*-push-*"))
        own_site.served.settle()


def objects(site: Site) -> str:
    return git(site.served.root, "cat-file", "--batch-all-objects", "--batch-check")


def test_nothing_is_left_in_scratch(site: Site) -> None:
    scratch = site.served.root / ".git/catalogd/scratch"
    wait_for(lambda: not list(scratch.glob("*-push-*")), 5, "no push is left in scratch")
