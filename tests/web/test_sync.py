"""`POST /v1/sync`: an admin or a signed webhook makes the server look at once; a replica refuses writes."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from falcon import testing
from web_site import MAX_BODY, SYNC_SECRET, Site, problem

from catalogd.settings import Settings
from catalogd.web.app import make_app
from catalogd.web.metrics import Metrics
from catalogd.web.routes import OPERATIONS
from catalogd.web.sync import is_signed

# The example in GitHub's "Validating webhook deliveries".
KNOWN_BODY = b"Hello, World!"
KNOWN = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
GITHUB, GITEA, GITLAB = "X-Hub-Signature-256", "X-Gitea-Signature", "X-Gitlab-Token"


def post(client: testing.TestClient, body: bytes = KNOWN_BODY, **headers: str) -> testing.Result:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.simulate_post("/v1/sync", body=body, headers=sent)


def test_the_signatures_are_those_of_the_forges() -> None:
    secret = SYNC_SECRET.encode()
    assert is_signed({"HTTP_X_HUB_SIGNATURE_256": f"sha256={KNOWN}"}, secret, KNOWN_BODY)
    assert is_signed({"HTTP_X_GITEA_SIGNATURE": KNOWN}, secret, KNOWN_BODY)
    assert is_signed({"HTTP_X_GITLAB_TOKEN": SYNC_SECRET}, secret, b"anything")


@pytest.mark.parametrize(
    "headers",
    [{GITHUB: f"sha256={KNOWN}"}, {GITEA: KNOWN}, {GITLAB: SYNC_SECRET}, {GITEA: KNOWN, GITHUB: "sha256=0"}],
    ids=["github", "gitea", "gitlab", "one of two"],
)
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "x/y"])
def test_a_webhook_that_is_signed_is_taken_again_and_again(site: Site, headers, content_type) -> None:
    for _ in range(2):
        reply = post(site.anonymous, **headers, Content_Type=content_type)
        assert (reply.status_code, reply.json) == (202, {"status": "looking"})


@pytest.mark.parametrize(
    "headers",
    [
        {GITHUB: KNOWN}, {GITHUB: "sha256=" + "0" * 64}, {GITHUB: ""}, {GITHUB: "sha1=x"}, {GITEA: f"sha256={KNOWN}"},
        {GITHUB: f"sha256={KNOWN.upper()}"}, {GITLAB: SYNC_SECRET + "x"}, {GITLAB: ""}, {GITLAB: "caf\xe9"},
    ],
)  # fmt: skip
def test_a_webhook_with_a_wrong_signature_is_refused(site: Site, headers) -> None:
    reply = post(site.anonymous, **headers)
    problem(reply, 401, "unauthenticated")
    assert "not signed" in reply.json["detail"]


def test_the_signature_is_of_this_very_body(site: Site) -> None:
    problem(post(site.anonymous, KNOWN_BODY + b" ", **{GITHUB: f"sha256={KNOWN}"}), 401)
    empty = hmac.new(SYNC_SECRET.encode(), b"", hashlib.sha256).hexdigest()
    assert post(site.anonymous, b"", **{GITHUB: f"sha256={empty}"}).status_code == 202


def test_who_is_nobody_is_told_that_credentials_are_needed(site: Site) -> None:
    problem(post(site.anonymous), 401, "unauthenticated")


def test_a_body_that_is_too_large_is_not_read(site: Site) -> None:
    problem(post(site.anonymous, b"x" * (MAX_BODY + 1), **{GITHUB: f"sha256={KNOWN}"}), 413)


def test_without_a_secret_no_signature_counts(site: Site, settings: Settings) -> None:
    client = anonymous(site, replace(settings, sync_secret=""))
    for headers in ({GITLAB: ""}, {GITHUB: "sha256=" + hmac.new(b"", KNOWN_BODY, hashlib.sha256).hexdigest()}):
        reply = post(client, **headers)
        problem(reply, 401)
        assert "no sync_secret" in reply.json["detail"]


def test_a_server_that_follows_nothing_says_so_to_those_who_may_ask(site: Site, settings: Settings) -> None:
    client = anonymous(site, settings)
    reply = post(client, Authorization=f"Token {site.token}")
    problem(reply, 409, "conflict")
    assert "follow" in reply.json["detail"]
    problem(post(client), 401)
    assert "following" not in client.simulate_get("/healthz").json


def anonymous(site: Site, settings: Settings) -> testing.TestClient:
    """Of a server that follows nothing."""
    metrics = Metrics(site.catalog.health)
    return testing.TestClient(make_app(site.catalog, site.accounts, site.activity, settings, metrics))


# --- replicas

WRITES = [operation for operation in OPERATIONS if operation.writes]


@pytest.fixture(scope="module")
def replica(own_site: Site, settings: Settings) -> Site:
    """A server whose catalog has been told that it is a replica."""
    own_site.create("team/one")
    own_site.catalog.store.take_no_writes("https://catalog.example.org")
    metrics = Metrics(own_site.catalog.health)
    return replace(own_site, app=make_app(own_site.catalog, own_site.accounts, own_site.activity, settings, metrics))


@pytest.mark.parametrize("operation", [each for each in WRITES if not each.for_replicas], ids=lambda each: each.id)
def test_a_replica_refuses_whatever_changes_documents_and_says_where_it_goes(replica: Site, operation) -> None:
    names = {"namespace": "team", "repo_name": "one", "tag": "v1", "commit": "0" * 40, "number": "1", "review": "1"}
    path = operation.path.format_map(names)
    if operation.path.endswith(".git/git-receive-pack"):
        reply = replica.client.simulate_request(operation.method, path)
        assert reply.status_code == 403
        assert "https://catalog.example.org" in reply.text
        return
    reply = replica.client.simulate_request(operation.method, path, json={})
    problem(reply, 403, "replica")
    assert "https://catalog.example.org" in reply.json["detail"]
    assert reply.headers["link"] == f'<https://catalog.example.org{path}>; rel="edit"'


def test_a_replica_keeps_accounts(replica: Site) -> None:
    admin = replica.client
    assert admin.simulate_post("/v1/users", json={"name": "zoe"}).status_code == 201
    assert admin.simulate_patch("/v1/users/zoe", json={"email": "z@example.org"}).status_code == 200
    made = admin.simulate_post("/v1/user/tokens", json={"scopes": ["read"]})
    assert made.status_code == 201
    assert admin.simulate_delete(f"/v1/user/tokens/{made.json['id']}").status_code == 204
    assert admin.simulate_delete("/v1/users/zoe").status_code == 204


@pytest.mark.parametrize(
    "path", ["/v1/proposals", "/v1/proposals/1", "/v1/proposals/1/diff", "/v1/repositories/team/one?at=proposals/1",
             "/v1/repositories/team/one/tags?at=proposals/1", "/v1/repositories/team/one/tags/v1?at=proposals/1"],
)  # fmt: skip
def test_a_replica_has_no_proposals_to_read(replica: Site, path: str) -> None:
    for client in (replica.client, replica.anonymous):
        reply = client.simulate_get(path)
        problem(reply, 403, "replica")
        assert reply.headers["link"].startswith("<https://catalog.example.org/v1/")


def test_reads_of_a_replica_are_as_ever(replica: Site) -> None:
    reply = replica.anonymous.simulate_get("/v1/repositories/team/one")
    assert reply.status_code == 200
    health = replica.anonymous.simulate_get("/healthz").json
    assert (health["status"], health["store"]["writable"]) == ("ok", False)


def test_the_rows_that_a_replica_takes_are_those_of_accounts() -> None:
    taken = {operation.id for operation in WRITES if operation.for_replicas}
    assert taken == {
        "generateApiToken", "changePassword", "createToken", "revokeToken", "createUser", "updateUser", "deleteUser",
        "syncCatalog",
    }  # fmt: skip
