"""The calls on one's own account and on all accounts: what they take, what they refuse, what they never show."""

from __future__ import annotations

import itertools
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from falcon import testing
from web_site import Site, problem

_NUMBERS = itertools.count(1)
PASSWORD, OTHER = "correct horse battery", "tr0ub4dor&3, longer"
FORM = "application/x-www-form-urlencoded"
TOKENS, USERS, LOG_IN, ME = "/v1/user/tokens", "/v1/users", "/v1/generate-api-token", "/v1/user"


@pytest.fixture(scope="module")
def site(own_site: Site) -> Site:
    return own_site


@pytest.fixture
def name() -> str:
    """A user of the test's own, who is not there yet."""
    return f"user{next(_NUMBERS)}"


@pytest.fixture
def user(site: Site, name: str) -> testing.TestClient:
    return site.user(name)


def token_of(site: Site, name: str, **token: object) -> testing.TestClient:
    return site.with_token(site.accounts.create_token(name, **token)[0])


def later(**of: float) -> datetime:
    return datetime.now(UTC) + timedelta(**of)


def log_in(site: Site, name: str, password: str = PASSWORD) -> testing.Result:
    return site.anonymous.simulate_post(LOG_IN, json={"username": name, "password": password})


# --- who the caller is


def test_me_tells_the_user_what_the_credentials_are_good_for_and_the_roles(site, name, user):
    site.client.simulate_post("/v1/namespaces", json={"namespace": f"{name}-team", "owners": ["admin", name]})
    me = user.simulate_get(ME).json
    assert me.pop("created_at").endswith("Z")
    assert me == {
        "name": name, "email": f"{name}@users.example.org", "is_admin": False, "is_active": True, "has_password": False,
        "scopes": ["read", "write"], "namespace": None, "expires_at": None, "roles": {f"{name}-team": "owner"},
    }  # fmt: skip
    ends = later(days=1)
    robot = token_of(site, name, scopes=("registry",), namespace=f"{name}-team", expires=ends).simulate_get(ME).json
    assert (robot["scopes"], robot["namespace"]) == (["registry"], f"{name}-team")
    assert robot["expires_at"][:19] == ends.isoformat()[:19]
    problem(site.anonymous.simulate_get(ME), 401, "unauthenticated")


# --- logging in


@pytest.mark.slow
@pytest.mark.parametrize("path", [LOG_IN, f"{LOG_IN}/"])
@pytest.mark.parametrize("form", [True, False])
def test_a_password_gives_a_token_by_form_and_by_json(site, name, path, form):
    site.accounts.add_user(name, password=PASSWORD)
    sent = (
        {"body": f"username={name}&password=correct+horse%20battery", "headers": {"Content-Type": FORM}}
        if form
        else {"json": {"username": name, "password": PASSWORD}}
    )
    reply = site.anonymous.simulate_post(path, **sent)
    assert (reply.status_code, list(reply.json)) == (200, ["token"])
    assert reply.headers["cache-control"] == "no-store"
    assert site.with_token(reply.json["token"]).simulate_get(ME).json["name"] == name


@pytest.mark.parametrize(
    ("sent", "status", "pointers"),
    [
        ({"json": {}}, 422, ["/username", "/password"]),
        ({"json": {"username": 1, "password": None}}, 422, ["/username", "/password"]),
        ({"json": {"username": "a", "password": "b", "x/y": 1}}, 422, ["/x~1y"]),
        ({"json": []}, 422, [""]),
        ({"json": None, "body": "null", "headers": {"Content-Type": "application/json"}}, 422, [""]),
        ({"body": "{", "headers": {"Content-Type": "application/json"}}, 400, []),
        ({"body": "", "headers": {"Content-Type": "application/json"}}, 400, []),
        ({"body": "", "headers": {"Content-Type": FORM}}, 422, ["/username", "/password"]),
        ({"body": "username=a&username=b&password=c", "headers": {"Content-Type": FORM}}, 400, ["/username"]),
        ({"body": "username=%ff&password=%00", "headers": {"Content-Type": FORM}}, 400, []),
        ({"body": "username=a&password=b", "headers": {"Content-Type": "text/plain"}}, 415, []),
        ({"json": {"username": "a", "password": "b"}, "headers": {"Content-Encoding": "gzip"}}, 415, []),
    ],
)
def test_a_login_of_another_form_is_refused_with_what_is_wrong(site, sent, status, pointers):
    given = {key: value for key, value in sent.items() if not (key == "json" and value is None)}
    assert problem(site.anonymous.simulate_post(LOG_IN, **given), status) == pointers


