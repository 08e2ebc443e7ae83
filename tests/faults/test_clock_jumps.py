"""The clock is set back a year and forward ten, while a server is written to, and all goes on in its order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from actors import NAMESPACE, Actor, Hand, Pusher, Reader, Watcher, Writer, acting, assert_in_order, begun
from served_catalog import Served, git, pages, wait_for
from shifted_clock import ShiftedClock

from catalogd.store.journal import Journal

pytestmark = pytest.mark.slow

BACK, FORWARD = -366.0, 3660.0
PHASE_SECONDS = 1.5
FOLD_PACKS = 6


@pytest.fixture(scope="module")
def the_clock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShiftedClock]:
    with pytest.MonkeyPatch.context() as patch:
        yield ShiftedClock(tmp_path_factory.mktemp("shifted") / "clock", patch)


@pytest.fixture(scope="module")
def served(the_clock: ShiftedClock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("clock")
    config = home / "catalogd.toml"
    config.write_text(f"maintenance_interval = 1\nfold_packs = {FOLD_PACKS}\nactivity_interval = 1\n")
    served = Served(home / "catalog", home, home / "catalog.log", ("--config", str(config))).start()
    yield served
    served.close()


@pytest.fixture
def clock(the_clock: ShiftedClock) -> Iterator[ShiftedClock]:
    yield the_clock
    the_clock.set(0)


def moment(days: float, seconds: float = 0.0) -> datetime:
    return datetime.now(UTC) + timedelta(days=days, seconds=seconds)


def text(time_: datetime) -> str:
    return time_.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_a_clock_that_is_set_back_and_forward_under_load_upsets_neither_answers_nor_history(
    served: Served, clock: ShiftedClock
) -> None:
    stage = begun(served)
    actors: list[Actor] = [Writer(stage, f"writer{number}") for number in range(3)]
    actors += [Reader(stage, "reader0"), Watcher(stage, "watcher0"), Hand(stage, "hand0"), Pusher(stage, "push0")]
    client = served.client()
    with acting(actors, stage):
        for number, days in enumerate((0.0, BACK, FORWARD, 0.0)):
            clock.set(days)
            time.sleep(PHASE_SECONDS)
            # What is written now has the time that the clock shows now; nothing else would be told from it later.
            made = client.post(f"/v1/repositories/{NAMESPACE}", {"repo_name": f"mark{number}"})
            assert made.status == 201
            shown = client.get(f"/v1/repositories/{NAMESPACE}/mark{number}").json
            assert shown["created_at"] == shown["updated_at"]
            assert abs(datetime.fromisoformat(shown["updated_at"]) - moment(days)) < timedelta(minutes=1)
    assert_in_order(stage)
    assert "cut off" not in {outcome for _, outcome in stage.record.answers}

    line = git(served.root, "rev-list", "--first-parent", "main").split()
    assert [row["commit"] for row in pages(client, "/v1/commits?page_size=100")] == line
    # The later the time, the newer the state; and now is the newest, whatever commits of before say of themselves.
    times = [moment(BACK), moment(BACK / 2), moment(0, 1), moment(FORWARD / 2), moment(FORWARD)]
    found = [client.get(f"/v1/repositories?at={text(each)}") for each in times]
    assert [reply.status for reply in found] == [200] * len(times)
    at = [line.index(reply.commit) for reply in found]
    assert at == sorted(at, reverse=True)
    assert found[2].commit == line[0]
    assert client.get(f"/v1/repositories?at={text(moment(BACK, -3600))}").status == 404


def test_a_document_written_before_and_after_the_clock_was_set_back_keeps_its_order(
    served: Served, clock: ShiftedClock
) -> None:
    client = served.client()
    one = "/v1/repositories/order/one"
    assert client.post("/v1/repositories/order", {"repo_name": "one"}).status == 201
    since = client.get(one).commit
    for days in (FORWARD, BACK, 0.0):
        clock.set(days)
        assert client.patch(one, {"description": f"at {days}"}).status == 200
    assert [row["fields"] for row in pages(client, f"{one}/history")] == [["/description", "/updated_at"]] * 3 + [[""]]
    assert client.get(f"{one}/blame").status == 200
    assert client.get(one).json["description"] == "at 0.0"
    changes = client.get(f"/v1/changes?since={since}").json["results"]
    assert [change["document"]["description"] for change in changes] == ["at 0.0"]


def test_the_server_keeps_house_and_starts_anew_whatever_the_clock_was_set_to(
    served: Served, clock: ShiftedClock
) -> None:
    client = served.client()
    assert client.post("/v1/repositories/house", {"repo_name": "one"}).status == 201
    one = "/v1/repositories/house/one"
    for days in (FORWARD, BACK):
        clock.set(days)
        for number in range(3 * FOLD_PACKS):
            assert client.patch(one, {"description": f"{days} {number}"}).status == 200
        assert client.put(f"{one}/star", b"").status == 204
        client.delete(f"{one}/star")
        wait_for(lambda: metric(served, "catalogd_store_packs") < FOLD_PACKS, 15, "packs are folded")
        journal = Journal(served.root / ".git/catalogd/journal")
        wait_for(journal.is_empty, 10, "git's own files have everything")
        served.settle()
        served.kill()
        served.start()
        client = served.client()
        assert client.get(one).json["description"] == f"{days} {number}"
    doctor = served.run("doctor")
    assert doctor.status == 0, doctor.out


def metric(served: Served, name: str) -> float:
    text_ = served.anonymous().get("/metrics").body.decode()
    return next(float(line.split()[1]) for line in text_.splitlines() if line.startswith(f"{name} "))


def test_a_token_ends_when_the_clock_says_so_and_is_good_again_when_it_is_set_back(
    served: Served, clock: ShiftedClock
) -> None:
    made = served.run("token", "create", "admin", "--expires", "2d")
    client = served.client(made.out.strip())
    for days, status in ((0.0, 200), (1.0, 200), (FORWARD, 401), (BACK, 200), (3.0, 401), (0.0, 200)):
        clock.set(days)
        assert client.get("/v1/user").status == status, days
    refused = client.post("/v1/user/tokens", {"name": "late", "expires_at": text(moment(-1))})
    assert refused.status == 422
