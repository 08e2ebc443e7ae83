"""The use cases: what callers may do with repositories and their history. No HTTP, no git, no SQL in here."""

from catalogd.catalog.catalog import Catalog
from catalogd.catalog.counting import Deltas, Name, NotCountable
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
    "ORDERINGS", "Caller", "Catalog", "Deltas", "Found", "IfMatch", "Imported", "ListQuery", "Name", "NotCountable",
    "OrganizationFound", "Page", "TagWritten", "TagsFound", "Written",
]  # fmt: skip
