"""`catalogd init --ci`, and the very commands of what it writes, on a clone with a pull request in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from served_catalog import Ran, environment, git, run

pytestmark = pytest.mark.slow

BROKEN = '{\n  "namespace": "acme",\n  "repo_name": "bad",\n  "download": -1,\n  "tags": []\n}\n'
WORKFLOW = {
    "github": ".github/workflows/catalogd.yml",
    "gitea": ".gitea/workflows/catalogd.yml",
    "gitlab": ".gitlab-ci.yml",
}


def hosted(home: Path, forge: str) -> Path:
    """A checkout of a pull request as the forge makes it, of a catalog that it hosts."""
    done = run(home, "init", "catalog", "--with-sample", "--ci", forge)
    assert done.status == 0, done
    assert git(home / "catalog", "status", "--porcelain") == ""
    git(home, "clone", "-q", "--bare", "catalog", "forge.git")
    git(home, "clone", "-q", "forge.git", "work")
    return home / "work"


def commit(work: Path, path: str, content: str) -> None:
    (work / path).parent.mkdir(exist_ok=True)
    (work / path).write_text(content)
    git(work, "add", path)
    git(work, "commit", "-qm", f"Change {path}")


def pull_request(work: Path, path: str, content: str) -> str:
    """Checks out a branch with a change merged into main, which has become broken elsewhere. Where it has begun."""
    began = git(work, "rev-parse", "main").strip()
    git(work, "checkout", "-q", "-b", "topic")
    commit(work, path, content)
    git(work, "checkout", "-q", "main")
    commit(work, "data/acme/old.json", "{")
    git(work, "push", "-q", "origin", "main", "topic")
    git(work, "checkout", "-q", "--detach", "main")
    git(work, "merge", "-q", "--no-ff", "--no-edit", "topic")
    return began


def run_workflow(work: Path, forge: str, **variables: str) -> Ran:
    """The commands of the workflow in the shell of the forge; pip notes what it is asked, and installs nothing."""
    programs = work.parent / "bin"
    programs.mkdir(exist_ok=True)
    for name, command in (
        ("catalogd", f"exec '{sys.executable}' -P -m catalogd \"$@\""),
        ("pip", f'echo "$@" >>"{work.parent}/pip"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{command}\n")
        (programs / name).chmod(0o755)
    text = (work / WORKFLOW[forge]).read_text()
    commands = re.findall(r"^ +(?:run:|-) ((?:pip|catalogd) .*)", text, re.MULTILINE)
    assert len(commands) == (3 if forge == "gitlab" else 2)
    given = {"CATALOGD": re.search(r'CATALOGD: "(.*)"', text)[1], **variables}
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", "\n".join(commands)],
        cwd=work, capture_output=True, text=True,
        env={**environment(work.parent), **given, "PATH": f"{programs}:{os.environ['PATH']}"},
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("forge", "annotation"),
    [
        ("github", "::error file=data/acme/bad.json,line=4,title=/download::"),
        ("gitea", "data/acme/bad.json:4: error: /download: "),
    ],
)
def test_the_check_of_a_pull_request_names_file_and_line_of_its_fault(
    tmp_path: Path, forge: str, annotation: str
) -> None:
    work = hosted(tmp_path, forge)
    pull_request(work, "data/acme/bad.json", BROKEN)
    done = run_workflow(work, forge, BASE="main")
    assert done.status == 1, done
    assert annotation in done.out
    assert "old.json" not in done.out
    assert (tmp_path / "pip").read_text().startswith("install catalogd==")


def test_gitlab_gets_a_report_of_code_quality_and_a_log(tmp_path: Path) -> None:
    work = hosted(tmp_path, "gitlab")
    began = pull_request(work, "data/acme/bad.json", BROKEN)
    done = run_workflow(work, "gitlab", CI_MERGE_REQUEST_DIFF_BASE_SHA=began)
    assert done.status == 1, done
    assert "data/acme/bad.json:4: error: /download: " in done.out
    report = json.loads((work / "gl-code-quality-report.json").read_text())
    noted = next(note for note in report if note["location"]["path"] == "data/acme/bad.json")
    assert (noted["location"]["lines"], noted["severity"]) == ({"begin": 4}, "major")


@pytest.mark.parametrize("forge", WORKFLOW)
def test_a_pull_request_without_a_fault_passes(tmp_path: Path, forge: str) -> None:
    work = hosted(tmp_path, forge)
    sound = json.dumps({"namespace": "acme", "repo_name": "new", "tags": []})
    git(work, "checkout", "-q", "-b", "topic")
    commit(work, "data/acme/new.json", sound)
    base = git(work, "rev-parse", "main").strip()
    assert run_workflow(work, forge, BASE="main", CI_MERGE_REQUEST_DIFF_BASE_SHA=base).status == 0


def test_a_catalog_that_is_there_gets_them_in_one_commit_and_again_only_where_they_differ(tmp_path: Path) -> None:
    assert run(tmp_path, "init", "catalog").status == 0
    catalog = tmp_path / "catalog"
    assert run(tmp_path, "user", "add", "ada", "--catalog", catalog).status == 0
    for said in ("are there now, in commit", "are there already as they should be. Nothing else was changed."):
        done = run(tmp_path, "init", "catalog", "--ci", "github")
        assert (done.status, said in done.out) == (0, True), done
    changed = git(catalog, "show", "--name-only", "--format=%s", "main").split("\n")
    assert changed == ["Check pull requests on github", "", ".github/CODEOWNERS", ".github/workflows/catalogd.yml", ""]
    assert run(tmp_path, "namespace", "add", "acme", "--owner", "ada", "--catalog", catalog).status == 0
    assert run(tmp_path, "init", "catalog", "--ci", "github").status == 0
    assert git(catalog, "show", "--name-only", "--format=", "main").split() == [".github/CODEOWNERS"]
    assert "/data/acme/ @ada\n" in (catalog / ".github/CODEOWNERS").read_text()
    assert git(catalog, "status", "--porcelain") == ""
    assert run(tmp_path, "doctor", "--catalog", catalog).status == 0


def test_a_file_of_somebody_else_is_named_and_stays(tmp_path: Path) -> None:
    assert run(tmp_path, "init", "catalog").status == 0
    catalog = tmp_path / "catalog"
    commit(catalog, ".gitlab-ci.yml", "image: mine\n")
    head = git(catalog, "rev-parse", "main")
    done = run(tmp_path, "init", "catalog", "--ci", "gitlab")
    assert (done.status, ".gitlab-ci.yml is there already" in done.err) == (1, True), done
    assert (catalog / ".gitlab-ci.yml").read_text() == "image: mine\n"
    assert git(catalog, "rev-parse", "main") == head


def test_what_is_no_catalog_is_not_made_one(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "other")
    done = run(tmp_path, "init", "other", "--ci", "github")
    assert (done.status, "no catalog" in done.err) == (1, True), done
    assert not (tmp_path / "other" / ".github").exists()
    assert run(tmp_path, "init", "new", "--ci", "forge").status == 2
    done = run(tmp_path, "init", "new", "--ci", "github", "--ci-install", "--index-url=x")
    assert done.status == 1
