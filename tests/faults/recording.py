"""Clients that keep what they are told, for the history checker."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPException

from history import Main, Read, Write, violations
from served_catalog import Client, Reply, Served

# What a server may answer to a write that comes at a bad moment.
REFUSALS = {404, 409, 412, 422, 503}


@dataclass
class Record:
    """All that all clients were told. `answers` counts them by kind of request and status; "cut off" is one, too."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    answers: Counter = field(default_factory=Counter)
    unforeseen: list[str] = field(default_factory=list)
    _numbers: itertools.count = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_id(self, client: str) -> str:
        return f"{client}-{next(self._numbers)}"

    def count(self, kind: str, outcome: object) -> None:
        with self._lock:
            self.answers[kind, str(outcome)] += 1

    def outcomes(self, kind: str) -> Counter:
        return Counter({outcome: count for (of, outcome), count in self.answers.items() if of == kind})

    @property
    def acknowledged(self) -> list[Write]:
        return [write for write in self.writes if write.is_acknowledged]

    def violations(self, served: Served) -> list[str]:
        """What of it does not fit the catalog's history."""
        return violations(Main.of(served.root), self.writes, self.reads)


class Recorded:
    """One client of a server that may be killed and come back at another address, over one connection at a time."""

    def __init__(self, name: str, served: Served, record: Record, token: str | None = None):
        self.name = name
        self._served = served
        self._record = record
        self._token = token or served.token
        self._client: Client | None = None

    def write(
        self, method: str, path: str, body: object = None, *, kind: str, documents: tuple[str, ...], **headers: str
    ) -> Reply | None:
        """The answer; None if there was none. What it changes, if it does, is `documents`."""
        request_id, sent = self._record.next_id(self.name), time.monotonic()
        reply = self._ask(kind, method, path, body, X_Request_Id=request_id, **headers)
        told = (
            {}
            if reply is None
            else {
                "answered": time.monotonic(),
                "status": reply.status,
                "commit": reply.headers.get("catalog-commit", ""),
            }
        )
        self._record.writes.append(Write(self.name, f"{method} {path}", sent, request_id, documents, **told))
        if reply is not None and not 200 <= reply.status < 300 and reply.status not in REFUSALS:
            self._record.unforeseen.append(f"{method} {path}: {reply.status} {reply.body.decode()}")
        return reply

    def read(self, path: str, *, kind: str, document: str = "", known: str = "") -> Reply | None:
        """The answer; None if there was none. `known` is an ETag: 304 where the document is that one still."""
        sent = time.monotonic()
        reply = self._ask(kind, "GET", path, **({"If_None_Match": known} if known else {}))
        if reply is None:
            return None
        if reply.status in (200, 304) or (reply.status == 404 and document):
            tag = known if reply.status == 304 else reply.headers.get("etag", "")
            blob = tag.strip('"').partition(".")[0] if document and reply.status != 404 else None
            told = sent, time.monotonic(), document, blob, reply.headers.get("catalog-commit", "")
            self._record.reads.append(Read(self.name, f"GET {path}", *told))
        elif reply.status not in REFUSALS:
            self._record.unforeseen.append(f"GET {path}: {reply.status} {reply.body.decode()}")
        return reply

    def ask(self, method: str, path: str, body: object = None, *, kind: str) -> Reply | None:
        """What is no edit of a document, and no read of one."""
        reply = self._ask(kind, method, path, body)
        if reply is not None and reply.status >= 400 and reply.status not in REFUSALS:
            self._record.unforeseen.append(f"{method} {path}: {reply.status} {reply.body.decode()}")
        return reply

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _ask(self, kind: str, method: str, path: str, body: object = None, **headers: str) -> Reply | None:
        if self._client is None or self._client.address != self._served.address:
            self.close()
            self._client = Client(self._served.address, f"Token {self._token}")
        try:
            reply = self._client(method, path, body, **headers)
        except (OSError, HTTPException):
            self._record.count(kind, "cut off")
            return None
        if reply.status == 401 and not self._is_served_here():
            self._record.count(kind, "cut off")  # it was somebody else's server that got the port
            return None
        self._record.count(kind, reply.status)
        if reply.status == 503 and "retry-after" not in reply.headers:
            self._record.unforeseen.append(f"{method} {path}: {reply.headers} {reply.body.decode()}")
        return reply

    def _is_served_here(self) -> bool:
        process = self._served.process
        return process is not None and process.poll() is None and self._client.address == self._served.address
