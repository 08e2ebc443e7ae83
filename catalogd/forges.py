"""What a forge wants to find in a catalog that it hosts: the check of pull requests, and whose review they need."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from catalogd import __version__
from catalogd.errors import Malformed
from catalogd.names import namespace_path

# The first line of each file begins so; another file in its place is somebody's.
MADE_BY = "# Made by catalogd "
DEFAULT_REQUIREMENT = f"catalogd=={__version__}"

# Neither gets a token that can write. The base comes as a variable, as the name of a branch may be anything.
_ACTIONS = """\
{made_by}
name: catalogd
on:
  pull_request:
permissions:
  contents: read
jobs:
  check:
    runs-on: {runs_on}
    timeout-minutes: 15
    steps:
      - uses: {actions}actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
        with:
          fetch-depth: 0 # --base needs to know where the branch began
          persist-credentials: false
      - uses: {actions}actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065 # v5.6.0
        with:
          python-version: "3.12"
      - name: Install catalogd
        run: pip install "$CATALOGD"
        env:
          CATALOGD: {requirement}
      - name: Check what the pull request changes
        run: catalogd check --base "origin/$BASE" --format {format}
        env:
          BASE: ${{{{ github.base_ref }}}}
"""

# The report makes notes in the merge request; the log and the exit status are the second check's. The base is named by
# its commit, as the project of a fork need not have the branch.
_GITLAB = """\
{made_by}
catalogd:
  image: python:3.12-bookworm
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
  variables:
    GIT_DEPTH: "0" # --base needs to know where the branch began
    CATALOGD: {requirement}
  script:
    - pip install --quiet "$CATALOGD"
    - catalogd check --base "$CI_MERGE_REQUEST_DIFF_BASE_SHA" --format gitlab > gl-code-quality-report.json || true
    - catalogd check --base "$CI_MERGE_REQUEST_DIFF_BASE_SHA"
  artifacts:
    when: always
    reports:
      codequality: gl-code-quality-report.json
"""

Owners = Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class Forge:
    """Where a forge looks for its files, and how it wants them written."""

    workflow_path: str
    workflow: str
    codeowners_path: str
    pattern: Callable[[str], str]
    parts: dict[str, str]


def _glob(path: str) -> str:
    return f"/{path}"


def _regex(path: str) -> str:
    r"""Gitea takes a regular expression for the whole path, and one backslash of two for itself."""
    return path.replace(".", r"\\.") + (".*" if path.endswith("/") else "")


FORGES = {
    "github": Forge(
        ".github/workflows/catalogd.yml", _ACTIONS, ".github/CODEOWNERS", _glob,
        {"runs_on": "ubuntu-24.04", "actions": "", "format": "github"},
    ),
    # Gitea has no annotations: who reads its log is better served with text. Its own actions are not GitHub's.
    "gitea": Forge(
        ".gitea/workflows/catalogd.yml", _ACTIONS, ".gitea/CODEOWNERS", _regex,
        {"runs_on": "ubuntu-latest", "actions": "https://github.com/", "format": "text"},
    ),
    "gitlab": Forge(".gitlab-ci.yml", _GITLAB, ".gitlab/CODEOWNERS", _glob, {}),
}  # fmt: skip


def files(forge: str, owners: Owners, requirement: str = DEFAULT_REQUIREMENT) -> dict[str, bytes]:
    """Path -> content of what `init --ci` puts into a catalog; `requirement` is what pip installs there.

    Raises Malformed for a requirement that is none.
    """
    if not re.fullmatch(r"[!-~][ -~]*", requirement) or requirement.startswith("-") or "${{" in requirement:
        raise Malformed("What pip is to install must be one requirement or URL, on one line and in ASCII.")
    its = FORGES[forge]
    made_by = f"{MADE_BY}init --ci {forge}, which renews it, too."
    workflow = its.workflow.format(made_by=made_by, requirement=json.dumps(requirement), **its.parts)
    return {its.workflow_path: workflow.encode(), its.codeowners_path: codeowners(forge, owners).encode()}


def codeowners(forge: str, owners: Owners) -> str:
    """A CODEOWNERS file: whose review a change of each namespace needs. `owners` are (namespace, users) pairs."""
    lines = [f"{MADE_BY}namespace codeowners --forge {forge}, which init --ci runs, too."]
    for namespace, users in owners:
        lines += _rules(FORGES[forge], namespace, users)
    return "\n".join(lines) + "\n"


def _rules(forge: Forge, namespace: str, users: Iterable[str]) -> list[str]:
    who = " ".join(f"@{user}" for user in users)
    paths = (f"data/{namespace}/", namespace_path(namespace))
    return [f"{forge.pattern(path)} {who}" for path in paths] if who else []
