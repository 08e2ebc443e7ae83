"""The git-backed store of one catalog: open and recover, submit edits, take in commits of others, keep house.

<catalog>/                      a git working tree, branch main
  .git/catalogd/lock            held by whoever writes (flock)
  .git/catalogd/server.lock     held by the server for as long as it runs (flock)
  .git/catalogd/followed        which commit git's index mirrors, since when (index.py)
  .git/catalogd/follow.lock     held by whoever brings the index up to main (flock)
  .git/catalogd/index.ours, taken   which index was written by catalogd, and what pushes have brought (index.py)
  .git/catalogd/journal         what git's own files may not have yet if the power fails now (journal.py)
  .git/catalogd/hand            a commit by hand is under way (hooks.py)
  .git/catalogd/workers/        what the workers of a server share (catalogd/shared/), while there are several
  .git/catalogd/primary         of a replica: where writes go instead
  .git/catalogd/hooks/          what guards commits by hand (hooks.py)
  .git/catalogd/push-hooks/     what asks the server about a push over HTTP (receiving.py)
  .git/catalogd/public.git, public.of, public.lock   what everybody may see of it (publication.py)
  .git/catalogd/proposals.git, proposals.lock        what is proposed, and what was said of it (proposals.py)
  .git/catalogd/scratch/        files and pushes on their way into place, "<process id>-..."
  .git/catalogd/readmodel.db, state.db   not the store's
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from catalogd.errors import AlreadyServed, CatalogdError, EditedByHand, NotACatalog, ReadOnly
from catalogd.names import REPOSITORY_KIND, schema_path
from catalogd.shared.shares import Shares
from catalogd.store import hooks
from catalogd.store.attributes import merge_driver
from catalogd.store.children import Children
from catalogd.store.committer import AfterCommit, Committer
from catalogd.store.edits import Edit, Outcome, Reading
from catalogd.store.files import read_or_none, remove_tree, replace_durably
from catalogd.store.git import Git, GitFailed
from catalogd.store.history import Change
from catalogd.store.index import Followed, Index
from catalogd.store.locks import STALE_AFTER, CatalogLock, clear_others, clear_stale, is_leftover
from catalogd.store.maintenance import Maintenance
from catalogd.store.objects import EMPTY_TREE
from catalogd.store.pack import TEMPORARY_PREFIX
from catalogd.store.proposals import ProposalRepository
from catalogd.store.publication import Publication
from catalogd.store.reader import Reader
from catalogd.store.receiving import HOOK, ReceivePack
from catalogd.store.redo import Redo
from catalogd.store.refs import Branch, Moved, Unsure
from catalogd.store.remote import Remote
from catalogd.store.serving import UploadPack
from catalogd.store.snapshot import ObjectCache
from catalogd.store.worktree import WorkTree

log = logging.getLogger(__name__)

_CONFIGURATION = {
    "core.autocrlf": "false",
    "core.fsync": "committed",  # for commits by hand; ours are synced whatever it says
    "core.logAllRefUpdates": "false",  # main only grows: it is its own log
    "index.skipHash": "false",  # or a torn index could not be told
    "gc.auto": "0",  # maintenance.py folds in the background instead
    "receive.denyCurrentBranch": "updateInstead",
    "receive.denyNonFastForwards": "true",
    "receive.denyDeletes": "true",
    "receive.fsckObjects": "true",
}

# How long opening waits for a lock file to be old enough to be stale.
_PATIENCE = STALE_AFTER + 0.5
# The kernel writes a file out within some 35 seconds, if nobody asks for it.
_WRITTEN_OUT_SECONDS = 60.0


class Store(Reader):
    """One catalog's store. Threads share it; other processes may have the same catalog open.

    `after_commit(parent, commits, blobs)` is called under the catalog's lock when main has moved from `parent` over
    `commits` (oldest first); `blobs` has the new contents by id. `after_move()` is called so when main has been moved
    to commits of others. What they raise is logged, not passed on. `shares` is what the workers of a server share.
    """

    def __init__(
        self,
        root: Path,
        *,
        lock_timeout: float = 10.0,
        git_children: int = 2,
        shares: Shares | None = None,
        after_commit: AfterCommit = lambda *_: None,
        after_move: Callable[[], None] = lambda: None,
    ):
        self.root = root.resolve()
        self._git = Git(self.root)
        self.private = self._git.git_dir / "catalogd"
        self._scratch = self.private / "scratch"
        self._primary = self.private / "primary"
        self._told_primary = ""
        there = self._git.configuration()
        self._require_catalog(there)
        self._scratch.mkdir(parents=True, exist_ok=True)
        self.lock = CatalogLock(self.private / "lock", lock_timeout)
        self._branch = Branch(self._git.git_dir, self._scratch)
        self._objects = ObjectCache(self._git)
        self._followed = Followed(self.private / "followed")
        self._index = Index(self._git, self.root, self._scratch, self._followed)
        self._packs = self._git.git_dir / "objects" / "pack"
        self._packs.mkdir(exist_ok=True)
        self.maintenance = Maintenance(self._git, self._packs)
        shares = shares or Shares()
        self._children = Children(git_children, shares)
        self.upload_pack = UploadPack(self._git.git_dir, self._scratch, self._children)
        self.publication = Publication(self.private, self._scratch, self._children, lock_timeout)
        self.proposals = ProposalRepository(
            self.private, self._git.git_dir, self._scratch, self._children, lock_timeout
        )
        self.receive_pack = ReceivePack(
            self._git, self.proposals, self._scratch, self.private / "push-hooks", self._children
        )
        self._after_move = after_move
        self._server_lock: int | None = None
        self._redo = Redo(self.private / "journal", self._git, self._branch, self._objects)
        self._worktree = WorkTree(self.root, self._scratch, before_replacing=self._unsettle)
        self._committer = Committer(
            self.lock, self._branch, self._objects, self._worktree, self._index, self._redo, self._packs, after_commit,
            shares,
        )  # fmt: skip
        try:
            with self.lock.held():
                self._redo.open()
                clear_others(self._git.git_dir, self._scratch, self.root, _PATIENCE)
                self._adopt(there)
                self._recover()
        except BaseException:
            self._let_go()
            raise

    @staticmethod
    def create(root: Path) -> None:
        """Make an empty catalog in a directory that is empty or does not exist yet. Raises NotACatalog."""
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise NotACatalog(f"{root} is not empty; a new catalog needs a directory of its own.")
        root.mkdir(parents=True, exist_ok=True)
        Git.init(root)
        (root / ".git" / "catalogd").mkdir()

    def close(self) -> None:
        """Bring the index up to date, if that is possible at once, and end the git children."""
        try:
            self.follow_index()
            self.checkpoint()
        except (OSError, CatalogdError) as error:
            log.warning("git's index stays behind for now: %s", error)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._children.close()
        self.upload_pack.close()
        self._git.close()
        self._branch.close()
        self._index.close()
        self.publication.close()
        self.proposals.close()
        self._redo.close()
        self.lock.close()
        if self._server_lock is not None:
            os.close(self._server_lock)

    def hold_server_lock(self) -> None:
        """Be the one server of this catalog until close(). Raises AlreadyServed."""
        descriptor = os.open(self.private / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with self.lock.held():  # under it another command may look for a moment whether there is a server
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 64).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise AlreadyServed(f"{self.root} is served already, by process {owner or 'unknown'}.") from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._server_lock = descriptor

    def keep_server_lock(self) -> int:
        """The server's lock as an open file, which this store leaves open: who is forked with it holds it too."""
        assert self._server_lock is not None
        descriptor, self._server_lock = self._server_lock, None
        return descriptor

    @property
    def primary(self) -> str:
        """The address of the primary whose replica this is, as the last server was started; else ""."""
        return self._told_primary or (read_or_none(self._primary) or b"").decode("utf-8", "replace").strip()

    def take_no_writes(self, primary: str) -> None:
        """Refuse the writes of this process; they go to the primary."""
        self._told_primary = primary

    def be_replica_of(self, primary: str) -> None:
        """Take no writes from now on, by whatever process, but for what is taken in; "" ends that.

        For the server, which holds its lock. `primary` is told to everybody who tries to write.
        """
        if primary:
            replace_durably(self._primary, primary.encode() + b"\n")
        else:
            self._primary.unlink(missing_ok=True)

    def remote(self, url: str) -> Remote:
        """Another repository, to fetch from and to push to."""
        return Remote(self._git, url)

    def is_served(self) -> bool:
        """Whether a server runs, which has recovered the catalog when it began."""
        try:
            descriptor = os.open(self.private / "server.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    # Writing

    def submit(self, edit: Edit) -> Outcome:
        """Commit an edit: durable, in the working tree and with all followers when this returns.

        Raises what its draft raises, and EditedByHand, NoSpace, ReadOnly, StoreFailed, Unavailable.
        """
        primary = self.primary
        if primary:
            if edit.draft(Reading(self.snapshot())) is not None:
                raise ReadOnly(primary)
            return Outcome(self.head() or "", changed=False)
        return self._committer.submit(edit)

    def submit_all(self, edits: Sequence[Edit]) -> list[Outcome | Exception]:
        """Commit edits of one caller together, a commit each: what became of each, or what submit() would raise."""
        if self.primary:
            return [ReadOnly(self.primary) for _ in edits]
        return self._committer.submit_all(edits)

    def take_in(
        self, old: str | None, new: str, bring: Callable[[], None] = lambda: None, *, from_primary: bool = False
    ) -> None:
        """Move main from `old` to a commit of others that contains it; durable, with files and followers on return.

        `bring` is called before, under the lock, and puts what is missing of their objects into the catalog; where it
        raises, main stays. A replica takes in nothing but what is `from_primary`. Raises Moved if main is not at `old`,
        EditedByHand where a hand has edited a file that changes, NoSpace, ReadOnly, StoreFailed, Unavailable.
        """
        if self.primary and not from_primary:
            raise ReadOnly(self.primary)
        with self.lock.held():
            self._committer.require_sound()
            try:
                if self.head() != old:
                    raise Moved("main was moved by someone else.")
                bring()
                changes = self.diff(old, new) if self._branch.is_checked_out() else []
                for change in changes:
                    self._worktree.require_unedited(change.path, {change.old, change.new})
                self._redo.settle()
                self._followed.note_taken(old, new)
                self._branch.move(old, new)
            except OSError as error:
                raise self._committer.failed(error) from error
            except Unsure as unsure:
                raise self._committer.stop(unsure.__cause__) from unsure
            finally:
                self._worktree.forget()
            self._follow_moved(changes)
        if not from_primary:  # no hand commits there, so git's index may follow in its own time
            self.follow_index()

    def _follow_moved(self, changes: list[Change]) -> None:
        """Nothing may turn the move into an error any more."""
        try:
            self._worktree.follow(changes, self.blob)
        except OSError:
            log.exception("the working tree is behind main; it is brought up to date when the disk allows")
            self._committer.lags(changes)
        finally:
            self._worktree.forget()
        try:
            self._after_move()
        except Exception:
            log.exception("the read model is behind main; it catches up with the next read")

    def edited_by_hand(self, paths: Iterable[str]) -> set[str]:
        """Those of the paths whose file is not what main has. Raises Unavailable."""
        edited = set()
        with self.lock.held():
            now = self.snapshot()
            try:
                for path in paths if self._branch.is_checked_out() else ():
                    try:
                        self._worktree.require_unedited(path, {now.id_of(path)})
                    except EditedByHand:
                        edited.add(path)
            finally:
                self._worktree.forget()
        return edited

    @property
    def failure(self) -> str | None:
        """The I/O error after which writes are refused, if there was one."""
        return self._committer.failure

    def follow_others(self, old: str | None, new: str) -> None:
        """Bring working tree files from one commit to another where nobody has edited them. Hold the lock.

        A commit by hand did so itself; a bare `git update-ref` did not.
        """
        if self._branch.is_checked_out():
            self._worktree.follow(self.diff(old, new), self.blob)
            self._worktree.forget()

    def follow_index(self) -> bool:
        """Bring git's index up to main. False if it has to wait (a git holds the index, or main is not checked out)."""
        if self.head() is None or not self._branch.is_checked_out():
            return False
        if not self._committer.catch_up_files():
            return False  # `followed` must not say that all is well: the next to open mends from there
        done = self._index.follow(self.head)
        self._committer.note_index()
        self._bring_up_files()
        return done

    def catch_up_files(self) -> None:
        """As follow_index() does: for a worker that leaves the index to another one."""
        self._committer.catch_up_files()

    def _bring_up_files(self) -> None:
        """Files that a git took from the index while that was behind: `git restore`, `git stash` by hand do."""
        if not self._index.brought_up:
            return
        with self.lock.held_if_free() as free:
            if free and self._branch.is_checked_out():
                behind, self._index.brought_up = self._index.brought_up, []
                now = self.snapshot()
                changes = [Change(change.path, change.old, now.id_of(change.path)) for change in behind]
                self._worktree.follow(changes, self.blob)
                self._worktree.forget()

    def checkpoint(self) -> None:
        """Make everything durable in git's own files, so that a power cut from now on needs no mending.

        Where a write is under way it is left to the next call. An I/O error stops writes, as one in a write does.
        """
        if self._redo.is_settled() or self._committer.failure:
            return
        try:
            self._redo.sync()  # most of the work, while writes go on
            with self.lock.held_if_free() as free:
                if free:
                    self._redo.checkpoint()
        except OSError as error:
            self._committer.stop(error)

    def _unsettle(self) -> None:
        """As Redo.unsettle(); who knows what an I/O error there has left of the writes before it."""
        try:
            self._redo.unsettle()
        except OSError as error:
            self._committer.stop(error)
            raise

    def refresh_index(self) -> None:
        """As Index.refresh(); entries that differ from the working tree are no failure."""
        try:
            self._index.refresh()
        except GitFailed:
            log.debug("the index has entries that differ from the working tree")
        self._committer.note_index()

    # Opening

    def _require_catalog(self, configured: Mapping[str, str]) -> None:
        known = self.private.is_dir() or (self.root / schema_path(REPOSITORY_KIND)).is_file()
        if not known:
            raise NotACatalog(f"{self.root} is a git repository but no catalog; `catalogd init` makes one.")
        if configured.get("extensions.objectformat", "sha1") != "sha1":
            raise NotACatalog(f"{self.root} uses another object format than SHA-1, which catalogd cannot write.")

    def _adopt(self, configured: Mapping[str, str]) -> None:
        """Make a plain clone, or a catalog of an earlier version, one that is ready to be written."""
        self.private.chmod(0o700)
        hooks.install(self.private / "hooks")
        hooks.write(self.private / "push-hooks" / "pre-receive", HOOK)
        # An absolute path: git runs hooks in the working tree, in a linked one, or in .git where a push comes in.
        wanted = _CONFIGURATION | {
            "core.hooksPath": str(self.private / "hooks"),
            "catalogd.python": sys.executable,
            **merge_driver(),
        }
        self._git.configure({key: value for key, value in wanted.items() if configured.get(key.lower()) != value})

    def _recover(self) -> None:
        """Mend what a kill or a power cut left: before anything is served. The lock is held."""
        # A server that runs may be about to put its own in place.
        begun = [file for file in self.private.glob(".followed.*") if is_leftover(file, file.name.rpartition(".")[2])]
        for leftover in [*self._packs.glob(TEMPORARY_PREFIX + "*"), *begun]:
            leftover.unlink(missing_ok=True)
        for lock_file in self._branch.locks():
            clear_stale(lock_file, self._scratch, self.root, patience=_PATIENCE)
        self._index.clear_stale_lock(_PATIENCE)
        for leftover in self._scratch.iterdir():  # after the locks: these tell whose they were
            if is_leftover(leftover):
                remove_tree(leftover)
        settled = self._redo.settled_at()
        is_lost = not self.is_served() and self._redo.replay()
        self._recover_tree(settled)
        if is_lost:
            self._redo.checkpoint()

    def _recover_tree(self, settled: str | None) -> None:
        head = self.head()
        if self._followed.newest() is None:
            self._followed.append(head or EMPTY_TREE.id)  # git's own state: the index mirrors what is checked out
        if head is None or not self._branch.is_checked_out():
            return
        self._index.rebuild_if_broken()
        self._recover_files(head, settled)
        self._index.follow(self.head)

    def _recover_files(self, head: str, settled: str | None) -> None:
        base = self._followed.newest() or EMPTY_TREE.id
        if base != head:
            # A kill leaves a file at what main had last or at anything that it had since.
            was = self._index.values(base, head)
            for path in self._worktree.follow(self.diff(base, head), self.blob, was):
                log.warning("%s holds changes that nobody has committed; it is left as it is", path)
        # What a power cut tears was written since the last checkpoint. Where that is not known, shortly before, though
        # perhaps before the index followed.
        if settled is None or not self.contains(head, settled):
            settled = self._followed.before(_WRITTEN_OUT_SECONDS)
        if settled != head:
            had = self._index.values(settled, head)
            there = self.snapshot(head)
            self._worktree.mend_torn({path: there.id_of(path) for path in had}, had, self.blob)
        self._worktree.forget()
