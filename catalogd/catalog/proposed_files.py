"""What a push for review may change. Nobody's role is asked: who reviews it decides. What could never be merged is
refused, what does not fit the catalog yet is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from catalogd import names
from catalogd.catalog.pushed_files import Review, misplaced, told
from catalogd.check import ERROR, Finding, check_policy
from catalogd.errors import CatalogdError

_SCHEMAS = frozenset(map(names.schema_path, names.KINDS))


class CommitReview(Review):
    """The review of one commit: its files must be files at their places. What they say may be mended by a later one."""

    def _of_file(self, path: str, old: bytes | None, new: bytes | None, is_its_own: bool) -> Iterator[Finding]:
        if is_its_own and names.namespace_of(path) is None and not self._pusher.is_admin:
            yield misplaced(path, "is changed by proposals of admins only", "Take it out of the commit.")


class WholeReview(CommitReview):
    """The review of all that is proposed, as the difference of two commits. What is wrong with the content of files is
    not among its findings, but in `faults`.
    """

    def __init__(self, *given: Any, **more: Any):
        super().__init__(*given, **more)
        self.faults: list[Finding] = []

    def _of_file(self, path: str, old: bytes | None, new: bytes | None, is_its_own: bool) -> Iterator[Finding]:
        yield from super()._of_file(path, old, new, is_its_own)
        if path in _SCHEMAS:
            yield from self._of_schema(path, new) if self._pusher.is_admin else ()
        elif path == names.POLICY_PATH:
            self.faults += check_policy(new) if new is not None else ()
        else:
            found = list(self._checked(path, new)) if new is not None else []
            self.faults += found
            if all(finding.severity != ERROR for finding in found):
                yield from self._of_document(path, old, new)

    def _of_document(self, path: str, old: bytes | None, new: bytes | None) -> Iterator[Finding]:
        """What the catalog would refuse of a file that is sound in itself."""
        namespace = names.parse_namespace_path(path)
        try:
            if namespace is None:
                yield from self._overwritten(path, old, new) if new is not None else ()
                return
            if old is None:
                self._require_free(namespace)
            self._require_fit(namespace, old, new)
        except CatalogdError as error:
            self.faults += told(error, path, new)
