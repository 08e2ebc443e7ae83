"""Files that are torn, empty or full of something else, and locks of processes that are no more.

The server mends by itself what can be made from elsewhere. Of the rest it says what is wrong and what to do, and so
does `doctor`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prepared import KEPT, Prepared
from served_catalog import Served
from survival import require_as_in_git, require_sound

pytestmark = pytest.mark.slow


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def overwritten(file: Path) -> None:
    file.write_bytes(b"junk" * (file.stat().st_size // 4 + 1))


ALL = (cut_short, emptied, zeroed, overwritten)

# Each file, and what may become of it. The pack is the newest one, which only the journal is sure to have.
MENDED = {
    "data/ns/kept.json": (cut_short, emptied, zeroed),
    ".git/catalogd/readmodel.db": ALL,
    ".git/catalogd/readmodel.db-wal": ALL,
    ".git/catalogd/readmodel.db-shm": ALL,
    ".git/catalogd/journal": ALL,
    ".git/catalogd/state.db-wal": ALL,
    ".git/index": ALL,
    ".git/refs/heads/main": ALL,
    ".git/objects/pack/*.pack": ALL,
    ".git/objects/pack/*.idx": ALL,
}


@pytest.fixture(scope="module")
def killed_once(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    served = prepared.copy(tmp_path_factory.mktemp("killed") / "home").start()
    client = served.client()
    for text in ("one", "two", "last"):
        assert client.patch(KEPT, {"description": text}).status == 200
    served.kill()
    return Prepared(served.root, served.token)


@pytest.fixture
def killed(killed_once: Prepared, tmp_path: Path) -> Served:
    """What a server left that was killed just after some writes, the last of which says so in the document `kept`."""
    return killed_once.copy(tmp_path / "home")


def damage(root: Path, pattern: str, how: Callable[[Path], None]) -> None:
    """Of several files it is the newest, or the oldest where the pattern begins with a minus."""
    found = sorted(root.glob(pattern.lstrip("-")), key=lambda file: file.stat().st_mtime_ns)
    file = found[0 if pattern[0] == "-" else -1]
    file.chmod(0o600)
    how(file)


@pytest.mark.parametrize(
    ("pattern", "how"),
    [pytest.param(pattern, how, id=f"{pattern}-{how.__name__}") for pattern in MENDED for how in MENDED[pattern]],
)
def test_a_server_mends_by_itself_what_can_be_made_from_elsewhere(killed, pattern, how):
    damage(killed.root, pattern, how)
    killed.start()
    client = killed.client()
    reply = client.get(KEPT)
    if reply.status == 503:  # damage that is met only as something is read; from then on it is mended
        reply = client.get(KEPT)
    assert (reply.status, reply.json.get("description")) == (200, "last")
    assert client.patch(KEPT, {"labels": {"written": "on"}}).status == 200
    require_as_in_git(client, killed.root)
    require_sound(killed)
    killed.close(faultless=False)


def refusal(served: Served) -> str:
    """What a server says that does not start."""
    with pytest.raises(AssertionError, match="the server has ended"):
        served.start()
    said = served.log_text
    assert "Traceback" not in said, said
    return said


@pytest.mark.parametrize("how", [cut_short, zeroed, overwritten])
def test_a_damaged_state_database_is_named_and_what_to_do_about_it(killed, how):
    damage(killed.root, ".git/catalogd/state.db", how)
    assert "state.db is damaged" in (said := refusal(killed))
    assert "catalogd backup" in said and "move it away" in said
    doctor = killed.run("doctor")
    assert doctor.status == 1
    assert "WRONG  accounts" in doctor.out
    for file in (killed.root / ".git/catalogd").glob("state.db*"):
        file.rename(killed.home / file.name)
    assert killed.start().client().get("/v1/user").status == 200  # with the token of the greeting
    require_sound(killed)
    killed.close()


@pytest.mark.parametrize("how", [emptied, overwritten, Path.unlink])
@pytest.mark.parametrize("suffix", ["pack", "idx"])
def test_an_old_pack_that_is_damaged_is_said_to_want_a_backup(killed, how, suffix):
    damage(killed.root, f"-.git/objects/pack/*.{suffix}", how)
    try:
        killed.start()
    except AssertionError:
        assert "restore the catalog from a clone or a backup" in killed.log_text
    else:  # what is lost has not been looked at yet
        reply = killed.client().patch(KEPT, {"labels": {"written": "on"}})
        assert reply.status == 503 and "from a clone or a backup" in reply.json["detail"]
    doctor = killed.run("doctor")
    assert doctor.status == 1
    assert "a clone or a backup" in doctor.out + doctor.err
    killed.close(faultless=False)


LOCKS = ["index.lock", "HEAD.lock", "refs/heads/main.lock", "packed-refs.lock", "config.lock"]
LOCKS += ["objects/pack/multi-pack-index.lock", "objects/info/commit-graphs/commit-graph-chain.lock"]


@pytest.mark.parametrize("age", [0, 3600])
def test_locks_of_a_git_that_is_no_more_are_in_nobodys_way(killed, age):
    for name in LOCKS:
        lock = killed.root / ".git" / name
        lock.parent.mkdir(exist_ok=True)
        lock.write_bytes(b"")
        os.utime(lock, (time.time() - age, time.time() - age))
    killed.start()  # in another place than before, so git's configuration is written
    client = killed.client()
    assert client.patch(KEPT, {"description": "on"}).status == 200
    maintained = killed.run("maintenance", "--full")
    assert maintained.status == 0, maintained.err
    require_as_in_git(client, killed.root)
    require_sound(killed)
    killed.close()
