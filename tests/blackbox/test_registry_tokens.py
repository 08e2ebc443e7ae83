"""A real registry asks the catalog who may do what: anonymous, reader, writer, stranger; tokens that are none; keys."""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from forked_program import PROJECT
from real_registry import RealRegistry, free_port, image, needs_registry, needs_skopeo, registry
from served_catalog import Client, Served, environment, run, wait_for

from catalogd.registry.keys import Keys

pytestmark = [pytest.mark.slow, needs_registry]

TEAM = {"readers": ["rita"], "writers": ["will"], "owners": ["admin"]}
PASSWORD = "correct horse battery"
SMALL = image("one")


@dataclass
class Site:
    """A catalog that is served, the registry that asks it, and a token of each user."""

    served: Served
    registry: RealRegistry
    tokens: dict[str, str]

    @property
    def keys(self) -> Keys:
        return Keys.of(self.served.root / ".git" / "catalogd")

    def client(self, who: str) -> Client:
        """Somebody who asks for tokens as `docker` and `skopeo` do."""
        if who == "anonymous":
            return self.served.anonymous()
        return self.served.basic(who.partition(",")[0], self.tokens[who])

    def token(self, who: str, *scopes: str) -> str:
        query = urlencode([("service", "registry"), *(("scope", scope) for scope in scopes)])
        reply = self.client(who).get(f"/v1/registry/token?{query}")
        assert reply.status == 200, reply.body
        return reply.json["token"]

    def status(self, method: str, path: str, token: str | None = None) -> int:
        """What the registry answers to who has this token."""
        headers = {"Accept": SMALL.media_type} | ({"Authorization": f"Bearer {token}"} if token else {})
        return self.registry.ask(method, path, b"" if method == "POST" else None, **headers)[0]

    def pull(self, name: str, token: str | None) -> int:
        return self.status("GET", f"/v2/{name}/manifests/v1", token)

    def push(self, name: str, token: str | None) -> int:
        """Begins to."""
        return self.status("POST", f"/v2/{name}/blobs/uploads/", token)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The registry runs with what `catalogd registry config` prints, as it is printed."""
    home = tmp_path_factory.mktemp("tokens")
    served = Served(home / "catalog", home, home / "catalog.log").start()
    port = free_port()
    options = ("--address", f"127.0.0.1:{port}", "--storage", home / "storage", "--catalog-url", served.url)
    printed = served.run("registry", "config", *options)
    assert printed.status == 0, printed.err
    tokens = {user: served.user(user) for user in ("rita", "will", "sten")}
    tokens["admin"] = served.token
    tokens["will, read"] = made_token(served, "will", "--scope", "read")
    tokens["will, elsewhere"] = made_token(served, "will", "--namespace", "elsewhere")
    admin = served.client()
    assert admin.post("/v1/namespaces", {"namespace": "team", **TEAM}).status == 201
    for name in ("public", "private"):
        body = {"repo_name": name, "is_public": name == "public"}
        assert admin.post("/v1/repositories/team", body).status == 201
    with registry(home / "registry", printed.out, port) as running:
        made = Site(served, running, tokens)
        for name in ("team/public", "team/private", "deep/er/one"):
            running.authorization = f"Bearer {made.token('admin', f'repository:{name}:pull,push')}"
            running.push(name, "v1", SMALL)
        running.authorization = None
        yield made
    served.close()


def made_token(served: Served, user: str, *options: str) -> str:
    made = served.run("token", "create", user, *options)
    assert made.status == 0, made.err
    return made.out.strip()


# Who may pull, and push: what is public, what is private, what is not there, what the catalog has no place for.
MAY = """\
                  team/public  team/private  team/new   deep/er/one
