"""Names that a file system, git, a shell or a terminal would take for something else: each is a clear 4xx wherever a
name may stand, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from falcon import testing
from web_site import IMAGE, Site, problem

NAMES = {
    "dots": "..",
    "encoded dots": "%2e%2e%2f",
    "git's directory": ".git",
    "git's directory in capitals": ".GIT",
    "a short name of Windows": "git~1",
    "a zero-width character": ".g\u200cit",
    "a soft hyphen": "we\u00adb",
    "an option": "--upload-pack=id",
    "a newline at its end": "abc\n",
    "a newline": "a\nb",
    "capitals": "Foo",
    "a device": "con",
    "a device in capitals": "CON",
    "another device": "nul",
    "a device with an extension": "aux.txt",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "4 KB": "n" * 4096,
    "129 characters": "n" * 129,
    "a lock": "x.lock",
    "a repository": "x.git",
    "NUL": "a\0b",
    "an encoded NUL": "%00",
    "a document": "x.json",
    "a shell's": "$(id)",
    "an escape of terminals": "\x1b[31mred",
    "markup": "<img src=x onerror=alert(1)>",
    "a space": "a b",
    "a backslash": "a\\b",
    "an address": "javascript:alert(1)",
    "a slash": "a/b",
    "a number of other digits": "\u0661",
    "turned round": "a\u202eb",
}
# Where a name stands in a path, and the call that would write there.
IN_A_PATH: dict[str, Callable[[str], tuple[str, str, object]]] = {
    "namespace of a list": lambda name: ("GET", f"/v1/repositories/{name}", None),
    "namespace of a new repository": lambda name: ("POST", f"/v1/repositories/{name}", {"repo_name": "a"}),
    "repository": lambda name: ("PATCH", f"/v1/repositories/hostile/{name}", {"description": "x"}),
    "namespace": lambda name: ("PATCH", f"/v1/repositories/{name}/kept", {"description": "x"}),
    "repository to delete": lambda name: ("DELETE", f"/v1/repositories/hostile/{name}", None),
    "repository to star": lambda name: ("PUT", f"/v1/repositories/hostile/{name}/star", None),
    "organization": lambda name: ("PUT", f"/v1/namespaces/{name}", {"description": "x"}),
    "user": lambda name: ("PATCH", f"/v1/users/{name}", {"is_active": False}),
    "token": lambda name: ("DELETE", f"/v1/user/tokens/{name}", None),
    "commit": lambda name: ("POST", f"/v1/commits/{name}/revert", None),
    "proposal": lambda name: ("POST", f"/v1/proposals/{name}/merge", {}),
    "review": lambda name: ("POST", f"/v1/proposals/1/reviews/{name}/dismiss", {}),
    "registry's name": lambda name: ("GET", f"/v2/hostile/{name}/tags/list", None),
}
IN_A_BODY: dict[str, Callable[[str], tuple[str, str, object]]] = {
    "new repository": lambda name: ("POST", "/v1/repositories/hostile", {"repo_name": name}),
    "new organization": lambda name: ("POST", "/v1/namespaces", {"namespace": name}),
    "member": lambda name: ("POST", "/v1/namespaces", {"namespace": "members", "owners": [name]}),
    "new user": lambda name: ("POST", "/v1/users", {"name": name}),
    "new token": lambda name: ("POST", "/v1/user/tokens", {"namespace": name}),
    "proposal": lambda name: (
        "POST",
        "/v1/proposals",
        {"title": "x", "changes": [{"namespace": "hostile", "repo_name": name, "document": {}}]},
    ),
    "rollback": lambda name: ("POST", "/v1/repositories/hostile/kept/rollback", {"commit": name}),
}


@pytest.fixture(scope="module")
def hostile(site: Site) -> Site:
    site.create("hostile/kept")
    return site


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_hostile_name_is_refused_wherever_it_stands_and_nothing_is_written(hostile: Site, name: str) -> None:
    before = written(hostile)
    for place, call in IN_A_PATH.items():
        method, path, body = call(quote(name, safe=""))
        refused(hostile.client.simulate_request(method, path, json=body), place)
    for place, call in IN_A_BODY.items():
        method, path, body = call(name)
        refused(hostile.client.simulate_request(method, path, json=body), place)
    assert written(hostile) == before


@pytest.mark.parametrize(
    "tag", ["..", "-x", ".x", "a b", "a\n", "a" * 129, "%00", "\u200b", "caf\u00e9", "a/b", "$(id)", "<img>"], ids=ascii
)
def test_a_hostile_tag_is_refused_and_not_set(hostile: Site, tag: str) -> None:
    before = written(hostile)
    path = f"/v1/repositories/hostile/kept/tags/{quote(tag, safe='')}"
    refused(hostile.client.simulate_put(path, json={"image_id": IMAGE}), tag)
    assert written(hostile) == before


def test_of_two_names_that_differ_in_case_only_one_can_be(hostile: Site) -> None:
    reply = hostile.client.simulate_post("/v1/repositories/hostile", json={"repo_name": "KEPT"})
    assert problem(reply, 422) == ["/repo_name"]


def refused(reply: testing.Result, place: str) -> None:
    assert reply.status_code in (400, 404, 409, 422), (place, reply.status_code, reply.text)
    problem(reply, reply.status_code)
    assert len(reply.content) < 10_000, place
    assert "Traceback" not in reply.text, place


def written(site: Site) -> tuple[object, ...]:
    """The head of main, and how many users and tokens there are."""
    counts = (site.client.simulate_get(path).json["count"] for path in ("/v1/users", "/v1/user/tokens"))
    return site.catalog.health()["commit"], *counts
