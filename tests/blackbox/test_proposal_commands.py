"""Proposals from the shell: made, looked at, reviewed and merged, by several users of one catalog."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from served_catalog import Ran, environment, git, run

from catalogd.cli import main

pytestmark = pytest.mark.slow

_UNSAFE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


class Shell:
    """Commands on one catalog, run in this process, as each of them takes much less than a new one."""

    def __init__(self, root: Path):
        self.root = root
        others = {name: None for name in os.environ if name.startswith(("GIT_", "CATALOGD_"))}
        self._runner = CliRunner(env=others | environment(root.parent, CATALOGD_CATALOG=str(root)))

    def __call__(self, *arguments: object, stdin: str | bytes = "") -> Ran:
        done = self._runner.invoke(
            main, list(map(str, arguments)), input=stdin, env={"CATALOGD_CATALOG": str(self.root)}
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    def well(self, *arguments: object, stdin: str | bytes = "") -> str:
        """The output of a command that succeeds."""
        done = self(*arguments, stdin=stdin)
        assert (done.status, done.err) == (0, ""), done
        return done.out

    def refused(self, *arguments: object) -> str:
        """What a command that fails says on standard error."""
        done = self(*arguments)
        assert done.status == 1, done
        assert done.err.startswith("catalogd: "), done
        assert all(line.startswith("  ") for line in done.err.splitlines()[1:]), done
        return done.err

    def misused(self, *arguments: object) -> str:
        """What a command says of wrong usage."""
        done = self(*arguments)
        assert done.status == 2, done
        assert "Usage:" in done.err
        return done.err

    def document(self, name: str) -> dict:
        return json.loads(self.well("show", name))

    def head(self, number: int) -> str:
        found = re.search(r"^  head ([0-9a-f]{40}), ", self.well("proposal", "show", number), re.MULTILINE)
        assert found
        return found[1]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog with the namespace team, which ann and bob own; cid writes there, and dan is nobody."""
    home = tmp_path_factory.mktemp("begun")
    assert run(home, "init", "catalog").status == 0
    shell = Shell(home / "catalog")
    for user in ("ann", "bob", "cid", "dan"):
        shell.well("user", "add", user)
    shell.well("namespace", "add", "team", "--owner", "ann", "--owner", "bob")
    shell.well("namespace", "grant", "team", "cid", "writer")
    line = {"namespace": "team", "repo_name": "web", "description": "one", "labels": {"a": "1"}}
    shell.well("import", "-", stdin=json.dumps(line))
    return home / "catalog"


@pytest.fixture
def shell(begun: Path, tmp_path: Path) -> Shell:
    """A copy of that catalog of the test's own."""
    git(tmp_path, "clone", "-q", str(begun), "catalog")
    git(tmp_path / "catalog", "remote", "remove", "origin")
    (tmp_path / "catalog/.git/catalogd").mkdir()
    for file in begun.glob(".git/catalogd/state.db*"):
        (tmp_path / "catalog/.git/catalogd" / file.name).write_bytes(file.read_bytes())
    return Shell(tmp_path / "catalog")


def test_an_edit_is_proposed_checked_revised_reviewed_and_merged_from_the_shell(shell: Shell) -> None:
    shell.well("propose", "team/web", "--set", "is_public=perhaps", "--set", "description=two", "--as", "cid")
    shown = shell.well("proposal", "show", 1)
    assert 'data/team/web.json:6: /is_public: must be true or false, not "perhaps"' in shown
    assert "team: needs 1 approval of ann, bob or an admin" in shown
    shell.well("proposal", "review", 1, "--approve", "--as", "ann")
    assert "/is_public: must be true or false" in shell.refused("proposal", "merge", 1, "--as", "cid")
    shell.well("propose", "team/web", "--set", "description=two", "--into", 1, "--as", "cid")
    asked = shell.well("proposal", "review", 1, "--request-changes", "-m", "Three, please.", "--as", "bob")
    assert "bob has asked for changes." in asked
    shell.well("propose", "team/web", "--set", "description=three", "--into", 1, "--as", "cid")
    assert shell.well("proposal", "review", 1, "--approve", "--as", "bob").endswith("can be merged\n")
    shell.well("import", "-", stdin=json.dumps({"namespace": "team", "repo_name": "web", "labels": {"a": "2"}}))
    merged = shell.well("proposal", "merge", 1, "--as", "cid")
    commit = re.fullmatch(r"proposal 1 is merged, in commit ([0-9a-f]{12})\n", merged)
    assert commit, merged
    document = shell.document("team/web")
    assert (document["description"], document["labels"], document["is_public"]) == ("three", {"a": "2"}, True)
    logged = shell.well("log", "team/web").splitlines()[0]
    assert re.fullmatch(rf"{commit[1]}  \S+Z  cid .*\(proposal 1, reviewed by bob\)", logged), logged
    assert re.search(r"cid +/description +\(proposal 1, reviewed by bob\)", shell.well("blame", "team/web"))
    assert f"merged by cid, in commit {commit[1]}" in shell.well("proposal", "list", "--state", "merged")
    shell.well("doctor")


