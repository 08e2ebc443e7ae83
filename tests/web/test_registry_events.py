"""What a registry tells, over HTTP: each event counts once, nothing older overwrites, and junk is answered 2xx."""

from __future__ import annotations

import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from falcon import testing
from web_site import MAX_BODY, Site, problem

from catalogd.accounts import Accounts
from catalogd.activity import Activity
from catalogd.catalog import Catalog
from catalogd.registry.creating import creation
from catalogd.registry.events import MOST_EVENTS
from catalogd.registry.follower import RegistryFollower
from catalogd.settings import Settings
from catalogd.state import State
from catalogd.store import Store
from catalogd.web.app import make_app
from catalogd.web.metrics import Metrics

EVENTS = "/v1/registry/events"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
NUMBERS = itertools.count()


@dataclass
class Told(Site):
    """A site, and the follower of its registry, which is driven by hand."""

    follower: RegistryFollower
    state: State
    followed: Counter[str]
    reporter: testing.TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.reporter = self.with_token(self.accounts.create_token("alice", scopes=("registry",))[0])

    def tell(self, *events: object) -> dict[str, Any]:
        """Send events in one envelope, and follow them. What the reply says."""
        reply = self.send(*events)
        self.follower.step()
        return reply

    def send(self, *events: object) -> dict[str, Any]:
        # Not falcon's own JSON: a lone surrogate is sent as an escape.
        body = json.dumps({"events": list(events)})
        reply = self.reporter.simulate_post(EVENTS, body=body, content_type="application/json")
        assert reply.status_code == 202, reply.text
        return reply.json

    def detail(self, name: str) -> dict[str, Any]:
        return self.client.simulate_get(f"/v1/repositories/{name}").json

    def tags(self, name: str) -> dict[str, str]:
        reply = self.client.simulate_get(f"/v1/repositories/{name}/tags")
        return {tag["tag"]: tag["digest"] for tag in reply.json} if reply.status_code == 200 else {}

    def new(self) -> str:
        """The name of a repository that nothing is known of, in a namespace that is there."""
        return f"acme/r{next(NUMBERS)}"

    def pushed(self) -> str:
        name = self.new()
        assert self.tell(push(name))["taken"] == 1
        return name


@contextmanager
def told_site(home: Path, settings: Settings, create: str = "existing") -> Iterator[Told]:
    with State(home / "state.db") as state:
        accounts = Accounts(state, email_domain="users.example.org")
        accounts.add_user("alice", is_admin=True)
        Store.create(home / "catalog")
        catalog = Catalog.open(home / "catalog")
        activity = Activity(catalog, state)
        followed: Counter[str] = Counter()
        may_create = creation(create, catalog, accounts)
        follower = RegistryFollower(catalog, state, may_create, told=lambda what, n: followed.update({what: n}))
        app = make_app(catalog, accounts, activity, settings, Metrics(catalog.health), None, follower.wake)
        token, _ = accounts.create_token("alice", scopes=("read", "write", "admin"))
        made = Told(app, catalog, accounts, activity, token, follower, state, followed)
        assert made.client.simulate_post("/v1/namespaces", json={"namespace": "acme"}).status_code == 201
        yield made
        catalog.close()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Iterator[Told]:
    with told_site(tmp_path_factory.mktemp("told"), settings) as made:
        yield made


def event(name: str, action: str, at: int = 0, **more: Any) -> dict[str, Any]:
    """An event as a registry sends it, `at` seconds after a moment of the past; `more` has members of any depth."""
    target = {"mediaType": MANIFEST, "digest": ONE, "repository": name}
    made = {
        "id": f"event-{next(NUMBERS)}",
        "timestamp": f"2026-01-02T03:{at // 60:02}:{at % 60:02}.123456789Z",
        "action": action,
        "target": target,
        "request": {"addr": "10.0.0.1:4711", "method": "PUT" if action == "push" else "GET", "useragent": "docker"},
        "actor": {"name": "amy"},
    }
    for key, value in more.items():
        where = next((part for part in ("target", "request", "actor") if key in KEYS[part]), None)
        (made[where] if where else made)[key] = value
    return made


