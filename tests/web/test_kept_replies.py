"""What is kept of replies is never old, and never seen by who may not."""

from __future__ import annotations

import json

from web_site import Site, problem

from catalogd.accounts import Account
from catalogd.catalog import Caller, Catalog
from catalogd.documents import Stored
from catalogd.web.kept import Kept

ALICE = Caller(Account("alice", None, True, frozenset({"write"}), None), "elsewhere")
LIST = "/v1/repositories/{}"


def path_of(name: str) -> str:
    return f"/v1/repositories/{name}"


def listed(client, namespace: str) -> dict[str, dict]:
    return {row["repo_name"]: row for row in client.simulate_get(LIST.format(namespace)).json["results"]}


def test_what_is_read_again_is_the_same_to_the_byte(site: Site) -> None:
    site.create("kept/same", description='Ünïcode, 日本 and "quotes"', labels={"a": "b"})
    for path in (path_of("kept/same"), LIST.format("kept"), f"{LIST.format('kept')}?page_size=1"):
        first, second = (site.client.simulate_get(path) for _ in range(2))
        assert first.content == second.content
        assert first.content.endswith(b"}\n")
        assert first.headers["catalog-commit"] == second.headers["catalog-commit"]
    assert listed(site.client, "kept")["same"]["description"] == 'Ünïcode, 日本 and "quotes"'


def test_a_write_is_seen_by_the_next_read_whoever_has_made_it(site: Site, git) -> None:
    site.create("kept/written", description="0")
    root = site.catalog.store.root
    other = Catalog.open(root)
    try:
        for number in range(1, 4):
            before = site.anonymous.simulate_get(path_of("kept/written"))
            site.client.simulate_patch(path_of("kept/written"), json={"description": str(number)})
            after = site.anonymous.simulate_get(path_of("kept/written"))
            assert after.json["description"] == str(number) == listed(site.anonymous, "kept")["written"]["description"]
            assert after.headers["etag"] != before.headers["etag"]
            other.update(ALICE, "kept", "written", {"description": f"elsewhere {number}"}, patch=True)
            assert site.anonymous.simulate_get(path_of("kept/written")).json["description"] == f"elsewhere {number}"
            assert listed(site.anonymous, "kept")["written"]["description"] == f"elsewhere {number}"
            file = root / "data/kept/written.json"
            document = json.loads(file.read_text())
            document["description"] = f"by hand {number}"
            file.write_text(json.dumps(document, indent=2) + "\n")
            git(root, "commit", "-q", "--no-verify", "-m", "By hand", "data/kept/written.json")
            assert site.anonymous.simulate_get(path_of("kept/written")).json["description"] == f"by hand {number}"
            assert listed(site.anonymous, "kept")["written"]["description"] == f"by hand {number}"
    finally:
        other.close()


def test_what_was_kept_is_not_shown_once_it_is_private(site: Site) -> None:
    site.create("kept/hidden", description="seen by all")
    reader = site.user("kept-reader")
    for client in (site.anonymous, reader, site.client):
        assert client.simulate_get(path_of("kept/hidden")).json["description"] == "seen by all"
        assert "hidden" in listed(client, "kept")
    site.client.simulate_patch(path_of("kept/hidden"), json={"is_public": False})
    tag = site.client.simulate_get(path_of("kept/hidden")).headers["etag"]
    assert "hidden" in listed(site.client, "kept")
    for client in (site.anonymous, reader):
        problem(client.simulate_get(path_of("kept/hidden")), 404)
        problem(client.simulate_get(path_of("kept/hidden"), headers={"If-None-Match": tag}), 404)
        assert "hidden" not in listed(client, "kept")


def test_a_star_of_ones_own_is_shown_to_oneself_only_and_the_number_to_all(site: Site) -> None:
    site.create("kept/starred")
    fan = site.user("kept-fan")
    plain = site.anonymous.simulate_get(path_of("kept/starred"))
    assert fan.simulate_put(f"{path_of('kept/starred')}/star").status_code == 204
    mine, other = fan.simulate_get(path_of("kept/starred")), site.anonymous.simulate_get(path_of("kept/starred"))
    assert (mine.json["is_repo_starred"], mine.json["repo_starred_count"]) == (True, 1)
    assert (other.json["is_repo_starred"], other.json["repo_starred_count"]) == (False, 1)
    assert listed(site.anonymous, "kept")["starred"]["repo_starred_count"] == 1
    assert len({reply.headers["etag"] for reply in (plain, mine, other)}) == 3
    fan.simulate_delete(f"{path_of('kept/starred')}/star")
    assert site.anonymous.simulate_get(path_of("kept/starred")).content == plain.content
    assert site.anonymous.simulate_get(path_of("kept/starred")).headers["etag"] == plain.headers["etag"]


def test_who_has_the_newest_one_is_told_so_and_who_has_an_old_one_gets_it(site: Site) -> None:
    site.create("kept/conditional", description="old")
    old = site.anonymous.simulate_get(path_of("kept/conditional"))
    same = site.anonymous.simulate_get(path_of("kept/conditional"), headers={"If-None-Match": old.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    site.client.simulate_patch(path_of("kept/conditional"), json={"description": "new"})
    new = site.anonymous.simulate_get(path_of("kept/conditional"), headers={"If-None-Match": old.headers["etag"]})
    assert (new.status_code, new.json["description"]) == (200, "new")


def test_a_document_without_times_that_comes_back_has_those_of_its_return(site: Site, git) -> None:
    """The same blob, and still not the same reply."""
    root = site.catalog.store.root
    file = root / "data/kept/timeless.json"
    file.parent.mkdir(exist_ok=True)
    seen = []
    for number, description in enumerate(("one", "two", "one")):
        file.write_text(
            json.dumps({"namespace": "kept", "repo_name": "timeless", "description": description}, indent=2) + "\n"
        )
        git(root, "add", "data/kept/timeless.json")
        when = f"2020-01-0{number + 1}T00:00:00Z"
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        git(root, "commit", "-q", "--no-verify", "-m", "By hand", "data/kept/timeless.json", env=dates)
        reply = site.anonymous.simulate_get(path_of("kept/timeless"))
        seen.append(reply.json["updated_at"])
        assert listed(site.anonymous, "kept")["timeless"]["updated_at"] == seen[-1]
    assert seen == [f"2020-01-0{number}T00:00:00.000Z" for number in (1, 2, 3)]


def test_no_more_is_kept_than_may_be() -> None:
    made = []

    def represent(document) -> object:
        made.append(int(document["description"]))
        return {"shown": document["description"]}

    def stored(number: int) -> Stored:
        return Stored(("a", str(number)), json.dumps({"description": f"{number:020}"}).encode())

    one = len(stored(1).text) + len(b'{"shown":"%020d"}' % 1)
    kept = Kept(represent, most=10 * one)
    for number in [*range(10), *range(10), 10, *range(11)]:
        assert json.loads(kept.json(stored(number))) == {"shown": f"{number:020}"}
    # Each eleventh was too many, and all before it went.
    assert made == [*range(10), 10, *range(10), 10]


def test_what_is_not_as_it_is_stored_is_made_each_time() -> None:
    kept = Kept(lambda document: document)
    assert [kept.json({"n": n}) for n in (1, 2, 1)] == [b'{"n":1}', b'{"n":2}', b'{"n":1}']
