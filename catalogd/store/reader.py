"""What is read from a catalog's git, at any moment and without its lock."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from catalogd.errors import NotFound
from catalogd.store.git import Git, GitFailed, fsck
from catalogd.store.history import (
    LOG_OPTIONS,
    MERGES_OPTIONS,
    Change,
    Commit,
    read_log,
    read_modes,
    read_raw_diff,
    read_raw_stream,
)
from catalogd.store.index import DIFF
from catalogd.store.objects import EMPTY_TREE
from catalogd.store.refs import Branch
from catalogd.store.snapshot import ObjectCache, Snapshot

# So few blobs are read by the git that is there: another one takes longer to start.
_FEW = 64


class Reader:
    """Reads one catalog in git. Threads may share it."""

    _git: Git
    _branch: Branch
    _objects: ObjectCache

    def head(self) -> str | None:
        """The id of main's newest commit, None in an empty catalog."""
        return self._branch.read()

    def head_looked_at(self) -> str | None:
        """The same for who asks before each read: it costs next to nothing while main does not move."""
        return self._branch.look()

    def snapshot(self, commit: str | None = None) -> Snapshot:
        """The files at a commit, or now. Raises NotFound where the catalog has no such commit, and MissingObject."""
        head = commit or self.head()
        if head is None:
            return Snapshot(self._objects, None, EMPTY_TREE)
        try:
            root = self._objects.root_of(head)
        except KeyError:
            if commit is None:  # main's own
                raise
            raise NotFound(f"There is no commit {commit}.") from None
        return Snapshot(self._objects, head, self._objects.tree(root))

    def blob(self, blob_id: str) -> bytes:
        """The content of a blob. Raises KeyError."""
        return self._objects.blob(blob_id)

    @contextmanager
    def blobs(self, blob_ids: Iterable[str]) -> Iterator[Callable[[str], bytes]]:
        """blob() for whoever asks for these in about this order: each is read while he works on those before it.

        What is read so is kept nowhere.
        """
        waiting = dict.fromkeys(blob_ids)
        if len(waiting) < _FEW:
            yield self.blob
            return
        with self._git.objects(waiting) as ahead:

            def blob(blob_id: str) -> bytes:
                if blob_id in waiting:
                    for found, data in ahead:
                        del waiting[found]
                        if found == blob_id:
                            return data
                return self.blob(blob_id)

            yield blob

    def log(self, after: str | None, until: str) -> Iterator[Commit]:
        """The commits that one has and another (None: none) has not, each after its parents, so `until` comes last.

        Merged lines of history stand one after the other here. `until` gets as changes of its own what is not as these
        leave it.
        """
        span = f"{after}..{until}" if after else until
        with self._git.stream("log", *LOG_OPTIONS, span, "--") as stream:
            commits = read_log(stream)
            has_merges = self._git.run("rev-list", "--merges", "-n", "1", span, "--")
            if has_merges:
                commits = self._joined(self._as_they_came(commits, after, until), after, until)
            yield from commits

    def _as_they_came(self, commits: Iterator[Commit], after: str | None, until: str) -> Iterator[Commit]:
        """Those of a merged line right before the merge, which has brought them to main.

        Main's own line is what contains `after`, without what a proposal brought; where nothing is known of it, it goes
        along the first parents.
        """
        of_proposals = self._of_proposals(f"{after}..{until}" if after else until)
        on_main = {after} if after else set(self._git.run("rev-list", "--first-parent", until, "--").decode().split())
        waiting: dict[str, Commit] = {}
        for commit in commits:
            commit = _told_by(of_proposals.get(commit.id), commit)
            is_own = commit.id not in of_proposals and after is not None and not on_main.isdisjoint(commit.parents)
            if not (is_own or commit.id in on_main or commit.id == until):
                waiting[commit.id] = commit
                continue
            on_main.add(commit.id)
            brought = _reached(lambda each: waiting[each].parents if each in waiting else None, commit.parents)
            for each in [each for each in waiting if each in brought]:
                yield replace(waiting.pop(each), came_at=commit.committed_at)
            yield commit

    def _of_proposals(self, span: str) -> Mapping[str, Commit]:
        """The commits that were pushed as proposals, each with the merge that brought it."""
        with self._git.stream("log", *MERGES_OPTIONS, span, "--") as stream:
            merges = [merge for merge in read_log(stream) if merge.proposal is not None]
        if not merges:
            return {}
        listed = self._git.run("rev-list", "--parents", span, "--").decode().splitlines()
        parents = {each: further for each, *further in map(str.split, listed)}
        found: dict[str, Commit] = {}
        known: set[str] = set()

        def unknown(each: str) -> Iterable[str] | None:
            return None if each in known else parents.get(each)

        for merge in merges:
            main, *others = merge.parents  # ours have main first
            known.update(_reached(unknown, [main]))
            found |= dict.fromkeys(_reached(unknown, others), merge)
        return found

    def _joined(self, commits: Iterator[Commit], after: str | None, until: str) -> Iterator[Commit]:
        left: dict[str, str | None] = {}
        for commit in commits:
            if commit.id == until:
                break
            left.update((change.path, change.new) for change in commit.changes)
            yield commit
        own = {change.path for change in commit.changes}
        # What neither touches is as it was, unless a merge has given it up.
        tip = self.snapshot(until)
        now = {path: tip.id_of(path) for path in left} | {change.path: change.new for change in self.diff(after, until)}
        was = self.snapshot(after) if after else Snapshot(self._objects, None, EMPTY_TREE)
        others = (Change(path, left.get(path, was.id_of(path)), new) for path, new in now.items() if path not in own)
        rest = tuple(change for change in others if change.old != change.new)
        yield replace(commit, changes=commit.changes + rest)

    def diff(self, old: str | None, new: str) -> list[Change]:
        """What differs between the trees of two commits; None is the empty tree."""
        return read_raw_diff(self._git.run(*DIFF, old or EMPTY_TREE.id, new, "--"))

    def differences(self, old: str | None, new: str) -> Iterator[Change]:
        """The same one by one, while git finds them."""
        with self._git.stream(*DIFF, old or EMPTY_TREE.id, new, "--") as stream:
            yield from read_raw_stream(stream)

    def modes(self, old: str | None, new: str) -> list[tuple[str, str]]:
        """(path, git's mode in six octal digits) of what `new` has otherwise than `old`, submodules too."""
        return read_modes(self._git.run(*DIFF, old or EMPTY_TREE.id, new, "--"))

    def contains(self, head: str, ancestor: str) -> bool:
        """Whether `ancestor` is `head` or in its history: main has grown from the one to the other."""
        if ancestor == head:
            return True
        try:
            self._git.run("merge-base", "--is-ancestor", ancestor, head)
        except GitFailed:
            return False
        return True

    def merge_bases(self, one: str, other: str) -> list[str]:
        """The newest commits that both contain; several where their lines have crossed, [] if there are none."""
        try:
            return self._git.run("merge-base", "--all", one, other).decode().split()
        except GitFailed:
            return []

    def count(self, after: str | None, until: str) -> int:
        """How many commits one has that the other has not."""
        return int(self._git.run("rev-list", "--count", f"{after}..{until}" if after else until, "--"))

    def unified_diff(self, path: str, old: str | None, new: str | None) -> str:
        """The unified diff of two blobs of one path; None is no file. "" where they are the same."""
        if old == new:
            return ""
        sides = f"--- {f'a/{path}' if old else '/dev/null'}\n+++ {f'b/{path}' if new else '/dev/null'}\n"
        if old and new:
            raw = self._git.run("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--text", old, new, "--")
            hunks = raw[raw.index(b"@@") :].decode("utf-8", "replace")
        else:
            # As git counts lines: other line breaks of Unicode are characters like any other.
            lines = re.findall(r"[^\n]*\n|[^\n]+", self.blob(old or new or "").decode("utf-8", "replace"))
            span = f"@@ -1,{len(lines)} +0,0 @@\n" if old else f"@@ -0,0 +1,{len(lines)} @@\n"
            hunks = span + "".join(("-" if old else "+") + line for line in lines)
        return sides + hunks

    def identity(self) -> tuple[str, str]:
        """(name, e-mail) that git would sign a commit by hand with. Raises GitFailed where it knows none."""
        name, _, rest = self._git.run("var", "GIT_AUTHOR_IDENT").decode("utf-8", "replace").partition(" <")
        return name, rest.partition(">")[0]

    def bundle(self, file: Path) -> str:
        """Write main and all its history into a git bundle. Returns the commit that it ends with."""
        self._git.run("bundle", "create", "-q", str(file), "main")
        heads = self._git.run("bundle", "list-heads", str(file)).decode()
        return heads.split()[0]

    def fsck(self) -> list[str]:
        """What `git fsck --strict` finds wrong with the objects; [] if nothing."""
        return fsck(self._git)

    def status(self) -> list[str]:
        """Lines of `git status --porcelain`: what differs between main, index and working tree."""
        return self._git.run("status", "--porcelain").decode("utf-8", "replace").splitlines()

    def is_checked_out(self) -> bool:
        """Whether the working tree is on main."""
        return self._branch.is_checked_out()


def _told_by(merge: Commit | None, commit: Commit) -> Commit:
    """With what the merge of a proposal tells of it: what a commit tells of itself there is nobody's word."""
    if merge is None:
        return commit
    return replace(commit, proposal=merge.proposal, proposal_head=None, reviewed_by=merge.reviewed_by)


def _reached(parents: Callable[[str], Iterable[str] | None], beginnings: Iterable[str]) -> set[str]:
    """The ids of those commits that can be reached from others by their parents; None: it is not one of them."""
    found: set[str] = set()
    left = list(beginnings)
    while left:
        each = left.pop()
        further = None if each in found else parents(each)
        if further is not None:
            found.add(each)
            left += further
    return found
