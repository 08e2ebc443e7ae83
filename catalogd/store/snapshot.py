"""A snapshot: the documents of the catalog as they are in one tree."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from catalogd.errors import Conflict
from catalogd.store.git import Git, MissingObject
from catalogd.store.objects import EMPTY_TREE, FILE_MODE, SUBMODULE_MODE, TREE_MODE, Entry, Tree

# Entries of trees kept in memory: about 150 bytes each, if no other tree shares them.
_TREE_ENTRIES = 200_000
# Trees that were replaced so many groups of commits ago are not kept: a directory of 100,000 files takes 10 MB each
# time. An edit that was drafted just before may still ask for them.
_GROUPS_KEPT = 3
# Bytes of blobs kept in memory.
_BLOB_BYTES = 8 << 20


class ObjectCache:
    """git objects by id, read through C git. What an id names never changes, so the cache cannot go stale."""

    def __init__(self, git: Git, tree_entries: int = _TREE_ENTRIES, blob_bytes: int = _BLOB_BYTES):
        """So many entries of trees, and bytes of blobs, it keeps at most, or one tree and one blob."""
        self._git = git
        self._most_entries, self._most_bytes = tree_entries, blob_bytes
        self._guard = threading.Lock()
        self._trees: OrderedDict[str, Tree] = OrderedDict()
        self._tree_entries = 0
        self._replaced: deque[list[str]] = deque()
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self._blob_bytes = 0
        self._roots: OrderedDict[str, str] = OrderedDict()

    def tree(self, tree_id: str) -> Tree:
        """The tree of that id. Raises KeyError if the catalog has no such object."""
        with self._guard:
            if tree := self._trees.get(tree_id):
                self._trees.move_to_end(tree_id)
                return tree
        tree = Tree.parse(self._git.read_object(tree_id)[1])
        if tree.id != tree_id:
            raise MissingObject(tree_id)  # not a tree, or not whole: it must not become part of a commit
        self.keep_tree(tree)
        return tree

    def blob(self, blob_id: str) -> bytes:
        """The content of a blob. Raises KeyError."""
        with self._guard:
            data = self._blobs.get(blob_id)
            if data is not None:
                self._blobs.move_to_end(blob_id)
                return data
        data = self._git.read_object(blob_id)[1]
        self.keep_blob(blob_id, data)
        return data

    def root_of(self, commit_id: str) -> str:
        """The id of a commit's tree. Raises KeyError."""
        with self._guard:
            if root := self._roots.get(commit_id):
                return root
        kind, data = self._git.read_object(commit_id)
        if kind != "commit":
            raise MissingObject(commit_id)
        root = data[5:45].decode()
        self.keep_root(commit_id, root)
        return root

    def forget(self) -> None:
        """Forget everything: it may be that git no longer has it."""
        with self._guard:
            for kept in (self._trees, self._blobs, self._roots):
                kept.clear()
            self._tree_entries = self._blob_bytes = 0

    def keep_tree(self, tree: Tree) -> None:
        tree.compact()
        with self._guard:
            if tree.id in self._trees:
                return
            self._trees[tree.id] = tree
            self._tree_entries += len(tree)
            while self._tree_entries > self._most_entries and len(self._trees) > 1:
                self._tree_entries -= len(self._trees.popitem(last=False)[1])

    def replace_trees(self, trees: Iterable[Tree]) -> None:
        """Keep the trees of a group of commits, and let go of those that an earlier one has replaced."""
        new = list(trees)
        replaced = [tree.splice.base for tree in new if tree.splice is not None]
        current = {tree.id for tree in new}
        for tree in new:
            self.keep_tree(tree)
        with self._guard:
            # A revert makes one the newest again that was replaced just before.
            for earlier in (*self._replaced, replaced):
                earlier[:] = [tree_id for tree_id in earlier if tree_id not in current]
            self._replaced.append(replaced)
            if len(self._replaced) > _GROUPS_KEPT:
                for tree_id in self._replaced.popleft():
                    self._forget_tree(tree_id)

    def _forget_tree(self, tree_id: str) -> None:
        tree = self._trees.pop(tree_id, None)
        if tree is not None:
            self._tree_entries -= len(tree)

    def keep_blob(self, blob_id: str, data: bytes) -> None:
        with self._guard:
            if blob_id in self._blobs:
                return
            self._blobs[blob_id] = data
            self._blob_bytes += len(data)
            while self._blob_bytes > self._most_bytes and len(self._blobs) > 1:
                self._blob_bytes -= len(self._blobs.popitem(last=False)[1])

    def keep_root(self, commit_id: str, root: str) -> None:
        with self._guard:
            self._roots[commit_id] = root
            while len(self._roots) > 1024:
                self._roots.popitem(last=False)