def test_the_commands_are_there_as_processes_too(shell: Shell) -> None:
    def on(*arguments: object) -> Ran:
        return run(shell.root.parent, *arguments, CATALOGD_CATALOG=str(shell.root))

    opened = on("propose", "team/web", "--set", "description=two", "--as", "cid")
    assert (opened.status, opened.err) == (0, "")
    assert opened.out.startswith("proposal 1: Update team/web: description\n")
    refused = on("proposal", "merge", 1, "--as", "cid")
    assert (refused.status, refused.out) == (1, "")
    assert refused.err == (
        "catalogd: The proposal 1 cannot be merged:\n  team: 1 approval of an owner or an admin missing.\n"
    )


# --- what is proposed


@pytest.mark.parametrize(
    ("arguments", "field", "expected"),
    [
        (["--set", "description=12"], "description", "12"),
        (["--set", "description=a=b"], "description", "a=b"),
        (["--set", "is_public=false"], "is_public", False),
        (["--set", "labels.b=1.0", "--set", "labels.c.d/e=true"], "labels", {"b": "1.0", "c.d/e": "true"}),
        (["--set", 'labels={"b": "2"}'], "labels", {"b": "2"}),
        (["--set", "/labels/x~1y=2", "--unset", "labels.a"], "labels", {"a": None, "x/y": "2"}),
        (["--unset", "labels"], "labels", {"a": None}),
        (["--set", "build_config.code_repo_client=Simple"], "build_config", {"code_repo_client": "Simple"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_fields_are_named_as_people_do_and_texts_stay_texts(
    shell: Shell, arguments: list[str], field: str, expected: object
) -> None:
    before = shell.document("team/web")
    shell.well("propose", "team/web", *arguments)
    shell.well("proposal", "review", 1, "--approve", "--as", "ann")
    shell.well("proposal", "merge", 1)
    after = shell.document("team/web")
    if isinstance(expected, dict):
        whole = (before.get(field) or {}) | expected
        expected = {key: value for key, value in whole.items() if value is not None}
        assert {key: value for key, value in (after.get(field) or {}).items() if key in whole} == expected
    else:
        assert after[field] == expected
    assert {key for key in before if before[key] != after.get(key)} <= {field, "updated_at"}


def test_a_patch_a_list_of_changes_and_a_deletion_are_proposed_too(shell: Shell, tmp_path: Path) -> None:
    shell.well(
        "propose", "team/web", "team/new", "--patch", "-", "--title", "Describe both", stdin='{"description": "both"}'
    )
    assert "updates team/web\n" in (shown := shell.well("proposal", "show", 1))
    assert "creates team/new\n" in shown
    assert shown.startswith("proposal 1: Describe both\n")
    file = tmp_path / "changes.json"
    file.write_text(
        json.dumps([{"namespace": "team", "document": {"description": "A team"}}, {"policy": {"approvals": 2}}])
    )
    shell.well("propose", "--changes", file, "--title", "Ask for two", "--description", "Two see more.")
    shown = shell.well("proposal", "show", 2)
    assert "updates namespace team\n" in shown
    assert "creates policy.json\n" in shown
    assert "    Two see more.\n" in shown
    shell.well("propose", "team/web", "--delete")
    assert "Delete team/web" in (listed := shell.well("proposal", "list"))
    assert listed.index("Delete team/web") < listed.index("Ask for two") < listed.index("Describe both")
    shell.well("propose", "policy.json", "--set", "/namespaces/team/protected=true")
    assert '+    "team": {\n+      "protected": true' in shell.well("proposal", "diff", 4, "--unified")


def test_words_of_a_proposal_are_changed_without_a_new_head(shell: Shell) -> None:
    shell.well("propose", "team/web", "--set", "description=two", "--as", "cid")
    head = shell.head(1)
    shell.well("propose", "--into", 1, "--title", "Describe web", "--description", "Why not?", "--as", "cid")
    shown = shell.well("proposal", "show", 1)
    assert shown.startswith("proposal 1: Describe web\n")
    assert "\n    Why not?\n" in shown
    assert shell.head(1) == head


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("team/web",),
        ("team/web", "--title", "Nothing"),
        ("--set", "description=two"),
        ("--into", "1"),
        ("team/web", "--set", "description"),
        ("team/web", "--set", "description=two", "--delete"),
        ("team/web", "--delete", "--patch", "-"),
        ("team/web", "--changes", "-"),
        ("--changes", "-"),
        ("team/web", "--set", "labels=x", "--set", "labels.a=1"),
        ("team/web", "--patch", "/no/such/file"),
        ("team/web", "--delete", "--into", "0"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_wrong_usage_and_proposes_nothing(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.misused("propose", *arguments)
    assert shell.well("proposal", "list") == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("team/web", "--set", "description=one"), "Nothing would be changed"),
        (("team/web", "--set", "download=7"), "download"),
        (("team/none", "--delete"), "delete what is not there"),
        (("team/Web", "--set", "description=two"), "valid name"),
        (("team/web", "--set", "description=two", "--title", "a\nb"), "title"),
        (("team/web", "--set", "description=\udcff"), "arguments"),
        (("team/web", "--set", "description=two", "--into", "7"), "no proposal 7"),
        (("team/web", "--set", "description=two", "--as", "nobody"), "nobody"),
        (("policy.json", "--set", "approvals=0", "--as", "ann"), "admin"),
    ],
    ids=lambda value: " ".join(value).encode("ascii", "replace").decode() if isinstance(value, tuple) else "",
)
def test_what_cannot_be_proposed_is_said_in_one_line(shell: Shell, arguments: tuple[str, ...], words: str) -> None:
    assert words in shell.refused("propose", *arguments)
    assert shell.well("proposal", "list") == ""


# --- as whom


def test_the_operator_may_do_all_but_approve_their_own_and_a_user_has_the_rights_of_theirs(shell: Shell) -> None:
    shell.well("propose", "team/web", "--set", "description=two")
    assert "by Hand <hand@example.org>" in shell.well("proposal", "show", 1)
    assert "written themselves" in shell.refused("proposal", "review", 1, "--approve")
    assert "comment instead" in shell.refused("proposal", "review", 1, "--approve", "--as", "dan")
    assert "for its author" in shell.refused("proposal", "merge", 1, "--as", "dan")
    shell.well("proposal", "review", 1, "--approve", "--as", "cid")
    assert "1 approval of an owner or an admin missing" in shell.refused("proposal", "merge", 1)
    shell.well("propose", "team/web", "--set", "description=three", "--as", "cid")
    shell.well("proposal", "review", 2, "--approve")
    assert "proposal 2 is merged" in shell.well("proposal", "merge", 2, "--as", "cid")
    shell.well("user", "change", "ann", "--inactive")
    assert "not active" in shell.refused("proposal", "list", "--as", "ann")


def test_a_replica_sends_to_its_primary(shell: Shell) -> None:
    (shell.root / ".git/catalogd/primary").write_text("https://catalog.example.org\n")
    for command in (("propose", "team/web", "--delete"), ("proposal", "list"), ("proposal", "merge", 1)):
        assert "https://catalog.example.org" in shell.refused(*command)


def test_a_proposal_of_what_is_private_is_seen_by_its_readers_only(shell: Shell) -> None:
    shell.well("propose", "team/hidden", "--set", "is_public=false", "--as", "cid")
    assert "team/hidden" in shell.well("proposal", "list", "--as", "bob")
    assert shell.well("proposal", "list", "--as", "dan") == ""
    assert "There is no proposal 1" in shell.refused("proposal", "show", 1, "--as", "dan")


# --- reviews


def test_a_review_is_of_the_head_that_was_seen(shell: Shell) -> None:
    shell.well("propose", "team/web", "--set", "description=two", "--as", "cid")
    seen = shell.head(1)
    shell.well("proposal", "review", 1, "--approve", "--head", seen[:10], "--as", "ann")
    shell.well("propose", "team/web", "--set", "description=three", "--into", 1, "--as", "cid")
    assert shell.head(1) in shell.refused("proposal", "review", 1, "--approve", "--head", seen[:10], "--as", "bob")
    assert "read it again" in shell.refused("proposal", "review", 1, "--approve", "--head", seen[:3], "--as", "bob")
    assert "read it again" in shell.refused("proposal", "merge", 1, "--head", seen)
    assert f"ann approves, of the earlier head {seen[:12]}" in shell.well("proposal", "show", 1)
    assert "1 approval missing" in shell.well("proposal", "list", "--reviewer", "ann")
    shell.well("proposal", "review", 1, "--approve", "--as", "bob")
    assert shell.well("proposal", "list", "--reviewer", "ann") == ""
    assert "is merged" in shell.well("proposal", "merge", 1, "--head", shell.head(1))


def test_a_request_for_changes_stands_until_it_is_dismissed(shell: Shell) -> None:
    shell.well("propose", "team/web", "--set", "description=two", "--as", "cid")
    about = ("--about", "team/web", "--field", "/description")
    shell.well("proposal", "review", 1, "--request-changes", "-m", "No.\n\x9b31mRed", *about, "--as", "ann")
    shell.well("proposal", "review", 1, "--approve", "--as", "bob")
    assert "changes requested" in shell.well("proposal", "list")
    assert "ann has asked for changes" in shell.refused("proposal", "merge", 1, "--as", "cid")
    assert "requests for changes" in shell.refused("proposal", "dismiss", 1, 2, "--as", "bob")
    assert "no review 9" in shell.refused("proposal", "dismiss", 1, 9, "--as", "bob")
    shell.well("proposal", "dismiss", 1, 1, "-m", "It is fine.", "--as", "bob")
    shown = shell.well("proposal", "show", 1)
    assert "ann asks for changes, on data/team/web.json /description; dismissed by bob\n" in shown
    assert "       No.\n       \\x9b31mRed\n" in shown
    assert "bob comments\n       It is fine.\n" in shown
    assert "is merged" in shell.well("proposal", "merge", 1, "--as", "cid")


def test_a_review_says_what_it_is(shell: Shell) -> None:
    shell.well("propose", "team/web", "--set", "description=two", "--as", "cid")
    shell.misused("proposal", "review", 1)
    assert "comment" in shell.refused("proposal", "review", 1, "--request-changes", "--as", "ann")
    assert "does not change that" in shell.refused(
        "proposal", "review", 1, "--comment", "-m", "?", "--about", "team/db"
    )


# --- to the end


def test_conflicts_are_told_by_field_with_both_values_and_settled_by_choice(shell: Shell) -> None:
    shell.well("propose", "team/web", "--set", "description=theirs", "--set", "labels.a=theirs", "--as", "cid")
    line = {"namespace": "team", "repo_name": "web", "description": "ours", "labels": {"a": "ours"}}
    shell.well("import", "-", stdin=json.dumps(line))
    shell.well("proposal", "review", 1, "--approve", "--as", "ann")
    assert "2 in conflict" in shell.well("proposal", "list")
    told = '/description: base "one", ours "ours", theirs "theirs"'
    assert told in shell.well("proposal", "show", 1)
    refused = shell.refused("proposal", "merge", 1)
    assert told in refused
    assert '/labels/a: base "1", ours "ours", theirs "theirs"' in refused
    half = shell.refused("proposal", "resolve", 1, "team/web", "/description", "theirs", "--as", "cid")
    assert "/labels/a: " in half
    assert "/description" not in half
    shell.misused("proposal", "resolve", 1, "team/web", "/description")
    both = ("team/web", "/description", "theirs", "team/web", "/labels/a", "ours")
    shell.well("proposal", "resolve", 1, *both, "--as", "cid")
    assert "not in conflict" in shell.refused("proposal", "resolve", 1, *both, "--as", "cid")
    assert "approval" in shell.refused("proposal", "merge", 1)
    shell.well("proposal", "review", 1, "--approve", "--as", "ann")
    shell.well("proposal", "merge", 1)
    document = shell.document("team/web")
    assert (document["description"], document["labels"]) == ("theirs", {"a": "ours"})


def test_a_proposal_is_closed_and_opened_again_and_merged_once(shell: Shell) -> None:
    shell.well("propose", "team/web", "--set", "description=two", "--as", "cid")
    assert shell.well("proposal", "close", 1, "--as", "cid") == "proposal 1 is closed\n"
    assert shell.well("proposal", "list") == ""
    assert "closed by cid" in shell.well("proposal", "list", "--state", "closed")
    assert "cannot be merged" in shell.refused("proposal", "merge", 1)
    shell.well("proposal", "reopen", 1, "--as", "ann")
    shell.well("proposal", "review", 1, "--approve", "--as", "ann")
    shell.well("proposal", "merge", 1)
    assert "merged already" in shell.refused("proposal", "merge", 1)
    assert "merged" in shell.refused("proposal", "reopen", 1)


def test_the_list_is_chosen_from_and_says_how_many_more_there_are(shell: Shell) -> None:
    for name, who in (("a", "ann"), ("b", "bob"), ("c", "cid")):
        shell.well("propose", f"team/{name}", "--set", "description=new", "--as", who)
    shell.well("propose", "ann/mine", "--set", "description=new", "--as", "ann")
    assert [line[:5].strip() for line in shell.well("proposal", "list").splitlines()[::2]] == ["4", "3", "2", "1"]
    assert "team/b" in (one := shell.well("proposal", "list", "--author", "bob"))
    assert len(one.splitlines()) == 2
    assert "ann/mine" not in shell.well("proposal", "list", "--namespace", "team")
    assert shell.well("proposal", "list", "-n", 1).endswith("and 3 more\n")


def test_terminal_escapes_in_proposals_never_reach_the_terminal(shell: Shell) -> None:
    evil = "\x9b31m\u202eabc"
    document = {"full_description": evil, "labels": {evil: evil}}
    changes = json.dumps([{"namespace": "team", "repo_name": "evil", "document": document}])
    shell.well("propose", "--changes", "-", "--title", evil, "--description", evil, stdin=changes)
    shell.well("proposal", "review", 1, "--comment", "-m", evil)
    shell.well("propose", "team/web", "--patch", "-", stdin=json.dumps({"labels": {"a": evil}}))
    commands = [["list"], ["show", 1], ["diff", 1], ["diff", 1, "--unified"], ["diff", 2], ["show", 2]]
    for command in commands:
        done = shell("proposal", *command)
        assert not _UNSAFE.search(done.out + done.err), command
    assert "\\x9b31m\\u202eabc" in shell.well("proposal", "show", 1)


# --- backup, doctor, maintenance


def test_a_backup_has_the_proposals_and_restores_them(shell: Shell, tmp_path: Path) -> None:
    shell.well("backup", tmp_path / "none.tar.gz")
    with tarfile.open(tmp_path / "none.tar.gz") as archive:
        assert archive.getnames() == ["catalog.bundle", "state.db", "about.json"]
    shell.well("propose", "team/web", "--set", "description=two", "--as", "cid")
    shell.well("proposal", "review", 1, "--approve", "--as", "ann")
    shell.well("propose", "team/web", "--set", "labels.a=2", "--as", "cid")
    shell.well("proposal", "merge", 1)
    shell.well("backup", tmp_path / "all.tar.gz")
    with tarfile.open(tmp_path / "all.tar.gz") as archive:
        assert archive.getnames() == ["catalog.bundle", "proposals.bundle", "state.db", "about.json"]
        archive.extractall(tmp_path / "all")
    restored = Shell(tmp_path / "restored")
    git(tmp_path, "clone", "-q", "-b", "main", "all/catalog.bundle", "restored")
    (restored.root / ".git/catalogd").mkdir(mode=0o700)
    (restored.root / ".git/catalogd/state.db").write_bytes((tmp_path / "all/state.db").read_bytes())
    git(
        tmp_path, "clone", "-q", "--bare", "-b", "main", "--reference", "restored",
        "all/proposals.bundle", "restored/.git/catalogd/proposals.git",
    )  # fmt: skip
    restored.well("doctor", "--repair")
    for command in (["list", "--state", "all"], ["show", 1], ["show", 2], ["diff", 2]):
        assert restored.well("proposal", *command) == shell.well("proposal", *command)
    refs = [
        git(each.root / ".git/catalogd/proposals.git", "for-each-ref", "refs/proposals") for each in (shell, restored)
    ]
    assert refs[0] == refs[1] != ""
    restored.well("proposal", "review", 2, "--approve", "--as", "ann")
    restored.well("proposal", "merge", 2)
    assert restored.document("team/web")["labels"] == {"a": "2"}


def test_a_catalog_that_was_moved_takes_its_proposals_along(shell: Shell, tmp_path: Path) -> None:
    shell.well("propose", "team/web", "--set", "description=two")
    moved = Shell(shell.root.rename(tmp_path / "moved"))
    assert "Update team/web" in moved.well("proposal", "list")
    moved.well("proposal", "review", 1, "--approve", "--as", "ann")
    moved.well("proposal", "merge", 1)
    moved.well("doctor")


def test_doctor_names_what_is_wrong_with_proposals_and_repair_sets_their_refs(shell: Shell) -> None:
    assert "proposals" not in shell.well("doctor")
    shell.well("propose", "team/web", "--set", "description=two")
    shell.well("propose", "team/web", "--set", "description=three")
    assert re.search(r"^ok +proposals$", shell.well("doctor"), re.MULTILINE)
    proposals = shell.root / ".git/catalogd/proposals.git"
    (proposals / "refs/proposals/1/head").unlink()
    git(proposals, "update-ref", "refs/proposals/2/head", git(proposals, "rev-parse", "main^1").strip())
    sick = shell("doctor")
    assert sick.status == 1
    for number in (1, 2):
        assert f"refs/proposals/{number}/head is not the newest head of the proposal" in sick.out
    assert "doctor --repair" in sick.out
    shell.well("doctor", "--repair")
    assert git(proposals, "rev-parse", "refs/proposals/1/head").strip() == shell.head(1)
    assert git(proposals, "rev-parse", "refs/proposals/2/head").strip() == shell.head(2)

    git(shell.root.parent, "clone", "-q", str(proposals), "reviews")
    reviews = shell.root.parent / "reviews"
    (reviews / "proposals/1.json").write_text("{}")
    (reviews / "proposals/7.json").write_text((reviews / "proposals/2.json").read_text())
    git(reviews, "add", ".")
    git(reviews, "commit", "-qm", "Break them")
    git(reviews, "push", "-q", "origin", "main")
    sick = shell("doctor")
    assert sick.status == 1
    assert "proposals/1.json: The file of the proposal is broken" in sick.out
    assert "proposals/7.json says that it is proposal 2" in sick.out


def test_doctor_finds_a_lost_object_of_a_proposal(shell: Shell) -> None:
    shell.well("propose", "team/web", "--set", "description=two")
    proposals = shell.root / ".git/catalogd/proposals.git"
    for file in proposals.glob("objects/pack/pack-*"):
        file.unlink()
    done = shell("doctor")
    assert done.status == 1
    assert re.search(r"^WRONG +git's objects of proposals", done.out, re.MULTILINE)
    assert re.search(r"^WRONG +proposals$", done.out, re.MULTILINE)


def test_a_number_that_history_names_is_not_given_again_when_the_proposals_are_lost(shell: Shell) -> None:
    shell.well("propose", "team/web", "--set", "description=two")
    shell.well("propose", "team/web", "--set", "labels.a=2", "--as", "cid")
    shell.well("proposal", "review", 2, "--approve", "--as", "ann")
    shell.well("proposal", "merge", 2)
    shutil.rmtree(shell.root / ".git/catalogd/proposals.git")
    assert shell.well("proposal", "list", "--state", "all") == ""
    assert shell.well("propose", "team/web", "--set", "description=two").startswith("proposal 3: ")
    shell.well("doctor")


def test_the_packs_of_many_events_are_folded(shell: Shell) -> None:
    shell.well("propose", "team/web", "--set", "description=two")
    for _ in range(35):
        shell.well("proposal", "close", 1)
        shell.well("proposal", "reopen", 1)
    assert len(list(shell.root.glob(".git/catalogd/proposals.git/objects/pack/pack-*.pack"))) < 20
    assert "Update team/web" in shell.well("proposal", "show", 1)
    shell.well("doctor")
