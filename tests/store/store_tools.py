"""Edits, hands and what must hold of any catalog, for the tests of the store."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from catalogd.store import Draft, Edit, Outcome, Reading, Store

PROJECT = Path(__file__).parents[2]
WRITER = Path(__file__).with_name("writer.py")


def draft_of(files: dict[str, bytes | None], message: str = "Change files") -> Callable[[Reading], Draft]:
    """A draft that looks at what is there, as every use case does, and sets the files."""

    def draft(reading: Reading) -> Draft:
        for path in files:
            reading.read(path)
        return Draft(message, files)

    return draft


def put(store: Store, path: str, data: bytes | None, message: str = "Change a file") -> Outcome:
    return store.submit(Edit("alice", "alice@example.org", draft_of({path: data}, message)))


def put_all(store: Store, files: dict[str, bytes | None], message: str = "Change files") -> Outcome:
    return store.submit(Edit("alice", "alice@example.org", draft_of(files, message)))


def increment(store: Store, path: str, author: str = "alice") -> Outcome:
    """Count one up in a file: an update that is lost shows in the number."""

    def draft(reading: Reading) -> Draft:
        found = reading.read(path)
        value = int(found[1]) if found else 0
        return Draft(f"Count {value + 1}", {path: b"%d\n" % (value + 1)})

    return store.submit(Edit(author, f"{author}@example.org", draft))


def run_git(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """git as a hand runs it; what is committed needs not be a document."""
    return subprocess.run(
        ["git", "-c", "catalogd.python=/bin/true", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "GIT_EDITOR": "true", **environment},
        timeout=60,
    )


def files_at(root: Path, commit: str = "main") -> dict[str, bytes]:
    """Every file of a commit and its content, read by git."""
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "-z", commit], cwd=root, capture_output=True, check=True
    ).stdout.split(b"\0")[:-1]
    assert all(line.startswith(b"100644 blob ") for line in listed)
    blobs = b"".join(line.split(b" ")[2][:40] + b"\n" for line in listed)
    content = subprocess.run(
        ["git", "cat-file", "--batch"], input=blobs, cwd=root, capture_output=True, check=True
    ).stdout
    files = {}
    for line in listed:
        head, _, content = content.partition(b"\n")
        size = int(head.split()[2])
        files[os.fsdecode(line.partition(b"\t")[2])] = content[:size]
        content = content[size + 1 :]
    return files


def packs_of(root: Path) -> set[str]:
    return {pack.name for pack in (root / ".git/objects/pack").glob("pack-*.pack")}


def complaints(root: Path) -> list[str]:
    """What fsck and status say of the catalog, and files that somebody has left behind."""
    fsck = run_git(root, "fsck", "--strict", "--no-dangling")
    said = [*fsck.stdout.splitlines(), *fsck.stderr.splitlines()] if fsck.returncode else []
    said += run_git(root, "status", "--porcelain").stdout.splitlines()
    return said + litter(root)


def litter(root: Path) -> list[str]:
    git_dir = root / ".git"
    found = [*(git_dir / "objects" / "pack").glob("tmp_*")]
    # An open store keeps the files of its locks.
    kept = f"{os.getpid()}-lock-"
    found += [path for path in (git_dir / "catalogd" / "scratch").iterdir() if not path.name.startswith(kept)]
    found += [*git_dir.glob("*.lock"), *(git_dir / "refs").rglob("*.lock")]
    found += (git_dir / "catalogd").glob(".followed*")
    return [str(path.relative_to(root)) for path in found]


def history_of(root: Path, path: str) -> list[tuple[str, str, bytes | None]]:
    """(commit, committer, content) of a file in each commit of main's first-parent line, oldest first."""
    listed = run_git(root, "log", "--first-parent", "--reverse", "--format=%H %cn").stdout.splitlines()
    found = []
    for line in listed:
        commit, _, committer = line.partition(" ")
        shown = subprocess.run(["git", "show", f"{commit}:{path}"], cwd=root, capture_output=True)
        found.append((commit, committer, None if shown.returncode else shown.stdout))
    return found


def start_writer(root: Path, *arguments: str, before: tuple[str, ...] = (), **options) -> subprocess.Popen[str]:
    """writer.py in a process of its own; `before` is a program that runs it, such as strace."""
    # What it does before it is open is to be the same each time, so it reads compiled modules and writes none.
    return subprocess.Popen(
        [*before, sys.executable, str(WRITER), str(root), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"},
        **options,
    )


def wait_for(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until something is so. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come about")
        time.sleep(0.001)