anonymous         pull         -             -          -
rita              pull         pull          -          -
will              pull push    pull push     push       -
sten              pull         -             -          -
admin             pull push    pull push     push       pull push
will, read        pull         pull          -          -
will, elsewhere   pull         -             -          -
"""
COLUMNS = re.split(r"\s{2,}", MAY.splitlines()[0].strip())
TABLE = {
    (who, name): may.split()
    for who, *cells in (re.split(r"\s{2,}", line) for line in MAY.splitlines()[1:])
    for name, may in zip(COLUMNS, cells, strict=True)
}


@pytest.mark.parametrize(("who", "name"), TABLE, ids=lambda value: value)
def test_the_registry_lets_each_do_what_the_catalog_does(site: Site, who: str, name: str) -> None:
    token = site.token(who, f"repository:{name}:pull,push")
    # Who may pull what is not there learns that; who may not does not.
    missing = 404 if name == "team/new" and who in ("rita", "will", "admin", "will, read") else 200
    pulled, pushed = site.pull(name, token), site.push(name, token)
    may = TABLE[who, name]
    assert pulled == (missing if "pull" in may or missing == 404 else 401)
    assert pushed == (202 if "push" in may else 401)


def test_without_a_token_the_registry_refuses_and_says_where_to_ask(site: Site) -> None:
    status, headers, _ = site.registry.ask("GET", "/v2/team/public/manifests/v1")
    assert status == 401
    realm = f'Bearer realm="{site.served.url}/v1/registry/token",service="registry",scope="repository:team/public:pull"'
    assert headers["www-authenticate"] == realm


def test_a_private_repository_is_granted_as_one_that_is_not_there(site: Site) -> None:
    for who in ("anonymous", "sten", "rita", "will"):
        granted = [access_in(site.token(who, f"repository:team/{name}:*")) for name in ("private", "none")]
        assert [dict(each, name="") for each in granted[0]] == [dict(each, name="") for each in granted[1]]


def access_in(token: str) -> list[dict[str, Any]]:
    return jwt.decode(token, options={"verify_signature": False})["access"]


def test_what_cannot_be_read_and_what_is_not_allowed_is_left_out(site: Site) -> None:
    junk = [
        "",
        "repository",
        "repository:",
        "repository:team/public",
        "repository:Team/../x:pull",
        ":::",
        "a b c",
        "repository:*:*",
    ]
    asked = ["repository(plugin):team/public:pull", "repository:team/public:pull,fly repository:team/private:pull"]
    assert access_in(site.token("anonymous", *junk, *asked)) == [
        {"type": "repository", "name": "team/public", "actions": ["pull"]}
    ]


def test_the_catalog_of_the_registry_is_for_who_sees_everything(site: Site) -> None:
    statuses = {
        who: site.status("GET", "/v2/_catalog", site.token(who, "registry:catalog:*")) for who in ("admin", "will")
    }
    assert statuses == {"admin": 200, "will": 401}


def test_only_who_may_write_deletes(site: Site) -> None:
    scope, path = "repository:team/public:delete", f"/v2/team/public/manifests/{image('not there').digest}"
    statuses = {who: site.status("DELETE", path, site.token(who, scope)) for who in ("anonymous", "rita", "will")}
    assert statuses == {"anonymous": 401, "rita": 401, "will": 404}


def test_a_library_image_is_called_by_one_name(site: Site) -> None:
    body = {"repo_name": "busybox", "is_public": True}
    assert site.served.client().post("/v1/repositories/library", body).status == 201
    granted = access_in(site.token("anonymous", "repository:busybox:pull"))
    assert granted == [{"type": "repository", "name": "busybox", "actions": ["pull"]}]


# --- tokens that are none


def test_the_registry_refuses_tokens_that_the_catalog_has_not_made_for_it_now(site: Site, tmp_path: Path) -> None:
    access = [{"type": "repository", "name": "team/private", "actions": ["pull"]}]
    keys, ours = site.keys, site.keys.mint("will", [], "registry").token
    good = keys.mint("will", access, "registry").token
    late = Keys(keys.directory, clock=lambda: jwt.decode(good, options={"verify_signature": False})["iat"] - 400)
    foreign = Keys.of(tmp_path)
    mine = foreign.mint("will", access, "registry").token
    header, claims, signature = good.split(".")
    refused = {
        "expired": late.mint("will", access, "registry").token,
        "of another catalog": mine,
        "for another registry": keys.mint("will", access, "elsewhere").token,
        "by another issuer": signed_again(keys, good, iss="somebody"),
        "claims changed": ".".join((header, signed_again(keys, good, sub="x").split(".")[1], signature)),
        "not signed": jwt.encode({}, "", algorithm="none").split(".")[0] + f".{claims}.",
        "our certificate, another's key": ".".join((ours.split(".")[0], *mine.split(".")[1:])),
        "signed with the public key": signed_with_a_public_text(good),
        "for nothing": ours,
    }
    accepted = (good, signed_again(keys, good))
    assert [site.pull("team/private", token) for token in accepted] == [200, 200]
    assert {what: site.pull("team/private", token) for what, token in refused.items()} == dict.fromkeys(refused, 401)


def signed_again(keys: Keys, token: str, **claims: object) -> str:
    """With the catalog's own key: what is refused is refused for what it says."""
    key = (keys.directory / "signing.pem").read_text().partition("-----BEGIN CERTIFICATE")[0]
    headers = {name: jwt.get_unverified_header(token)[name] for name in ("x5c", "kid")}
    said = jwt.decode(token, options={"verify_signature": False}) | claims
    return jwt.encode(said, key, algorithm="ES256", headers=headers)