KEYS = {"target": ("mediaType", "digest", "tag", "references"), "request": ("addr", "method", "useragent"), "actor": ()}


def push(name: str, tag: str = "v1", at: int = 0, **more: Any) -> dict[str, Any]:
    return event(name, "push", at, tag=tag, **more)


def pull(name: str, at: int = 0, **more: Any) -> dict[str, Any]:
    return event(name, "pull", at, **{"tag": "v1", **more})


def child(name: str, at: int = 0, **more: Any) -> dict[str, Any]:
    """A pull by digest, as of an image of an index."""
    made = pull(name, at, **more)
    del made["target"]["tag"]
    return made


def delete(name: str, tag: str = "v1", at: int = 0, **more: Any) -> dict[str, Any]:
    return event(name, "delete", at, tag=tag, **more)


# What is an envelope, and who may send one


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.docker.distribution.events.v1+json",
        "application/vnd.docker.distribution.events.v2+json; charset=utf-8",
        "application/json",
    ],
)
def test_an_envelope_of_each_media_type_is_taken(told: Told, media_type: str) -> None:
    body = json.dumps({"events": []})
    reply = told.reporter.simulate_post(EVENTS, body=body, content_type=media_type)
    assert (reply.status_code, reply.json) == (202, {"taken": 0, "passed_over": {}})


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b'{"events": {}}', {}, 400),
        (b'{"events": [', {}, 400),
        (b'{"events": ["\xff"]}', {}, 400),
        (b'{"events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}, 400),
        (b'{"events": [' + b"0," * MOST_EVENTS + b"0]}", {}, 400),
        (b" " * (MAX_BODY + 1), {}, 413),
        (b"{}", {"Content-Encoding": "gzip"}, 415),
        (b"{}", {"Content-Type": "text/plain"}, 415),
    ],
    ids=["empty", "array", "object", "cut", "bytes", "deep", "many", "large", "compressed", "text"],
)
def test_what_is_no_envelope_is_refused(told: Told, body: bytes, headers: dict[str, str], status: int) -> None:
    headers = {"Content-Type": "application/json", **headers}
    problem(told.reporter.simulate_post(EVENTS, body=body, headers=headers), status)


def test_only_a_token_of_the_scope_that_is_not_confined_reports(told: Told) -> None:
    confined, _ = told.accounts.create_token("alice", scopes=("registry",), namespace="acme")
    for client, status in ((told.anonymous, 401), (told.client, 403), (told.with_token(confined), 403)):
        problem(client.simulate_post(EVENTS, json={"events": []}), status)


# What is passed over

BLOB = "application/octet-stream"


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (lambda name: None, "junk"),
        (lambda name: {}, "junk"),
        (lambda name: {"id": 7, "action": ["push"], "target": "acme/x"}, "junk"),
        (lambda name: push(name) | {"id": "x" * 1001}, "junk"),
        (lambda name: push(name) | {"id": "nul\0"}, "junk"),
        (lambda name: push(name) | {"action": "shove"}, "junk"),
        (lambda name: push(name, tag="-odd"), "junk"),
        (lambda name: push(name, tag="x" * 129), "junk"),
        (lambda name: push(name, tag=7), "untagged"),
        (lambda name: push(name, digest="sha256:abc"), "junk"),
        (lambda name: push(name, digest=None), "junk"),
        (lambda name: push(name, mediaType=BLOB), "blob"),
        (lambda name: pull(name, mediaType=BLOB), "blob"),
        (lambda name: event(name, "mount"), "blob"),
        (lambda name: event(name, "push"), "untagged"),
        (lambda name: event(name, "delete"), "untagged"),
        (lambda name: pull(name, method="HEAD"), "head"),
        (lambda name: pull(name, useragent="catalogd/1"), "own"),
        (lambda name: push(f"{name}/deeper"), "no_place"),
        (lambda name: push("acme/..%2fx"), "no_place"),
        (lambda name: push("con"), "no_place"),
        (lambda name: push("Acme/web"), "no_place"),
        (lambda name: push("acme/x\ud800"), "no_place"),
        (lambda name: push("a" * 129), "no_place"),
        (lambda name: pull(name), "unknown"),
    ],
)
def test_an_event_that_tells_nothing_is_passed_over_by_its_kind(
    told: Told, make: Callable[[str], object], outcome: str
) -> None:
    name, head = told.new(), told.catalog.store.head()
    assert told.tell(make(name)) == {"taken": 0, "passed_over": {outcome: 1}}
    assert (told.follower.waiting(), told.catalog.store.head()) == (0, head)


