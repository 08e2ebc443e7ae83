"""`catalogd hooks install` in plain clones and bare repositories, and what the hooks then do to real pushes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from served_catalog import environment, git, run

from catalogd.check import MOST_BYTES

pytestmark = pytest.mark.slow

SOUND = json.dumps({"namespace": "acme", "repo_name": "new", "tags": []})
BROKEN = '{\n  "namespace": "acme",\n  "repo_name": "bad",\n  "download": -1,\n  "tags": []\n}\n'


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A bare repository as a git server has it, with a catalog in it and the hooks installed; `work` is a clone."""
    assert run(tmp_path, "init", "catalog", "--with-sample").status == 0
    git(tmp_path, "clone", "-q", "--bare", "catalog", "server.git")
    git(tmp_path, "clone", "-q", "server.git", "work")
    done = run(tmp_path, "hooks", "install", "server.git")
    assert (done.status, "server.git/hooks/pre-receive" in done.out) == (0, True), done
    return tmp_path / "server.git"


@pytest.fixture
def work(server: Path) -> Path:
    return server.parent / "work"


def commit(work: Path, path: str, content: str = SOUND) -> str:
    (work / path).parent.mkdir(parents=True, exist_ok=True)
    (work / path).write_text(content)
    git(work, "add", "--", path)
    git(work, "commit", "-q", "--no-verify", "-m", "Change a file")
    return git(work, "rev-parse", "HEAD").strip()


def stage(work: Path, mode: str, path: bytes, content: bytes = b"web.json") -> None:
    """What no file system would let a hand make, by the index."""
    object_id = git(work, "hash-object", "-w", "--stdin", stdin=content).strip()
    if mode == "160000":
        object_id = git(work, "rev-parse", "HEAD").strip()
    git(work, "update-index", "-z", "--index-info", stdin=f"{mode} {object_id}\t".encode() + path + b"\0")
    git(work, "commit", "-q", "--no-verify", "-m", "Change a file")


def push(work: Path, *refs: str) -> tuple[bool, str]:
    """(whether the push was taken, what the pusher was told)."""
    done = subprocess.run(
        ["git", "push", "origin", *(refs or ["HEAD:main"])],
        cwd=work, capture_output=True, env=environment(work.parent),
    )  # fmt: skip
    return done.returncode == 0, done.stderr.decode("utf-8", "surrogateescape")


# --- what a push may bring


def test_a_push_of_a_faulty_document_is_refused_with_line_pointer_and_mend_and_leaves_nothing(
    server: Path, work: Path
) -> None:
    before = git(server, "rev-parse", "main")
    pushed = commit(work, "data/acme/bad.json", BROKEN)
    taken, said = push(work)
    assert not taken
    assert "remote: refs/heads/main:" in said
    assert "remote: data/acme/bad.json:4: error: /download: " in said
    assert git(server, "rev-parse", "main") == before
    assert "fatal" in git(server, "cat-file", "-t", pushed, check=False)
    assert git(server, "fsck", "--strict") == ""


def test_what_is_sound_is_taken_and_so_is_anything_outside_of_the_catalogs_directories(
    server: Path, work: Path
) -> None:
    commit(work, "data/acme/new.json")
    commit(work, ".github/workflows/x.yml", "on: push\n")
    stage(work, "120000", b"README.md")
    taken, said = push(work)
    assert (taken, "checked" in said) == (True, True), said  # it is not in canonical form, which is a warning
    assert git(server, "rev-parse", "main") == git(work, "rev-parse", "HEAD")
    git(work, "rm", "-q", "--cached", "data/acme/new.json")
    git(work, "commit", "-q", "--no-verify", "-m", "Remove it")
    taken, said = push(work)
    assert (taken, "checked" in said) == (True, False), said


@pytest.mark.parametrize(
    ("mode", "path", "words"),
    [
        ("120000", b"data/acme/link.json", "is a symbolic link"),
        ("100755", b"data/acme/new.json", "is executable"),
        ("160000", b"data/acme/sub.json", "is a submodule"),
        ("120000", b"schemas/repository.schema.json", "is a symbolic link"),
        ("100644", b"data/acme/new\n::error::.json", "data/acme/new\\x0a::error::.json"),
        ("100644", b"data/acme/\xff.json", "is no place for a document"),
        ("100644", b"data/acme/CON.json", "is no place for a document"),
        ("100644", b"data/acme/Web.json", "knows no case"),
        ("100644", b"DATA/acme/new.json", "knows no case"),
        ("100644", b"data/.gitattributes", "is no place for a document"),
        ("100644", b"data/a/b/c.json", "is no place for a document"),
        ("100644", b"data/acme/other.json", '"other"'),
    ],
)
def test_modes_and_places_that_no_catalog_has_are_refused(work: Path, mode: str, path: bytes, words: str) -> None:
    stage(work, mode, path, SOUND.encode())
    taken, said = push(work)
    assert not taken
    assert words in said
    assert "Traceback" not in said


