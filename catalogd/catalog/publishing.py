"""Use case of the public repository: it follows main, with what everybody may see."""

from __future__ import annotations

from typing import BinaryIO

from catalogd import names
from catalogd.catalog.base import UseCases, parse_stored
from catalogd.documents import canonical
from catalogd.documents.organizations import LISTS, parse
from catalogd.errors import Conflict, Malformed, Unavailable
from catalogd.store import GitFailed, IsWanted


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
            changes = self._store.diff(shown, head)
            public.show(head, {change.path: self._public(change.path, change.new) for change in changes})

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

    def _public(self, path: str, blob: str | None) -> bytes | None:
        """What everybody may see of a file of main; None if nothing."""
        if blob is None:
            return None
        document, namespace = names.parse_document_path(path), names.parse_namespace_path(path)
        if path in map(names.schema_path, names.KINDS):
            return self._store.blob(blob)
        try:
            if document is not None:
                data = self._store.blob(blob)
                return data if parse_stored(data, *document)["is_public"] else None
            if namespace is not None:
                organization = parse(namespace, self._store.blob(blob))
                return canonical.dumps({key: value for key, value in organization.items() if key not in LISTS})
        except (Conflict, Malformed):  # what is broken is nobody's to see
            return None
        return None