@pytest.mark.slow
def test_every_failed_login_has_the_same_words(site, name):
    site.accounts.add_user(name, password=PASSWORD)
    site.accounts.add_user(f"{name}-gone", password=PASSWORD)
    site.accounts.change_user(f"{name}-gone", is_active=False)
    token = site.accounts.create_token(name)[0]
    said = set()
    for who, password in [(name, OTHER), (f"{name}-none", PASSWORD), (f"{name}-gone", PASSWORD), ("No Name", PASSWORD),
                          ("", ""), (name, ""), (name, token), (name, "x" * 5000)]:  # fmt: skip
        reply = log_in(site, who, password)
        problem(reply, 401, "unauthenticated")
        said.add(json.dumps(reply.json | {"request_id": ""}))
    assert len(said) == 1


# --- the password


@pytest.mark.slow
def test_a_new_password_needs_the_old_one_and_tokens_stay_good(site, name, user):
    path = "/v1/user/password"
    assert user.simulate_put(path, json={"password": PASSWORD}).status_code == 204
    assert problem(user.simulate_put(path, json={"password": OTHER}), 422) == ["/current_password"]
    wrong = {"current_password": "something else", "password": OTHER}
    assert problem(user.simulate_put(path, json=wrong), 422) == ["/current_password"]
    reply = user.simulate_put(path, json={"current_password": PASSWORD, "password": OTHER})
    assert (reply.status_code, reply.content) == (204, b"")
    problem(log_in(site, name), 401)
    assert log_in(site, name, OTHER).status_code == 200
    assert user.simulate_get(ME).json["has_password"] is True


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/password"]),
        ({"password": "short"}, ["/password"]),
        ({"password": "x" * 1025}, ["/password"]),
        ({"password": None}, ["/password"]),
        ({"password": "catd_looks-like-a-token"}, ["/password"]),
        ({"password": PASSWORD, "current_password": 7}, ["/current_password"]),
        ({"password": PASSWORD, "new": 1}, ["/new"]),
    ],
)
def test_an_unfit_password_is_refused_and_says_what_fits(site, user, body, pointers):
    assert problem(user.simulate_put("/v1/user/password", json=body), 422, "invalid") == pointers
    assert user.simulate_get(ME).json["has_password"] is False


def test_a_first_password_is_set_only_by_what_gives_all_that_it_gives(site, name, user):
    body = {"password": PASSWORD}
    path = "/v1/user/password"
    ending = token_of(site, name, expires=later(hours=1))
    assert problem(ending.simulate_put(path, json=body), 422) == ["/password"]
    problem(token_of(site, name, scopes=("read",)).simulate_put(path, json=body), 403)
    problem(token_of(site, name, namespace=name).simulate_put(path, json=body), 403)
    site.accounts.change_user(name, is_admin=True)
    assert problem(user.simulate_put(path, json=body), 422) == ["/password"]
    problem(site.anonymous.simulate_put(path, json=body), 401)
    assert user.simulate_get(ME).json["has_password"] is False
    whole = token_of(site, name, scopes=("read", "write", "admin"))
    assert whole.simulate_put(path, json=body).status_code == 204
    site.accounts.change_user(name, is_admin=False)


# --- tokens


def test_a_token_is_shown_once_and_listed_without_itself(site, name, user):
    body = {"name": "laptop", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00+02:00"}
    made = user.simulate_post(TOKENS, json=body)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    assert made.headers["location"] == f"{TOKENS}/{made.json['id']}"
    shown = made.json
    token = shown.pop("token")
    assert shown["expires_at"] == "2098-12-31T22:00:00.000Z"
    listed = user.simulate_get(TOKENS)
    assert shown in listed.json["results"]
    assert token not in listed.text
    assert user.simulate_delete(f"{TOKENS}/{made.json['id']}").status_code == 204
    problem(site.with_token(token).simulate_get(ME), 401)
    problem(user.simulate_delete(f"{TOKENS}/{made.json['id']}"), 404)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"name": 1}, ["/name"]),
        ({"name": "x" * 101}, ["/name"]),
        ({"name": "a\u202eb"}, ["/name"]),
        ({"scopes": []}, ["/scopes"]),
        ({"scopes": "read"}, ["/scopes"]),
        ({"scopes": ["read", 1]}, ["/scopes"]),
        ({"namespace": 5}, ["/namespace"]),
        ({"expires_at": "soon"}, ["/expires_at"]),
        ({"expires_at": "2001-01-01T00:00:00Z"}, ["/expires_at"]),
        ({"expires_at": "2099-01-01T00:00:00"}, ["/expires_at"]),
        ({"user": "admin"}, ["/user"]),
    ],
)
def test_an_unfit_token_is_refused_and_none_is_made(user, body, pointers):
    assert problem(user.simulate_post(TOKENS, json=body), 422, "invalid") == pointers
    assert user.simulate_get(TOKENS).json["count"] == 1


