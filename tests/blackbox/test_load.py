"""Clients over HTTP and commits by hand at the same time: nothing acknowledged is lost, doubled or undone."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from load_of_writes import NAMESPACE, SHARED, Clients, Hands, Told, document_path
from served_catalog import Served, git, is_sound, pages, wait_for

CLIENTS, HANDS = 8, 4
# With CATALOGD_TEST_LOAD_SECONDS=30 as long as before a release; the kills are as many as fit.
SECONDS = float(os.environ.get("CATALOGD_TEST_LOAD_SECONDS", "12"))
BURST_SECONDS = 1.0
KILLS = round(SECONDS / BURST_SECONDS * 2 / 3)


@dataclass(frozen=True)
class Version:
    """One commit of main: who asked for it, and the labels of the documents that it changed."""

    commit: str
    subject: str
    request_ids: tuple[str, ...]
    labels: dict[str, dict[str, str]]


def prepared(served: Served) -> None:
    client = served.client()
    for name in [*SHARED, *(f"client{number}" for number in range(CLIENTS))]:
        assert client.post(f"/v1/repositories/{NAMESPACE}", {"repo_name": name}).status == 201
    served.settle()


def line_of_main(root: Path) -> list[Version]:
    """main from its first commit to its newest, along first parents."""
    out = git(
        root,
        "log",
        "--first-parent",
        "--reverse",
        "-m",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        "--format=%x00%H%x01%s%x01%(trailers:key=Request-Id,valueonly,separator=%x2C)%x01",
        "main",
    )
    entries, blobs = [], set()
    for record in out.split("\0")[1:]:
        commit, subject, ids, raw = record.split("\x01")
        changed = {}
        for line in raw.strip().splitlines():
            modes, path = line.split("\t", 1)
            changed[path] = modes.split()[3]
        blobs |= set(changed.values())
        entries.append((commit, subject, tuple(filter(None, ids.strip().split(","))), changed))
    contents = _blobs(root, sorted(blobs))
    by_path = {document_path(name): name for name in _names(entries)}
    return [
        Version(
            commit,
            subject,
            ids,
            {by_path[path]: contents.get(blob, {}) for path, blob in changed.items() if path in by_path},
        )
        for commit, subject, ids, changed in entries
    ]


def _names(entries: list) -> set[str]:
    start = f"data/{NAMESPACE}/"
    paths = {path for *_, changed in entries for path in changed}
    return {path.removeprefix(start).removesuffix(".json") for path in paths if path.startswith(start)}


def _blobs(root: Path, ids: list[str]) -> dict[str, dict[str, str]]:
    """The labels in each blob that is a document."""
    out = git(root, "cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in ids if set(blob) != {"0"}).encode())
    found, at = {}, 0
    data = out.encode()
    while at < len(data):
        end = data.index(b"\n", at)
        blob, _, size = data[at:end].decode().split()
        content = data[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
        if content.lstrip().startswith(b"{"):
            found[blob] = json.loads(content).get("labels") or {}
    return found


def assert_nothing_lost(line: list[Version], told: Told) -> None:
    """Every acknowledged write and every edit by hand is there once, and nothing takes it back."""
    by_request = Counter(request_id for version in line for request_id in version.request_ids)
    assert [count for count in by_request.values() if count > 1] == []
    missing = [done for done in told.acknowledged if by_request[done.request_id] != 1]
    assert missing == []
    at = {version.commit: version for version in line}
    for done in told.acknowledged:
        version = at[done.commit]
        assert version.request_ids == (done.request_id,)
        assert version.labels[done.repo_name][done.label] == done.value
    set_by = _assert_no_value_is_taken_back(line)
    assert [done for done in told.committed if set_by[done.repo_name, done.label, done.value] != 1] == []


def _assert_no_value_is_taken_back(line: list[Version]) -> Counter:
    """How often each (repository, label, value) was set.

    A write through the API changes the one label that it was to set, a commit by hand only labels of hands,
    and those only to what a hand has written later. Nothing ever goes back.
    """
    set_by: Counter = Counter()
    now: dict[str, dict[str, str]] = {}
    for version in line:
        for name, labels in version.labels.items():
            before = now.get(name, {})
            changed = [label for label in before.keys() | labels.keys() if before.get(label) != labels.get(label)]
            for label in changed:
                said = (
                    f"{version.commit} ({version.subject}) changed {label} of {name} "
                    f"from {before.get(label)} to {labels.get(label)}"
                )
                if version.request_ids:
                    assert version.request_ids == (labels.get(label),), said
                else:
                    assert label.startswith("h"), said
                    assert _step(before.get(label)) < _step(labels.get(label)), said
                set_by[name, label, labels[label]] += 1
            now[name] = labels
    return set_by


def _step(value: str | None) -> int:
    return int(value.rpartition("/")[2]) if value else 0


def assert_well(served: Served) -> None:
    """Idle, git is content, and the interface shows what git has."""
    served.settle()
    assert is_sound(served.root)
    assert git(served.root, "status", "--porcelain") == ""
    head = git(served.root, "rev-parse", "main").strip()
    client = served.client()
    wait_for(lambda: client.get("/v1/commits?page_size=1").commit == head, 5, "the newest commit is served")
    listed = {row["repo_name"]: row["labels"] for row in pages(client, f"/v1/repositories/{NAMESPACE}?page_size=100")}
    files = git(served.root, "ls-tree", "--name-only", f"main:data/{NAMESPACE}").split()
    stored = {
        file.removesuffix(".json"): json.loads(git(served.root, "show", f"main:data/{NAMESPACE}/{file}"))
        for file in files
    }
    assert listed == {name: document.get("labels", {}) for name, document in stored.items()}
    for name in stored:
        count = client.get(f"/v1/repositories/{NAMESPACE}/{name}/history?page_size=1").json["count"]
        assert count == int(
            git(served.root, "rev-list", "--first-parent", "--count", "main", "--", document_path(name))
        )
    assert served.run("doctor").status == 0


@pytest.fixture
def loaded(served: Served) -> Iterator[Served]:
    prepared(served)
    yield served


@pytest.mark.slow
def test_clients_and_hands_write_at_once_and_every_write_is_in_the_history_once(
    loaded: Served, record_property
) -> None:
    told = Told()
    hands = Hands(loaded, HANDS, SECONDS, told)
    clients = Clients(loaded, CLIENTS, told)
    time.sleep(SECONDS)
    hands.wait()  # beside the clients, so that these do not keep them from it
    clients.stop()
    said = f"{len(told.acknowledged)} acknowledged, {len(told.committed)} by hand, refused: {told.refused}"
    record_property("load", said)
    print(said)
    assert told.unknown == set()
    # All that a client may be refused with is that a hand has the file under way.
    assert {why for why in told.refused if why.startswith("client")} <= {"client 409 urn:catalogd:edited-by-hand"}
    assert_nothing_lost(line_of_main(loaded.root), told)
    assert_well(loaded)
    # Neither side starves the other, on a slow machine too.
    assert len(told.acknowledged) > 5 * SECONDS
    assert len(told.committed) >= 2 * HANDS


@pytest.mark.slow
def test_a_server_killed_under_load_has_all_it_acknowledged_when_it_is_back(loaded: Served, record_property) -> None:
    told = Told()
    chance = random.Random(7)
    for round_ in range(1, KILLS + 1):
        hands = Hands(loaded, 2, BURST_SECONDS, told, round_)
        clients = Clients(loaded, CLIENTS, told, round_)
        time.sleep(BURST_SECONDS * chance.uniform(0.3, 1.0))
        loaded.kill()
        clients.stop()
        loaded.start()  # what the kill left, a lock of git's say, is in the hands' way until then
        hands.wait()
        assert_nothing_lost(line_of_main(loaded.root), told)
        wait_for(lambda: loaded.client().get("/healthz").json["status"] == "ok", 5, "it is well")
    said = f"{len(told.acknowledged)} acknowledged, {len(told.committed)} by hand, refused: {told.refused}"
    record_property("load", said)
    print(said)
    assert {why for why in told.refused if why.startswith("client")} <= {"client 409 urn:catalogd:edited-by-hand"}
    assert_well(loaded)


@pytest.mark.slow
def test_a_commit_by_hand_takes_nothing_back_that_the_api_wrote_to_a_file_staged_before(
    served: Served,
) -> None:
    client = served.client()
    path = f"/v1/repositories/{NAMESPACE}/moved"
    client.post(f"/v1/repositories/{NAMESPACE}", {"repo_name": "moved"})
    client.post(f"/v1/repositories/{NAMESPACE}", {"repo_name": "other"})
    served.settle()
    for round_ in range(2):
        file, other = (served.root / document_path(name) for name in ("moved", "other"))
        file.write_text(json.dumps(json.loads(file.read_text()) | {"description": f"by hand {round_}"}))
        git(served.root, "add", document_path("moved"))
        time.sleep(0.8)  # the server looks at the index: this is staged
        git(served.root, "commit", "-q", "--no-verify", "-m", f"By hand {round_}")
        written = f"by the interface {round_}"
        assert client.put(path, {"description": written}).status == 200
        time.sleep(4.0)  # longer than the hook looks back
        other.write_text(json.dumps(json.loads(other.read_text()) | {"description": f"other {round_}"}))
        git(served.root, "add", document_path("other"))
        git(served.root, "commit", "-q", "-m", f"Of another file {round_}", check=False)
        stored = json.loads(git(served.root, "show", f"main:{document_path('moved')}"))
        assert stored["description"] == written
        served.settle()
