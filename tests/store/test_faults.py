"""Full disks and I/O errors: nothing unsafe is acknowledged, reads go on, opening anew mends.

The steps of a write of a whole server are in tests/faults.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from store_tools import complaints, litter, put, put_all, run_git, start_writer

from catalogd.errors import CatalogdError, NoSpace, StoreFailed, Unavailable
from catalogd.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture
def there(root):
    store = Store(root)
    put(store, "data/a/there.json", b"there\n")
    store.close()
    return root


def traced(root: Path, program, tmp_path: Path, *options: str) -> tuple[list[str], Path]:
    """One write under strace; what it printed, and the trace."""
    trace = tmp_path / "trace"
    strace = (program("strace"), "-qq", "-o", str(trace), *options)
    writer = start_writer(root, "once", "data/a/new.json", "new", before=strace)
    out, _ = writer.communicate(timeout=60)
    return out.splitlines(), trace


@pytest.fixture
def can_trace(program, tmp_path):
    """Skips where strace may not inject faults."""
    done = subprocess.run(
        [program("strace"), "-qq", "-o", "/dev/null", "-einject=fsync:error=EIO:when=1", "true"],
        capture_output=True,
    )
    if done.returncode:
        pytest.skip("strace cannot inject faults here")


def test_a_kill_at_every_step_of_following_the_index_leaves_it_at_main(there, program, tmp_path, can_trace):
    """The steps of close(), which come after the write is acknowledged."""
    shutil.copytree(there, tmp_path / "counted")
    calls = ["rename", "link", "unlink", "fsync"]
    lines, trace = traced(tmp_path / "counted", program, tmp_path, f"-etrace={','.join(calls)},write")
    counts = dict.fromkeys(calls, 0)
    steps = []
    is_after = False
    for line in trace.read_text().splitlines():
        name = line.partition("(")[0]
        is_after = is_after or 'write(1, "acknowledged' in line
        if name in counts:
            counts[name] += 1
            if is_after:
                steps.append((name, counts[name]))
    assert len(steps) > 5
    for call, number in steps:
        root = tmp_path / f"{call}-{number}"
        shutil.copytree(there, root)
        lines, _ = traced(root, program, tmp_path, f"-einject={call}:signal=KILL:when={number}")
        assert lines[1].startswith("acknowledged")
        store = Store(root)
        assert complaints(root) == [], (call, number)
        assert put(store, "data/a/new.json", b"newer").changed
        store.close()
        assert complaints(root) == [], (call, number)


def test_a_file_limit_refuses_a_write_and_is_no_io_error(there):
    store = Store(there)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                opened.append(os.open("/dev/null", os.O_RDONLY))
        os.close(opened.pop())
        os.close(opened.pop())
        with pytest.raises((Unavailable, OSError)) as raised:
            for number in range(3):
                put(store, "data/a/new.json", b"%d" % number)
                opened.append(os.open("/dev/null", os.O_RDONLY))
        assert not isinstance(raised.value, StoreFailed)
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert store.failure is None
    assert put(store, "data/a/new.json", b"after").changed
    assert store.follow_index()
    assert complaints(there) == []
    store.close()


# A full disk


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB that can be filled."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, leave: int) -> Path:
    filler = place / "filler"
    disk = os.statvfs(place)
    with filler.open("wb") as file:
        file.write(bytes(max(0, disk.f_bavail * disk.f_frsize - leave)))
    return filler


@pytest.mark.parametrize("leave", [0, 4096, 20_000, 100_000, 1_000_000])
@pytest.mark.parametrize("is_checked", [True, False])
def test_a_full_disk_refuses_a_write_and_leaves_nothing_behind(small_disk, monkeypatch, leave, is_checked):
    root = small_disk / "catalog"
    Store.create(root)
    store = Store(root)
    put(store, "data/a/there.json", b"there\n")
    assert store.follow_index()
    if not is_checked:  # met in the middle of the writing, not foreseen
        monkeypatch.setattr(store._committer, "_require_space", lambda group: None)
    filler = fill(small_disk, leave)
    big = os.urandom(leave // 2 + 3_000)
    for path in ("data/a/new.json", "data/b/new.json"):
        with pytest.raises(NoSpace):
            put(store, path, big)
    assert store.failure is None
    assert store.snapshot().names("data/a") == ["there.json"]
    assert not (root / "data/b").exists()
    assert litter(root) == []
    with contextlib.suppress(CatalogdError, OSError):
        store.follow_index()
    filler.unlink()
    assert complaints(root) == []
    assert put(store, "data/b/new.json", big).changed
    assert store.follow_index()
    assert complaints(root) == []
    store.close()


def test_an_index_that_finds_no_room_follows_later(small_disk):
    root = small_disk / "catalog"
    Store.create(root)
    store = Store(root)
    put_all(store, {f"data/n{i:03}/x.json": b"%d" % i for i in range(900)})
    assert store.follow_index()
    put(store, "data/n001/x.json", b"new")
    filler = fill(small_disk, 4096)
    with pytest.raises((CatalogdError, OSError)):
        store.follow_index()
    assert litter(root) == []
    filler.unlink()
    assert store.follow_index()
    assert complaints(root) == []
    store.close()


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EIO, StoreFailed), (errno.EROFS, StoreFailed), (errno.EDQUOT, NoSpace)]
)
def test_only_a_failing_disk_stops_all_writes(there, monkeypatch, number, error):
    store = Store(there)
    packs = store._packs

    def broken(*_, **__):
        raise OSError(number, os.strerror(number), str(packs))

    monkeypatch.setattr("catalogd.store.pack.write", broken)
    with pytest.raises(error) as raised:
        put(store, "data/a/new.json", b"new")
    assert str(there) not in raised.value.detail
    monkeypatch.undo()
    assert (store.failure is not None) == (error is StoreFailed)
    if store.failure:
        with pytest.raises(StoreFailed):
            put(store, "data/a/new.json", b"new")
    else:
        assert put(store, "data/a/new.json", b"new").changed
    assert store.snapshot().read("data/a/there.json")[1] == b"there\n"
    store.close()
    assert run_git(there, "fsck", "--strict").returncode == 0