def test_junk_in_an_envelope_holds_up_nothing_else(told: Told) -> None:
    name = told.new()
    assert told.tell(None, push(name), [], pull(name)) == {"taken": 2, "passed_over": {"junk": 2}}
    assert (told.detail(name)["upload"], told.detail(name)["download"]) == (1, 1)


def test_a_name_that_has_no_place_is_logged_once(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            told.tell(push("acme/a/b\x1b[2J"), push("acme/a/b\x1b[2J"))
    assert [record.levelno for record in caplog.records if "no place" in record.message] == [logging.WARNING]
    assert "\x1b" not in caplog.text


# What a push, a pull and a delete do


def test_a_push_tells_what_the_event_does(told: Told) -> None:
    name, config = told.new(), "sha256:" + "c" * 64
    parts = [
        {"mediaType": CONFIG, "digest": config, "size": 5},
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": TWO, "size": 7},
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": TWO, "size": 7},
    ]
    told.tell(push(name, references=parts))
    detail = told.detail(name)
    (tag,) = told.client.simulate_get(f"/v1/repositories/{name}/tags").json
    assert tag == {
        "tag": "v1", "image_id": "c" * 64, "digest": ONE, "pushed_at": "2026-01-02T03:00:00.123Z", "size": 12,
    }  # fmt: skip
    assert (detail["is_public"], detail["upload"], detail["pushed_at"]) == (False, 1, tag["pushed_at"])
    problem(told.anonymous.simulate_get(f"/v1/repositories/{name}"), 404)
    (commit,) = told.client.simulate_get(f"/v1/repositories/{name}/history").json["results"]
    assert (commit["author"], commit["message"].splitlines()[0]) == ("alice", f"Create {name}: push v1")


@pytest.mark.parametrize("digest", ["sha512:" + "a" * 128, ONE])
def test_until_more_is_known_of_an_image_the_beginning_of_its_digest_stands_in(told: Told, digest: str) -> None:
    name, config = told.new(), {"mediaType": CONFIG, "digest": "sha256:" + "c" * 64, "size": 5}
    for at, references, image_id in (
        (1, [{**config, "size": "5"}], digest[7:71]),
        (2, [config], "c" * 64),
        (3, None, "c" * 64),
    ):
        told.tell(push(name, at=at, digest=digest, references=references))
        tag = told.client.simulate_get(f"/v1/repositories/{name}/tags/v1").json
        assert (tag["image_id"], tag["pushed_at"][17:19]) == (image_id, f"0{at}")


def test_the_same_event_counts_once_in_one_request_and_in_another(told: Told) -> None:
    name = told.new()
    pushed, pulled = push(name), pull(name)
    assert told.tell(pushed, pulled, pulled, pushed) == {"taken": 2, "passed_over": {"again": 2}}
    assert told.tell(pulled, pushed) == {"taken": 0, "passed_over": {"again": 2}}
    assert (told.detail(name)["upload"], told.detail(name)["download"]) == (1, 1)


# What is told of one repository, in the order in which it comes, and what the tags and the number of pushes are then.
STORIES = {
    "an older push does not overwrite": ([push("?", at=9, digest=TWO), push("?", at=1)], {"v1": TWO}, 2),
    "both at once": ([push("?", at=1), push("?", at=9, digest=TWO)], {"v1": TWO}, 2),
    "a delete": ([push("?", at=1), delete("?", at=2), push("?", tag="v2", at=2)], {"v2": ONE}, 2),
    "a late push after a delete": ([push("?", tag="v2"), delete("?", at=9), push("?", at=1)], {"v2": ONE}, 2),
    "a late delete": ([push("?", at=9), delete("?", at=1)], {"v1": ONE}, 1),
    "pushed again after a delete": ([delete("?", at=5), push("?", at=9)], {"v1": ONE}, 1),
    "a delete of nothing": ([push("?"), delete("?", tag="v9", at=9), delete("?", tag="v9", at=9)], {"v1": ONE}, 1),
    "three images of one tag": (
        [push("?", at=3), push("?", at=2, digest=TWO), push("?", at=1), delete("?", at=0)], {"v1": ONE}, 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
def test_only_what_is_newer_changes_a_tag(told: Told, story: str, at_once: bool) -> None:
    events, tags, upload = STORIES[story]
    name = told.new()
    mine = [json.loads(json.dumps(one).replace('"?"', f'"{name}"')) | {"id": f"{name} {one['id']}"} for one in events]
    mine = [one | {"id": f"{one['id']} {at_once}"} for one in mine]
    for group in [mine] if at_once else [[one] for one in mine]:
        told.tell(*group)
    assert (told.tags(name), told.detail(name)["upload"]) == (tags, upload)


@pytest.mark.parametrize("actor", [{"name": "x" * 101}, {"name": "a\nb: c"}, {"name": "\ud800\0"}, None, "amy"])
def test_what_waits_is_text_that_each_database_takes(told: Told, actor: object) -> None:
    name = told.pushed()
    one = delete(name, at=9, mediaType="x" * 999, digest="y" * 999) | {"actor": actor}
    assert told.send(one)["taken"] == 1
    (row,) = told.state.waiting_changes(9)
    assert (row.kind, row.media_type, row.digest, row.actor) == ("delete", None, None, None)
    assert told.follower.step()
    assert told.tags(name) == {}


@pytest.mark.parametrize(
    "timestamp",
    ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "2016-12-31T23:59:60Z", "soon\ud800", "x" * 10_000, 7, None],
)
def test_a_time_that_cannot_be_is_now(told: Told, timestamp: object) -> None:
    name = told.new()
    told.tell(push(name) | {"timestamp": timestamp}, pull(name, method=None) | {"timestamp": timestamp})
    detail = told.detail(name)
    assert detail["created_at"][:16] == detail["pushed_at"][:16] == detail["pulled_at"][:16]


def test_a_clock_that_is_ahead_takes_no_tag_from_what_comes_later(told: Told) -> None:
    name = told.new()
    for year, event in ((2099, push(name)), (2098, push(name, digest=TWO)), (2100, delete(name, tag="v2"))):
        told.tell(event | {"timestamp": f"{year}-01-01T00:00:00Z"})
    assert told.tags(name) == {"v1": TWO}
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told.tell(push(name, tag="v2") | {"timestamp": now}, delete(name) | {"timestamp": now})
    assert told.tags(name) == {"v2": ONE}


def test_a_clock_that_was_set_back_counts_pushes_and_loses_no_tag(told: Told) -> None:
    name = told.new()
    told.tell(push(name, at=60))
    told.tell(push(name, digest=TWO, at=1), delete(name, at=2))
    assert (told.tags(name), told.detail(name)["upload"]) == ({"v1": ONE}, 2)


def test_a_pull_counts_while_its_repository_still_waits_to_be_made(told: Told) -> None:
    name = told.new()
    for one in (push(name), pull(name)):
        assert told.send(one)["taken"] == 1
    assert told.follower.step()
    assert told.detail(name)["download"] == 1


def test_a_pull_counts_that_comes_while_its_repository_is_made(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    name = told.new()
    told.send(push(name))
    take = told.state.take_events

    def take_late(*args: Any) -> list[str]:
        """Between the look at main and this, the push has been committed and has left the queue."""
        told.follower.step()
        return take(*args)

    monkeypatch.setattr(told.state, "take_events", take_late)
    assert told.send(pull(name), pull("acme/none")) == {"taken": 1, "passed_over": {"unknown": 1}}
    assert told.detail(name)["download"] == 1


# Pulls of one client, in the order in which they come, and how many downloads they are.
INDEX_PULLS = {
    "index, child": ([pull("?", 1, mediaType=INDEX), child("?", 2)], 1),
    "child, index": ([child("?", 2), pull("?", 1, mediaType=INDEX)], 1),
    "index by digest, children": ([child("?", 1, mediaType=INDEX), child("?", 2), child("?", 3, digest=TWO)], 1),
    "twice": ([pull("?", 1, mediaType=INDEX), child("?", 2), pull("?", 9, mediaType=INDEX), child("?", 10)], 2),
    "another client": ([pull("?", 1, mediaType=INDEX), child("?", 2, addr="10.0.0.2:4711")], 2),
    "another port": ([pull("?", 1, mediaType=INDEX), child("?", 2, addr="10.0.0.1:4712")], 1),
    "long after": ([pull("?", 1, mediaType=INDEX), child("?", 700)], 2),
    "by tags": ([pull("?", 1, mediaType=INDEX), pull("?", 2)], 2),
}


@pytest.mark.parametrize("story", INDEX_PULLS)
def test_an_index_and_what_its_client_takes_from_it_are_one_pull(told: Told, story: str) -> None:
    events, downloads = INDEX_PULLS[story]
    name = told.pushed()
    for one in events:
        told.tell(json.loads(json.dumps(one).replace('"?"', f'"{name}"')))
    assert told.detail(name)["download"] == downloads


@pytest.mark.parametrize(
    ("create", "made"),
    [
        ("existing", {"acme/new", "alice/new"}),
        ("always", {"acme/new", "alice/new", "other/new", "library/new"}),
        ("never", set()),
    ],
)
def test_where_an_unknown_repository_is_created(
    tmp_path: Path, settings: Settings, create: str, made: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    names = {"acme/new": "acme/new", "alice/new": "alice/new", "other/new": "other/new", "new": "library/new"}
    with told_site(tmp_path, settings, create) as told:
        told.tell(*(push(name) for name in names), *(push(name, tag="v2") for name in names))
        found = {name for name in names.values() if told.tags(name)}
        assert found == made
        assert not any(told.detail(name)["is_public"] for name in made)
        assert told.followed["unknown_repository"] == 2 * (4 - len(made))
        assert told.follower.waiting() == 0
    assert {name for name in names.values() if f"of {name} is not followed" in caplog.text} == {*names.values()} - made


def test_a_replica_sends_the_registry_to_its_primary(tmp_path: Path, settings: Settings) -> None:
    with told_site(tmp_path, settings) as told:
        told.catalog.store.be_replica_of("https://primary.example")
        told.app = make_app(told.catalog, told.accounts, told.activity, settings, Metrics(told.catalog.health))
        reporter = told.with_token(told.accounts.create_token("alice", scopes=("registry",))[0])
        reply = reporter.simulate_post(EVENTS, json={"events": [push("acme/web")]})
        problem(reply, 403)
        assert "https://primary.example" in reply.json["detail"]
        assert told.state.count_changes() == 0


def test_a_commit_names_some_of_many_who_pushed(told: Told) -> None:
    name = told.new()
    told.tell(*(push(name, tag=f"t{i}") | {"actor": {"name": f"u{i}"}} for i in range(9)))
    (commit,) = told.client.simulate_get(f"/v1/repositories/{name}/history").json["results"]
    lines = commit["message"].splitlines()
    assert lines[0] == f"Create {name}: push t0, t1, t2, t3, t4 and 4 more"
    pushers = [line.removeprefix("Pushed-by: ") for line in lines if line.startswith("Pushed-by: ")]
    assert pushers == ["u0", "u1", "u2", "u3", "u4", "and 4 more"]
