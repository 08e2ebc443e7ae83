"""Tags follow the events of a registry also while it cannot be read, and what makes no sense is passed over alone."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pretended_registry import Answer, Asked, Pretended, pretended
from real_registry import image
from served_catalog import wait_for

from catalogd.catalog import Catalog
from catalogd.registry import follower as following
from catalogd.registry.client import RegistryClient
from catalogd.registry.follower import RegistryFollower
from catalogd.state import ChangeRow, State
from catalogd.store import Store

pytestmark = pytest.mark.slow

A, B = image("a"), image("b")
NUMBERS = itertools.count()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    Store.create(tmp_path / "catalog")
    opened = Catalog.open(tmp_path / "catalog")
    yield opened
    opened.close()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with State(tmp_path / "state.db") as opened:
        yield opened


@contextmanager
def follower(
    catalog: Catalog, state: State, answer: Callable[[Asked], Answer | None]
) -> Iterator[tuple[RegistryFollower, Pretended]]:
    with pretended(acme__web={"a": A, "b": B}) as registry:
        registry.answer = answer
        client = RegistryClient(registry.url, timeout=30)
        made = RegistryFollower(catalog, state, lambda _namespace: True, client)
        try:
            yield made, registry
        finally:
            made.stop()
            registry.ended.set()


def push(state: State, tag: str, digest: str) -> None:
    row = ChangeRow(0, "acme", "web", "push", tag, digest, None, "2026-01-02T03:04:05.678Z", *[None] * 3, "alice", "")
    state.take_events([(next(NUMBERS).to_bytes(16, "big"), row)], ())


def entries(catalog: Catalog) -> dict[str, dict]:
    found = catalog.store.snapshot(catalog.store.head()).read("data/acme/web.json")
    return {tag["tag"]: tag for tag in json.loads(found[1])["tags"]} if found else {}


@pytest.mark.parametrize("status", [200, 403, 404])
def test_an_image_that_makes_no_sense_keeps_no_other_from_being_read(
    catalog: Catalog, state: State, status: int
) -> None:
    def lies(asked: Asked) -> Answer | None:
        return Answer(status, b'{"manifests": [7]}') if A.digest in asked.path else None

    with follower(catalog, state, lies) as (made, _):
        for tag, one in (("a", A), ("b", B)):
            push(state, tag, one.digest)
            assert made.step()
    found = entries(catalog)
    assert found["a"]["image_id"] == A.digest.removeprefix("sha256:")
    assert (found["b"]["image_id"], found["b"]["architectures"]) == (B.image_id, ["amd64"])


def test_a_registry_that_hangs_is_left_alone_and_tags_follow(
    catalog: Catalog, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_MOST_READING", 0.2)
    with follower(catalog, state, lambda asked: registry.hang()) as (made, registry):
        for tag, one in (("a", A), ("b", B)):
            push(state, tag, one.digest)
            assert made.step()
        assert {asked.path for asked in registry.asked} == {f"/v2/acme/web/manifests/{A.digest}"}
        assert {tag: entry["digest"] for tag, entry in entries(catalog).items()} == {"a": A.digest, "b": B.digest}


def test_a_stop_breaks_reading_off_and_who_starts_next_reads_again(catalog: Catalog, state: State) -> None:
    push(state, "a", A.digest)
    with follower(catalog, state, lambda asked: registry.hang()) as (made, registry):
        thread = threading.Thread(target=made.run)
        thread.start()
        wait_for(lambda: registry.asked, 5, "the registry is asked")
        began = time.monotonic()
        made.stop()
        thread.join(10)
        assert time.monotonic() - began < 5
    assert (entries(catalog), state.count_changes()) == ({}, 1)
    with follower(catalog, state, lambda asked: None) as (made, _):
        made.settle()
        assert made.step()
    assert entries(catalog)["a"]["image_id"] == A.image_id
