"""git objects as bytes: their ids, and trees that can be spliced without reading the rest of the catalog."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from catalogd.errors import Conflict

FILE_MODE = b"100644"
TREE_MODE = b"40000"
SUBMODULE_MODE = b"160000"

_ID_BYTES = 20


def object_id(kind: str, data: bytes) -> str:
    """The id of a git object of `kind` ("blob", "tree", "commit"): 40 hex digits."""
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def blob_id(data: bytes) -> str:
    """The id that git gives a file of this content."""
    return object_id("blob", data)


def short(commit: str) -> str:
    """A commit's id as people read it."""
    return commit[:12]


class Entry(NamedTuple):
    """What a tree says of one name."""

    mode: bytes
    id: str

    @property
    def is_tree(self) -> bool:
        return self.mode == TREE_MODE

    @property
    def is_file(self) -> bool:
        """Whether it has a content of its own: a file or a link."""
        return self.mode not in (TREE_MODE, SUBMODULE_MODE)

    @property
    def is_plain_file(self) -> bool:
        """Whether it is a file that nobody is to execute: no link, no repository of its own."""
        return self.mode == FILE_MODE


@dataclass(frozen=True, slots=True)
class Splice:
    """How a tree came from another by one change: at byte `offset`, `removed` bytes gave way to `inserted`.

    A pack writes such a tree as a delta of some 40 bytes, whatever its size.
    """

    base: str
    base_size: int
    offset: int
    removed: int
    inserted: bytes


class Tree:
    """An immutable git tree. A change returns a new one that shares the entries with the old.

    git sorts a directory as if its name ended in "/", so that is how `_keys` has them.
    """

    __slots__ = ("_entries", "_keys", "_raw", "id", "size", "splice")

    def __init__(self, keys: list[bytes], entries: list[bytes], splice: Splice | None = None):
        self._keys = keys
        self._entries = entries
        raw = b"".join(entries)
        self._raw: bytes | None = raw
        self.size = len(raw)
        self.id = object_id("tree", raw)
        self.splice = splice

    @property
    def raw(self) -> bytes:
        """The content of the tree object, of `size` bytes."""
        raw = self._raw
        return b"".join(self._entries) if raw is None else raw

    def compact(self) -> None:
        """From now on its content is made when it is asked for: it is a third of what a tree takes."""
        self._raw = None

    @classmethod
    def parse(cls, raw: bytes) -> Tree:
        """The tree in a tree object's content."""
        keys, entries, start = [], [], 0
        while start < len(raw):
            nul = raw.index(b"\0", start)
            mode, _, name = raw[start:nul].partition(b" ")
            end = nul + 1 + _ID_BYTES
            keys.append(_key(name, mode))
            entries.append(raw[start:end])
            start = end
        return cls(keys, entries)

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, name: str) -> Entry | None:
        """The entry of that name, or None."""
        encoded = name.encode("utf-8", "surrogateescape")
        for key in (encoded, encoded + b"/"):
            index = bisect_left(self._keys, key)
            if index < len(self._keys) and self._keys[index] == key:
                return _parse_entry(self._entries[index])
        return None

    def names(self) -> list[str]:
        """The names in it, without the "/" of directories."""
        return [key.rstrip(b"/").decode("utf-8", "surrogateescape") for key in self._keys]

    def differences(self, other: Tree) -> list[tuple[str, Entry | None, Entry | None]]:
        """(name, what is here, what is there) of each name that does not stand for the same in both, by name."""
        mine, theirs = set(self._entries), set(other._entries)
        here, there = ({_name(raw): _parse_entry(raw) for raw in only} for only in (mine - theirs, theirs - mine))
        return [(name, here.get(name), there.get(name)) for name in sorted(here.keys() | there.keys())]

    def updated(self, changes: Mapping[str, Entry | None]) -> Tree:
        """This tree with each named entry set, or removed where it is None.

        A lone change is spliced; many at once are merged and sorted, so that an import stays linear.
        """
        if len(changes) == 1:
            ((name, entry),) = changes.items()
            return self._spliced(name, entry)
        merged = dict(zip(self._keys, self._entries, strict=True))
        for name, entry in changes.items():
            encoded = name.encode("utf-8", "surrogateescape")
            file, directory = merged.pop(encoded, None), merged.pop(encoded + b"/", None)
            if entry is not None:
                _require_same_kind(name, file or directory, entry)
                merged[_key(encoded, entry.mode)] = _serialize(encoded, entry)
        keys = sorted(merged)
        return Tree(keys, [merged[key] for key in keys])

    def _spliced(self, name: str, entry: Entry | None) -> Tree:
        encoded = name.encode("utf-8", "surrogateescape")
        old = self.get(name)
        key = _key(encoded, (entry or old or Entry(FILE_MODE, "")).mode)
        if old is not None and entry is not None:
            _require_same_kind(name, _serialize(encoded, old), entry)
        start = bisect_left(self._keys, key)
        stop = start + (old is not None)
        new_entries = [] if entry is None else [_serialize(encoded, entry)]
        splice = Splice(
            base=self.id,
            base_size=self.size,
            offset=sum(map(len, self._entries[:start])),
            removed=sum(map(len, self._entries[start:stop])),
            inserted=b"".join(new_entries),
        )
        keys, entries = self._keys.copy(), self._entries.copy()
        keys[start:stop] = [key] * len(new_entries)
        entries[start:stop] = new_entries
        return Tree(keys, entries, splice)


EMPTY_TREE = Tree([], [])


def commit_data(tree: str, parents: Sequence[str], author: str, committer: str, seconds: int, message: str) -> bytes:
    """The content of a commit object. `author` and `committer` are "Name <e-mail>"; `seconds` since the epoch, UTC."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {author} {seconds} +0000", f"committer {committer} {seconds} +0000", "", message]
    return "\n".join(lines).encode("utf-8") + b"\n"


@lru_cache(maxsize=1024)
def identity(name: str, email: str) -> str:
    """ "Name <e-mail>" without the characters that would break a commit's header."""

    def clean(text: str) -> str:
        return "".join(c for c in text if c.isprintable() and c not in "<>").strip()

    return f"{clean(name) or 'unknown'} <{clean(email)}>"


def _require_same_kind(name: str, old: bytes | None, new: Entry) -> None:
    if old is not None and _parse_entry(old).is_tree != new.is_tree:
        raise Conflict(f"'{name}' is a directory in one version of the catalog and a file in the other.")


def _key(name: bytes, mode: bytes) -> bytes:
    return name + b"/" if mode == TREE_MODE else name


def _serialize(name: bytes, entry: Entry) -> bytes:
    return entry.mode + b" " + name + b"\0" + bytes.fromhex(entry.id)


def _name(raw: bytes) -> str:
    return raw[raw.index(b" ") + 1 : -_ID_BYTES - 1].decode("utf-8", "surrogateescape")


def _parse_entry(raw: bytes) -> Entry:
    return Entry(raw[: raw.index(b" ")], raw[-_ID_BYTES:].hex())
