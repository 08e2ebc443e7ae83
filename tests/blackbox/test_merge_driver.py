"""Real merges and rebases of documents, with the driver that every catalog has."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from served_catalog import commit_by_hand, environment, git, run

pytestmark = pytest.mark.slow

IMAGE = "a4002247cb22e78c8d9ffeccdf7ea23d7763f53493d4d763cb4dbe58bf3566b5"
PATH = "data/acme/web.json"


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    assert run(tmp_path, "init", "catalog", "--with-sample").status == 0
    return tmp_path / "catalog"


def change(root: Path, **fields: object) -> str:
    document = json.loads((root / PATH).read_text()) | fields
    (root / PATH).write_text(json.dumps(document))
    assert run(root.parent, "check", root, "--fix").status == 0
    return commit_by_hand(root, f"Change {', '.join(fields)}", PATH)


def tagged(root: Path, name: str) -> list[dict]:
    return [*json.loads((root / PATH).read_text())["tags"], {"tag": name, "image_id": IMAGE}]


def two_branches(root: Path, ours: dict, theirs: dict) -> None:
    """`mine` and `yours`, each with one change; `mine` is checked out."""
    for branch, fields in (("yours", theirs), ("mine", ours)):
        git(root, "checkout", "-q", "-b", branch, "main")
        change(root, **fields)


@pytest.fixture
def neighbours(catalog: Path) -> Path:
    """Two branches that git by itself could not merge: they change neighbouring lines."""
    two_branches(
        catalog,
        {"description": "Mine", "tags": tagged(catalog, "zz-1")},
        {"full_description": "Yours", "tags": tagged(catalog, "zz-2")},
    )
    return catalog


def has_both(root: Path) -> bool:
    document = json.loads((root / PATH).read_text())
    assert {"zz-1", "zz-2"} <= {tag["tag"] for tag in document["tags"]}
    assert run(root.parent, "check", root).out.endswith("0 errors, 0 warnings\n")
    return (document["description"], document["full_description"]) == ("Mine", "Yours")


def test_a_merge_keeps_neighbouring_fields_and_tags_of_both_branches(neighbours: Path) -> None:
    git(neighbours, "merge", "-q", "--no-edit", "yours")
    assert has_both(neighbours)
    assert git(neighbours, "status", "--porcelain") == ""


def test_a_rebase_and_a_cherry_pick_keep_them_too(neighbours: Path) -> None:
    git(neighbours, "rebase", "-q", "yours")
    assert has_both(neighbours)
    git(neighbours, "checkout", "-q", "yours")
    git(neighbours, "cherry-pick", "mine")
    assert has_both(neighbours)


def test_without_the_attributes_git_merges_by_line_as_ever(neighbours: Path) -> None:
    git(neighbours, "rm", "-q", ".gitattributes")
    git(neighbours, "commit", "-qm", "Merge by line")
    assert "CONFLICT" in git(neighbours, "merge", "--no-edit", "yours", check=False)


def test_a_catalog_that_never_had_attributes_keeps_working(catalog: Path) -> None:
    git(catalog, "rm", "-q", ".gitattributes")
    git(catalog, "-c", "core.hooksPath=/dev/null", "commit", "-qm", "As catalogs were once")
    change(catalog, description="Still there")
    assert run(catalog.parent, "doctor", "--catalog", catalog).status == 0


def test_a_conflict_is_named_by_field_and_only_that_field_is_marked(catalog: Path) -> None:
    two_branches(
        catalog,
        {"description": "Mine", "tags": tagged(catalog, "zz-1")},
        {"description": "Yours", "tags": tagged(catalog, "zz-2")},
    )
    base = json.loads(git(catalog, "show", f"main:{PATH}"))["description"][:40]
    said = git(catalog, "merge", "--no-edit", "yours", check=False)
    assert f"catalogd: {PATH}: 1 field changed on both sides, each in its own way:\n" in said
    assert f'\n  /description: base "{base}' in said
    assert ', ours "Mine", theirs "Yours"\n' in said
    assert git(catalog, "status", "--porcelain") == f"UU {PATH}\n"
    text = (catalog / PATH).read_text()
    marked = '<<<<<<< ours\n  "description": "Mine",\n=======\n  "description": "Yours",\n>>>>>>> theirs\n'
    assert marked in text
    (catalog / PATH).write_text(text.replace(marked, '  "description": "Ours",\n'))
    git(catalog, "add", PATH)
    git(catalog, "commit", "-q", "--no-edit")
    document = json.loads((catalog / PATH).read_text())
    assert {"zz-1", "zz-2"} <= {tag["tag"] for tag in document["tags"]}
    assert document["description"] == "Ours"


def test_what_does_not_fit_together_stops_the_merge_with_the_finding(catalog: Path) -> None:
    two_branches(
        catalog,
        *({"labels": {f"{side}{number}": "x" for number in range(60)}} for side in "ab"),
    )
    said = git(catalog, "merge", "--no-edit", "yours", check=False)
    assert f"{PATH}:" in said and "error: /labels: " in said
    assert git(catalog, "status", "--porcelain") == f"UU {PATH}\n"
    assert len(json.loads((catalog / PATH).read_text())["labels"]) >= 120


def test_the_same_document_made_on_both_branches_comes_together(catalog: Path) -> None:
    new = "data/acme/new.json"
    for branch, field in (("yours", "description"), ("mine", "full_description")):
        git(catalog, "checkout", "-q", "-b", branch, "main")
        (catalog / new).write_text(json.dumps({"namespace": "acme", "repo_name": "new", field: branch, "tags": []}))
        assert run(catalog.parent, "check", catalog, "--fix").status == 0
        commit_by_hand(catalog, f"Make it on {branch}", new)
    git(catalog, "merge", "-q", "--no-edit", "yours")
    document = json.loads((catalog / new).read_text())
    assert (document["description"], document["full_description"]) == ("yours", "mine")


def test_no_file_of_the_working_tree_passes_for_a_module_of_the_driver_or_the_hook(neighbours: Path) -> None:
    for name in ("catalogd.py", "click.py", "json.py"):
        (neighbours / name).write_text("raise SystemExit('taken over')\n")
    said = git(neighbours, "merge", "--no-edit", "yours", check=False)
    assert "taken over" not in said
    assert has_both(neighbours)
    said = git(neighbours, "commit", "--allow-empty", "-m", "Nothing", check=False)
    assert "taken over" not in said and "0 files checked" in said


def test_the_driver_works_where_the_path_of_python_has_spaces_quotes_and_percents(neighbours: Path) -> None:
    odd = neighbours.parent / "odd ' %O $(touch x)"
    odd.mkdir()
    (odd / "python").symlink_to(sys.executable)
    program = (
        "import sys; from catalogd.store.attributes import merge_driver; sys.stdout.write(merge_driver()[sys.argv[1]])"
    )
    command = [odd / "python", "-c", program, "merge.catalogd.driver"]
    paths = ":".join(filter(None, sys.path))
    env = {**environment(neighbours.parent), "PYTHONPATH": f"{environment(neighbours.parent)['PYTHONPATH']}:{paths}"}
    driver = subprocess.run(command, capture_output=True, text=True, env=env, check=True).stdout
    assert "python -P" in driver.replace("'", "")
    subprocess.run(
        ["git", "-c", f"merge.catalogd.driver={driver}", "merge", "-q", "--no-edit", "yours"],
        cwd=neighbours, env=env, check=True,
    )  # fmt: skip
    assert has_both(neighbours)
    assert not (neighbours / "x").exists()


def test_a_catalog_that_is_opened_gets_the_driver(catalog: Path) -> None:
    clone = catalog.parent / "clone"
    git(catalog, "clone", "-q", ".", str(clone))
    assert git(clone, "config", "merge.catalogd.driver", check=False) == ""
    assert run(catalog.parent, "log", "--catalog", clone).status == 0
    assert "merge-driver" in git(clone, "config", "merge.catalogd.driver")
    shutil.rmtree(clone)


@pytest.mark.parametrize("arguments", [(), ("a", "b", "c"), ("none", "none", "none", PATH)])
def test_the_driver_called_wrongly_is_wrong_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run(tmp_path, "merge-driver", *arguments).status == 2
