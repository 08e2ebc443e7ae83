"""The git-backed store: the only package that knows git and GitPython."""

from catalogd.store.attributes import ATTRIBUTES, ATTRIBUTES_CONTENT
from catalogd.store.children import ClientGone, IsWanted
from catalogd.store.clone_setup import Clone
from catalogd.store.cloning import begin_as_clone
from catalogd.store.edits import Draft, Edit, Outcome, Reading
from catalogd.store.files import read_or_none, replace_durably
from catalogd.store.git import GitFailed, MissingObject, ObjectTooLarge
from catalogd.store.group import COMMITTER_EMAIL
from catalogd.store.history import COMMITTER, Change, Commit, rfc3339
from catalogd.store.incoming import NOTHING, Difference, Incoming, NewCommit, Person
from catalogd.store.locks import CatalogLock
from catalogd.store.objects import Entry, blob_id, identity, short
from catalogd.store.proposals import ProposalRepository, Signature
from catalogd.store.received import Received
from catalogd.store.refs import FOR_REVIEW, Moved
from catalogd.store.remote import Rejected, Remote, RemoteFailed, has_main
from catalogd.store.review import Checkout, all_files, schemas_beside
from catalogd.store.serving import UploadPack
from catalogd.store.snapshot import Snapshot
from catalogd.store.store import Store
from catalogd.store.textmerge import merge_texts

__all__ = [
    "ATTRIBUTES", "ATTRIBUTES_CONTENT", "COMMITTER", "COMMITTER_EMAIL", "FOR_REVIEW", "NOTHING", "CatalogLock",
    "Change", "Checkout", "ClientGone", "Clone", "Commit", "Difference", "Draft", "Edit", "Entry", "GitFailed",
    "Incoming", "IsWanted", "MissingObject", "Moved", "NewCommit", "ObjectTooLarge", "Outcome", "Person",
    "ProposalRepository", "Reading", "Received", "Rejected", "Remote", "RemoteFailed", "Signature", "Snapshot",
    "Store", "UploadPack",
    "all_files", "begin_as_clone", "blob_id", "has_main", "identity", "merge_texts", "read_or_none", "replace_durably",
    "rfc3339", "schemas_beside", "short",
]  # fmt: skip
