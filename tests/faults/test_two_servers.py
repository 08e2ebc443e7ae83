"""One catalog has one server; commands may be beside it, whatever is written meanwhile."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import threading
from pathlib import Path

import pytest
from actors import NAMESPACE, Reader, Writer, acting, assert_in_order, begun
from served_catalog import Served, git, run, wait_for

pytestmark = pytest.mark.slow


def test_a_second_server_is_refused_by_name_and_takes_over_once_the_first_is_killed(
    served: Served, tmp_path: Path
) -> None:
    stage = begun(served)
    actors = [*(Writer(stage, f"writer{number}") for number in range(3)), Reader(stage, "reader0")]
    with acting(actors, stage):
        for _ in range(2):
            told = len(stage.record.acknowledged)
            second = run(tmp_path, "serve", "--catalog", served.root, "--listen", "127.0.0.1:0")
            assert (second.status, second.out) == (1, "")
            already = rf"\w+: .*is served already, by process {served.process.pid}\.\n"
            assert re.fullmatch(already, second.err), second.err
            assert served.client().get("/healthz").json["status"] == "ok"
            wait_for(lambda told=told: len(stage.record.acknowledged) > told, 30, "the first goes on to take writes")
        stage.is_up.clear()
        served.kill()
        # Nothing of the first is in the way, though it had no time to clear up.
        successor = Served(served.root, tmp_path, tmp_path / "successor.log", token=served.token).start()
        served.address, served.process = successor.address, successor.process
        stage.is_up.set()
        made = successor.client().post(f"/v1/repositories/{NAMESPACE}", {"repo_name": "next"})
        assert made.status == 201
    assert_in_order(stage)
    successor.close()


def test_of_servers_that_start_at_the_same_moment_one_serves(tmp_path: Path) -> None:
    assert run(tmp_path, "init", str(tmp_path / "catalog")).status == 0
    all_ = [Served(tmp_path / "catalog", tmp_path, tmp_path / f"{number}.log") for number in range(3)]

    def start(served: Served) -> None:
        with contextlib.suppress(AssertionError):  # that it has ended
            served.start()

    threads = [threading.Thread(target=start, args=(served,)) for served in all_]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [served for served in all_ if served.process.poll() is None]
    assert len(winners) == 1
    for served in all_:
        if served not in winners:
            assert served.process.wait(10) == 1
            assert "is served already, by process" in served.log_text
    assert winners[0].client().get("/healthz").json["status"] == "ok"
    winners[0].close()


def test_commands_beside_a_server_under_load_do_what_they_do_alone(served: Served, tmp_path: Path) -> None:
    stage = begun(served)
    actors = [*(Writer(stage, f"writer{number}") for number in range(3)), Reader(stage, "reader0")]
    bare = tmp_path / "upstream.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    with acting(actors, stage):
        for number in range(2):
            lines = [{"namespace": "imported", "repo_name": f"r{number}-{each}"} for each in range(50)]
            file = tmp_path / f"{number}.jsonl.gz"
            file.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
            for arguments in (["import", file], ["sync", "--upstream", bare], ["maintenance"], ["export", "-"]):
                done = served.run(*arguments)
                assert done.status == 0, (arguments, done.err)
            assert done.out.count('"namespace": "imported"') == 50 * (number + 1)
    assert len(stage.record.acknowledged) > 10
    assert_in_order(stage)
    # What the commands told stands on main like anything else.
    assert served.client().get("/v1/repositories/imported?page_size=1").json["count"] == 100
    upstream, main = (git(root, "rev-list", "main").split() for root in (bare, served.root))
    assert upstream == main[-len(upstream) :]
