"""`user`, `namespace`, `token` and `export` from the shell: the next reply of a server beside shows the change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_catalog import Client, Ran, Served, assert_problem, git

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"


@pytest.fixture
def users(shared: Served, name: str) -> Iterator[list[str]]:
    """Three users of the test's own."""
    made = [f"{name}-{who}" for who in ("ann", "bob", "eve")]
    for user in made:
        assert shared.run("user", "add", user).status == 0
    yield made


@pytest.fixture
def team(shared: Served, users: list[str], name: str) -> str:
    """An organization of the test's own, owned by the first of its users."""
    assert shared.run("namespace", "add", name, "--owner", users[0], "--description", "A team").status == 0
    return name


def said(done: Ran) -> str:
    """What a command that succeeds prints, on standard output alone."""
    assert (done.status, done.err) == (0, ""), done
    return done.out


def failed(done: Ran, *words: str) -> None:
    """Exit status 1, and one line on standard error that says why."""
    assert done.status == 1, done
    assert done.out == ""
    assert done.err.startswith("catalogd: ")
    assert all(word in done.err for word in words), done.err


def test_a_user_is_added_changed_listed_and_removed(shared: Served, admin: Client, name: str) -> None:
    assert said(shared.run("user", "add", name, "--email", "n@example.org")) == ""
    assert admin.get(f"/v1/users/{name}").json["email"] == "n@example.org"
    failed(shared.run("user", "add", name), f"There is a user {name} already")

    assert said(shared.run("user", "change", name, "--email", "", "--inactive")) == ""
    shown = admin.get(f"/v1/users/{name}").json
    assert (shown["email"].startswith(f"{name}@users."), shown["is_active"]) == (True, False)
    assert said(shared.run("user", "change", name, "--active", "--admin")) == ""
    assert admin.get(f"/v1/users/{name}").json["is_admin"] is True
    [line] = [line for line in said(shared.run("user", "list")).splitlines() if line.startswith(f"{name} ")]
    assert line.endswith("  admin")

    assert said(shared.run("user", "remove", name)) == ""
    assert admin.get(f"/v1/users/{name}").status == 404
    failed(shared.run("user", "remove", name), "There is no user")
    failed(shared.run("user", "change", name, "--admin"), "There is no user")


def test_a_change_of_a_user_that_says_nothing_is_wrong_usage(shared: Served) -> None:
    done = shared.run("user", "change", "admin")
    assert done.status == 2
    assert "--email" in done.err
    failed(shared.run("user", "change", "admin", "--email", "no address"), "e-mail")


def test_a_user_who_is_not_active_is_refused_by_the_next_reply(shared: Served, name: str) -> None:
    client = shared.client(shared.user(name))
    assert client.get("/v1/user").status == 200
    shared.run("user", "change", name, "--inactive")
    assert_problem(client.get("/v1/user"), 401)
    shared.run("user", "change", name, "--active")
    assert client.get("/v1/user").status == 200


def test_a_password_from_standard_input_is_good_at_once(shared: Served, name: str) -> None:
    shared.run("user", "add", name)
    basic = shared.basic(name, PASSWORD)
    assert_problem(basic.get("/v1/user"), 401)
    assert said(shared.run("user", "password", name, "--password-stdin", stdin=f"{PASSWORD}\n".encode())) == ""
    assert basic.get("/v1/user").json["has_password"] is True
    failed(shared.run("user", "password", name, "--password-stdin", stdin=b"short\n"), "8 to 1024")
    assert basic.get("/v1/user").status == 200


def test_the_shell_may_remove_the_last_admin_and_make_another(new_catalog) -> None:
    served = new_catalog()
    assert said(served.run("user", "remove", "admin")) == ""
    assert_problem(served.client().get("/v1/user"), 401)
    token = served.user("root", "--admin", scope="admin")
    assert served.client(token).get("/v1/users").json["count"] == 1


def test_a_user_takes_over_a_namespace_with_repositories_only_on_purpose(
    shared: Served, admin: Client, one: str, name: str
) -> None:
    failed(shared.run("user", "add", name), "take_over")
    assert admin.get(f"/v1/users/{name}").status == 404
    assert said(shared.run("user", "add", name, "--take-over")) == ""
    assert admin.get(f"/v1/users/{name}").status == 200


def test_an_organization_is_added_shown_listed_and_removed(
    shared: Served, admin: Client, users: list[str], team: str
) -> None:
    head = git(shared.root, "rev-parse", "--short=12", "main").strip()
    shown = admin.get(f"/v1/namespaces/{team}")
    assert (shown.json["owners"], shown.json["description"]) == ([users[0]], "A team")
    assert shown.commit.startswith(head)
    assert said(shared.run("namespace", "show", team)) == f"{team}: A team\n  owners   {users[0]}\n"
    assert f"{team:24}  owners: 1  writers: 0  readers: 0  A team\n" in said(shared.run("namespace", "list"))
    failed(shared.run("namespace", "add", team, "--owner", users[0]), "already")
    failed(shared.run("user", "add", team), f"There is an organization {team} already")
    failed(shared.run("namespace", "add", users[0], "--owner", users[0]), f"There is a user {users[0]} already")

    admin.post(f"/v1/repositories/{team}", {"repo_name": "one"})
    failed(shared.run("namespace", "remove", team), "has 1 repository")
    admin.delete(f"/v1/repositories/{team}/one")
    assert said(shared.run("namespace", "remove", team)).startswith(f"{team} is gone, in commit ")
    assert admin.get(f"/v1/namespaces/{team}").status == 404
    for command in ("remove", "show"):
        failed(shared.run("namespace", command, team), f"There is no organization {team}")


