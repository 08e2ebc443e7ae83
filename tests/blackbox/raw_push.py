"""A push made byte by byte, as no git would make it: objects, pack, packet lines, HTTP."""

from __future__ import annotations

import hashlib
import struct
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from served_catalog import Client, Served, git

TYPE = "application/x-git-receive-pack-request"
PATH = "/catalog.git/git-receive-pack"
NOTHING = "0" * 40
_KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}

Entries = dict[bytes, tuple[bytes, str]]


def packet(line: bytes) -> bytes:
    return b"%04x%s" % (len(line) + 4, line)


def size_of(kind: int, size: int) -> bytes:
    first, size = (kind << 4) | (size & 15), size >> 4
    encoded = bytearray()
    while size:
        encoded.append(first | 128)
        first, size = size & 127, size >> 7
    return bytes([*encoded, first])


def record(kind: str, data: bytes) -> bytes:
    return size_of(_KINDS[kind], len(data)) + zlib.compress(data, 1)


def pack_of(records: Iterable[bytes], count: int | None = None, version: int = 2) -> bytes:
    records = list(records)
    body = struct.pack(">4sII", b"PACK", version, len(records) if count is None else count) + b"".join(records)
    return body + hashlib.sha1(body).digest()


@dataclass
class Objects:
    """New objects, on top of a catalog's."""

    served: Served
    made: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def add(self, kind: str, data: bytes) -> str:
        new_id = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data).hexdigest()
        self.made[new_id] = kind, data
        return new_id

    def blob(self, data: bytes) -> str:
        return self.add("blob", data)

    def tree(self, entries: Entries | list[tuple[bytes, bytes, str]]) -> str:
        """A tree of name -> (mode, id), sorted as git does; of a list of (mode, name, id) as it stands."""
        if isinstance(entries, dict):
            entries = [(mode, name, object_id) for name, (mode, object_id) in entries.items()]
            entries.sort(key=lambda entry: entry[1] + b"/" if entry[0] == b"40000" else entry[1])
        return self.add("tree", b"".join(b"%s %s\0" % e[:2] + bytes.fromhex(e[2]) for e in entries))

    def entries(self, path: str = "") -> Entries:
        """What main has in a directory."""
        listed = git(self.served.root, "ls-tree", "-z", f"main:{path}", check=False)
        found: Entries = {}
        for line in listed.split("\0"):
            words, tab, name = line.partition("\t")
            if tab:
                mode, _, object_id = words.split()
                found[name.encode()] = (mode.lstrip("0").encode(), object_id)
        return found

    def with_entry(self, directory: str, name: bytes, mode: bytes, object_id: str) -> str:
        """The root tree of main with one entry set in a directory ("" is the root)."""
        if not directory:
            return self.tree({**self.entries(), name: (mode, object_id)})
        parent, _, own = directory.rpartition("/")
        tree = self.tree({**self.entries(directory), name: (mode, object_id)})
        return self.with_entry(parent, own.encode(), b"40000", tree)

    def commit(
        self,
        root: str,
        *parents: str,
        author: bytes = b"mallory <mallory@users.noreply.catalogd.invalid>",
        committer: bytes | None = None,
        when: bytes = b"",
        committed: bytes = b"",
        message: bytes = b"Try\n",
        headers: bytes = b"",
    ) -> str:
        now = b"%d +0000" % time.time()
        lines = [b"tree %s" % root.encode(), *(b"parent %s" % parent.encode() for parent in parents)]
        lines += [b"author %s %s" % (author, when or now)]
        lines += [b"committer %s %s" % (committer or author, committed or when or now)]
        return self.add("commit", b"\n".join(lines) + b"\n" + headers + b"\n" + message)

    def pack(self, *without: str) -> bytes:
        return pack_of(record(*made) for new_id, made in self.made.items() if new_id not in without)


@dataclass(frozen=True)
class Answer:
    """What came of a push: a status of HTTP, what the user is told, and git's report by ref."""

    status: int
    told: str
    report: str


def body_of(commands: Iterable[tuple[str, str, bytes]], pack: bytes = b"") -> bytes:
    lines = [b"%s %s %s" % (old.encode(), new.encode(), ref) for old, new, ref in commands]
    lines[0] += b"\0 report-status side-band-64k agent=raw"
    return b"".join(map(packet, lines)) + b"0000" + pack


def post(client: Client, body: bytes, **headers: str) -> Answer:
    reply = client("POST", PATH, body, **{"Content_Type": TYPE, **headers})
    if reply.status != 200:
        return Answer(reply.status, reply.body.decode("utf-8", "replace"), "")
    bands = {1: b"", 2: b"", 3: b""}
    rest = reply.body
    while rest:
        size = int(rest[:4], 16)
        if size > 4:
            bands[rest[4]] += rest[5:size]
        rest = rest[max(size, 4) :]
    return Answer(200, (bands[2] + bands[3]).decode("utf-8", "replace"), bands[1].decode("utf-8", "replace"))
