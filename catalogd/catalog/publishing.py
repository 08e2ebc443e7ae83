"""Use case of the public repository: it follows main, with what everybody may see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import BinaryIO

from catalogd import names
from catalogd.catalog.base import UseCases, parse_stored
from catalogd.documents import canonical
from catalogd.documents.organizations import LISTS, parse
from catalogd.errors import Conflict, Malformed, Unavailable
from catalogd.store import Change, GitFailed, IsWanted

# Changes whose files are asked of git together.
_READ_TOGETHER = 2_000


class Publishing(UseCases):
    """What git clients without credentials ask for."""

    def publish(self) -> None:
        """Bring the public repository to main. Raises Unavailable: better none than one that shows what is hidden."""
        head = self._store.head()
        if head is None or self._store.publication.shows() == head:
            return
        try:
            self._follow()
        except (OSError, GitFailed) as error:
            raise Unavailable("The public repository cannot follow the catalog now.", retry_after=10) from error

    def _follow(self) -> None:
        public = self._store.publication
        with public.lock.held():
            head, shown = self._store.head(), public.shows()
            if head is None or shown == head:
                return
            if shown is None or not self._store.contains(head, shown):
                public.begin_anew()
                shown = None
            public.show(head, self._shown(self._store.differences(shown, head)))

    def publish_anew(self) -> None:
        """Forget all that the public repository has ever shown, and show main as it is. Raises Unavailable, OSError."""
        with self._store.publication.lock.held():
            self._store.publication.begin_anew()
        self.publish()

    def advertise_public(self, protocol: str | None, is_wanted: IsWanted) -> bytes:
        """What git is told first. Raises Malformed, Unavailable, ClientGone."""
        self.publish()
        public = self._store.publication
        return public.upload_pack.advertise(protocol, public.head(), is_wanted)

    def upload_public(self, protocol: str | None, asked: bytes, is_wanted: IsWanted) -> BinaryIO:
        """The answer to what git asks, as a file that the caller closes. Raises as advertise_public()."""
        self.publish()
        public = self._store.publication
        return public.upload_pack.answer(protocol, asked, public.head(), is_wanted)

    def _shown(self, changes: Iterator[Change]) -> Iterator[tuple[str, bytes | None]]:
        while some := list(islice(changes, _READ_TOGETHER)):
            with self._store.blobs(change.new for change in some if change.new) as contents:
                for change in some:
                    yield change.path, None if change.new is None else self._public(change.path, change.new, contents)

    def _public(self, path: str, blob: str, contents: Callable[[str], bytes]) -> bytes | None:
        """What everybody may see of a file of main; None if nothing."""
        document, namespace = names.parse_document_path(path), names.parse_namespace_path(path)
        if path in map(names.schema_path, names.KINDS):
            return contents(blob)
        try:
            if document is not None:
                data = contents(blob)
                return data if parse_stored(data, *document)["is_public"] else None
            if namespace is not None:
                organization = parse(namespace, contents(blob))
                return canonical.dumps({key: value for key, value in organization.items() if key not in LISTS})
        except (Conflict, Malformed):  # what is broken is nobody's to see
            return None
        return None