def test_a_token_makes_none_that_is_good_for_more(site, name, user):
    for scopes in (["read", "write", "admin"], ["registry"], ["catalog"], ["nothing"]):
        assert user.simulate_post(TOKENS, json={"scopes": scopes}).status_code in (403, 422)
    for less in (token_of(site, name, scopes=("read",)), token_of(site, name, namespace=name),
                 token_of(site, name, scopes=("registry", "catalog"))):  # fmt: skip
        problem(less.simulate_post(TOKENS, json={"scopes": ["read"]}), 403)
        problem(less.simulate_delete(f"{TOKENS}/anything"), 403)


def test_a_token_with_a_scope_makes_one_with_what_that_includes(site, name, user):
    writing = token_of(site, name, scopes=("write",))
    assert writing.simulate_post(TOKENS, json={"scopes": ["read"]}).json["scopes"] == ["read"]
    assert writing.simulate_post(TOKENS, json={}).json["scopes"] == ["read", "write"]
    administering = token_of(site, "admin", scopes=("admin",))
    assert administering.simulate_post(TOKENS, json={}).json["scopes"] == ["read", "write"]
    problem(administering.simulate_post(TOKENS, json={"scopes": ["registry"]}), 403)


def test_a_token_makes_none_that_is_good_for_longer(site, name):
    site.accounts.add_user(name)
    ending = token_of(site, name, expires=later(hours=1))
    until = ending.simulate_get(ME).json["expires_at"]
    for body in ({}, {"expires_at": None}, {"expires_at": "2099-01-01T00:00:00Z"}):
        assert ending.simulate_post(TOKENS, json=body).json["expires_at"] == until
    sooner = later(minutes=5).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert ending.simulate_post(TOKENS, json={"expires_at": sooner}).json["expires_at"] == sooner


@pytest.mark.parametrize("scope", ["catalog", "registry", "admin"])
def test_only_an_admin_makes_tokens_for_more_than_reading_and_writing(site, name, user, scope):
    """Also where the user's credentials have that scope, as those that somebody with a shell has made."""
    if scope != "admin":
        given = token_of(site, name, scopes=("write", scope))
        problem(given.simulate_post(TOKENS, json={"scopes": [scope]}), 403)
    whole = token_of(site, "admin", scopes=("admin", "catalog", "registry"))
    assert whole.simulate_post(TOKENS, json={"scopes": [scope]}).status_code == 201
    confined = whole.simulate_post(TOKENS, json={"scopes": ["admin"], "namespace": "some"})
    assert problem(confined, 422) == ["/scopes"]


def test_nobody_sees_or_revokes_the_tokens_of_others(site, name, user):
    other = site.user(f"{name}-other")
    theirs = other.simulate_get(TOKENS).json["results"][0]["id"]
    problem(user.simulate_delete(f"{TOKENS}/{theirs}"), 404)
    assert theirs not in user.simulate_get(TOKENS).text
    assert other.simulate_get(TOKENS).status_code == 200
    for identity in ("%00", "%ED%A0%80", "..%2f", "x" * 500):
        assert user.simulate_delete(f"{TOKENS}/{identity}").status_code in (400, 404)


# --- all accounts


