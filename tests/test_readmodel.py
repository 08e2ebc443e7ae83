"""The read model: what it mirrors, who sees what of it, and that its file may be lost at any time."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogd.documents import Role
from catalogd.errors import Malformed, NotFound, Unavailable
from catalogd.readmodel import ORDERINGS, ReadModel, Writer, listing
from catalogd.readmodel.history import CHANGES_SHOWN
from catalogd.readmodel.listing import ListQuery


@dataclass(frozen=True)
class Change:
    path: str
    old: str | None
    new: str | None
    others: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Commit:
    id: str
    author: str
    email: str
    committer: str
    committed_at: str
    message: str
    changes: tuple[Change, ...]
    proposal: int | None = None
    proposal_head: str | None = None
    reviewed_by: tuple[str, ...] = ()

    @property
    def came_at(self) -> str:
        return self.committed_at


@dataclass(frozen=True)
class Sees:
    everything: bool = False
    namespaces: frozenset[str] = frozenset()


ANYONE = Sees()
ADMIN = Sees(everything=True)
MEMBER = Sees(namespaces=frozenset({"acme"}))

WEB = "data/acme/web.json"


class Catalog:
    """Commits to a read model as the store does, and keeps the blobs."""

    def __init__(self, model: ReadModel):
        self.model = model
        self.files: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.newest = ""

    def commit(
        self,
        files: dict[str, object],
        at: str | None = None,
        message: str | None = None,
        author: str = "Ada",
        of_proposal: tuple[int, str | None, tuple[str, ...]] = (None, None, ()),
    ) -> str:
        """One commit of files: a JSON value, bytes as they are, or None to delete.

        `of_proposal` is (number, the head that it merges, who approved).
        """
        with self.model.writing() as writer:
            for change in self.record(writer, files, at, message, author, of_proposal):
                if change.new is None:
                    writer.remove(change.path)
                else:
                    writer.put(change.path, change.new, self.blobs[change.new])
            writer.mirror(self.newest)
        return self.newest

    def record(
        self,
        writer: Writer,
        files: dict[str, object],
        at: str | None = None,
        message: str | None = None,
        author: str = "Ada",
        of_proposal: tuple[int, str | None, tuple[str, ...]] = (None, None, ()),
    ) -> tuple[Change, ...]:
        """The commit goes into the history only. Returns what it changes."""
        number = writer.seq + 1
        changes = tuple(self._change(path, value) for path, value in files.items())
        self.newest = hashlib.sha1(f"commit {number}".encode()).hexdigest()
        time = at or f"2024-01-01T00:{number // 60:02d}:{number % 60:02d}.000Z"
        words = message or f"edit {number}"
        writer.record(
            Commit(self.newest, author, "ada@example.org", author, time, words, changes, *of_proposal), self.read
        )
        return changes

    def read(self, blob: str) -> bytes:
        self.reads.append(blob)
        return self.blobs[blob]

    def _change(self, path: str, value: object) -> Change:
        old = self.files.pop(path, None)
        if value is None:
            return Change(path, old, None)
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        new = hashlib.sha1(data).hexdigest()
        self.blobs[new], self.files[path] = data, new
        return Change(path, old, new)


def document(name: str = "acme/web", **fields: object) -> dict[str, object]:
    namespace, repo_name = name.split("/")
    return {"namespace": namespace, "repo_name": repo_name, **fields}


def path_of(name: str) -> str:
    return f"data/{name}.json"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "readmodel.db"


@pytest.fixture
def model(file: Path) -> Iterator[ReadModel]:
    model = ReadModel(file)
    yield model
    model.close()


@pytest.fixture
def catalog(model: ReadModel) -> Catalog:
    return Catalog(model)


def listed(model: ReadModel, sees: Sees = ANYONE, **query: object) -> list[str]:
    """The names in a list, as namespace/repo_name; the count is checked against them."""
    count, found = a_page(model, sees, 1, 1000, **query)
    assert count == len(found)
    return found


def a_page(model: ReadModel, sees: Sees, page: int, page_size: int, **query: object) -> tuple[int, list[str]]:
    """(how many there are, the names of those on a page)"""
    asked = {"namespace": None, "search": None, "is_public": None, "labels": (), "ordering": None} | query
    count, rows, *_ = model.list(**asked, visibility=sees, page=page, page_size=page_size)
    return count, [f"{row['namespace']}/{row['repo_name']}" for row in rows]


def actions(model: ReadModel, path: str = WEB, floor: int = 0) -> list[str]:
    return [entry.action for entry in model.history(path, floor, ANYONE, 1, 100).rows]


# -- documents


def test_a_new_read_model_is_empty_and_mirrors_nothing(model: ReadModel) -> None:
    assert model.mirrored() is None
    assert model.get("acme", "web") is None
    assert model.list(None, None, None, (), None, ADMIN, 1, 20) == (0, [], None, 0)
    assert model.stats() == (None, 0, 0, 0)


def test_a_document_is_shown_complete_and_without_its_tags(catalog: Catalog, model: ReadModel) -> None:
    tag = {"tag": "latest", "image_id": "a" * 64}
    commit = catalog.commit({WEB: document(description="A web server", tags=[tag])})
    row = model.get("acme", "web")
    assert row is not None
    assert (row.document["description"], row.document["download"], row.document["labels"]) == (
        "A web server",
        0,
        {},
    )
    assert "tags" not in row.document
    assert (row.blob, row.commit) == (catalog.files[WEB], commit)
    assert model.tags("acme", "web") == ([tag], True, row.blob, commit)


def test_without_times_of_its_own_a_document_shows_those_of_its_commits(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({WEB: document()}, at="2024-01-01T00:00:00.000Z")
    catalog.commit({path_of("acme/db"): document("acme/db")}, at="2024-01-02T00:00:00.000Z")
    catalog.commit({WEB: document(description="new")}, at="2024-01-03T00:00:00.000Z")
    row = model.get("acme", "web")
    assert row is not None
    assert row.document["created_at"] == "2024-01-01T00:00:00.000Z"
    assert row.document["updated_at"] == "2024-01-03T00:00:00.000Z"


def test_a_document_that_has_become_public_does_not_tell_by_its_times_that_it_was_there_before(
    catalog: Catalog, model: ReadModel
) -> None:
    for day, public in enumerate((False, True, True), 1):
        catalog.commit({WEB: document(is_public=public, download=day)}, at=f"2024-01-0{day}T00:00:00.000Z")
    row = model.get("acme", "web")
    assert row is not None
    assert row.document["created_at"] == "2024-01-02T00:00:00.000Z"
    assert row.document["updated_at"] == "2024-01-03T00:00:00.000Z"


def test_a_removed_document_is_gone_from_every_query(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({WEB: document(description="nginx", labels={"tier": "front"})})
    catalog.commit({WEB: None})
    assert model.get("acme", "web") is None
    assert model.tags("acme", "web") is None
    assert listed(model, search="nginx") == listed(model, labels=(("tier", None),)) == listed(model, ADMIN) == []


def test_what_may_not_be_seen_does_not_exist(catalog: Catalog, model: ReadModel) -> None:
    names = {"acme/open": True, "acme/secret": False, "other/open": True, "other/secret": False}
    catalog.commit({path_of(name): document(name, is_public=public) for name, public in names.items()})
    assert listed(model) == ["acme/open", "other/open"]
    assert listed(model, MEMBER) == ["acme/open", "acme/secret", "other/open"]
    assert listed(model, ADMIN) == sorted(names)
    assert listed(model, namespace="acme") == listed(model, namespace="acme", search="open") == ["acme/open"]
    assert listed(model, MEMBER, namespace="acme", is_public=False) == ["acme/secret"]
    assert listed(model, search="secret") == []
    assert listed(model, MEMBER, search="secret") == ["acme/secret"]


def test_an_ordering_is_turned_round_as_a_whole_but_missing_times_stay_last(catalog: Catalog, model: ReadModel) -> None:
    pushed = {"a/two": "2024-02-01", "b/one": "2024-01-01", "a/never": None, "c/two": "2024-02-01"}
    catalog.commit({path_of(name): document(name, pushed_at=time) for name, time in pushed.items()})
    assert listed(model, ordering="pushed_at") == ["b/one", "a/two", "c/two", "a/never"]
    assert listed(model, ordering="-pushed_at") == ["c/two", "a/two", "b/one", "a/never"]
    assert listed(model, ordering="-repo_name") == ["c/two", "b/one", "a/two", "a/never"]


@pytest.mark.parametrize("ordering", [sign + name for name in ORDERINGS for sign in ("", "-")])
def test_pages_put_together_are_the_whole_list(catalog: Catalog, model: ReadModel, ordering: str) -> None:
    names = [f"n{number % 3}/r{number}" for number in range(20)]
    catalog.commit({path_of(name): document(name, download=number % 2) for number, name in enumerate(names)})
    pages = [model.list(None, None, None, (), ordering, ANYONE, page, 7) for page in (1, 2, 3, 4, 10**30)]
    rows = [row["repo_name"] for page in pages for row in page.rows]
    assert [len(page.rows) for page in pages] == [7, 7, 6, 0, 0]
    assert len(set(rows)) == 20
    assert {page.count for page in pages} == {20}


@pytest.mark.parametrize("namespace", [None, "acme"])
@pytest.mark.parametrize("ordering", [sign + name for name in ORDERINGS for sign in ("", "-")])
def test_every_ordering_is_read_from_an_index(
    model: ReadModel, file: Path, namespace: str | None, ordering: str
) -> None:
    query = ListQuery(namespace, None, None, (), ANYONE, None)
    with sqlite3.connect(file) as connection:
        steps = connection.execute(
            f"EXPLAIN QUERY PLAN {query._page(ordering)}", {**query.parameters, "limit": 20, "offset": 0}
        )
        plan = " ".join(step[3] for step in steps)
    assert "COVERING INDEX" in plan
    assert "TEMP B-TREE" not in plan


def test_a_list_is_not_ordered_by_what_it_does_not_know(model: ReadModel) -> None:
    with pytest.raises(ValueError, match="upload"):
        listed(model, ordering="upload")


def test_labels_filter_by_key_and_by_value_and_follow_edits(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({WEB: document(labels={"tier": "front", "team": "a"})})
    catalog.commit({path_of("acme/db"): document("acme/db", labels={"tier": "back", "team": "a"})})
    assert listed(model, labels=(("tier", None),)) == ["acme/db", "acme/web"]
    assert listed(model, labels=(("tier", "front"), ("team", "a"))) == ["acme/web"]
    catalog.commit({WEB: document(labels={"tier": "back"})})
    assert listed(model, labels=(("tier", "back"),)) == ["acme/db", "acme/web"]
    assert listed(model, labels=(("team", None),)) == ["acme/db"]


# -- search


@pytest.mark.parametrize("text", ["web", "front web", "db", "we"])
@pytest.mark.parametrize("few", [0, 7])
def test_what_very_many_documents_match_is_listed_as_what_few_do(
    catalog: Catalog, model: ReadModel, monkeypatch: pytest.MonkeyPatch, text: str, few: int
) -> None:
    words = ("web", "db", "front web", "the web in front", "")
    names = [f"{'acme' if number % 3 else 'other'}/{'web' if number % 7 else 'db'}-{number}" for number in range(60)]
    catalog.commit(
        {
            path_of(name): document(
                name,
                description=words[number % 5],
                full_description=words[number % 3],
                is_public=number % 4 > 0,
                labels={"even": "yes"} if number % 2 == 0 else {},
                download=number % 6,
            )
            for number, name in enumerate(names)
        }
    )
    asked = [
        (sees, page, 7, {"search": text, "ordering": ordering, **filters})
        for sees in (ANYONE, MEMBER, ADMIN)
        for ordering in (None, "-download", "repo_name")
        for page in (1, 2, 5, 9)
        for filters in ({}, {"namespace": "acme"}, {"is_public": False}, {"labels": (("even", None),)})
    ]
    expected = [a_page(model, *where, **query) for *where, query in asked]
    monkeypatch.setattr(listing, "_FEW", few)
    assert [a_page(model, *where, **query) for *where, query in asked] == expected
    assert any(found for _, found in expected)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("open-liberty", ["acme/open-liberty"]),
        ("open-lib", ["acme/open-liberty"]),
        ("LIBERTY", ["acme/open-liberty", "acme/web"]),
        ("serv fast", ["acme/web"]),
        ("fast liberty-open", []),
        ("镜像", ["acme/web"]),
        ("镜像 liberty", ["acme/web"]),
        ("像镜", []),
        ("cafe", ["acme/web"]),
        ('"fast" OR*', []),
        ("--", []),
    ],
)
def test_a_search_finds_documents_with_all_words_or_their_beginnings(
    catalog: Catalog, model: ReadModel, text: str, found: list[str]
) -> None:
    catalog.commit({path_of("acme/open-liberty"): document("acme/open-liberty")})
    catalog.commit({WEB: document(description="A fast server, like liberty", full_description="官方镜像仓库 Café")})
    assert listed(model, search=text) == found


def test_a_search_ranks_the_name_above_the_description_above_the_rest(catalog: Catalog, model: ReadModel) -> None:
    fields = {"a/one": {"full_description": "redis"}, "a/two": {"description": "redis"}, "a/redis": {}}
    catalog.commit({path_of(name): document(name, **texts) for name, texts in fields.items()})
    assert listed(model, search="redis") == ["a/redis", "a/two", "a/one"]
    assert listed(model, search="redis", ordering="repo_name") == ["a/one", "a/redis", "a/two"]


def test_the_order_of_a_search_does_not_depend_on_what_is_hidden(catalog: Catalog, model: ReadModel) -> None:
    texts = {"a/one": "zebra zebra quux", "a/two": "zebra quux quux"}
    catalog.commit({path_of(name): document(name, description=text) for name, text in texts.items()})
    before = listed(model, search="zebra quux")
    for number in range(20):
        name = f"b/r{number}"
        catalog.commit({path_of(name): document(name, is_public=False, description="zebra" if number % 2 else "quux")})
        assert listed(model, search="zebra quux") == before


def test_a_blank_search_is_none(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({WEB: document()})
    assert listed(model, search=" \t\0") == ["acme/web"]


def test_an_edit_changes_what_a_search_finds(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({WEB: document(description="before 旧")})
    catalog.commit({WEB: document(description="after 新")})
    assert listed(model, search="before") == listed(model, search="旧") == []
    assert listed(model, search="after") == listed(model, search="新") == ["acme/web"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(st.characters(codec=None)) | st.text(alphabet='a"*^:(){}+-. \0\ud800NEAROT'))
def test_no_search_text_is_an_error(model: ReadModel, text: str) -> None:
    model.list(None, text, None, (), None, ANYONE, 1, 20)


# -- what cannot be shown


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"{", "JSON"),
        (b'{"a": 1, "a": 2}', "twice"),
        ([], "must be a JSON object"),
        (document("acme/other"), '"repo_name" must be "web"'),
        ({}, '"namespace" must be "acme"'),
        (document(download=True), '"download" must be a whole number'),
        (document(download=-1), '"download" must be a whole number'),
        (document(description=None), '"description" must be a string'),
        (document(labels={"a": 1}), '"labels" must be an object of strings'),
        (document(tags=[{}]), '"tags" must be a list'),
        (document(is_public=1), '"is_public" must be true or false'),
    ],
)
def test_a_document_that_cannot_be_shown_is_absent_and_reported(
    catalog: Catalog, model: ReadModel, content: object, detail: str
) -> None:
    catalog.commit({WEB: document(description="good")})
    catalog.commit({WEB: content})
    assert model.get("acme", "web") is None
    assert listed(model, ADMIN, search="good") == []
    (fault,) = model.faults()
    assert (fault.path, model.stats().faults) == (WEB, 1)
    assert detail in fault.detail
    assert model.visible_from(WEB) is None
    catalog.commit({WEB: document()})
    assert model.faults() == []
    assert listed(model) == ["acme/web"]


def test_a_file_with_no_valid_name_is_a_fault_and_other_files_are_none(catalog: Catalog, model: ReadModel) -> None:
    files = {"data/Acme/web.json": {}, "data/acme/README.md": b"hello", "schemas/repository.schema.json": {}}
    catalog.commit(files)
    assert [fault.path for fault in model.faults()] == ["data/Acme/web.json"]
    catalog.commit(dict.fromkeys(files))
    assert model.faults() == []


def test_a_path_that_is_not_utf_8_is_recorded(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({"data/\udcff/x.json": b"\xff", WEB: document()})
    assert listed(model) == ["acme/web"]
    assert len(model.faults()) == 1


# -- history


def test_history_names_the_action_and_the_fields_newest_first(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({WEB: document()})
    catalog.commit({WEB: document(description="new", labels={"a/b": "c"})})
    catalog.commit({WEB: None})
    last = catalog.commit({WEB: document()})
    count, rows, commit = model.history(WEB, 0, ANYONE, 1, 3)
    assert (count, commit) == (4, last)
    assert [(row.action, row.fields) for row in rows] == [
        ("restored", [""]),
        ("deleted", [""]),
        ("updated", ["/description", "/labels/a~1b"]),
    ]
    assert (rows[0].author, rows[0].message, rows[0].old) == ("Ada", "edit 4", None)
    assert model.history(WEB, 0, ANYONE, 2, 3).rows[0].action == "created"
    assert model.history("data/acme/none.json", 0, ANYONE, 1, 3).count == 0


def test_each_version_in_a_chain_of_edits_is_read_once(catalog: Catalog) -> None:
    for number in range(10):
        catalog.commit({WEB: document(download=number)})
    assert len(catalog.reads) == len(set(catalog.reads)) == 10


def test_documents_that_the_caller_has_parsed_are_not_read(model: ReadModel) -> None:
    change = Change(WEB, None, "b" * 40)
    with model.writing() as writer:
        writer.record(
            Commit("c" * 40, "Ada", "", "", "", "", (change,)), pytest.fail, {"b" * 40: document(is_public=False)}
        )
        writer.put(WEB, "b" * 40, b"", document=document(is_public=False))
        writer.mirror("c" * 40)
    assert listed(model, ADMIN) == ["acme/web"]
    assert model.visible_from(WEB) is None


def test_the_public_sees_only_what_came_after_the_last_private_time(catalog: Catalog, model: ReadModel) -> None:
    for number, public in enumerate((False, True, True, False)):
        catalog.commit({WEB: document(is_public=public, download=number)})
    assert model.visible_from(WEB) is None
    assert model.commits(ANYONE, 1, 20).count == 0
    catalog.commit({WEB: document(is_public=True)})
    catalog.commit({WEB: document(is_public=True, description="seen")})
    assert model.visible_from(WEB) == 5
    assert actions(model, floor=5) == ["updated", "created"]
    oldest = model.history(WEB, 5, ANYONE, 1, 20).rows[-1]
    assert (oldest.fields, oldest.old, oldest.commit) == ([""], None, model.commits(ANYONE, 2, 1).rows[0].id)
    assert [[change.action for change in row.changes] for row in model.commits(ANYONE, 1, 20).rows] == [
        ["updated"],
        ["created"],
    ]
    assert model.commits(MEMBER, 1, 20).count == 6
    assert [row.changes[0].action for row in model.commits(MEMBER, 1, 20).rows] == ["updated"] * 5 + ["created"]


def test_a_deleted_document_stays_as_visible_as_it_was(catalog: Catalog, model: ReadModel) -> None:
    db = path_of("acme/db")
    catalog.commit({WEB: document(), db: document("acme/db", is_public=False)})
    catalog.commit({WEB: None, db: None})
    assert (model.visible_from(WEB), model.visible_from(db)) == (1, None)
    catalog.commit({WEB: document(), db: document("acme/db")})
    assert (model.visible_from(WEB), model.visible_from(db)) == (1, 3)
    (newest, deletion, _) = model.commits(ANYONE, 1, 20).rows
    assert [change.action for change in newest.changes] == ["created", "restored"]
    assert [(change.path, change.action) for change in deletion.changes] == [(WEB, "deleted")]
    assert (newest.complete, deletion.complete) == (False, False)


def test_a_commit_that_shows_what_was_hidden_is_complete_only_for_those_who_saw_that(
    catalog: Catalog, model: ReadModel
) -> None:
    for number, public in enumerate((True, False, True, True)):
        catalog.commit({WEB: document(is_public=public, download=number)})
    floor = model.visible_from(WEB)
    assert floor == 3
    for viewer, expected in ((ANYONE, [True, False]), (MEMBER, [True, True]), (ADMIN, [True, True])):
        assert [row.complete for row in model.commits(viewer, 1, 2).rows] == expected
        assert [row.complete for row in model.history(WEB, floor, viewer, 1, 20).rows] == expected
    catalog.commit({WEB: document(is_public=False)})
    catalog.commit({WEB: document(), path_of("acme/db"): document("acme/db")})
    catalog.commit({WEB: None})
    assert [row.complete for row in model.commits(ANYONE, 1, 20).rows] == [True, False]
    assert [row.complete for row in model.history(WEB, 6, ANYONE, 1, 20).rows] == [True, False]
    assert [row.complete for row in model.history(path_of("acme/db"), 6, ANYONE, 1, 20).rows] == [False]


def test_changes_of_an_organization_are_for_its_members_and_of_a_schema_for_those_who_see_everything(
    catalog: Catalog, model: ReadModel
) -> None:
    catalog.commit({"namespaces/acme.json": {"owners": ["ada"]}})
    catalog.commit({"namespaces/acme.json": {"owners": []}, WEB: document()})
    catalog.commit({"schemas/repository.schema.json": {}, WEB: document(description="two")})
    catalog.commit({})
    assert [row.seq for row in model.commits(ANYONE, 1, 20).rows] == [3, 2]
    assert [row.complete for row in model.commits(ANYONE, 1, 20).rows] == [False, False]
    assert [(row.seq, row.complete) for row in model.commits(MEMBER, 1, 20).rows] == [(3, False), (2, True), (1, True)]
    newest, middle, _ = model.commits(ADMIN, 1, 20).rows
    assert [(change.namespace, change.repo_name, change.fields) for change in middle.changes] == [
        ("acme", "web", [""]),
        ("acme", None, ["/owners"]),
    ]
    assert [change.path for change in newest.changes] == [WEB, "schemas/repository.schema.json"]
    assert (model.commit(1, ANYONE), model.commit(9, ADMIN)) == (None, None)


def test_the_history_of_a_document_tells_whether_the_caller_may_see_all_of_each_commit(
    catalog: Catalog, model: ReadModel
) -> None:
    db, other = path_of("acme/db"), path_of("other/db")
    catalog.commit({WEB: document()})
    catalog.commit({WEB: document(download=1), db: document("acme/db", is_public=False)})
    catalog.commit({WEB: document(download=2), other: document("other/db", is_public=False)})

    def complete(sees: Sees) -> list[bool]:
        return [entry.complete for entry in model.history(WEB, 0, sees, 1, 20).rows]

    assert complete(ANYONE) == [False, False, True]
    assert complete(MEMBER) == [False, True, True]
    assert complete(ADMIN) == [True, True, True]


# -- organizations


ACME = "namespaces/acme.json"


def test_an_organization_gives_each_member_the_highest_of_their_roles(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({ACME: {"namespace": "acme", "owners": ["ada"], "writers": ["bob", "ada"], "readers": ["bob"]}})
    catalog.commit({"namespaces/bob.json": {"namespace": "bob"}})
    assert model.roles("ada") == {"acme": Role.OWNER}
    assert model.roles("bob") == {"acme": Role.WRITER, "bob": Role.NONE}
    assert model.members("acme") == {"ada": Role.OWNER, "bob": Role.WRITER}
    assert [row.document["namespace"] for row in model.organizations(1, 20).rows] == ["acme", "bob"]
    catalog.commit({ACME: {"namespace": "acme", "owners": ["bob"]}})
    assert (model.roles("ada"), model.members("acme")) == ({}, {"bob": Role.OWNER})
    catalog.commit({ACME: None})
    assert (model.organization("acme"), model.roles("bob")) == (None, {"bob": Role.NONE})


@pytest.mark.parametrize(
    "content",
    [b"{", [], {}, {"namespace": "x"}, {"namespace": "acme", "owners": "ada"}, {"namespace": "acme", "readers": [1]}],
)
def test_an_organization_that_cannot_be_read_is_there_without_members_and_reported(
    catalog: Catalog, model: ReadModel, content: object
) -> None:
    catalog.commit({ACME: {"namespace": "acme", "owners": ["ada"]}})
    catalog.commit({ACME: content})
    assert model.organization("acme") is not None
    assert (model.members("acme"), model.roles("ada")) == ({}, {})
    assert [fault.path for fault in model.faults()] == [ACME]
    catalog.commit({ACME: {"namespace": "acme", "owners": ["ada"]}})
    assert (model.roles("ada"), model.faults()) == ({"acme": Role.OWNER}, [])


# -- batches of activity


def test_a_list_is_counted_once_for_each_commit_and_for_who_sees_the_same(catalog: Catalog, model: ReadModel) -> None:
    statements: list[str] = []
    with model._connections.reader() as connection:  # the one that is used next, too
        connection.set_trace_callback(statements.append)

    def counted() -> int:
        number = sum(statement.startswith("SELECT count") for statement in statements)
        statements.clear()
        return number

    catalog.commit({WEB: document(), path_of("acme/secret"): document("acme/secret", is_public=False)})
    assert [len(listed(model)) for _ in range(3)] == [1, 1, 1]
    assert counted() == 1
    assert [len(listed(model, ADMIN)) for _ in range(3)] == [2, 2, 2]
    assert counted() == 1
    assert [listed(model, namespace="acme"), listed(model, namespace="none")] == [["acme/web"], []]
    assert counted() == 2
    catalog.commit({WEB: document(is_public=False)})
    assert (listed(model), len(listed(model, ADMIN))) == ([], 2)
    assert counted() == 2


def test_the_newest_batch_that_the_documents_count_comes_with_each_of_them(catalog: Catalog, model: ReadModel) -> None:
    assert model.batch() == 0
    catalog.commit({WEB: document()})
    for batch in (1, 2):
        message = f"Count\n\nActivity-Batch: {batch}\nRequest-Id: x"
        catalog.commit({WEB: document(repo_starred_count=batch)}, message=message, author="catalogd")
    assert model.get("acme", "web").batch == model.batch() == 2
    assert model.list(None, None, None, (), None, ANYONE, 1, 20).batch == 2


@pytest.mark.parametrize(
    ("author", "message"),
    [
        ("Ada", "Count\n\nActivity-Batch: 1"),
        ("catalogd", "Talk of Activity-Batch: 1"),
        ("catalogd", "Count\n\nActivity-Batch: 1\n\nRequest-Id: x"),
        ("catalogd", "Count\n\nActivity-Batch: 2"),
        ("catalogd", "Count\n\nActivity-Batch: 999999999999999999"),
        ("catalogd", "Count\n\nActivity-Batch: 0"),
    ],
)
def test_a_batch_that_somebody_has_made_up_counts_for_nothing(
    catalog: Catalog, model: ReadModel, author: str, message: str
) -> None:
    catalog.commit({WEB: document()}, message=message, author=author)
    assert model.batch() == 0
    catalog.commit({WEB: document(download=1)}, message="Count\n\nActivity-Batch: 1", author="catalogd")
    assert model.batch() == 1


def test_a_list_can_be_limited_to_some_repositories(catalog: Catalog, model: ReadModel) -> None:
    names = ("acme/web", "acme/db", "other/web")
    catalog.commit({path_of(name): document(name, is_public=name != "acme/db") for name in names})
    among = [("acme", "db"), ("other", "web"), ("none", "web")]
    assert listed(model, ANYONE, among=among) == ["other/web"]
    assert listed(model, MEMBER, among=among) == ["acme/db", "other/web"]
    assert listed(model, ADMIN, among=[]) == []


def test_a_commit_in_a_list_shows_the_first_of_its_many_changes(catalog: Catalog, model: ReadModel) -> None:
    names = [f"acme/r{number:03d}" for number in range(CHANGES_SHOWN + 5)]
    catalog.commit({path_of(name): document(name, is_public=name != "acme/r000") for name in names})
    entry = model.commits(ANYONE, 1, 20).rows[0]
    assert (len(entry.changes), entry.changes[0].repo_name, entry.complete) == (CHANGES_SHOWN, "r001", False)
    count, rows, _ = model.changes_of(1, ANYONE, 2, CHANGES_SHOWN)
    assert (count, len(rows)) == (CHANGES_SHOWN + 4, 4)
    assert model.changes_of(1, MEMBER, 1, 1).count == CHANGES_SHOWN + 5


_STEPS = st.lists(
    st.tuples(st.sampled_from(["acme/web", "acme/db", "other/web"]), st.sampled_from([True, False, None]))
)


@settings(deadline=None)
@given(steps=_STEPS)
def test_what_commits_shows_is_what_the_definition_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bool | None]]
) -> None:
    model = ReadModel(tmp_path_factory.mktemp("model") / "readmodel.db")
    catalog = Catalog(model)
    done: list[tuple[str, bool | None]] = []
    for name, public in steps:
        if public is None and path_of(name) not in catalog.files:
            continue
        content = None if public is None else document(name, is_public=public, download=len(done))
        catalog.commit({path_of(name): content})
        done.append((name, public))
    for sees in (ANYONE, MEMBER, ADMIN):
        expected = [seq for seq in range(len(done), 0, -1) if _may_see(done, seq, sees)]
        count, rows, _ = model.commits(sees, 1, 1000)
        assert ([row.seq for row in rows], count) == (expected, len(expected))
        paged = [model.commits(sees, page, 1).rows[0].seq for page in range(1, count + 1)]
        assert paged == expected
    model.close()


def _may_see(done: list[tuple[str, bool | None]], seq: int, sees: Sees) -> bool:
    """By the definition: never private from this change on. A deletion does not tell; what was there before does."""
    name = done[seq - 1][0]
    if sees.everything or name.split("/")[0] in sees.namespaces:
        return True
    before = [public for other, public in done[: seq - 1] if other == name and public is not None]
    since = [public for other, public in done[seq - 1 :] if other == name]
    return all(public is not False for public in [*(before[-1:] if since[0] is None else []), *since])


# -- points in history


def test_a_commit_is_found_by_the_beginning_of_its_id(catalog: Catalog, model: ReadModel) -> None:
    commit = catalog.commit({WEB: document()})
    assert model.resolve(commit) == model.resolve(commit[:7].upper()) == (1, commit)
    with pytest.raises(NotFound):
        model.resolve("0" * 40)
    for prefix in (commit[:6], "HEAD", "main~1", commit + "0" * 40, "", "1234567\n"):
        with pytest.raises(Malformed):
            model.resolve(prefix)


def test_an_ambiguous_beginning_is_refused(model: ReadModel) -> None:
    with model.writing() as writer:
        for end in "ab":
            writer.record(Commit("1234567" + end * 33, "", "", "", "", "", ()), pytest.fail)
    with pytest.raises(Malformed, match="More than one"):
        model.resolve("1234567")
    assert model.resolve("1234567b").seq == 2


def test_a_time_means_the_newest_commit_not_after_it_also_when_clocks_jumped(
    catalog: Catalog, model: ReadModel
) -> None:
    for day in ("01", "09", "03", "05", "04"):
        catalog.commit({WEB: document(description=day)}, at=f"2024-01-{day}T00:00:00.000Z")

    def seq(day: str) -> int | None:
        found = model.at_time(f"2024-01-{day}T12:00:00.000Z")
        return None if found is None else found.seq

    assert model.at_time("2023-12-31T23:59:59.999Z") is None
    assert [seq(day) for day in ("01", "02", "03", "04", "05", "30")] == [1, 1, 3, 5, 5, 5]


def test_the_state_of_a_file_is_known_for_every_commit(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({})
    catalog.commit({WEB: document()})
    first = catalog.files[WEB]
    catalog.commit({WEB: document(description="new")})
    second = catalog.files[WEB]
    catalog.commit({WEB: None})
    assert [model.state_at(seq, WEB) for seq in range(1, 6)] == [None, first, second, None, None]


def test_a_list_in_the_past_has_what_was_readable_then_and_is_now(catalog: Catalog, model: ReadModel) -> None:
    public_at_1 = {
        "acme/both": True,
        "acme/only-then": True,
        "acme/only-now": False,
        "acme/gone": True,
        "b/same": True,
    }
    catalog.commit({path_of(name): document(name, is_public=public) for name, public in public_at_1.items()})
    then = dict(catalog.files)
    catalog.commit(
        {
            path_of("acme/both"): document("acme/both", description="new"),
            path_of("acme/only-then"): document("acme/only-then", is_public=False),
            path_of("acme/only-now"): document("acme/only-now"),
            path_of("acme/gone"): None,
            path_of("acme/later"): document("acme/later"),
        }
    )
    count, rows, _ = model.paths_at(1, None, ANYONE, 1, 20)
    assert (count, rows) == (
        3,
        [(path_of(name), then[path_of(name)]) for name in ("acme/both", "acme/gone", "b/same")],
    )
    assert model.paths_at(1, "acme", ANYONE, 1, 20).count == 2
    assert [row[0] for row in model.paths_at(1, "acme", MEMBER, 2, 3).rows] == [path_of("acme/only-then")]
    assert model.paths_at(1, None, ADMIN, 1, 20).count == 5
    assert model.paths_at(2, None, ANYONE, 1, 20).count == 4


def test_net_changes_leave_out_what_came_back_to_what_it_was(catalog: Catalog, model: ReadModel) -> None:
    db = path_of("acme/db")
    catalog.commit({WEB: document(), db: document("acme/db")})
    before = dict(catalog.files)
    catalog.commit({WEB: document(description="x"), db: document("acme/db", description="x")})
    catalog.commit({WEB: document(is_public=False), db: document("acme/db")})
    after = dict(catalog.files)
    assert [change[:5] for change in model.net_changes(1, 3, ANYONE)] == [(WEB, before[WEB], after[WEB], True, False)]
    assert [change[:5] for change in model.net_changes(3, 1, ANYONE)] == [(WEB, after[WEB], before[WEB], False, True)]
    assert [(change.path, change.old) for change in model.net_changes(0, 1, ANYONE)] == [(db, None), (WEB, None)]
    assert model.net_changes(2, 2, ANYONE) == []


def test_history_has_the_proposal_of_a_commit_and_who_approved_it(catalog: Catalog, model: ReadModel) -> None:
    created = catalog.commit({WEB: document()})
    line = catalog.commit({WEB: document(description="a")}, of_proposal=(7, None, ("bert", "b\udcff")))
    merge = catalog.commit({WEB: document(description="a", logo="l.png")}, of_proposal=(7, "c" * 40, ()))
    told = {created: (None, []), line: (7, ["bert", "b?"]), merge: (7, [])}
    history, commits = model.history(WEB, 0, ANYONE, 1, 10).rows, model.commits(ANYONE, 1, 10).rows
    assert {entry.commit: (entry.proposal, entry.reviewed_by) for entry in history} == told
    assert {entry.id: (entry.proposal, entry.reviewed_by) for entry in commits} == told
    blame = model.blame(WEB, 0, ANYONE)
    assert {b.commit: (b.proposal, b.reviewed_by) for b in blame.values()} == told
    for span, last in ((0, 1), created), ((1, 2), line), ((2, 3), merge), ((3, 2), merge), ((0, 3), merge):
        (change,) = model.net_changes(*span, ANYONE)
        assert (change.last.commit, change.last.proposal, change.last.reviewed_by) == (last, *told[last])


def test_who_approved_what_the_caller_does_not_see_all_of_is_not_told(catalog: Catalog, model: ReadModel) -> None:
    secret = path_of("hidden/db")
    catalog.commit({WEB: document(), secret: document("hidden/db", is_public=False)})
    files = {WEB: document(logo="l.png"), secret: document("hidden/db", is_public=False, logo="l.png")}
    catalog.commit(files, of_proposal=(7, "c" * 40, ("bert", "olga")))
    readers = Sees(namespaces=frozenset({"hidden"}))
    for sees, told in (
        (ANYONE, (None, [])),
        (MEMBER, (None, [])),
        (readers, (7, ["bert", "olga"])),
        (ADMIN, (7, ["bert", "olga"])),
    ):
        blame = model.blame(WEB, 0, sees)["/logo"]
        (change,) = [change for change in model.net_changes(1, 2, sees) if change.path == WEB]
        assert [(each.proposal, each.reviewed_by) for each in (blame, change.last)] == [told, told]
        assert blame.author == "Ada"


def test_a_merge_is_found_by_any_of_the_heads_of_its_proposal(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({WEB: document()})
    catalog.commit({WEB: document(description="a")}, of_proposal=(7, None, ()))
    merge = catalog.commit({WEB: document(description="b")}, of_proposal=(7, "c" * 40, ("bert",)))
    catalog.commit({WEB: document(description="c")}, of_proposal=(8, "d" * 40, ()))
    assert model.merge_of(7, ["a" * 40, "c" * 40]) == merge
    assert model.merge_of(7, ["a" * 40]) is None
    assert model.merge_of(7, []) is None


def test_what_another_proposal_stands_on_is_not_its_merge(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({WEB: document()})
    catalog.commit({WEB: document(description="b")}, of_proposal=(7, "c" * 40, ("bert",)))
    # Its first revision was the head of the other.
    assert model.merge_of(8, ["c" * 40, "d" * 40]) is None


def test_a_merge_is_looked_for_in_an_index(catalog: Catalog, file: Path) -> None:
    catalog.commit({WEB: document()})
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT id FROM commit_ WHERE proposal_head IN (SELECT value FROM json_each('[]')) ORDER BY seq LIMIT 1"
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
    assert "commit_by_proposal_head" in plan


def test_blame_names_the_newest_commit_of_each_field_since_the_document_came_back(
    catalog: Catalog, model: ReadModel
) -> None:
    catalog.commit({WEB: document()})
    catalog.commit({WEB: document(description="before the deletion")})
    catalog.commit({WEB: None})
    assert model.blame(WEB, 0, ANYONE) == {}
    restored = catalog.commit({WEB: document()})
    described = catalog.commit({WEB: document(description="a", logo="l.png")})
    drawn = catalog.commit({WEB: document(description="a", logo="m.png")})
    blame = model.blame(WEB, 0, ANYONE)
    assert {pointer: by.commit for pointer, by in blame.items()} == {
        "": restored,
        "/description": described,
        "/logo": drawn,
    }
    assert blame[""].author == "Ada"
    assert {pointer: by.commit for pointer, by in model.blame(WEB, 5, ANYONE).items()} == {
        "": described,
        "/logo": drawn,
    }
    assert model.blame("data/acme/none.json", 0, ANYONE) == {}


# -- writing


def test_a_failed_write_leaves_nothing(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({WEB: document()})
    with pytest.raises(RuntimeError), model.writing() as writer:
        writer.remove(WEB)
        writer.clear()
        raise RuntimeError
    assert listed(model, search="web") == ["acme/web"]
    with model.writing() as writer:
        assert (writer.seq, writer.mirrored) == (1, model.mirrored())


def test_only_the_newest_recorded_commit_can_be_mirrored(model: ReadModel) -> None:
    with pytest.raises(ValueError, match="newest"), model.writing() as writer:
        writer.mirror("0" * 40)


def test_a_load_puts_what_single_writes_put(catalog: Catalog, model: ReadModel, tmp_path: Path) -> None:
    names = [f"n{number % 4}/r{number}" for number in range(50)]
    files = {path_of(name): document(name, description=f"about {name}", labels={"a": "b"}) for name in names}
    back = path_of("n1/r1")
    commits = (
        {WEB: document(description="not in the load"), path_of("acme/bad"): b"{", "namespaces/n1.json": b"{}"},
        {**files, WEB: None},
        {back: document("n1/r1", description="other"), path_of("n2/r2"): None},
        {back: files[back], path_of("n3/r3"): document("n3/r3", description="load", is_public=False)},
    )
    for files_of_commit in commits:
        catalog.commit(files_of_commit)
    other = ReadModel(tmp_path / "other.db")
    loaded = Catalog(other)
    loaded.blobs = catalog.blobs
    with other.writing() as writer, writer.loading(catalog.files) as left:
        for files_of_commit in commits:
            loaded.record(writer, files_of_commit)
        assert len(left()) < 6  # most are there already
        for path, blob in left().items():
            writer.put(path, blob, catalog.blobs[blob])
        writer.mirror(catalog.newest)
    for query in (
        {},
        {"search": "about"},
        {"search": "load"},
        {"labels": (("a", "b"),)},
        {"ordering": "-download"},
        {"ordering": "updated_at"},
    ):
        assert listed(model, **query) == listed(other, **query)
    for name in ("n1/r1", "n2/r2", "n3/r3", "acme/web"):
        assert model.get(*name.split("/")) == other.get(*name.split("/"))
    assert model.faults() == other.faults()
    other.close()


def test_clear_forgets_history_too(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({WEB: document(description="old")})
    with model.writing() as writer:
        writer.clear()
        assert writer.seq == 0
    assert model.stats() == (None, 0, 0, 0)
    catalog.files.clear()
    catalog.commit({WEB: document()})
    assert (actions(model), listed(model, search="old")) == (["created"], [])


# -- the file


def test_the_file_is_for_its_owner_alone(catalog: Catalog, file: Path) -> None:
    catalog.commit({WEB: document()})
    files = list(file.parent.glob("readmodel.db*"))
    assert len(files) == 3
    assert {stat.S_IMODE(found.stat().st_mode) for found in files} == {0o600}


def test_readers_see_the_state_before_while_a_write_is_under_way(catalog: Catalog, model: ReadModel) -> None:
    first = catalog.commit({WEB: document()})
    with model.writing() as writer:
        catalog.record(writer, {WEB: None})
        writer.remove(WEB)
        writer.mirror(catalog.newest)
        assert listed(model) == ["acme/web"]
        assert model.mirrored() == first
    assert listed(model) == []


def test_several_read_models_share_a_file(catalog: Catalog, model: ReadModel, file: Path) -> None:
    other = ReadModel(file)
    commit = catalog.commit({WEB: document()})
    assert (other.mirrored(), listed(other)) == (commit, ["acme/web"])
    with other.writing() as writer:
        assert (writer.mirrored, writer.seq) == (commit, 1)
        catalog.record(writer, {WEB: None})
        writer.remove(WEB)
        writer.mirror(catalog.newest)
    assert listed(model) == []
    other.close()


def test_a_read_model_survives_its_process(catalog: Catalog, model: ReadModel, file: Path) -> None:
    commit = catalog.commit({WEB: document()})
    model.close()
    other = ReadModel(file)
    assert (other.mirrored(), listed(other)) == (commit, ["acme/web"])
    other.close()


def test_rows_and_commit_are_of_one_state_under_a_writer(catalog: Catalog, model: ReadModel) -> None:
    commits = {catalog.commit({WEB: document(download=0)}): 0}
    seen: list[tuple[str | None, object]] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            row = model.get("acme", "web")
            page = model.list(None, None, None, (), "-download", ANYONE, 1, 20)
            assert row is not None
            seen.extend([(row.commit, row.document["download"]), (page.commit, page.rows[0]["download"])])

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(1, 100):
        commits[catalog.commit({WEB: document(download=number)})] = number
    stop.set()
    for reader in readers:
        reader.join()
    assert all(commits[commit] == download for commit, download in seen if commit is not None)
    assert seen


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_file_that_is_no_database_is_replaced_by_an_empty_one(
    file: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(content)
    model = ReadModel(file)
    assert model.mirrored() is None
    assert "deleting it" in caplog.text
    Catalog(model).commit({WEB: document()})
    assert listed(model) == ["acme/web"]
    model.close()


@pytest.mark.parametrize("statement", ["PRAGMA user_version = 99", "PRAGMA application_id = 1"])
def test_a_file_of_another_format_is_replaced_by_an_empty_one(
    catalog: Catalog, model: ReadModel, file: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    catalog.commit({WEB: document()})
    model.close()
    with sqlite3.connect(file) as connection:
        connection.execute(statement)
    connection.close()
    model = ReadModel(file)
    assert model.stats() == (None, 0, 0, 0)
    assert "has format" in caplog.text
    model.close()


def test_damage_that_shows_later_ends_in_an_empty_read_model(catalog: Catalog, model: ReadModel, file: Path) -> None:
    for number in range(200):
        catalog.commit({path_of(f"acme/r{number}"): document(f"acme/r{number}", full_description="x" * 500)})
    model.close()
    with file.open("r+b") as damaged:
        damaged.seek(40 * 4096)
        damaged.write(b"\xee" * (file.stat().st_size - 40 * 4096))
    model = ReadModel(file)
    with pytest.raises(Unavailable):
        for number in range(200):
            model.get("acme", f"r{number}")
    assert model.mirrored() is None
    Catalog(model).commit({WEB: document()})
    assert listed(model, search="web") == ["acme/web"]
    model.close()


def test_a_file_that_cannot_be_opened_is_unavailable_for_every_query(
    catalog: Catalog, model: ReadModel, file: Path
) -> None:
    catalog.commit({WEB: document()})
    model.close()
    assert model.get("acme", "web") is not None
    model._connections._current()._close_idle()
    for found in file.parent.glob("readmodel.db*"):
        found.unlink()
    file.mkdir()
    for ask in (lambda: model.get("acme", "web"), lambda: model.tags("acme", "web"), lambda: listed(model)):
        with pytest.raises(Unavailable):
            ask()


def test_a_writer_leaves_a_file_that_another_process_has_replaced(
    catalog: Catalog, model: ReadModel, file: Path
) -> None:
    catalog.commit({WEB: document()})
    for found in file.parent.glob("readmodel.db*"):
        found.unlink()
    other = ReadModel(file)
    with model.writing() as writer:
        assert (writer.mirrored, writer.seq) == (None, 0)
    catalog.files.clear()
    commit = catalog.commit({WEB: document()})
    assert model.mirrored() == other.mirrored() == commit
    model.close()
    assert listed(other) == ["acme/web"]
    other.close()


def test_more_readers_than_are_kept_leave_no_open_files(catalog: Catalog, model: ReadModel) -> None:
    catalog.commit({WEB: document()})
    barrier = threading.Barrier(30)

    def read() -> None:
        barrier.wait()
        for _ in range(20):
            assert model.get("acme", "web") is not None

    threads = [threading.Thread(target=read) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    model.close()
    held = [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    ]
    assert not [name for name in held if "readmodel.db" in name]
