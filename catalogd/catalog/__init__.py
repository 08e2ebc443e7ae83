"""The use cases: what callers may do with repositories and their history. No HTTP, no git, no SQL in here."""

from catalogd.catalog.catalog import Catalog
from catalogd.catalog.counting import Deltas, Name, NotCountable
from catalogd.catalog.examination import Examined
from catalogd.catalog.holdings import Delivery, TagChange
from catalogd.catalog.joining import Unfit, Unjoinable, Unrelated
from catalogd.catalog.proposed import Proposer, PushedRevision
from catalogd.catalog.settling import OURS, THEIRS, FieldConflict
from catalogd.catalog.shapes import (
    ORDERINGS,
    Caller,
    Found,
    IfMatch,
    ListQuery,
    OrganizationFound,
    Page,
    TagsFound,
    TagWritten,
    Written,
)  # fmt: skip
from catalogd.catalog.transfer import Imported

__all__ = [
    "ORDERINGS", "OURS", "THEIRS", "Caller", "Catalog", "Delivery", "Deltas", "Examined", "FieldConflict",
    "Found", "IfMatch", "Imported", "ListQuery", "Name", "NotCountable", "OrganizationFound", "Page", "Proposer",
    "PushedRevision", "TagChange", "TagWritten", "TagsFound", "Unfit", "Unjoinable", "Unrelated", "Written",
]  # fmt: skip
