"""The marker of an import that has not ended: from where, and which repositories are done.

The first line is JSON about the import, each further one a name. Lines are whole or, after a kill, not there.
"""

from __future__ import annotations

import json
from pathlib import Path

MARKER = "registry-import"


class Marker:
    """One import's marker. Use `note` from one thread."""

    def __init__(self, directory: Path, about: dict[str, object]):
        self._file = directory / MARKER
        self.done: set[str] = set()
        head, *names = self._lines() or [""]
        self.is_resumed = head == json.dumps(about, sort_keys=True)
        if self.is_resumed:
            self.done = set(names)
        else:
            self._file.write_text(json.dumps(about, sort_keys=True) + "\n")
        self._out = self._file.open("a")

    def note(self, name: str) -> None:
        """The repository is in the catalog."""
        self._out.write(name + "\n")
        self._out.flush()
        self.done.add(name)

    def close(self, *, is_finished: bool) -> None:
        self._out.close()
        if is_finished:
            self._file.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        """Those that end: a last one that does not was torn, and is cut off."""
        try:
            text = self._file.read_text()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            self._file.write_text(whole)
        return whole.splitlines()