@pytest.mark.parametrize(
    "arguments", [(), ("--owner", "nobody-at-all"), ("--owner", "Not Valid")], ids=["nobody", "no user", "no name"]
)
def test_an_organization_needs_an_owner_who_is_a_user(shared: Served, name: str, arguments: tuple[str, ...]) -> None:
    done = shared.run("namespace", "add", name, *arguments)
    assert done.status == (1 if arguments else 2)
    assert done.err
    failed(shared.run("namespace", "show", name), "There is no organization")


def test_a_role_that_is_granted_or_revoked_counts_in_the_next_reply(
    shared: Served, admin: Client, users: list[str], team: str
) -> None:
    bob = users[1]
    token = shared.run("token", "create", bob).out.strip()
    client = shared.client(token)
    admin.post(f"/v1/repositories/{team}", {"repo_name": "one", "is_public": False})
    path = f"/v1/repositories/{team}/one"
    assert client.get(path).status == 404
    assert f"{bob} is reader of {team} now, in commit " in said(shared.run("namespace", "grant", team, bob, "reader"))
    assert client.get(path).status == 200
    assert_problem(client.patch(path, {"description": "x"}), 403)
    said(shared.run("namespace", "grant", team, bob, "writer"))
    assert client.patch(path, {"description": "x"}).status == 200
    assert said(shared.run("namespace", "grant", team, bob, "writer")) == f"{bob} is writer of {team} already\n"
    shown = admin.get(f"/v1/namespaces/{team}").json
    assert (shown["writers"], shown["readers"]) == ([bob], [])
    assert f"{bob} is no member of {team} any more" in said(shared.run("namespace", "revoke", team, bob))
    assert client.get(path).status == 404
    assert said(shared.run("namespace", "revoke", team, bob)) == f"{bob} is no member of {team}\n"


def test_the_last_owner_stays_whatever_the_shell_says(
    shared: Served, admin: Client, users: list[str], team: str
) -> None:
    head = git(shared.root, "rev-parse", "main")
    failed(shared.run("namespace", "revoke", team, users[0]), "would have no owner")
    failed(shared.run("namespace", "grant", team, users[0], "reader"), "would have no owner")
    failed(shared.run("user", "remove", users[0]), "only owner", team)
    failed(shared.run("namespace", "grant", team, "nobody-at-all", "owner"), "must be users")
    failed(shared.run("namespace", "grant", f"{team}-none", users[0], "owner"), "no organization")
    assert shared.run("namespace", "grant", team, users[1], "boss").status == 2
    assert git(shared.root, "rev-parse", "main") == head
    assert admin.get(f"/v1/users/{users[0]}").status == 200

    said(shared.run("namespace", "grant", team, users[1], "owner"))
    assert said(shared.run("user", "remove", users[0])) == ""
    assert admin.get(f"/v1/namespaces/{team}").json["owners"] == [users[1]]


def test_codeowners_name_the_owners_of_each_namespace(
    shared: Served, admin: Client, users: list[str], team: str
) -> None:
    admin.post(f"/v1/repositories/{users[2]}", {"repo_name": "own"})
    said(shared.run("namespace", "grant", team, users[1], "owner"))
    lines = said(shared.run("namespace", "codeowners")).splitlines()
    assert lines[0].startswith("#")
    owners = f"@{users[0]} @{users[1]}"
    for line in (f"/data/{team}/ {owners}", f"/namespaces/{team}.json {owners}", f"/data/{users[2]}/ @{users[2]}"):
        assert line in lines


def test_an_export_of_what_is_public_has_nothing_else(shared: Served, admin: Client, name: str, tmp_path: Path) -> None:
    for repo_name, is_public in (("open", True), ("secret", False)):
        admin.post(f"/v1/repositories/{name}", {"repo_name": repo_name, "is_public": is_public})

    def exported(*arguments: object) -> set[str]:
        rows = [json.loads(line) for line in said(shared.run("export", *arguments)).splitlines()]
        return {row["repo_name"] for row in rows if row["namespace"] == name}

    assert exported() == {"open", "secret"}
    assert exported("--public") == {"open"}
    file = tmp_path / "public.jsonl"
    assert said(shared.run("export", "--public", file)) == ""
    assert "secret" not in file.read_text()


def test_a_token_that_the_shell_revokes_stops_at_once(shared: Served, name: str) -> None:
    client = shared.client(shared.user(name))
    assert client.get("/v1/user").status == 200
    [line] = said(shared.run("token", "list", name)).splitlines()
    assert said(shared.run("token", "revoke", line.split()[0])) == ""
    assert_problem(client.get("/v1/user"), 401)
    failed(shared.run("token", "revoke", line.split()[0]), "There is no token")


def test_a_star_stays_counted_through_the_removal_of_others(
    shared: Served, admin: Client, users: list[str], one: str
) -> None:
    for user in users:
        token = shared.run("token", "create", user).out.strip()
        assert shared.client(token).put(f"{one}/star", None).status == 204
    assert admin.get(one).json["repo_starred_count"] == 3
    said(shared.run("user", "remove", users[0]))
    assert admin.get(one).json["repo_starred_count"] == 2
