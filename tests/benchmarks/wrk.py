"""Several servers under wrk, in turns, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_REQUESTS = re.compile(r"([0-9]+) requests in")
_RATE = re.compile(r"Requests/sec: +([0-9.]+)")
# Each request asks for the next path, so that no server answers one from the caches of the processor alone.
_SCRIPT = """
local requests, last = {}, 0
init = function()
  for path in io.lines("PATHS") do requests[#requests + 1] = wrk.format("GET", path) end
end
request = function()
  last = last % #requests + 1
  return requests[last]
end
"""


@dataclass(frozen=True)
class Target:
    """What is asked for: the paths in this order, again and again, of the server with this process id."""

    host: str
    port: int
    pid: int
    paths: Sequence[str]
    authorization: str = ""


@dataclass
class Measured:
    """Of each round: requests a second, and seconds of processor time that the server took for one."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cost(self) -> float:
        return statistics.median(self.costs)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of rounds that stood side by side."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def measure(targets: Mapping[str, Target], connections: int, *, rounds: int, seconds: int = 2) -> dict[str, Measured]:
    """Each of the targets in each round, on so many connections. Raises RuntimeError for a reply that is no 200.

    Where each target has one path only, wrk runs without a script, which takes a third of its time.
    """
    measured = {name: Measured() for name in targets}
    with tempfile.TemporaryDirectory(prefix="catalogd-wrk-") as directory:
        needs_script = any(len(target.paths) > 1 for target in targets.values())
        scripts = {
            name: _script(Path(directory), target.paths) if needs_script else None for name, target in targets.items()
        }
        for turn in range(-1, rounds):  # the first one makes them warm
            for name, target in targets.items():
                rate, cost = _once(target, scripts[name], connections, seconds if turn >= 0 else 1)
                if turn >= 0:
                    measured[name].rates.append(rate)
                    measured[name].costs.append(cost)
    return measured


def _once(target: Target, script: Path | None, connections: int, seconds: int) -> tuple[float, float]:
    """(requests a second, seconds of processor time for each)"""
    before = processor_time(target.pid)
    said = _wrk(target, script, connections, seconds)
    spent = processor_time(target.pid) - before
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"{target.paths[0]}: not all of the replies are what was asked for:\n{said}")
    return float(_RATE.search(said)[1]), spent / int(_REQUESTS.search(said)[1])


def _wrk(target: Target, script: Path | None, connections: int, seconds: int) -> str:
    command = [program(), "-t1", f"-c{connections}", f"-d{seconds}s", *([] if script is None else [f"-s{script}"])]
    if target.authorization:
        command.append(f"-HAuthorization: {target.authorization}")
    command.append(f"http://{target.host}:{target.port}{target.paths[0] if script is None else ''}")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _script(directory: Path, paths: Sequence[str]) -> Path:
    known = hash(tuple(paths))
    script, listed = directory / f"{known}.lua", directory / f"{known}.paths"
    if not script.exists():
        listed.write_text("".join(f"{path}\n" for path in paths))
        script.write_text(_SCRIPT.replace("PATHS", str(listed)))
    return script


def program() -> str:
    """Where wrk is. Raises SystemExit where it is not."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("This question needs wrk, which is not installed; on Debian: apt-get install wrk")
    return found


def processor_time(pid: int) -> float:
    """Seconds that all threads of a process have run, in user space and in the kernel, and those of its workers, which
    are what it is; not those of other children.
    """
    return sum(map(_own_processor_time, [pid, *_workers(pid)]))


def _own_processor_time(pid: int) -> float:
    fields = _status(pid)
    # proc(5): utime and stime are fields 14 and 15, and state, the first after the name, is the third.
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _status(pid: int) -> list[str]:
    """What stands after the name in /proc/<pid>/stat."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _workers(pid: int) -> Iterator[int]:
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            is_child = process.name.isdigit() and int(_status(int(process.name))[1]) == pid
            if is_child and (process / "cmdline").read_bytes() == command:
                yield int(process.name)