def signed_with_a_public_text(token: str) -> str:
    """As if the certificate, which everybody may know, were a secret of HMAC."""
    header = jwt.get_unverified_header(token) | {"alg": "HS256"}
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=")
    signed = encoded + b"." + token.split(".")[1].encode()
    signature = hmac.digest(base64.b64decode(header["x5c"][0]), signed, "sha256")
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


# --- keys


def test_a_token_in_flight_outlives_a_rotation_and_the_next_one_has_the_new_key(site: Site) -> None:
    scope = "repository:team/private:pull"
    before = site.token("rita", scope)
    rotated = site.served.run("registry", "rotate-key")
    assert rotated.status == 0, rotated.err
    after = site.token("rita", scope)
    assert jwt.get_unverified_header(before)["kid"] != jwt.get_unverified_header(after)["kid"]
    assert [site.pull("team/private", token) for token in (before, after)] == [200, 200]


def test_a_new_root_is_used_once_the_registry_knows_it(site: Site) -> None:
    scope = "repository:team/private:pull"
    before = site.token("rita", scope)
    told = site.served.run("registry", "rotate-key", "--root")
    assert told.status == 0 and "Restart the registry" in told.out
    assert site.pull("team/private", site.token("rita", scope)) == 200
    site.registry.stop()
    site.registry.start()
    assert site.served.run("registry", "rotate-key").status == 0
    after = site.token("rita", scope)
    assert [site.pull("team/private", token) for token in (before, after)] == [200, 200]
    # Without the old root, its tokens are refused.
    bundle = site.keys.bundle
    certificates = bundle.read_text().split("-----BEGIN")
    bundle.write_text("-----BEGIN" + certificates[-1])
    site.registry.stop()
    site.registry.start()
    assert [site.pull("team/private", token) for token in (before, after)] == [401, 200]


def test_a_backup_has_the_keys(site: Site, tmp_path: Path) -> None:
    assert site.served.run("backup", tmp_path / "backup.tar.gz").status == 0
    subprocess.run(["tar", "-xzf", tmp_path / "backup.tar.gz", "-C", tmp_path], check=True)
    for name in ("root.key", "root.pem", "signing.pem"):
        saved, there = tmp_path / "registry" / name, site.keys.directory / name
        assert saved.read_bytes() == there.read_bytes()
        assert there.stat().st_mode & 0o777 == saved.stat().st_mode & 0o777 == 0o600


# --- as clients do it


