"""The JSON of documents that nothing has to be added to, kept by the text that it was made from.

Nothing else goes into it, so the same text is the same JSON: what is kept is never old. Whether a caller may see it was
asked before its text was read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from catalogd.documents import Stored
from catalogd.web.replies import encode

# Texts and what is kept of them, in bytes. When there are more, all of them go.
MOST = 8 << 20


class Kept:
    """What `represent` makes of documents, as JSON. Use from any number of threads."""

    def __init__(self, represent: Callable[[Mapping[str, Any]], object], most: int = MOST):
        self._represent = represent
        self._most = most
        self._known: dict[bytes, bytes] = {}
        self._size = 0
        self._lock = threading.Lock()

    def json(self, document: Mapping[str, Any]) -> bytes:
        """The JSON of a document in UTF-8; it is kept of one that is as it is stored."""
        if not isinstance(document, Stored):
            return encode(self._represent(document))
        known = self._known.get(document.text)
        return known if known is not None else self._keep(document)

    def _keep(self, document: Stored) -> bytes:
        made = encode(self._represent(document.parsed()))
        size = len(document.text) + len(made)
        with self._lock:
            if self._size + size > self._most:
                self._known, self._size = {}, 0
            # Another thread may have kept it just now; then it is counted twice, until all go.
            self._known[document.text] = made
            self._size += size
        return made