def test_a_policy_is_checked_like_a_document_and_what_is_called_almost_so_is_not(server: Path, work: Path) -> None:
    commit(work, "policy.json", '{\n  "approvals": 99\n}\n')
    taken, said = push(work)
    assert not taken
    assert "remote: policy.json:2: error: /approvals: must be at most 20" in said
    commit(work, "policy.json", '{\n  "approvals": 2\n}\n')
    commit(work, "policy.json.md", "Why two")
    assert push(work)[0]


def test_a_file_too_large_for_a_document_is_refused_by_its_size(work: Path) -> None:
    stage(work, "100644", b"data/acme/new.json", b" " * (MOST_BYTES + 1))
    taken, said = push(work)
    assert (taken, "8,388,609 bytes" in said) == (False, True), said


def test_the_schema_of_the_pushed_commit_is_obeyed_and_a_broken_one_refused(work: Path) -> None:
    commit(work, "schemas/repository.schema.json", '{"properties": {"repo_name": {"maxLength": 2}}}')
    commit(work, "data/acme/new.json")
    taken, said = push(work)
    assert (taken, "error: /repo_name: " in said) == (False, True), said
    commit(work, "schemas/repository.schema.json", "{")
    taken, said = push(work)
    assert (taken, "schemas/repository.schema.json:1: error" in said) == (False, True), said


def test_a_branch_answers_for_its_own_changes_only(server: Path, work: Path) -> None:
    commit(work, "data/acme/old.json", "{")
    git(server, "fetch", "-q", str(work), "main:main")  # past the hook
    git(work, "checkout", "-q", "-b", "topic")
    commit(work, "data/acme/new.json")
    assert push(work, "topic")[0]
    commit(work, "data/acme/bad.json", BROKEN)
    taken, said = push(work, "topic")
    assert not taken
    assert "bad.json" in said and "old.json" not in said
    taken, said = push(work, "topic:refs/heads/other", "HEAD~1:refs/heads/third")
    assert not taken  # git takes all or nothing of what a pre-receive hook refuses
    assert push(work, "HEAD~1:refs/heads/third", ":refs/heads/topic", "HEAD:refs/tags/any")[0]


def test_the_first_push_to_an_empty_repository_is_checked_whole(work: Path) -> None:
    git(work.parent, "init", "-q", "--bare", "-b", "main", "empty.git")
    assert run(work.parent, "hooks", "install", "empty.git").status == 0
    git(work, "remote", "set-url", "origin", str(work.parent / "empty.git"))
    commit(work, "data/acme/bad.json", BROKEN)
    taken, said = push(work)
    assert (taken, "bad.json:4" in said) == (False, True), said
    git(work, "reset", "-q", "--hard", "HEAD~1")
    assert push(work)[0]