class Objects(Protocol):
    """Where trees and blobs are read from."""

    def tree(self, tree_id: str) -> Tree: ...

    def blob(self, blob_id: str) -> bytes: ...


class Unwritten:
    """Objects on their way into git, in front of those that are there."""

    def __init__(self, written: ObjectCache):
        self._written = written
        self._trees: dict[str, Tree] = {}
        self._blobs: dict[str, bytes] = {}

    def tree(self, tree_id: str) -> Tree:
        return self._trees.get(tree_id) or self._written.tree(tree_id)

    def blob(self, blob_id: str) -> bytes:
        data = self._blobs.get(blob_id)
        return self._written.blob(blob_id) if data is None else data

    def add_tree(self, tree: Tree) -> None:
        self._trees[tree.id] = tree

    def add_blob(self, blob_id: str, data: bytes) -> None:
        self._blobs[blob_id] = data

    def keep(self) -> None:
        """They are written: remember them as such."""
        self._written.replace_trees(self._trees.values())
        for blob_id, data in self._blobs.items():
            self._written.keep_blob(blob_id, data)


class Snapshot:
    """The files of one tree, by path. `commit` is None before the first commit and while one is being made."""

    def __init__(self, objects: Objects, commit: str | None, root: Tree):
        self._objects = objects
        self.commit = commit
        self.root = root
        self._found: dict[str, Entry | None] = {}

    def id_of(self, path: str) -> str | None:
        """The id of the blob or tree at `path`, None where there is nothing."""
        entry = self._entry(path)
        return entry.id if entry else None

    def read(self, path: str) -> tuple[str, bytes] | None:
        """(blob id, content) of the file at `path`, or None."""
        entry = self._entry(path)
        if entry is None or entry.is_tree or entry.mode == SUBMODULE_MODE:
            return None
        return entry.id, self._objects.blob(entry.id)

    def names(self, directory: str) -> list[str]:
        """The names in a directory, sorted as git sorts; [] where there is none."""
        entry = self._entry(directory)
        return self._objects.tree(entry.id).names() if entry and entry.is_tree else []

    def walk(self, directory: str) -> Iterator[str]:
        """The path of every file below a directory."""
        for name in self.names(directory):
            path = f"{directory}/{name}"
            entry = self._entry(path)
            if entry is not None and entry.is_tree:
                yield from self.walk(path)
            else:
                yield path

    def _entry(self, path: str) -> Entry | None:
        # A write asks for the same few paths again and again.
        if path not in self._found:
            self._found[path] = self._look_up(path)
        return self._found[path]

    def _look_up(self, path: str) -> Entry | None:
        tree = self.root
        *directories, name = path.split("/")
        for directory in directories:
            entry = tree.get(directory)
            if entry is None or not entry.is_tree:
                return None
            tree = self._objects.tree(entry.id)
        return tree.get(name)


def splice(objects: Objects, root: Tree, changes: Mapping[str, str | None]) -> list[Tree]:
    """`root` with each path set to a blob id, or removed: every tree that is new, the root last.

    Raises Conflict where a file and a directory would take each other's place.
    """
    new_trees: list[Tree] = []
    _splice(objects, root, changes, new_trees)
    return new_trees


def _splice(objects: Objects, tree: Tree, changes: Mapping[str, str | None], new_trees: list[Tree]) -> Tree:
    entries: dict[str, Entry | None] = {}
    below: dict[str, dict[str, str | None]] = defaultdict(dict)
    for path, blob_id in changes.items():
        name, _, rest = path.partition("/")
        if rest:
            below[name][rest] = blob_id
        else:
            entries[name] = Entry(FILE_MODE, blob_id) if blob_id else None
    for name, changes_below in below.items():
        if entries.get(name) is not None:
            raise Conflict(f"'{name}' is to become a file where there is a directory; remove that before, by itself.")
        entry = tree.get(name)
        child = objects.tree(entry.id) if entry and entry.is_tree else EMPTY_TREE
        child = _splice(objects, child, changes_below, new_trees)
        entries[name] = Entry(TREE_MODE, child.id) if len(child) else None
    new = tree.updated(entries)
    new_trees.append(new)
    return new