def form(site: Site, **fields: str | list[str]) -> Any:
    sent = {"service": "registry", "client_id": "test", **fields}
    return site.served.anonymous().post(
        "/v1/registry/token", urlencode(sent, doseq=True).encode(), Content_Type="application/x-www-form-urlencoded"
    )


def test_docker_login_gets_a_token_for_nothing_in_particular(site: Site) -> None:
    query = "account=rita&client_id=docker&offline_token=true&service=registry"
    reply = site.client("rita").get(f"/v1/registry/token?{query}")
    assert reply.status == 200 and reply.headers["cache-control"] == "no-store"
    assert reply.json["refresh_token"] == site.tokens["rita"]
    assert reply.json["expires_in"] == 300 and reply.json["issued_at"].endswith("Z")
    assert site.status("GET", "/v2/", reply.json["token"]) == 200
    assert site.served.basic("rita", "wrong").get(f"/v1/registry/token?{query}").status == 401
    assert site.served.basic("sten", site.tokens["rita"]).get(f"/v1/registry/token?{query}").status == 401


def test_oauth_by_password_gives_no_refresh_token_and_by_token_that_token(site: Site) -> None:
    assert site.served.run("user", "password", "rita", "--password-stdin", stdin=PASSWORD.encode()).status == 0
    scope = "repository:team/private:pull,push repository:team/public:pull"
    login = {"grant_type": "password", "username": "rita", "access_type": "offline", "scope": scope}
    by_password = form(site, **login, password=PASSWORD)
    assert by_password.status == 200, by_password.body
    assert by_password.json["scope"] == "repository:team/private:pull repository:team/public:pull"
    assert "refresh_token" not in by_password.json
    assert site.pull("team/private", by_password.json["access_token"]) == 200
    refresh = form(site, **login, password=site.tokens["rita"]).json["refresh_token"]
    again = form(site, grant_type="refresh_token", refresh_token=refresh, scope=scope)
    assert site.pull("team/private", again.json["access_token"]) == 200


def test_oauth_refuses_what_is_no_login(site: Site) -> None:
    wrong = form(site, grant_type="password", username="sten", password="wrong horse battery")
    assert wrong.status == 401
    assert form(site, grant_type="refresh_token", refresh_token="catd_nothing").status == 401
    assert form(site, grant_type="authorization_code").status == 400
    assert form(site, grant_type="password", username="rita").status == 400


def test_oauth_passes_over_what_it_does_not_know_and_refuses_what_is_there_twice(site: Site) -> None:
    token = site.tokens["rita"]
    assert form(site, grant_type="refresh_token", refresh_token=token, device=["one", "two"]).status == 200
    twice = form(site, grant_type="refresh_token", refresh_token=[token, token])
    assert twice.status == 400 and "twice" in twice.json["detail"]


def test_a_token_for_another_service_is_refused_with_the_name_of_the_right_one(site: Site) -> None:
    reply = site.client("rita").get("/v1/registry/token?service=elsewhere")
    assert reply.status == 400 and "'registry'" in reply.json["detail"]
    too_many = urlencode([("scope", "repository:a/b:pull")] * 101)
    assert site.client("rita").get(f"/v1/registry/token?{too_many}").status == 400


@needs_skopeo
def test_skopeo_pushes_and_pulls_with_the_rights_of_the_catalog(site: Site, tmp_path: Path) -> None:
    here = f"docker://{site.registry.host}/team"
    source = directory_of(SMALL, tmp_path / "image")
    rita, will = (f"{who}:{site.tokens[who]}" for who in ("rita", "will"))
    copy = ("copy", "--preserve-digests", "--dest-tls-verify=false", "--dest-creds")
    refused = skopeo(tmp_path, *copy, rita, source, f"{here}/skopeo:v1")
    assert refused.returncode != 0 and "denied" in refused.stderr
    pushed = skopeo(tmp_path, *copy, will, source, f"{here}/skopeo:v1")
    assert pushed.returncode == 0, pushed.stderr
    seen = skopeo(tmp_path, "inspect", "--tls-verify=false", "--creds", rita, f"{here}/skopeo:v1")
    assert json.loads(seen.stdout)["Digest"] == SMALL.digest
    public = skopeo(tmp_path, "inspect", "--tls-verify=false", "--no-creds", f"{here}/public:v1")
    assert public.returncode == 0, public.stderr
    assert skopeo(tmp_path, "inspect", "--tls-verify=false", "--no-creds", f"{here}/private:v1").returncode != 0