def test_a_server_that_cannot_check_refuses_and_says_what_would_help(server: Path, work: Path) -> None:
    git(server, "config", "catalogd.python", "/nowhere/python")
    commit(work, "data/acme/new.json")
    done = subprocess.run(
        ["git", "push", "origin", "HEAD:main"], cwd=work, capture_output=True, text=True,
        env={**environment(work.parent), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode != 0
    assert "catalogd hooks install" in done.stderr


def test_the_hook_called_with_other_lines_than_gits_is_a_failure(server: Path) -> None:
    done = run(server.parent, "check", server, "--received", stdin=b"nonsense\n")
    assert (done.status, "OLD NEW REF" in done.err) == (1, True), done
    assert run(server.parent, "check", server, "--received", "--staged").status == 2
    assert run(server.parent, "check", server, "--received", "--fix").status == 2


# --- what is installed where


def test_a_clone_gets_the_check_of_commits_and_the_merge_by_field(work: Path) -> None:
    assert run(work, "hooks", "install").status == 0
    (work / "data/acme/bad.json").write_text(BROKEN)
    git(work, "add", ".")
    assert "data/acme/bad.json:4: error" in git(work, "commit", "-m", "Bad", check=False)
    git(work, "reset", "-q", "--hard")
    file = work / "data/acme/web.json"
    for branch, field in (("yours", "description"), ("mine", "full_description")):
        git(work, "checkout", "-q", "-b", branch, "main")
        document = json.loads(file.read_text())
        file.write_text(json.dumps(document | {field: branch}))
        assert run(work, "check", "--fix").status == 0
        git(work, "commit", "-qam", branch)
    git(work, "merge", "-q", "--no-edit", "yours")
    document = json.loads(file.read_text())
    assert (document["description"], document["full_description"]) == ("yours", "mine")


def test_installing_again_changes_nothing_and_works_from_below_the_top(work: Path) -> None:
    def state() -> dict[str, bytes]:
        files = [*(work / ".git/hooks").iterdir(), work / ".git/config", work / ".git/info/attributes"]
        return {str(file): file.read_bytes() for file in files if file.is_file()}

    assert run(work, "hooks", "install").status == 0
    before = state()
    assert run(work, "hooks", "install", "data/acme").status == 0
    assert state() == before


def test_attributes_go_into_the_repository_where_the_files_have_none(server: Path, work: Path) -> None:
    attributes = server / "info" / "attributes"
    assert attributes.read_text().count("merge=catalogd") == 3
    assert run(server.parent, "hooks", "install", "server.git").status == 0
    assert attributes.read_text().count("merge=catalogd") == 3
    git(work, "rm", "-q", ".gitattributes")
    assert run(work, "hooks", "install").status == 0
    assert "merge: catalogd" in git(work, "check-attr", "merge", "--", "namespaces/acme.json")


def test_a_hook_of_somebody_else_stays_and_is_named_unless_forced(work: Path) -> None:
    hook = work / ".git/hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 0\n")
    done = run(work, "hooks", "install")
    assert done.status == 1
    assert str(hook) in done.err and "-m catalogd check --received" in done.err and "--force" in done.err
    assert hook.read_text() == "#!/bin/sh\nexit 0\n"
    assert not (work / ".git/hooks/pre-commit").exists()
    assert git(work, "config", "merge.catalogd.driver", check=False) == ""
    assert run(work, "hooks", "install", "--force").status == 0
    assert "Installed by catalogd" in hook.read_text()


def test_hooks_go_where_git_looks_for_them(work: Path) -> None:
    git(work, "config", "core.hooksPath", "our-hooks")
    done = run(work, "hooks", "install", "data")
    assert (done.status, f"{work / 'our-hooks/pre-commit'}\n" in done.out) == (0, True), done
    assert os.access(work / "our-hooks/pre-commit", os.X_OK)


def test_hooks_that_are_for_all_repositories_of_a_user_are_left_alone(work: Path) -> None:
    git(work, "config", "--global", "core.hooksPath", str(work.parent / "all"))
    done = subprocess.run(["git", "config", "--global", "core.hooksPath"], env=environment(work.parent), cwd=work)
    assert done.returncode == 0
    done = run(work.parent, "hooks", "install", work)
    assert (done.status, "git config core.hooksPath" in done.err) == (1, True), done
    assert not (work.parent / "all").exists()


def test_beside_the_hooks_of_a_forge_ours_is_one_of_several(server: Path, work: Path) -> None:
    """Gitea's own hook runs what is in a directory beside it."""
    (server / "hooks/pre-receive").write_text(
        '#!/bin/sh\ndata=$(cat)\nfor hook in hooks/pre-receive.d/*; do echo "$data" | "$hook" || exit 1; done\n'
    )
    (server / "hooks/pre-receive.d").mkdir()
    assert run(server.parent, "hooks", "install", server).status == 0
    assert (server / "hooks/pre-receive.d/catalogd").is_file()
    commit(work, "data/acme/bad.json", BROKEN)
    taken, said = push(work)
    assert (taken, "bad.json:4" in said) == (False, True), said


def test_a_served_catalog_keeps_its_hooks_and_gets_the_check_of_pushes(server: Path) -> None:
    catalog = server.parent / "catalog"
    own = {file.name: file.read_text() for file in (catalog / ".git/catalogd/hooks").iterdir()}
    assert run(server.parent, "hooks", "install", "catalog").status == 0
    now = {file.name: file.read_text() for file in (catalog / ".git/catalogd/hooks").iterdir()}
    assert now.items() > own.items() and set(now) - set(own) == {"pre-receive"}
    git(catalog.parent, "clone", "-q", "catalog", "other")
    commit(catalog.parent / "other", "data/acme/bad.json", BROKEN)
    taken, said = push(catalog.parent / "other")
    assert (taken, "bad.json:4" in said) == (False, True), said


def test_what_is_no_repository_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, "hooks", "install")
    assert (done.status, "no git repository" in done.err) == (1, True), done
