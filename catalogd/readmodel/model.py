"""The read model as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalogd.readmodel.connections import Connections
from catalogd.readmodel.documents import DocumentQueries
from catalogd.readmodel.history import HistoryQueries
from catalogd.readmodel.listing import Counts
from catalogd.readmodel.organizations import OrganizationQueries
from catalogd.readmodel.projection import ParsedBlobs
from catalogd.readmodel.writer import Writer


class ReadModel(DocumentQueries, HistoryQueries, OrganizationQueries):
    """The SQLite file at `path`, created where there is none; for any number of threads and processes.

    Calls raise Unavailable while the file cannot be used. One that is damaged or of another format is deleted and
    begun anew: then mirrored() is None, and whoever holds the catalog's lock fills it again.
    """

    def __init__(self, path: Path):
        self._connections = Connections(path)
        self._blobs = ParsedBlobs()
        self._counts = Counts()

    @property
    def opened(self) -> int:
        """Another number once the file was begun anew, or another one has taken its place."""
        return self._connections.opened

    def close(self) -> None:
        """Close the file; a call after this opens it again."""
        self._connections.close()

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """One write transaction: readers see all of it once the block is left, nothing if an exception leaves it.

        Only for the holder of the catalog's lock. Raises NoSpace, Unavailable.
        """
        with self._connections.writer() as connection:
            yield Writer(connection, self._blobs)
