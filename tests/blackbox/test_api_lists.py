"""Lists: pages, orderings, filters, search, now and at an old commit."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, urlencode

import pytest
from served_catalog import (
    Client,
    Served,
    assert_problem,
    newest,
    pages,
    pointers,
    wait_for,
)


@pytest.fixture(scope="module")
def many(shared: Served) -> str:
    """A namespace of 7 repositories whose fields differ in the ways that lists are sorted and filtered by."""
    lines = []
    for number in range(7):
        day = f"2020-01-0{number + 1}T00:00:00.000Z"
        lines.append(
            {
                "namespace": "many",
                "repo_name": "abcdefg"[(number * 3) % 7],
                "description": f"The {number}. of them",
                "full_description": "# On whales\n\nwith plankton" if number == 3 else "",
                "is_public": number != 6,
                "labels": {"team": "web" if number % 2 else "data", f"n{number}": "x", "eq": "a=b"},
                "created_at": day,
                "updated_at": day.replace("2020", f"202{number % 4}"),
                "download": number * 100 % 7,
                "repo_starred_count": 5 - number if number < 6 else 0,
                **({"pushed_at": day} if number % 3 else {}),
            }
        )
    done = shared.run("import", "-", stdin="".join(json.dumps(line) + "\n" for line in lines).encode())
    assert done.status == 0, done.err
    client = shared.client()
    wait_for(lambda: client.get("/v1/repositories/many").json["count"] == 7, 5, "the import is served")
    return "/v1/repositories/many"


def test_lists_are_paged_with_absolute_links(shared: Served, admin: Client, many: str) -> None:
    first = admin.get(f"{many}?page_size=3&ordering=-download")
    page = first.json
    assert (page["count"], len(page["results"]), page["previous"]) == (7, 3, None)
    assert page["next"].startswith(shared.url + "/")
    assert first.headers["link"] == f'<{page["next"]}>; rel="next"'
    second = admin.get(page["next"].removeprefix(shared.url))
    assert second.json["previous"].startswith(shared.url)
    assert set(re.findall(r'rel="(\w+)"', second.headers["link"])) == {"next", "prev"}
    third = admin.get(second.json["next"].removeprefix(shared.url))
    assert (len(third.json["results"]), third.json["next"]) == (1, None)
    whole = admin.get(f"{many}?ordering=-download").json["results"]
    assert list(pages(admin, f"{many}?page_size=3&ordering=-download")) == whole
    assert admin.get(second.json["previous"].removeprefix(shared.url)).json["results"] == whole[:3]
    assert_problem(admin.get(f"{many}?page_size=3&page=4"), 404)


def test_forged_forwarding_headers_do_not_reach_the_links(shared: Served, admin: Client, many: str) -> None:
    forged = {
        "X_Forwarded_Host": "evil.example",
        "X_Forwarded_Proto": "gopher",
        "Forwarded": "host=evil.example",
    }
    assert "evil" not in admin.get(f"{many}?page_size=1", **forged).body.decode()


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=x",
        "page=1.0",
        "page=%2B1",
        "page=",
        "page=01",
        "page_size=0",
        "page_size=101",
        "page_size=10000",
        "ordering=nonsense",
        "ordering=--download",
        "ordering=",
        "is_public=maybe",
        "label==x",
        "at=zzz",
        "at=2020-13-01T00:00:00Z",
        "at=2020-01-01",
        "at=abcdef",
        "unknown=1",
        "page=1&page=2",
        "search=%ff",
        "search=%zz",
        "at=-x",
        "search=" + "x" * 201,
        "namespace=other",
        "at=%E2%91%A0234567",
    ],
)
def test_a_malformed_parameter_is_400_that_names_it(admin: Client, many: str, query: str) -> None:
    problem = assert_problem(admin.get(f"{many}?{query}"), 400, "malformed")
    if "%ff" not in query and "%zz" not in query:
        assert query.partition("=")[0] in pointers(problem)


def test_a_page_far_past_the_end_is_404(admin: Client, many: str) -> None:
    for page in (2, 10**9, 10**17):
        assert_problem(admin.get(f"{many}?page={page}"), 404)


def test_a_namespace_without_repositories_is_an_empty_list(admin: Client) -> None:
    reply = admin.get("/v1/repositories/nobody-at-all/")
    assert (reply.status, reply.json) == (200, {"count": 0, "next": None, "previous": None, "results": []})


@pytest.mark.parametrize(
    "field", ["repo_name", "created_at", "updated_at", "pushed_at", "download", "repo_starred_count"]
)
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("past", [False, True], ids=["now", "at"])
def test_lists_are_sorted_by_every_ordering_both_ways(
    admin: Client, many: str, field: str, sign: str, past: bool
) -> None:
    at = f"&at={newest(admin)}" if past else ""
    rows = admin.get(f"{many}?ordering={sign}{field}{at}").json["results"]
    values = [row[field] for row in rows]
    given = [value for value in values if value is not None]
    assert len(rows) == 7
    assert given == sorted(given, reverse=bool(sign))
    assert values == given + [None] * (7 - len(given))
    tied = [[row["repo_name"] for row in rows if row[field] == value] for value in values]
    assert all(names == sorted(names, reverse=bool(sign)) for names in tied), "the name goes the same way"


@pytest.mark.parametrize("past", [False, True], ids=["now", "at"])
def test_lists_are_filtered_by_labels_and_visibility(admin: Client, many: str, past: bool) -> None:
    at = f"&at={newest(admin)}" if past else ""

    def count(**query: str | list[str]) -> int:
        return admin.get(f"{many}?{urlencode(query, doseq=True)}{at}").json["count"]

    assert count(label="team") == 7
    assert count(label="team=web") == 3
    assert count(label=["team=web", "n1"]) == 1
    assert count(label=["team=web", "n2"]) == 0
    assert count(label="eq=a=b") == 7
    assert count(label="team=") == 0
    assert count(label="TEAM") == 0
    assert count(label="no'such\"label") == 0
    assert count(is_public="true") == 6
    assert count(is_public="false") == 1
    assert count(is_public="false", label="team=web") == 0


@pytest.mark.parametrize("past", [False, True], ids=["now", "at"])
def test_a_search_finds_words_in_names_and_texts_whatever_its_punctuation(admin: Client, many: str, past: bool) -> None:
    at = f"&at={newest(admin)}" if past else ""

    def found(text: str) -> int:
        reply = admin.get(f"{many}?search={quote(text)}{at}")
        assert reply.status == 200, (text, reply.body)
        return reply.json["count"]

    assert found("plankton") == 1
    assert found("WHALES plankton") == 1
    assert found("whales nowhere") == 0
    assert found("") == 7
    assert found("them") == 7
    for odd in (
        '"',
        "'",
        "*",
        "a*",
        "NEAR(",
        "AND",
        "OR NOT",
        "-",
        "a:b",
        "(",
        "{x}",
        "^",
        "%",
        "\\",
        "é",
        "日本語",
        "' OR 1=1 --",
        "description:whales",
        "💥",
        "a" * 200,
    ):
        found(odd)


def test_the_list_of_all_namespaces_takes_the_same_parameters(admin: Client, many: str) -> None:
    everything = admin.get("/v1/repositories?page_size=1").json
    assert everything["count"] >= 7
    assert admin.get("/v1/repositories/?namespace=many&label=team%3Dweb").json["count"] == 3
    assert admin.get("/v1/repositories?search=plankton").json["results"][0]["repo_path"].startswith("many/")
    assert_problem(admin.get("/v1/repositories?namespace=..%2F"), 400)
