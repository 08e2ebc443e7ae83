"""`git push origin HEAD:refs/for/main` over HTTP: what others are to review, and `/proposals.git`, which has it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from git_user import Clone, document
from raw_push import NOTHING, TYPE, Objects, body_of, packet, post
from served_catalog import Served, git, wait_for
from test_git_clients import children_of
from test_pushes import TEAM, WEB, Site, site_of

pytestmark = pytest.mark.slow

REVIEW = ("origin", "HEAD:refs/for/main")


@pytest.fixture(scope="module")
def site(shared: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield site_of(shared, tmp_path_factory.mktemp("users"))


class Proposed:
    """A clone of the catalog whose commits are proposed."""

    def __init__(self, site: Site, name: str = "rita"):
        self.site = site
        self.clone = site.clone(name)

    def edit(self, message: str = "Edit web", path: str = WEB, **fields: Any) -> str:
        self.clone.edit(path, **fields)
        return self.clone.commit(message)

    def push(self, *options: str) -> tuple[bool, str]:
        return self.clone.push(*(f"-o{option}" for option in options), *REVIEW)

    def proposes(self, *options: str) -> tuple[int, str]:
        """(the number of the proposal, what was said). Nothing of it is in main."""
        before = self.site.head
        taken, said = self.push(*options)
        assert taken, said
        assert self.site.head == before
        return int(said.split("catalogd: proposal ")[1].split()[0]), said

    def refused(self, *options: str) -> str:
        """What was said of a push of which nothing is kept."""
        before = state_of(self.site)
        taken, said = self.push(*options)
        assert not taken and "remote: This push is refused, and nothing of it is kept:" in said, said
        assert state_of(self.site) == before
        return said


def proposals_of(site: Site) -> Path:
    return site.served.root / ".git/catalogd/proposals.git"


def state_of(site: Site) -> tuple[str, str, str]:
    """main, and all refs and packs of proposals."""
    there = proposals_of(site)
    if not there.exists():
        return site.head, "", ""
    # The first push that is looked at begins the repository, whatever becomes of it.
    packs = sorted(file.name for file in (there / "objects/pack").glob("*.pack"))
    return site.head, git(there, "for-each-ref", "refs/proposals"), str(packs[1:])


def proposal(site: Site, number: int) -> dict[str, Any]:
    return json.loads(git(proposals_of(site), "show", f"main:proposals/{number}.json"))


@pytest.fixture
def pushed(site: Site) -> Proposed:
    return Proposed(site)


# What is taken


def test_a_reader_proposes_what_only_a_writer_may_push(site: Site, pushed: Proposed) -> None:
    head = pushed.edit("Describe web better\n\nIt was hard to find.", description="by a reader")
    assert "needs a writer" in pushed.clone.push()[1]
    number, said = pushed.proposes()
    assert f"remote: catalogd: proposal {number} is opened: " in said
    assert f"http://{site.served.address[0]}:{site.served.address[1]}/v1/proposals/{number}" in said
    found = proposal(site, number)
    assert (found["title"], found["description"], found["author"], found["state"]) == (
        "Describe web better", "It was hard to find.", "rita", "open",
    )  # fmt: skip
    (revision,) = found["revisions"]
    assert (revision["base"], revision["head"], revision["pushed"]) == (site.head, head, True)
    assert [change["path"] for change in revision["changes"]] == [WEB]
    assert git(proposals_of(site), "fsck", "--strict") == ""


def test_options_give_title_and_description_and_name_the_proposal(site: Site, pushed: Proposed) -> None:
    pushed.edit(description="one")
    number, _ = pushed.proposes("title=Größer, und besser", "description=Why not?")
    found = proposal(site, number)
    assert (found["title"], found["description"]) == ("Größer, und besser", "Why not?")
    pushed.clone.git("commit", "-q", "--amend", "-m", "Another commit altogether")
    again, said = pushed.proposes(f"proposal={number}", "description=Because.")
    assert again == number and "is revised" in said
    found = proposal(site, number)
    assert (found["title"], found["description"], len(found["revisions"])) == ("Größer, und besser", "Because.", 2)


def test_a_push_on_top_revises_and_one_beside_it_opens_another(site: Site, pushed: Proposed) -> None:
    first = pushed.edit("Begin", description="begun")
    number, _ = pushed.proposes()
    assert "has these commits already" in pushed.proposes()[1]
    second = pushed.edit("Go on", description="done")
    assert pushed.proposes()[0] == number
    assert [revision["head"] for revision in proposal(site, number)["revisions"]] == [first, second]
    other = Proposed(site)
    other.edit("Something else", description="else")
    assert other.proposes()[0] > number
    # Another's commits are no revision of theirs.
    assert len(proposal(site, number)["revisions"]) == 2


def test_faults_of_content_are_told_by_their_place_and_can_be_mended_on_top(site: Site, pushed: Proposed) -> None:
    pushed.edit("Break it", is_public="yes")
    pushed.clone.edit(TEAM, readers=["nobody"])
    pushed.clone.commit("Let nobody read")
    number, said = pushed.proposes()
    assert "It cannot be merged as it is. Mend what follows, then push again:" in said
    assert f"{WEB}:" in said and "/is_public: must be true or false" in said
    assert "/readers/0: must be a user" in said
    pushed.clone.edit(TEAM, readers=["rita"])
    pushed.edit("Mend it", is_public=True, description="mended")
    again, said = pushed.proposes()
    assert again == number and "Mend what follows" not in said


def test_what_main_has_got_meanwhile_is_no_part_of_a_proposal(site: Site, pushed: Proposed) -> None:
    base = site.head
    pushed.edit(description="on an older main")
    api = site.served.client()
    assert api.patch("/v1/repositories/team/other", {"description": f"{time.time_ns()}"}).status == 200
    number, _ = pushed.proposes()
    assert proposal(site, number)["revisions"][-1]["base"] == base
    pushed.clone.git("pull", "-q", "--no-rebase", "--no-edit")
    assert pushed.proposes()[0] == number
    revision = proposal(site, number)["revisions"][-1]
    assert revision["base"] == site.head
    assert [change["path"] for change in revision["changes"]] == [WEB]


def test_whoever_fetches_a_proposal_may_push_on_top_of_it(site: Site, pushed: Proposed) -> None:
    head = pushed.edit(description="of the reader")
    number, _ = pushed.proposes()
    fresh = Proposed(site)
    url = fresh.clone.user.url(repository="proposals")
    fresh.clone.git("fetch", "-q", url, f"refs/proposals/{number}/head")
    fresh.clone.git("checkout", "-q", "FETCH_HEAD")
    assert fresh.clone.head == head
    fresh.edit("Go on elsewhere", description="from another clone")
    assert fresh.proposes()[0] == number


def test_a_thin_pack_may_stand_on_an_earlier_revision(site: Site, pushed: Proposed) -> None:
    text = os.urandom(20_000).hex()
    pushed.edit(full_description=text)
    number, _ = pushed.proposes()
    before = pushed.clone.head
    head = pushed.edit(full_description=f"{text}!")
    asked = f"{head}\n^{before}\n".encode()
    pack = subprocess.run(
        ["git", "pack-objects", "--revs", "--thin", "--stdout", "-q"], cwd=pushed.clone.path, input=asked,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert len(pack) < len(text) // 4
    client = site.served.client(site.tokens["rita"])
    answer = post(client, body_of([(NOTHING, head, b"refs/for/main")], pack))
    assert f"proposal {number} is revised" in answer.told, answer
    assert git(proposals_of(site), "fsck", "--strict") == ""
    # main has not what proposals have: there the same objects must come with the push.
    answer = post(client, body_of([(site.head, head, b"refs/heads/main")], pack))
    assert "unpack" in answer.report and "unpack ok" not in answer.report, answer


def test_only_main_is_shown_and_other_clients_see_no_proposal_in_the_catalog(site: Site, pushed: Proposed) -> None:
    head = pushed.edit(description="hidden")
    pushed.proposes()
    assert [line.split()[1] for line in pushed.clone.git("ls-remote", "origin").splitlines()] == [
        "HEAD", "refs/heads/main",
    ]  # fmt: skip
    assert git(site.served.root, "cat-file", "-t", head, check=False).startswith("fatal")


# What becomes of it


def test_a_push_is_mended_reviewed_and_merged_on_what_others_have_written_meanwhile(
    site: Site, pushed: Proposed
) -> None:
    admin, olga = site.served.client(), site.served.client(site.tokens["olga"])
    assert admin.post("/v1/repositories/team", {"repo_name": "walked", "description": "old"}).status == 201
    pushed.clone.git("pull", "-q", "--rebase")
    path = "data/team/walked.json"
    pushed.edit("Describe walked\n\nNobody knew what it was.", path=path, description="by push", is_public=7)
    number, _ = pushed.proposes()
    at = f"/v1/proposals/{number}"
    (check,) = olga.get(at).json["checks"]
    assert (check["ok"], check["faults"][0]["pointer"]) == (False, "/is_public")
    mended = pushed.edit("Mend it", path=path, is_public=True)
    assert pushed.proposes()[0] == number
    assert (
        olga.post(f"{at}/reviews", {"verdict": "request_changes", "comment": "Say more.", "head": mended}).status == 200
    )
    last = pushed.edit("Say more", path=path, description="by push, at length")
    pushed.proposes()
    assert olga.post(f"{at}/reviews", {"verdict": "approve", "head": mended}).status == 412
    assert olga.post(f"{at}/reviews", {"verdict": "approve", "head": last}).status == 200
    assert admin.patch("/v1/repositories/team/walked", {"full_description": "meanwhile"}).status == 200
    merged = site.served.client(site.tokens["rita"]).post(f"{at}/merge", {"head": last})
    assert (merged.status, merged.json["state"]) == (200, "merged"), merged.body
    found = admin.get("/v1/repositories/team/walked").json
    assert (found["description"], found["full_description"]) == ("by push, at length", "meanwhile")
    commit = merged.json["commit"]
    parents = git(site.served.root, "log", "-1", "--format=%P", commit).split()
    message = git(site.served.root, "log", "-1", "--format=%B", commit)
    assert last == parents[1]
    for line in (f"Proposal: {number}", f"Proposal-Head: {last}", "Reviewed-by: olga", "Merged-by: rita"):
        assert f"\n{line}" in message, message
    authors = {entry["author"] for entry in admin.get("/v1/repositories/team/walked/history").json["results"]}
    assert authors == {"admin", "rita"}
    assert git(site.served.root, "fsck", "--strict") == ""
    # Its commits are main's now, so what comes on top is another proposal.
    pushed.edit("More", path=path, description="more")
    assert pushed.proposes()[0] > number


def test_what_was_proposed_by_the_api_can_be_revised_by_a_push(site: Site, pushed: Proposed) -> None:
    rita = site.served.client(site.tokens["rita"])
    change = {"namespace": "team", "repo_name": "web", "document": {"description": "by the API"}}
    number = rita.post("/v1/proposals", {"title": "By the API", "changes": [change]}).json["number"]
    pushed.clone.git("fetch", "-q", pushed.clone.user.url(repository="proposals"), f"refs/proposals/{number}/head")
    pushed.clone.git("checkout", "-q", "FETCH_HEAD")
    head = pushed.edit("Go on", description="by a push")
    assert pushed.proposes()[0] == number
    found = rita.get(f"/v1/proposals/{number}").json
    assert (found["title"], found["head"], len(found["revisions"])) == ("By the API", head, 2)
    # Nobody else pushes what the catalog has made for her as theirs.
    other = Proposed(site, "wanda")
    other.clone.git("fetch", "-q", other.clone.user.url(repository="proposals"), f"refs/proposals/{number}/head")
    other.clone.git("checkout", "-q", "FETCH_HEAD")
    other.edit("Mine now", description="of wanda, too")
    opened = other.proposes()[0]
    assert opened > number
    assert proposal(site, opened)["revisions"][0]["authors"] == ["rita", "wanda"]


def test_what_merges_on_green_is_what_each_commit_changes_and_not_only_all_of_them(site: Site) -> None:
    admin, rita = site.served.client(), site.served.client(site.tokens["rita"])
    members = {"namespace": "green", "owners": ["olga"], "readers": ["rita"]}
    assert admin.post("/v1/namespaces", members).status == 201
    assert admin.post("/v1/repositories/green", {"repo_name": "leaf"}).status == 201
    operator = site.clone("admin")
    operator.write("policy.json", {"namespaces": {"green": {"on_green": ["/description"]}}})
    operator.commit("Let descriptions merge on green checks")
    operator.pushes()
    path, labels = "data/green/leaf.json", {"colour": "red"}
    plain, winding = Proposed(site), Proposed(site)
    plain.edit("Draft", path=path, description="a draft")
    plain.edit("Describe", path=path, description="leaf")
    winding.edit("Colour", path=path, labels=labels)
    winding.edit("Describe, without the colour", path=path, description="leaf", labels={})
    (free,), (asking,) = (rita.get(f"/v1/proposals/{each.proposes()[0]}").json["required"] for each in (plain, winding))
    assert (free["approvals"], asking["approvals"]) == (0, 1)


# What is refused


def misplaced(clone: Clone) -> None:
    clone.write("README.md", "# Hello\n")


def executable(clone: Clone) -> None:
    clone.edit(WEB, description="executable")
    (clone.path / WEB).chmod(0o755)


def changed_back(clone: Clone) -> None:
    clone.edit("data/alien/thing.json", description="in passing")
    clone.edit(WEB, description="all the same")
    clone.commit("Two things")
    clone.git("checkout", "-q", "HEAD~", "--", "data/alien/thing.json")


REFUSED: dict[str, tuple[Callable[[Clone], object], str]] = {
    "a file at the top": (misplaced, "is no place for a document"),
    "an executable": (executable, "is executable"),
    "a counter": (lambda clone: clone.edit(WEB, download=99), "/download: is kept by the catalog itself"),
    "a schema": (
        lambda clone: clone.edit("schemas/repository.schema.json", title="Mine"), "proposals of admins only",
    ),
    "the policy": (lambda clone: clone.write("policy.json", {"approvals": 0}), "proposals of admins only"),
    "nothing": (lambda clone: None, "nothing to review"),
    "a change that is changed back": (changed_back, "data/alien/thing.json is changed by one of its commits"),
    "what is private to others": (
        lambda clone: clone.edit("data/alien/thing.json", description="mine"), "no repository alien/thing",
    ),
    "an organization of others": (
        lambda clone: clone.write("namespaces/alien.json", {"namespace": "alien", "owners": ["rita"]}),
        "namespace alien",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_could_never_be_merged_is_refused(pushed: Proposed, what: str) -> None:
    change, words = REFUSED[what]
    change(pushed.clone)
    pushed.clone.commit(f"Try {what}")
    assert words in pushed.refused()


def test_the_commits_of_others_are_refused(pushed: Proposed) -> None:
    pushed.clone.edit(WEB, description="forged")
    pushed.clone.commit("Forge", GIT_AUTHOR_NAME="olga")
    said = pushed.refused()
    assert "its author is olga" in said and "Commits that you push must be yours" in said


def test_a_history_of_its_own_is_refused_and_what_main_has_already(site: Site, pushed: Proposed) -> None:
    assert "nothing to propose" in pushed.refused()
    pushed.clone.git("checkout", "-q", "--orphan", "alone")
    pushed.clone.commit("Begin anew")
    assert "a history of its own" in pushed.refused()


OPTIONS = {
    "colour=red": "There is no push option 'colour=red'; there are -o title=...",
    "title": "There is no push option 'title'",
    "title= ": "one line that says what",
    "proposal=twelve": "must be the number of a proposal",
    "proposal=999999": "There is no proposal 999999.",
    "description=" + "x" * 20_000: "more than 12,000 bytes",
    "description=\x1b[2J": "a control character (U+001B)",
}


def test_options_that_there_are_not_are_refused_with_those_that_there_are(pushed: Proposed) -> None:
    pushed.edit(description="with options")
    for option, words in OPTIONS.items():
        assert words in pushed.refused(option), option
    assert "given twice" in pushed.refused("title=one", "title=two")
    taken, said = pushed.clone.push("-otitle=Direct", "origin", "main")
    assert not taken and "push options are for what is pushed to be reviewed" in said


def test_a_proposal_of_another_is_not_revised(site: Site, pushed: Proposed) -> None:
    pushed.edit(description="mine")
    number, _ = pushed.proposes()
    other = Proposed(site, "wanda")
    other.edit(description="yours")
    assert "Only its author revises a proposal" in other.refused(f"proposal={number}")


def test_options_that_no_git_sends_are_refused(site: Site, pushed: Proposed) -> None:
    client = site.served.client(site.tokens["rita"])

    def send(*options: bytes) -> Any:
        objects = Objects(site.served)
        blob = objects.blob(json.dumps(document("team", "raw")).encode())
        head = objects.commit(objects.with_entry("data/team", b"raw.json", b"100644", blob), site.head,
                              author=b"rita <rita@users.noreply.catalogd.invalid>")  # fmt: skip
        line = b"%s %s refs/for/main\0 report-status side-band-64k push-options" % (NOTHING.encode(), head.encode())
        asked = b"".join(map(packet, options))
        return post(client, packet(line) + b"0000" + asked + b"0000" + objects.pack())

    assert "is opened" in send(b"title=Raw\n").told
    assert "U+0000" in send(b"title=a\0b").told
    assert "not in UTF-8" in send(b"title=\xff\xfe").told
    assert "12,000 bytes" in send(b"description=" + b"x" * 30_000).told
    many = send(*[b"description=" + b"x" * 60_000] * 40)
    assert (many.status, "push options have more than" in many.told) == (400, True), many


def test_main_and_a_proposal_are_not_pushed_at_once_and_the_ref_is_not_there_to_be_deleted(
    site: Site, pushed: Proposed
) -> None:
    head = pushed.edit(description="both")
    taken, said = pushed.clone.push("origin", "HEAD:refs/heads/main", "HEAD:refs/for/main")
    assert not taken and "refs/heads/main cannot be pushed together with refs/for/main" in said
    client = site.served.client(site.tokens["rita"])
    for old, new in ((head, NOTHING), (site.head, head)):
        answer = post(client, body_of([(old, new, b"refs/for/main")], b""))
        assert "nothing to delete or to move" in answer.told or answer.status == 200, answer
        assert "ok refs/for/main" not in answer.report
    taken, said = pushed.clone.push("origin", "HEAD:refs/for/other")
    assert not taken and "Or propose it, for others to review: git push origin HEAD:refs/for/main" in said


# /proposals.git


def test_a_clone_of_proposals_has_all_revisions_and_is_never_stale(site: Site, pushed: Proposed) -> None:
    heads = [pushed.edit(description="one")]
    number, _ = pushed.proposes()
    url = pushed.clone.user.url(repository="proposals")
    pushed.clone.user.clone(url)
    pushed.clone.git("commit", "-q", "--amend", "-m", "Otherwise")
    heads.append(pushed.clone.head)
    pushed.proposes(f"proposal={number}")
    for version in (0, 2):
        clone = pushed.clone.user.clone(url, version=version)
        assert all(clone.git("cat-file", "-t", head).strip() == "commit" for head in heads)
        told = {line.split()[1]: line.split()[0] for line in clone.git("ls-remote", "origin").splitlines()}
        assert told[f"refs/proposals/{number}/head"] == heads[-1]
        assert not [ref for ref in told if ref != "HEAD" and not ref.startswith(("refs/heads/main", "refs/proposals/"))]
        assert json.loads((clone.path / f"proposals/{number}.json").read_text())["author"] == "rita"


def test_proposals_are_pushed_to_the_catalog_only(site: Site, pushed: Proposed) -> None:
    pushed.edit(description="to the wrong place")
    pushed.proposes()
    client = site.served.client(site.tokens["rita"])
    reply = client.get("/proposals.git/info/refs?service=git-receive-pack")
    assert reply.status == 403 and b"/catalog.git HEAD:refs/for/main" in reply.body
    assert client("POST", "/proposals.git/git-receive-pack", b"0000", Content_Type=TYPE).status == 404
    assert site.served.anonymous().get("/proposals.git/info/refs?service=git-upload-pack").status == 401


def test_before_the_first_proposal_there_are_none(served: Served) -> None:
    reply = served.client().get("/proposals.git/info/refs?service=git-upload-pack")
    assert (reply.status, reply.body) == (404, b"There are no proposals yet.\n")


def test_a_client_that_is_killed_leaves_nothing(site: Site, pushed: Proposed) -> None:
    noise = os.urandom(3_000_000).hex()
    for number in range(60):
        part = noise[number * 50_000 : (number + 1) * 50_000 + 49_000]
        pushed.clone.write(f"data/team/much{number}.json", document("team", f"much{number}", full_description=part))
    pushed.clone.commit("Propose much")
    before = state_of(site)
    arguments = ["git", "push", "-q", *REVIEW]
    for pause in (0.1, 0.4, 0.8):
        client = subprocess.Popen(
            arguments, cwd=pushed.clone.path, env=pushed.clone.user.environment(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(pause)
        os.killpg(client.pid, signal.SIGKILL)
        client.wait()
    wait_for(lambda: not children_of(site.served), 15.0, "git's children are ended")
    scratch = site.served.root / ".git/catalogd/scratch"
    wait_for(lambda: not list(scratch.glob("*-push-*")), 15.0, "their repositories are gone")
    if state_of(site) != before:  # the last one was through before it was killed
        assert git(proposals_of(site), "fsck", "--strict") == ""
    assert pushed.proposes()[0] > 0
