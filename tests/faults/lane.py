"""One server and its catalog, whose writes meet one fault after the other."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from changes import Change
from injection import ALWAYS, KILL, SYNCS, Fault, calls_in, calls_within, faulty, times_called, worker_of
from prepared import KEPT, Prepared
from served_catalog import Client, Reply, assert_problem
from survival import DONE, REFUSED, UNKNOWN, require_as_in_git, require_each_once, require_old_or_new, require_sound

# strace is the tracer of a thread a moment before it traces it. So often it may miss a whole write.
_ATTACHED = 3


class Lane:
    """The server is started anew after each fault, on what the fault has left."""

    def __init__(self, prepared: Prepared, home: Path, strace: str, kind: Callable[[str, Client], Change]):
        self.served = prepared.copy(home)
        self._strace = strace
        self._kind = kind
        self._trace = home / "trace"
        self._number = 0
        self._kept = "first"
        self._acknowledged: list[str] = []
        self._refused: list[str] = []
        self._start()

    def close(self) -> None:
        self.served.kill()

    def calls(self) -> list[str]:
        """The system calls of one write that is let through."""
        change = self._next()
        with calls_within(self._strace, self._worker, self._trace):
            assert self._send(change)[0] == DONE
        found = calls_in(self._trace)
        assert "fdatasync" in found, found  # without which nothing may be acknowledged
        return found

    def step(self, fault: Fault) -> bool:
        """One write meets the fault, and all holds that must. False where the write has no such step."""
        for _ in range(_ATTACHED):
            change = self._next()
            before = self._client.get(change.path)
            with faulty(self._strace, self._worker, fault, self._trace):
                outcome, reply = self._send(change)
            if times_called(self._trace, fault.call) >= fault.number:
                break
            assert outcome == DONE, reply
            if times_called(self._trace, ALWAYS):
                return False
        else:
            raise AssertionError("another thread was traced")
        if fault.what != KILL:
            self._require_clean(fault, change, before, outcome, reply)
        self.served.kill()
        self._start()
        self._require_whole(change, before, outcome)
        return True

    def traced(self) -> str:
        """What strace has written down of the step."""
        return self._trace.read_text(errors="replace")[-400:]

    def _start(self) -> None:
        self.served.start()
        self._client = self.served.client()
        self._worker = worker_of(self.served.process.pid)

    def _next(self) -> Change:
        """The next write, before which another one has been acknowledged."""
        self._number += 1
        change = self._kind(f"step{self._number}", self._client)
        self._write_kept("before")
        return change

    def _write_kept(self, when: str) -> None:
        description = request_id = f"kept-{when}-{self._number}"
        reply = self._client.patch(KEPT, {"description": description}, X_Request_Id=request_id)
        assert reply.status == 200, reply.body
        self._acknowledged.append(request_id)
        self._kept = description

    def _send(self, change: Change) -> tuple[str, Reply | None]:
        request_id = f"step-{self._number}"
        try:
            reply = change.send(self._client, request_id)
        except (OSError, HTTPException):
            return UNKNOWN, None
        if reply.status in (200, 201, 204):
            self._acknowledged.append(request_id)
            return DONE, reply
        self._refused.append(request_id)
        return REFUSED, reply

    def _require_clean(self, fault: Fault, change: Change, before: Reply, outcome: str, reply: Reply | None) -> None:
        """The process that has met an error says so, reads on, and writes on or says why it does not."""
        assert reply is not None, "the server gave no answer"
        if outcome == REFUSED:
            assert reply.status in (503, 507), reply.body
            assert_problem(reply, reply.status)
        # All that this thread syncs is the journal, without which a write is not durable.
        assert outcome == REFUSED or fault.call not in SYNCS, "a write is acknowledged that could not be synced"
        require_old_or_new(before, self._client.get(change.path), change.new, outcome)
        assert self._client.get(KEPT).json["description"] == self._kept
        later = self._client.patch(KEPT, {"labels": {"after": f"{self._number}"}})
        # What the kernel has of the file after a failed sync nobody knows.
        if later.status != 200 or (fault.call in SYNCS and "EIO" in fault.what):
            assert "ENOSPC" not in fault.what, later.body
            assert_problem(later, 503, "store-failed")
            assert self._client.get("/healthz").json["status"] == "degraded"

    def _require_whole(self, change: Change, before: Reply, outcome: str) -> None:
        """The process that was started afterwards has all that it must have, and writes on."""
        require_old_or_new(before, self._client.get(change.path), change.new, outcome)
        assert self._client.get(KEPT).json["description"] == self._kept
        require_each_once(self.served.root, self._acknowledged, self._refused)
        self._write_kept("after")
        require_as_in_git(self._client, self.served.root)
        require_sound(self.served)
