"""PUTs of descriptions from several clients at once, by wrk: one process in C, which takes a few hundredths of what a
server does. Every request changes another repository, and gives it words that it has not had.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.wrk import processor_time, program

# Lua has one state a thread of wrk, and there is one thread: so all connections share the counter.
_SCRIPT = """
local number = %(first)d
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "%(authorization)s" }
local paths = {}
for path in io.lines("%(paths)s") do paths[#paths + 1] = path end
function request()
  number = number + 1
  local body = string.format('%(body)s', "%(words)s " .. number)
  return wrk.format("PUT", paths[number %% #paths + 1], headers, body)
end
function done(summary, latency)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  print(string.format('{"requests": %%d, "microseconds": %%d, "failed": %%d, "median": %%d, "p99": %%d}',
    summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
"""
_SECONDS_AT_ONCE = 5
_JSON = re.compile(r"^\{.*\}$", re.MULTILINE)


@dataclass(frozen=True)
class Writes:
    """What a load has done: how many had success and how many had not; the seconds of all, of the median, of the
    99th percentile, and of the processor.
    """

    requests: int
    failed: int
    seconds: float
    median: float
    p99: float
    processor: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def put(
    server: tuple[str, int, int],
    paths: list[str],
    authorization: str,
    words: str,
    *,
    clients: int,
    seconds: int,
    first: int = 0,
    lenient: bool = False,
    body: str = '{"description": "%s"}',
) -> Writes:
    """PUT to the paths in turns, for so many seconds, from the path and the words of the number `first` on.

    `server`: host, port, process id. Raises RuntimeError where a reply is no success, unless it is `lenient`: then it
    is not counted.
    """
    host, port, pid = server
    with tempfile.TemporaryDirectory(prefix="catalogd-wrk-") as directory:
        listed, script = Path(directory) / "paths", Path(directory) / "put.lua"
        listed.write_text("\n".join(paths) + "\n")
        values = {"first": first, "authorization": authorization, "paths": listed, "body": body, "words": words}
        script.write_text(_SCRIPT % values)
        command = [program(), "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script)]
        before = processor_time(pid)
        done = subprocess.run([*command, f"http://{host}:{port}"], capture_output=True, text=True)
        spent = processor_time(pid) - before
    said = _JSON.search(done.stdout)
    if done.returncode or said is None:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    told = json.loads(said[0])
    succeeded = told["requests"] - told["failed"]
    if (told["failed"] and not lenient) or succeeded <= 0:
        raise RuntimeError(f"{told['failed']} of {told['requests']} PUTs failed")
    times = (told[name] / 1e6 for name in ("median", "p99"))
    return Writes(succeeded, told["failed"], told["microseconds"] / 1e6, *times, spent)


def put_so_many(
    requests: int, server: tuple[str, int, int], paths: list[str], authorization: str, words: str, **options: object
) -> None:
    """put() again and again, a few seconds each, until there were so many: wrk ends after a time only."""
    done = 0
    while done < requests:
        done += put(server, paths, authorization, words, first=done, seconds=_SECONDS_AT_ONCE, **options).requests
