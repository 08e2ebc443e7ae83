"""The state as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from catalogd.state.activity import ActivityVerbs
from catalogd.state.database import Database
from catalogd.state.migrations import migrate
from catalogd.state.registry import RegistryVerbs
from catalogd.state.stars import StarVerbs
from catalogd.state.tokens import KnownTokens, TokenVerbs, UseNotes
from catalogd.state.users import UserVerbs


class State(UserVerbs, TokenVerbs, StarVerbs, ActivityVerbs, RegistryVerbs):
    """An open state database; use from any number of threads.

    Every method raises Unavailable when the database cannot be used now and NoSpace when its disk is full.
    """

    def __init__(self, where: Path | str):
        """Opens, and creates or migrates where needed. A Path is an SQLite file, text a database URL.

        Raises BadSettings for a URL that cannot be used, NotACatalog for a database that is none of ours or
        too new.
        """
        self._database = Database(where)
        self._known = KnownTokens()
        self._uses = UseNotes(self._database)
        try:
            migrate(self._database)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the connections that are not in use. The last one open folds SQLite's log into the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def version(self) -> int | None:
        """Another number after each change of anything in the database, by this or any other process.

        It costs microseconds, so it may be asked in each request. Ask first and read then: what was read may be newer
        than the version and is dropped at the next question, but is never older. None where the database cannot tell
        (PostgreSQL): then nothing may be kept.
        """
        return self._database.version()

    def faults(self) -> list[str]:
        """What is wrong with the file; nothing for a database server, which looks after itself. Raises Unavailable."""
        return self._database.faults() if self._database.is_sqlite else []

    def backup(self, file: Path) -> bool:
        """Copies the whole database, as it is at one moment, into a new SQLite file of the owner's alone.

        False, and nothing done, for a database server: its own tools do that.
        """
        if not self._database.is_sqlite:
            return False
        self._database.copy_to(file)
        file.chmod(0o600)
        return True