def directory_of(what: Any, directory: Path) -> str:
    """An image in the form that skopeo calls `dir:`."""
    directory.mkdir()
    (directory / "version").write_text("Directory Transport Version: 1.1\n")
    (directory / "manifest.json").write_bytes(what.manifest)
    about = json.loads(what.manifest)
    for entry, blob in zip((about["config"], *about["layers"]), what.blobs, strict=True):
        (directory / entry["digest"].removeprefix("sha256:")).write_bytes(blob)
    return f"dir:{directory}"


def skopeo(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    command = ["skopeo", "--insecure-policy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ)


def tags_of(catalog: Client, name: str) -> list[dict[str, Any]]:
    """Those that the catalog knows; none where it does not know the repository."""
    reply = catalog.get(f"/v1/repositories/{name}/tags")
    return reply.json if reply.status == 200 else []


# --- the commands


def test_the_demo_runs_a_registry_beside_the_catalog_and_ends_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "catalogd", "registry", "demo", "--catalog", str(tmp_path / "catalog")]
    out = tmp_path / "out"
    with out.open("wb") as stdout:
        demo = subprocess.Popen(command, cwd=PROJECT, env=environment(tmp_path), stdout=stdout, stderr=stdout)
    try:
        wait_for(lambda: "documentation:" in out.read_text(), 30, "the demo serves")
        said = out.read_text()
        found = re.search(r"--creds demo:(\S+) docker://127\.0\.0\.1:(\d+)/demo/busybox", said)
        assert found, said
        again = run(tmp_path, "registry", "demo", "--catalog", tmp_path / "catalog")
        assert again.status == 1 and "served already" in again.err
        running = RealRegistry(int(found[2]), tmp_path, tmp_path / "log")
        catalog = Client(("127.0.0.1", int(re.search(r"at http://[^:]+:(\d+)", said)[1])))
        catalog.authorization = "Basic " + base64.b64encode(f"demo:{found[1]}".encode()).decode()
        asked = catalog.get("/v1/registry/token?service=registry&scope=repository:demo/busybox:pull,push")
        running.authorization = f"Bearer {asked.json['token']}"
        running.push("demo/busybox", "v1", SMALL)
        assert running.tags("demo/busybox") == {"v1"}
        # The catalog has heard of it, and has read the image, for which it needs a token of its own.
        catalog.authorization = f"Token {found[1]}"
        tags = wait_for(lambda: tags_of(catalog, "demo/busybox"), 10, "the catalog follows the registry")
        assert [(tag["tag"], tag["image_id"], tag["size"]) for tag in tags] == [("v1", SMALL.image_id, SMALL.size)]
    finally:
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(30) == 0
    with pytest.raises(OSError):
        running.ask("GET", "/v2/")


def test_the_demo_says_what_to_install_where_there_is_no_registry(tmp_path: Path) -> None:
    demo = run(tmp_path, "registry", "demo", PATH=str(tmp_path))
    assert demo.status == 1 and "apt-get install docker-registry" in demo.err
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_keeps_to_a_token_that_is_given_and_says_why_it_cannot_make_one(site: Site) -> None:
    before = site.served.client().get("/v1/users/registry").status
    given = site.served.run("registry", "config", "--token", "mine", "--bundle", "/etc/root.pem")
    assert before == 200 and 'Authorization: ["Token mine"]' in given.out
    assert 'rootcertbundle: "/etc/root.pem"' in given.out
    assert site.served.run("user", "change", "registry", "--inactive").status == 0
    refused = site.served.run("registry", "config")
    assert refused.status == 1 and "--active" in refused.err
