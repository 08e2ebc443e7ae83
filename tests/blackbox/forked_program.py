"""`catalogd` as a process of its own, for tests that start it hundreds of times.

Most of what a start takes is Python's reading of the modules. So one process reads them once and forks: each child has
a process id, an environment, a directory, standard streams and an exit status of its own, and runs what
`python -m catalogd` runs. With CATALOGD_TEST_FRESH=1 each is started anew instead, as `PROGRAM` always is.

`python forked_program.py SOCKET` is the process that forks.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

PROGRAM = [sys.executable, "-m", "catalogd"]
PROJECT = Path(__file__).parents[2]

_IS_FRESH = os.environ.get("CATALOGD_TEST_FRESH") == "1"
_MOST = 1 << 20  # bytes of arguments and environment of one command


def start(arguments: Sequence[str], cwd: Path, env: dict[str, str], stdin, stdout, stderr) -> subprocess.Popen | Forked:
    """A running command, whose streams are open files."""
    if _IS_FRESH:
        return subprocess.Popen([*PROGRAM, *arguments], cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr)
    streams = [stream.fileno() for stream in (stdin, stdout, stderr)]
    return Forked({"arguments": [*arguments], "cwd": str(cwd), "env": env}, streams)


def run(arguments: Sequence[str], cwd: Path, env: dict[str, str], stdin: bytes) -> tuple[int, bytes, bytes]:
    """A command that has ended: its exit status and what it wrote to standard output and to standard error."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        theirs, ours = os.pipe()
        with open(theirs, "rb") as reading:
            process = start(arguments, cwd, env, reading, out, err)
        with contextlib.suppress(BrokenPipeError), open(ours, "wb") as writing:
            writing.write(stdin)
        status = process.wait()
        for written in (out, err):
            written.seek(0)
        return status, out.read(), err.read()


class Forked:
    """A child of the process that forks; what the tests use of subprocess.Popen."""

    def __init__(self, told: dict, streams: list[int]):
        self._status, status = os.pipe()
        try:
            _forker().ask(told, [*streams, status])
        finally:
            os.close(status)
        self._heard = b""
        self._lock = threading.Lock()
        self.returncode: int | None = None
        while b"\n" not in self._heard:
            part = os.read(self._status, 100)
            assert part, "the process that forks has ended"
            self._heard += part
        self.pid = int(self._heard.split(b"\n")[0])

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        found = self._look(timeout)
        if found is None:
            raise subprocess.TimeoutExpired("catalogd", timeout or 0)
        return found

    def send_signal(self, number: int) -> None:
        # It may end at any time, and what that was is known a moment later.
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        with self._lock:
            while self.returncode is None and select.select([self._status], [], [], timeout)[0]:
                part = os.read(self._status, 100)
                self._heard += part
                if not part:
                    os.close(self._status)
                    self.returncode = int(self._heard.split(b"\n")[1])
            return self.returncode


class _Forker:
    """The process that forks. It ends with the tests, as nobody is left at its socket."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])}
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, env=env, cwd=PROJECT, pass_fds=[theirs.fileno()])
        self._lock = threading.Lock()
        atexit.register(self._end)  # waited for, so that what it took is counted

    def _end(self) -> None:
        self._socket.close()
        self._process.wait(30)

    def ask(self, told: dict, descriptors: list[int]) -> None:
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(told).encode()], descriptors)


@cache
def _forker() -> _Forker:
    return _Forker()


# --- the process that forks


def _fork_for_each(asked: socket.socket) -> dict | None:
    """Returns what is asked in the process that is to do it, and None in the first one when nobody asks any more."""
    while True:
        message, descriptors, *_ = socket.recv_fds(asked, _MOST, 4)
        if not message:
            return None
        if os.fork() == 0:
            asked.close()
            *streams, status = descriptors
            if _is_child(status):
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                os.closerange(3, max(descriptors) + 1)
                return json.loads(message)
        for descriptor in descriptors:
            os.close(descriptor)


def _is_child(status: int) -> bool:
    """Whether this is the command. Its parent tells its id, waits for it, and tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return True
    os.closerange(0, status)
    os.write(status, b"%d\n" % child)
    _, ended = os.waitpid(child, 0)
    os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
    os._exit(0)


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _main() -> None:
    del sys.path[0]  # the directory of the tests
    import catalogd

    for module in pkgutil.walk_packages(catalogd.__path__, "catalogd."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _reap)
    gc.freeze()
    told = _fork_for_each(socket.socket(fileno=int(sys.argv[1])))
    if told:
        os.chdir(told["cwd"])
        os.environ.clear()
        os.environ.update(told["env"])
        sys.argv[1:] = told["arguments"]
        _end_quickly(_status_of_the_program())


def _status_of_the_program() -> int:
    try:
        runpy.run_module("catalogd", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end_quickly(status: int) -> None:
    """As Python ends, but without taking its memory apart, most of which is shared until then."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _main()
