"""Use cases of `catalogd init`: the first commit of a catalog, and the files that are no documents."""

from __future__ import annotations

from collections.abc import Mapping

from catalogd.catalog.base import UseCases
from catalogd.catalog.shapes import Caller
from catalogd.errors import AlreadyExists
from catalogd.store import Draft, Outcome, Reading


class Beginning(UseCases):
    """How a catalog begins."""

    def begin(self, caller: Caller, files: dict[str, bytes]) -> str:
        """The first commit of a new catalog. Returns its id."""
        return self._submit(caller, lambda _: Draft("Begin the catalog", dict(files)), "init").commit

    def equip(self, caller: Caller, message: str, files: Mapping[str, bytes], mark: str) -> Outcome:
        """Put files into the catalog that are no documents, in one commit; none where they are there as they are.

        Raises AlreadyExists where there is another file that does not begin with `mark`.
        """

        def draft(reading: Reading) -> Draft:
            for path, data in files.items():
                found = reading.read(path)
                if found is not None and found[1] != data and not found[1].startswith(mark.encode()):
                    raise AlreadyExists(
                        f"{path} is there already, and not made by catalogd; rename or remove it first."
                    )
            return Draft(message, dict(files))

        return self._submit(caller, draft, "init")
