"""What a forge finds in a catalog that it hosts."""

from __future__ import annotations

import itertools
import re

import pytest

from catalogd import __version__
from catalogd.errors import Malformed
from catalogd.forges import FORGES, MADE_BY, codeowners, files

OWNERS = [("acme", ["alice", "bob"]), ("acme.corp", ["carol"]), ("empty", [])]
WORKFLOWS = [".github/workflows/catalogd.yml", ".gitea/workflows/catalogd.yml", ".gitlab-ci.yml"]
PLACES = dict(zip(FORGES, zip(WORKFLOWS, [f".{forge}/CODEOWNERS" for forge in FORGES], strict=True), strict=True))


@pytest.mark.parametrize("forge", FORGES)
def test_the_files_are_where_the_forge_looks_for_them_and_say_who_made_them(forge):
    made = files(forge, OWNERS)
    assert tuple(made) == PLACES[forge]
    assert all(data.startswith(MADE_BY.encode()) and data.endswith(b"\n") for data in made.values())


@pytest.mark.parametrize("forge", FORGES)
def test_a_workflow_is_laid_out_as_yaml_wants_it_and_nothing_is_left_to_fill_in(forge):
    lines = files(forge, OWNERS)[PLACES[forge][0]].decode().splitlines()
    depths = [len(line) - len(line.lstrip(" -")) for line in lines]
    assert not any("\t" in line or line != line.rstrip() for line in lines)
    assert not any(depth % 2 for depth in depths)
    assert all(deeper - depth <= 4 for depth, deeper in itertools.pairwise(depths))
    assert all(re.match(r"#|\s*(- )?[\w-]+:|\s*- (pip|catalogd) ", line) for line in lines)
    assert not any(re.search(r"(?<!\$\{)\{(?!\{)", line) for line in lines)


@pytest.mark.parametrize("forge", ["github", "gitea"])
def test_the_actions_see_the_whole_history_have_few_rights_and_are_pinned(forge):
    text = files(forge, OWNERS)[PLACES[forge][0]].decode()
    assert "\npermissions:\n  contents: read\n" in text
    assert "fetch-depth: 0 " in text and "persist-credentials: false" in text
    # With pull_request_target the code of a stranger would run with the rights of the project.
    assert "\non:\n  pull_request:\n" in text
    for uses in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"(https://github.com/)?actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", uses)
    # The name of a branch is text of the one who asks; within a script it would be a part of that.
    assert not any("${{" in run for run in re.findall(r"run: (.*)", text))


@pytest.mark.parametrize("forge", FORGES)
def test_this_version_of_catalogd_is_installed_or_what_was_asked_for(forge):
    assert f'CATALOGD: "catalogd=={__version__}"\n' in files(forge, OWNERS)[PLACES[forge][0]].decode()
    asked = "catalogd @ git+https://git.example.org/catalogd@v1"
    assert f'CATALOGD: "{asked}"\n' in files(forge, OWNERS, asked)[PLACES[forge][0]].decode()


@pytest.mark.parametrize("requirement", ["", "a\nb", "--index-url=https://x", "ä", "${{ secrets.X }}", " a"])
def test_what_is_no_requirement_is_refused(requirement):
    with pytest.raises(Malformed):
        files("github", OWNERS, requirement)


@pytest.mark.parametrize("forge", ["github", "gitlab"])
def test_owners_are_named_by_directory_and_file(forge):
    assert codeowners(forge, OWNERS).splitlines()[1:] == [
        "/data/acme/ @alice @bob",
        "/namespaces/acme.json @alice @bob",
        "/data/acme.corp/ @carol",
        "/namespaces/acme.corp.json @carol",
    ]


def test_gitea_gets_expressions_that_match_these_paths_and_no_others():
    rules = [line.split()[0].replace(r"\\", "\\") for line in codeowners("gitea", OWNERS).splitlines()[1:]]
    paths = ["data/acme/web.json", "namespaces/acme.json", "data/acme.corp/web.json", "namespaces/acme.corp.json"]
    others = ["data/acmexcorp/web.json", "namespaces/acmexjson"]
    matching = [[path for path in paths + others if re.fullmatch(rule, path)] for rule in rules]
    assert matching == [[path] for path in paths]
