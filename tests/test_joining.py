"""Two lines of history become one: field by field, validated, and never with a silent choice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogd.accounts import SCOPES, Account
from catalogd.catalog import Caller, Catalog, Unfit, Unjoinable, Unrelated
from catalogd.documents import ABSENT, dumps, loads
from catalogd.documents.policy import dumps_policy
from catalogd.errors import Conflict, EditedByHand, NotFound, Protected
from catalogd.store import Store
from tests.plain_git import Clone

pytestmark = pytest.mark.slow

ALICE = Caller(Account("alice", "alice@example.org", True, frozenset(SCOPES), None), "a-request")
WEB = "data/acme/web.json"


@pytest.fixture
def root(tmp_path) -> Path:
    Store.create(tmp_path / "catalog")
    return tmp_path / "catalog"


@pytest.fixture
def catalog(root) -> Iterator[Catalog]:
    catalog = Catalog.open(root)
    catalog.create(ALICE, "acme", {"repo_name": "web", "description": "one", "full_description": "one"})
    catalog.follow_index()
    yield catalog
    catalog.close()


@pytest.fixture
def clone(catalog, root, tmp_path, git) -> Clone:
    git(tmp_path, "clone", "-q", str(root), "clone")
    return Clone(tmp_path / "clone", git)


def update(catalog: Catalog, **fields: object) -> str:
    return catalog.update(ALICE, "acme", "web", fields, patch=True).commit


def web(catalog: Catalog) -> dict:
    return catalog.detail(ALICE, "acme", "web").document


def test_where_main_has_not_moved_it_moves_to_the_very_commit(catalog, clone):
    clone.edit(WEB, "In the clone", description="two")
    commit = clone.hand_over()
    catalog.join(ALICE, commit)
    assert catalog.store.head() == commit
    assert web(catalog)["description"] == "two"


def test_what_main_contains_already_changes_nothing(catalog, clone):
    old = clone.git("rev-parse", "HEAD").strip()
    commit = update(catalog, description="two")
    catalog.join(ALICE, old)
    assert catalog.store.head() == commit


def test_other_fields_of_one_document_are_merged(catalog, clone, root):
    clone.edit(WEB, "In the clone", full_description="two")
    theirs = clone.hand_over()
    ours = update(catalog, description="two", labels={"a": "1"})
    catalog.join(ALICE, theirs)
    assert (web(catalog)["description"], web(catalog)["full_description"]) == ("two", "two")
    assert catalog.store.contains(catalog.store.head(), ours)
    assert catalog.store.contains(catalog.store.head(), theirs)
    assert loads((root / WEB).read_bytes())["full_description"] == "two"
    assert catalog.store.fsck() == []
    assert catalog.store.follow_index()
    assert catalog.store.status() == []


def test_labels_and_tags_are_merged_by_their_names(catalog, clone):
    clone.edit(WEB, "In the clone", labels={"theirs": "1"}, tags=[{"tag": "theirs", "image_id": "a" * 64}])
    theirs = clone.hand_over()
    catalog.put_tag(ALICE, "acme", "web", "ours", {"image_id": "b" * 64})
    update(catalog, labels={"ours": "1"})
    catalog.join(ALICE, theirs)
    assert web(catalog)["labels"] == {"ours": "1", "theirs": "1"}
    assert [tag["tag"] for tag in catalog.tags(ALICE, "acme", "web").tags] == ["ours", "theirs"]


def test_a_repository_made_on_both_sides_is_one_where_they_agree(catalog, clone):
    made = {**loads((clone.directory / WEB).read_bytes()), "repo_name": "new", "created_at": "2020-01-01T00:00:00.000Z"}
    clone.write("data/acme/new.json", dumps(made).decode(), "In the clone")
    theirs = clone.hand_over()
    catalog.create(ALICE, "acme", {"repo_name": "new", "description": "one", "full_description": "one"})
    catalog.join(ALICE, theirs)
    assert catalog.detail(ALICE, "acme", "new").document["created_at"] == "2020-01-01T00:00:00.000Z"


def test_a_field_that_both_changed_is_a_conflict_and_main_stays(catalog, clone):
    clone.edit(WEB, "In the clone", description="theirs")
    theirs = clone.hand_over()
    ours = update(catalog, description="ours")
    with pytest.raises(Unjoinable) as raised:
        catalog.join(ALICE, theirs)
    (conflict,) = raised.value.conflicts
    assert (conflict.path, conflict.pointer) == (WEB, "/description")
    assert (conflict.base, conflict.ours, conflict.theirs) == ("one", "ours", "theirs")
    assert conflict.is_public
    assert catalog.store.head() == ours


def test_a_conflict_in_what_is_private_on_one_side_is_not_for_everybody(catalog, clone):
    clone.edit(WEB, "In the clone", description="theirs", is_public=False)
    theirs = clone.hand_over()
    update(catalog, description="ours")
    with pytest.raises(Unjoinable) as raised:
        catalog.join(ALICE, theirs)
    assert not raised.value.conflicts[0].is_public


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_side_can_be_chosen_for_the_fields_in_conflict_only(catalog, clone, side):
    clone.edit(WEB, "In the clone", description="theirs", full_description="theirs")
    theirs = clone.hand_over()
    update(catalog, description="ours", labels={"ours": "1"})
    asked = []
    catalog.join(ALICE, theirs, lambda *field: asked.append(field) or side)
    document = web(catalog)
    assert (document["description"], document["full_description"]) == (side, "theirs")
    assert document["labels"] == {"ours": "1"}
    assert set(asked) == {(WEB, "/description", "ours", "theirs")}


def crossed(catalog, clone, root, git, kept: str, settled: str, description: str = "ours") -> str:
    """Each side has merged the other and settled a conflict in its own way; returns theirs."""
    theirs = clone.edit(WEB, "In the clone", description="theirs")
    clone.hand_over()
    ours = update(catalog, description=description)
    catalog.join(ALICE, theirs, lambda *_: kept)
    clone.git("fetch", "-q")
    document = loads(git(root, "show", f"{ours}:{WEB}").encode()) | {"description": settled}
    clone.merge(ours, web=dumps(document).decode())
    return clone.hand_over()


@pytest.mark.parametrize("kept", ["ours", "theirs"])
def test_where_both_sides_settled_a_conflict_in_their_own_way_it_is_one_again(catalog, clone, root, git, kept):
    theirs = crossed(catalog, clone, root, git, kept, "both")
    with pytest.raises(Unjoinable) as raised:
        catalog.join(ALICE, theirs)
    assert [(c.pointer, c.ours, c.theirs) for c in raised.value.conflicts] == [("/description", kept, "both")]
    catalog.join(ALICE, theirs, lambda *_: "theirs")
    assert web(catalog)["description"] == "both"


def test_lines_that_have_crossed_are_merged_where_they_agree(catalog, clone, root, git):
    theirs = crossed(catalog, clone, root, git, "ours", "ours")
    update(catalog, full_description="two")
    catalog.join(ALICE, theirs)
    assert (web(catalog)["description"], web(catalog)["full_description"]) == ("ours", "two")


def test_what_is_not_decided_stays_a_conflict(catalog, clone):
    clone.edit(WEB, "In the clone", description="theirs", full_description="theirs")
    theirs = clone.hand_over()
    ours = update(catalog, description="ours", full_description="ours")
    with pytest.raises(Unjoinable) as raised:
        catalog.join(ALICE, theirs, lambda path, pointer, *_: "ours" if pointer == "/description" else None)
    assert [conflict.pointer for conflict in raised.value.conflicts] == ["/full_description"]
    assert catalog.store.head() == ours


def test_a_deletion_against_a_change_is_a_conflict_of_the_whole(catalog, clone):
    clone.remove(WEB, "Delete it in the clone")
    theirs = clone.hand_over()
    update(catalog, description="ours")
    with pytest.raises(Unjoinable) as raised:
        catalog.join(ALICE, theirs)
    assert [(c.pointer, c.theirs) for c in raised.value.conflicts] == [("", ABSENT)]
    catalog.join(ALICE, theirs, lambda *_: "theirs")
    with pytest.raises(NotFound):
        web(catalog)
    assert catalog.store.contains(catalog.store.head(), theirs)


def test_what_does_not_fit_the_schema_stays_out_until_it_is_mended(catalog, clone):
    clone.edit(WEB, "Break it", description=7)
    broken, before = clone.hand_over(), catalog.store.head()
    with pytest.raises(Unfit) as raised:
        catalog.join(ALICE, broken)
    assert [(f.path, f.pointer) for f in raised.value.findings] == [(WEB, "/description")]
    assert catalog.store.head() == before
    clone.edit(WEB, "Mend it", description="seven")
    catalog.join(ALICE, clone.hand_over())
    assert web(catalog)["description"] == "seven"


def test_two_sides_that_each_fit_but_not_together_are_refused(catalog, clone):
    clone.edit(WEB, "A long one", labels={f"theirs-{n}": "x" for n in range(60)})
    theirs = clone.hand_over()
    update(catalog, labels={f"ours-{n}": "x" for n in range(60)})
    with pytest.raises(Unfit):
        catalog.join(ALICE, theirs)


def test_a_schema_that_comes_in_must_fit_what_is_new_here(catalog, clone):
    schema = {"type": "object", "properties": {"description": {"maxLength": 5}}}
    clone.write("schemas/repository.schema.json", dumps(schema).decode(), "Short descriptions only")
    theirs = clone.hand_over()
    before = update(catalog, description="longer than five")
    with pytest.raises(Unfit) as raised:
        catalog.join(ALICE, theirs)
    assert [(finding.path, finding.pointer) for finding in raised.value.findings] == [(WEB, "/description")]
    assert catalog.store.head() == before
    update(catalog, description="short")
    catalog.join(ALICE, theirs)
    assert catalog.store.contains(catalog.store.head(), theirs)


@pytest.mark.parametrize("both_moved", [True, False])
@pytest.mark.parametrize(
    ("path", "text", "pointer"),
    [("policy.json", '{"approvals": -1}', "/approvals"), ("policy.json/x", "{}", ""), ("POLICY.json", "{}", "")],
)
def test_a_policy_that_is_none_stays_out(catalog, clone, both_moved, path, text, pointer):
    clone.write(path, text, "Protect")
    theirs = clone.hand_over()
    if both_moved:
        update(catalog, logo="b.png")
    before = catalog.store.head()
    with pytest.raises(Unfit) as raised:
        catalog.join(ALICE, theirs)
    assert [(finding.path, finding.pointer) for finding in raised.value.findings] == [(path, pointer)]
    assert catalog.store.head() == before


def test_a_policy_is_merged_by_its_members_and_comes_in_though_it_is_protected_here(catalog, clone, root):
    def set_policy(**members: object) -> str:
        return clone.write("policy.json", dumps_policy(members).decode(), "Set the policy")

    set_policy(approvals=1, protected=True)
    catalog.join(ALICE, clone.hand_over())
    with pytest.raises(Protected):
        update(catalog, description="direct")
    clone.edit(WEB, "Edit upstream", description="theirs")
    catalog.join(ALICE, clone.hand_over())
    assert web(catalog)["description"] == "theirs"

    base = catalog.store.head()
    set_policy(approvals=2, protected=True)
    first = clone.hand_over()
    clone.git("reset", "-q", "--hard", base)
    set_policy(approvals=1, protected=True, on_green=["/logo"])
    second = clone.hand_over()
    catalog.join(ALICE, first)
    catalog.join(ALICE, second)
    merged = loads(catalog.store.snapshot().read("policy.json")[1])
    assert merged == {"approvals": 2, "protected": True, "on_green": ["/logo"]}


def test_files_beside_the_documents_come_along(catalog, clone, root):
    clone.write("README.md", "Read me\n", "A readme")
    theirs = clone.hand_over()
    update(catalog, description="two")
    catalog.join(ALICE, theirs)
    assert (root / "README.md").read_text() == "Read me\n"


def make_executable(clone: Clone) -> None:
    clone.write("run.sh", "true\n", "A script")
    (clone.directory / "run.sh").chmod(0o755)
    clone.git("commit", "-qam", "Make it executable")


def make_link(clone: Clone) -> None:
    (clone.directory / "link").symlink_to("README.md")
    clone.git("add", "link")
    clone.git("commit", "-qm", "A link")


def make_submodule(clone: Clone) -> None:
    head = clone.git("rev-parse", "HEAD").strip()
    clone.git("update-index", "--add", "--cacheinfo", f"160000,{head},module")
    clone.git("commit", "-qm", "A submodule")


@pytest.mark.parametrize("both_moved", [True, False])
@pytest.mark.parametrize(
    ("make", "path"), [(make_executable, "run.sh"), (make_link, "link"), (make_submodule, "module")]
)
def test_what_is_no_plain_file_is_named_and_never_lost_in_a_merge(catalog, clone, make, path, both_moved):
    make(clone)
    theirs = clone.hand_over()
    if both_moved:
        update(catalog, description="two")
    before = catalog.store.head()
    with pytest.raises(Unfit) as raised:
        catalog.join(ALICE, theirs)
    assert [finding.path for finding in raised.value.findings] == [path]
    assert catalog.store.head() == before
    clone.git("rm", "-q", "--cached", path)
    clone.git("commit", "-qm", "Take it away")
    catalog.join(ALICE, clone.hand_over())
    assert catalog.store.follow_index()
    assert catalog.store.status() == []


def test_a_directory_that_became_a_file_is_not_lost_in_a_merge(catalog, clone):
    clone.write("docs/a.md", "a\n", "A directory")
    catalog.join(ALICE, clone.hand_over())
    clone.git("rm", "-rq", "docs")
    clone.write("docs", "now a file\n", "A file in its place")
    theirs = clone.hand_over()
    before = update(catalog, description="two")
    with pytest.raises(Conflict, match="docs"):
        catalog.join(ALICE, theirs)
    assert catalog.store.head() == before


def test_another_history_is_not_mixed_in(catalog, clone):
    clone.git("checkout", "-q", "--orphan", "other")
    clone.git("commit", "-q", "-m", "Another beginning", "--allow-empty")
    with pytest.raises(Unrelated):
        catalog.join(ALICE, clone.hand_over())


def test_a_file_that_a_hand_is_editing_holds_the_merge_up(catalog, clone, root):
    clone.edit(WEB, "In the clone", description="two")
    theirs, before = clone.hand_over(), catalog.store.head()
    (root / WEB).write_text("by hand")
    with pytest.raises(EditedByHand):
        catalog.join(ALICE, theirs)
    assert catalog.store.head() == before


def test_a_merge_survives_being_opened_again(catalog, clone, root):
    clone.edit(WEB, "In the clone", full_description="two")
    theirs = clone.hand_over()
    update(catalog, description="two")
    catalog.join(ALICE, theirs)
    head = catalog.store.head()
    again = Catalog.open(root)
    try:
        assert again.store.head() == head
        assert web(again)["full_description"] == "two"
        assert {row["commit"] for row in again.history(ALICE, "acme", "web").results} >= {theirs}
    finally:
        again.close()
