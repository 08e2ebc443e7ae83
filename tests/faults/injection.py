"""Faults in the system calls of one thread of a running server, by strace."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SYNCS = ("fsync", "fdatasync", "syncfs", "sync")
# Whatever changes a file or makes a change durable; no machine has all of them. Opening is among them as it creates.
CALLS = (
    *("open", "openat", "openat2", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat"),
    *("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendfile", "copy_file_range", "fallocate"),
    *("truncate", "ftruncate", "link", "linkat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir"),
    *("chmod", "fchmod", "fchmodat", "utimensat", "futimesat", "msync", "sync_file_range"),
    *SYNCS,
)
KILL = "signal=KILL"
# Each write asks whether there is room for it.
ALWAYS = "statfs"


@dataclass(frozen=True)
class Fault:
    """What happens as a thread makes a system call for the `number`th time, counted from 1."""

    what: str
    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.what} at {self.call} {self.number}"


def faulty(strace: str, thread: int, fault: Fault, trace: Path):
    """Within it, the thread meets the fault."""
    injection = f"-einject={fault.call}:{fault.what}:when={fault.number}"
    return _traced(strace, thread, trace, f"{fault.call},{ALWAYS}", injection)


def calls_within(strace: str, thread: int, trace: Path):
    """Within it, what the thread calls is written down; see `calls_in`."""
    return _traced(strace, thread, trace, ",".join(f"?{call}" for call in CALLS))


def calls_in(trace: Path) -> list[str]:
    """The names of the calls, each once."""
    return list(dict.fromkeys(re.findall(r"^(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE)))


def times_called(trace: Path, call: str) -> int:
    """How often the thread has made a call."""
    return len(re.findall(rf"^{call}\(", trace.read_text(errors="replace"), re.MULTILINE))


@contextmanager
def _traced(strace: str, thread: int, trace: Path, calls: str, *options: str) -> Iterator[None]:
    command = [strace, "-qq", "-y", "-o", str(trace), f"-etrace={calls}", *options, "-p", str(thread)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 10
        while _tracer_of(thread) != tracer.pid:
            assert tracer.poll() is None and time.monotonic() < until, f"strace: {tracer.communicate()}"
            time.sleep(0.0005)
        yield
    finally:
        tracer.terminate()
        tracer.communicate()


def worker_of(pid: int) -> int:
    """The first thread that a process has begun: where one thread answers a server's requests, this is the one."""
    threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    # Their numbers grow, and may begin again from 1.
    return sorted(threads, key=lambda thread: (thread < pid, thread))[1]


def _tracer_of(thread: int) -> int | None:
    """Which process traces a thread, 0 for none; None where there is no such thread."""
    try:
        found = re.search(r"^TracerPid:\s+(\d+)$", Path(f"/proc/{thread}/status").read_text(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(found[1]) if found else None
