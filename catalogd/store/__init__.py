"""The git-backed store: the only package that knows git and GitPython."""

from catalogd.store.edits import Draft, Edit, Outcome, Reading
from catalogd.store.git import GitFailed
from catalogd.store.history import Change, Commit, rfc3339
from catalogd.store.objects import blob_id, short
from catalogd.store.refs import Moved
from catalogd.store.review import Checkout, all_files
from catalogd.store.serving import ClientGone, IsWanted, UploadPack
from catalogd.store.snapshot import Snapshot
from catalogd.store.store import Store

__all__ = [
    "Change", "Checkout", "ClientGone", "Commit", "Draft", "Edit", "GitFailed", "IsWanted", "Moved", "Outcome",
    "Reading", "Snapshot", "Store", "UploadPack", "all_files", "blob_id", "rfc3339", "short",
]  # fmt: skip
