"""A group of commits that is being made: objects in memory until the committer writes them as one pack."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from catalogd.store.edits import Edit
from catalogd.store.history import COMMITTER, Change, Commit, proposal_in, rfc3339
from catalogd.store.journal import Made
from catalogd.store.objects import EMPTY_TREE, Tree, commit_data, identity, object_id
from catalogd.store.pack import Pack
from catalogd.store.snapshot import ObjectCache, Snapshot, Unwritten, splice

COMMITTER_EMAIL = "catalogd@localhost"

Files = Mapping[str, bytes | None]


class Group:
    """The commits on top of `parent`. `follows` tells whether the working tree is on main."""

    def __init__(self, objects: ObjectCache, parent: str | None, follows: bool):
        self.parent = parent
        self.follows = follows
        self.base = Snapshot(objects, parent, objects.tree(objects.root_of(parent)) if parent else EMPTY_TREE)
        self.head = self.base
        self.newest = parent
        self.pack = Pack()
        self.commits: list[Commit] = []
        self.made: list[Made] = []
        self.files: dict[str, bytes | None] = {}
        self.blobs: dict[str, bytes] = {}
        self._written = objects
        self._objects = Unwritten(objects)
        self._roots: dict[str, str] = {}

    def changes(self, path: str, data: bytes | None) -> bool:
        """Whether the path is not that already."""
        return self.head.id_of(path) != (None if data is None else object_id("blob", data))

    def add(self, edit: Edit, message: str, files: Files) -> str:
        """One more commit. Returns its id."""
        root, changes = self._apply(files)
        seconds = int(time.time())
        author = identity(edit.author, edit.email)
        committer = identity(COMMITTER, COMMITTER_EMAIL)
        parents = [parent for parent in (self.newest, edit.merges) if parent]
        data = commit_data(root.id, parents, author, committer, seconds, message)
        commit = self._seal(root, Made(data, dict(files)))
        at = rfc3339(seconds)
        made = Commit(
            commit, edit.author, edit.email, COMMITTER, at, message, changes, tuple(parents), at, *proposal_in(message)
        )
        self.commits.append(made)
        return commit

    def add_again(self, made: Made) -> str:
        """A commit from the journal. Returns its id. Raises ValueError where it does not fit on what is there."""
        root, _ = self._apply(made.files)
        parent = f"parent {self.newest}\n" if self.newest else ""
        # A merge has another parent behind it.
        if not re.match(rf"tree {root.id}\n{parent}(parent [0-9a-f]{{40}}\n)?author ".encode(), made.data):
            raise ValueError(f"{object_id('commit', made.data)} does not fit on {self.newest}")
        return self._seal(root, made)

    def keep(self) -> None:
        """It is written: remember its objects as such."""
        self._objects.keep()
        for commit, root in self._roots.items():
            self._written.keep_root(commit, root)

    def _apply(self, files: Files) -> tuple[Tree, tuple[Change, ...]]:
        changes = []
        for path, data in files.items():
            old, new = self.head.id_of(path), None
            if data is not None:
                new = self.pack.add("blob", data)
                self._objects.add_blob(new, data)
                self.blobs[new] = data
            changes.append(Change(path, old, new))
        trees = splice(self._objects, self.head.root, {change.path: change.new for change in changes})
        for tree in trees:
            self.pack.add_tree(tree)
            self._objects.add_tree(tree)
        return trees[-1], tuple(changes)

    def _seal(self, root: Tree, made: Made) -> str:
        commit = self.pack.add("commit", made.data)
        self._roots[commit] = root.id
        self.made.append(made)
        self.files.update(made.files)
        self.newest = commit
        self.head = Snapshot(self._objects, None, root)
        return commit
