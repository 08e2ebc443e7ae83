"""The read model: a SQLite file that mirrors one commit of the catalog and indexes the history of main.

It holds nothing that git does not: it may be deleted at will (all of `readmodel.db*`) and is then filled anew.
"""

from __future__ import annotations

from catalogd.readmodel.documents import ORDERINGS
from catalogd.readmodel.model import ReadModel
from catalogd.readmodel.projection import fault_in
from catalogd.readmodel.shapes import (
    Blame,
    CommitEntry,
    HistoryEntry,
    NetChange,
    PathFault,
    Position,
    Row,
    Rows,
    SeenChange,
    Stats,
    Tags,
)
from catalogd.readmodel.writer import Writer

__all__ = [
    "ORDERINGS",
    "Blame",
    "CommitEntry",
    "HistoryEntry",
    "NetChange",
    "PathFault",
    "Position",
    "ReadModel",
    "Row",
    "Rows",
    "SeenChange",
    "Stats",
    "Tags",
    "Writer",
    "fault_in",
]
