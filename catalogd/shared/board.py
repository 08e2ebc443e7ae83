"""What one process knows and all tell, and how it is told that there is something to do."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


class Board:
    """Values of JSON by name, one writer each. A file each, so that they may have any size."""

    def __init__(self, directory: Path):
        self._directory = directory

    def post(self, name: str, value: Any) -> None:
        """In the place of what was there. Raises OSError."""
        new = self._directory / f"{name}.new"
        new.write_text(json.dumps(value))
        os.replace(new, self._directory / name)

    def read(self, name: str) -> Any:
        """What was posted last, whole; None if nothing was."""
        try:
            return json.loads((self._directory / name).read_text())
        except FileNotFoundError:
            return None


class Bell:
    """Rung by any process, heard by the one that listens; made before these part. A name is a letter."""

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        os.set_blocking(self._rung, False)

    def ring(self, name: str) -> None:
        """Does not wait: where it is not listened to for long, one who will is told often enough."""
        with suppress(BlockingIOError):
            os.write(self._rung, name.encode())

    def listen(self, on: Mapping[str, Callable[[], None]]) -> None:
        """Call what belongs to a name when it is rung, from now on, in a thread of its own."""
        threading.Thread(target=self._listen, args=(on,), name="bell", daemon=True).start()

    def _listen(self, on: Mapping[str, Callable[[], None]]) -> None:
        while names := os.read(self._heard, 4096):
            for name in set(names.decode()):
                on.get(name, _nothing)()


def _nothing() -> None:
    pass
