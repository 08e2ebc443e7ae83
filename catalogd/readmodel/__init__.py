"""The read model: a SQLite file that mirrors one commit of the catalog and indexes the history of main.

It holds nothing that git does not: it may be deleted at will (all of `readmodel.db*`) and is then filled anew.
"""

from __future__ import annotations

from catalogd.readmodel.listing import ORDERINGS
from catalogd.readmodel.model import ReadModel
from catalogd.readmodel.projection import BATCH_TRAILER, fault_in
from catalogd.readmodel.shapes import (
    Blame,
    CommitEntry,
    HistoryEntry,
    NetChange,
    OrganizationRow,
    PathFault,
    Position,
    Row,
    Rows,
    SeenChange,
    Stats,
    Summaries,
    Tags,
)
from catalogd.readmodel.writer import Writer

__all__ = [
    "BATCH_TRAILER",
    "ORDERINGS",
    "Blame",
    "CommitEntry",
    "HistoryEntry",
    "NetChange",
    "OrganizationRow",
    "PathFault",
    "Position",
    "ReadModel",
    "Row",
    "Rows",
    "SeenChange",
    "Stats",
    "Summaries",
    "Tags",
    "Writer",
    "fault_in",
]