def test_an_admin_makes_reads_changes_lists_and_removes_users(site, name):
    made = site.client.simulate_post(USERS, json={"name": name, "email": "x@example.org", "password": PASSWORD})
    assert (made.status_code, made.headers["location"]) == (201, f"{USERS}/{name}")
    assert site.client.simulate_get(f"{USERS}/{name}").json == made.json
    assert (made.json["email"], made.json["has_password"], made.json["is_active"]) == ("x@example.org", True, True)
    changed = site.client.simulate_patch(f"{USERS}/{name}", json={"email": None, "password": None})
    assert (changed.json["email"], changed.json["has_password"]) == (f"{name}@users.example.org", False)
    assert site.client.simulate_patch(f"{USERS}/{name}", json={}).json == changed.json
    listed = site.client.simulate_get(USERS, params={"page_size": 100}).json
    assert changed.json in listed["results"]
    assert [row["name"] for row in listed["results"]] == sorted(row["name"] for row in listed["results"])
    assert site.client.simulate_delete(f"{USERS}/{name}").status_code == 204
    for reply in (site.client.simulate_get(f"{USERS}/{name}"), site.client.simulate_delete(f"{USERS}/{name}"),
                  site.client.simulate_patch(f"{USERS}/{name}", json={"is_admin": True})):  # fmt: skip
        problem(reply, 404, "not-found")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/name"]),
        ({"name": "Not Valid"}, ["/name"]),
        ({"name": None}, ["/name"]),
        ({"name": "x" * 129}, ["/name"]),
        ({"name": "con"}, ["/name"]),
        ({"name": "good", "email": "no address"}, ["/email"]),
        ({"name": "good", "password": "short"}, ["/password"]),
        ({"name": "good", "is_admin": "yes", "take_over": 1}, ["/is_admin", "/take_over"]),
        ({"name": "good", "is_active": False}, ["/is_active"]),
    ],
)
def test_an_unfit_user_is_refused_and_not_made(site, body, pointers):
    assert problem(site.client.simulate_post(USERS, json=body), 422, "invalid") == pointers
    problem(site.client.simulate_get(f"{USERS}/good"), 404)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"email": 1, "is_active": None}, ["/email", "/is_active"]),
        ({"email": "a b@c"}, ["/email"]),
        ({"password": "short"}, ["/password"]),
        ({"name": "other"}, ["/name"]),
        ({"created_at": "x"}, ["/created_at"]),
    ],
)
def test_an_unfit_change_of_a_user_is_refused(site, name, user, body, pointers):
    before = site.client.simulate_get(f"{USERS}/{name}").json
    assert problem(site.client.simulate_patch(f"{USERS}/{name}", json=body), 422) == pointers
    assert site.client.simulate_get(f"{USERS}/{name}").json == before


def test_who_is_no_admin_with_the_scope_sees_and_changes_no_users(site, name, user):
    less = [user, token_of(site, "admin"), token_of(site, "admin", namespace="x"), site.anonymous]
    for client, status in zip(less, (403, 403, 403, 401), strict=True):
        for method, path, body in (
            ("GET", USERS, None), ("GET", f"{USERS}/admin", None), ("GET", f"{USERS}/nobody", None),
            ("POST", USERS, {"name": f"{name}-new"}), ("PATCH", f"{USERS}/{name}", {"is_admin": True}),
            ("DELETE", f"{USERS}/{name}", None),
        ):  # fmt: skip
            problem(client.simulate_request(method, path, json=body), status)
    assert site.client.simulate_get(f"{USERS}/{name}").json["is_admin"] is False


@pytest.mark.slow
def test_a_user_who_is_not_active_has_no_rights_until_they_are_again(site, name, user):
    site.accounts.set_password(name, PASSWORD)
    site.client.simulate_patch(f"{USERS}/{name}", json={"is_active": False})
    for path in (ME, "/v1/repositories", TOKENS):
        problem(user.simulate_get(path), 401)
    problem(log_in(site, name), 401)
    site.client.simulate_patch(f"{USERS}/{name}", json={"is_active": True})
    assert user.simulate_get(ME).status_code == 200
    assert log_in(site, name).status_code == 200


def test_the_last_admin_stays_an_active_admin_and_keeps_every_role(site, name):
    organization = f"{name}-org"
    site.accounts.add_user(name)
    site.client.simulate_post("/v1/namespaces", json={"namespace": organization, "owners": [name, "admin"]})
    head = site.catalog.store.head()
    for reply in (
        site.client.simulate_delete(f"{USERS}/admin"),
        site.client.simulate_patch(f"{USERS}/admin", json={"is_admin": False}),
        site.client.simulate_patch(f"{USERS}/admin", json={"is_active": False}),
    ):
        problem(reply, 409, "conflict")
    assert site.catalog.store.head() == head, "a refusal changes nothing"
    assert "admin" in site.client.simulate_get(f"/v1/namespaces/{organization}").json["owners"]


def test_of_two_admins_one_may_go(site, name):
    site.accounts.add_user(name, is_admin=True)
    assert site.client.simulate_patch(f"{USERS}/{name}", json={"is_admin": False}).status_code == 200
    site.client.simulate_patch(f"{USERS}/{name}", json={"is_admin": True, "is_active": False})
    problem(site.client.simulate_patch(f"{USERS}/admin", json={"is_admin": False}), 409)
    assert site.client.simulate_delete(f"{USERS}/{name}").status_code == 204


def test_a_name_is_a_users_or_an_organizations(site, name, user):
    problem(site.client.simulate_post(USERS, json={"name": name}), 409, "already-exists")
    problem(site.client.simulate_post("/v1/namespaces", json={"namespace": name}), 409, "already-exists")
    site.client.simulate_post("/v1/namespaces", json={"namespace": f"{name}-org"})
    problem(site.client.simulate_post(USERS, json={"name": f"{name}-org"}), 409, "already-exists")
    problem(site.client.simulate_post(USERS, json={"name": f"{name}-org", "take_over": True}), 409)


