"""The errors of the domain. The layers below raise them; `web/errors.py` maps them to HTTP, `cli/` to exit statuses.

Every error carries `detail`: one sentence that says what was wrong, where, and what would be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a document or a parameter.

    `pointer` is an RFC 6901 JSON pointer into the document ("" is the whole of it) or the parameter's name.
    """

    pointer: str
    detail: str


class CatalogdError(Exception):
    """Base of all errors that are told to the caller."""

    def __init__(self, detail: str, faults: Sequence[Fault] = ()):
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)


class Malformed(CatalogdError):
    """What came in is not even of the right form: bad JSON, a bad parameter, a bad header."""


class NotJson(Malformed):
    """Text that is not the strict JSON of this catalog. `line` and `column` count from 1, in characters."""

    def __init__(self, detail: str, line: int = 1, column: int = 1):
        super().__init__(detail)
        self.line = line
        self.column = column


class Invalid(CatalogdError):
    """Well formed, but it does not fit the schema or the rules of the catalog."""


class Unauthenticated(CatalogdError):
    """Credentials were needed or the ones given are wrong."""


class Forbidden(CatalogdError):
    """The caller may read this, but not do that with it."""


class ReadOnly(Forbidden):
    """The catalog here is a replica, which takes no writes. `primary` is the address where they go."""

    def __init__(self, primary: str):
        super().__init__(f"This is a replica, which only reads; writes go to {primary} instead.")
        self.primary = primary


class Protected(Forbidden):
    """The catalog's policy lets this be changed by a proposal only."""


class NotFound(CatalogdError):
    """It does not exist, or not for this caller."""


class Conflict(CatalogdError):
    """The state of the catalog does not allow it."""


class AlreadyExists(Conflict):
    """A repository, a user or a file of that name is there already."""


class EditedByHand(Conflict):
    """The file in the working tree holds changes that nobody has committed. `path` is that of the document."""

    def __init__(self, detail: str, faults: Sequence[Fault] = (), path: str = ""):
        super().__init__(detail, faults)
        self.path = path


class PreconditionFailed(CatalogdError):
    """If-Match names another version than the one that is there."""


class Gone(CatalogdError):
    """The point in history to start from is not known (any more)."""


class Unavailable(CatalogdError):
    """Cannot be done now, though it may later. `retry_after` is in seconds."""

    def __init__(self, detail: str, retry_after: int = 1):
        super().__init__(detail)
        self.retry_after = retry_after


class TooManyAttempts(CatalogdError):
    """Too many logins have failed. `retry_after` is in seconds."""

    def __init__(self, detail: str, retry_after: int = 1):
        super().__init__(detail)
        self.retry_after = retry_after


class BrokenSchema(Unavailable):
    """A schema in the catalog's own `schemas/` cannot be used, so nothing can be validated."""

    def __init__(self, detail: str):
        super().__init__(detail, retry_after=60)


class StoreFailed(Unavailable):
    """A write met an I/O error. The store refuses writes until the process starts anew; reads go on."""

    def __init__(self, detail: str):
        super().__init__(detail, retry_after=60)


class NoSpace(CatalogdError):
    """The disk is full; nothing was written."""


class NotACatalog(CatalogdError):
    """The directory is no catalog, or one that cannot be opened."""


class AlreadyServed(CatalogdError):
    """Another server runs on this catalog."""


class BadSettings(CatalogdError):
    """A setting is unknown, of the wrong form or out of bounds. Nothing was started."""


class BadQuery(Malformed):
    """A parameter is malformed; `fault` says what it must be."""

    def __init__(self, parameter: str, fault: str):
        super().__init__(f"The parameter {parameter} {fault}.", [Fault(parameter, fault)])


class RegistryFailed(CatalogdError):
    """The registry could not be reached, refused, or answered with what no registry should.

    `status` is that of HTTP, 0 where there was no answer to speak of, 200 where what came made no sense; `code` is the
    registry's own word for it, such as NAME_UNKNOWN, "" if it gave none.
    """

    def __init__(self, detail: str, status: int = 0, code: str = ""):
        super().__init__(detail)
        self.status = status
        self.code = code

    @property
    def is_missing(self) -> bool:
        """Whether the registry said in its own words that it does not have what was asked for."""
        return self.status == 404 and self.code in ("NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN")

    @property
    def is_refused(self) -> bool:
        """Whether the credentials, or the lack of them, were the reason."""
        return self.status in (401, 403)