def test_a_namespace_with_repositories_is_taken_over_only_on_purpose(site, name):
    site.create(f"{name}/there", is_public=False)
    problem(site.client.simulate_post(USERS, json={"name": name}), 409, "already-exists")
    made = site.client.simulate_post(USERS, json={"name": name, "take_over": True})
    assert made.status_code == 201
    assert token_of(site, name).simulate_get(f"/v1/repositories/{name}/there").status_code == 200


def test_a_user_who_is_removed_is_out_of_every_organization_in_one_commit(site, name, user, git):
    for number in range(3):
        body = {"namespace": f"{name}-{number}", "owners": ["admin"], ("readers", "writers")[number % 2]: [name]}
        assert site.client.simulate_post("/v1/namespaces", json=body).status_code == 201
    root = site.catalog.store.root
    before = git(root, "rev-list", "--count", "main")
    assert site.client.simulate_delete(f"{USERS}/{name}").status_code == 204
    assert int(git(root, "rev-list", "--count", "main")) == int(before) + 1
    assert git(root, "log", "-1", "--format=%an %s").strip() == f"admin Remove {name} from 3 namespaces"
    for number in range(3):
        assert name not in site.client.simulate_get(f"/v1/namespaces/{name}-{number}").text.replace(f"{name}-", "")
    problem(user.simulate_get(ME), 401)


def test_the_only_owner_of_an_organization_is_not_removed(site, name, user):
    site.client.simulate_post("/v1/namespaces", json={"namespace": f"{name}-a", "owners": [name]})
    site.client.simulate_post("/v1/namespaces", json={"namespace": f"{name}-b", "owners": [name, "admin"]})
    reply = site.client.simulate_delete(f"{USERS}/{name}")
    problem(reply, 409, "conflict")
    assert f"{name}-a" in reply.json["detail"] and f"{name}-b" not in reply.json["detail"]
    assert user.simulate_get(ME).json["roles"] == {f"{name}-a": "owner", f"{name}-b": "owner"}


# --- secrets


@pytest.mark.slow
def test_a_secret_is_in_no_later_reply_log_or_commit(site, name, git, caplog):
    caplog.set_level(logging.DEBUG)
    site.client.simulate_post(USERS, json={"name": name, "password": PASSWORD})
    login = log_in(site, name).json["token"]
    user = site.with_token(login)
    made = user.simulate_post(TOKENS, json={"name": "other"}).json["token"]
    user.simulate_put("/v1/user/password", json={"current_password": PASSWORD, "password": OTHER})
    user.simulate_post(f"/v1/repositories/{name}", json={"repo_name": "one"})
    log_in(site, name, "a wrong password")
    told = [
        user.simulate_get(path).text for path in (ME, TOKENS, "/v1/commits", f"/v1/repositories/{name}/one/history")
    ]
    told += [site.client.simulate_get(path).text for path in (USERS, f"{USERS}/{name}", "/metrics", "/healthz")]
    told += [caplog.text, git(site.catalog.store.root, "log", "-p", "--all")]
    for secret in (login, made, PASSWORD, OTHER, "a wrong password", "$argon2"):
        assert not [text for text in told if secret in text]


@pytest.mark.parametrize("ends", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2014-11-19T05:54:22Z"])
def test_a_token_that_ends_when_no_token_can_is_refused(user, ends):
    assert problem(user.simulate_post(TOKENS, json={"expires_at": ends}), 422) == ["/expires_at"]


def test_what_is_too_much_is_refused_in_few_words(site):
    body = json.dumps({f"member{number}": "x" for number in range(2_000)})
    reply = site.anonymous.simulate_post(LOG_IN, body=body, headers={"Content-Type": "application/json"})
    assert (reply.status_code, len(reply.content) < 10_000) == (422, True)


@pytest.mark.parametrize("path", [LOG_IN, "/v1/registry/token"])
def test_who_has_no_credentials_yet_sends_no_more_than_credentials_need(site, path):
    reply = site.anonymous.simulate_post(path, body="a=b&" * 20_000, headers={"Content-Type": FORM})
    problem(reply, 413)


def test_credentials_that_see_nothing_private_know_no_roles(site, name, user):
    site.client.simulate_post("/v1/namespaces", json={"namespace": f"{name}-team", "owners": ["admin", name]})
    assert token_of(site, name, scopes=("registry",)).simulate_get(ME).json["roles"] == {}
    assert token_of(site, name, namespace="elsewhere").simulate_get(ME).json["roles"] == {}
