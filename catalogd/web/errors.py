"""From the errors of the domain, and from Falcon's own, to HTTP: one table, one shape of body (RFC 9457).

    {"type": "urn:catalogd:not-found", "title": "Not found", "status": 404, "detail": "...", "request_id":
    "...", "errors": [{"pointer": "/labels/a", "detail": "..."}]}

What keeps a proposal from being merged has members of its own: `why_not` and `conflicts`.
The body is indented, because most clients of this interface show it to a person as it is.
"""

from __future__ import annotations

import errno
import http
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import quote

import falcon

from catalogd import errors
from catalogd.errors import CatalogdError, Fault
from catalogd.giturl import server_of
from catalogd.proposals import NotMergeable, NotResolved
from catalogd.web import proposals_shown

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
_PREFIX = "urn:catalogd:"
_REALM = 'realm="catalogd"'


class UnsupportedMedia(CatalogdError):
    """The body is in a form that this call does not read. `accept` are headers that say what it does read."""

    def __init__(self, detail: str, accept: Mapping[str, str]):
        super().__init__(detail)
        self.accept = dict(accept)


class TooLarge(CatalogdError):
    """The body is larger than this server reads."""


@dataclass(frozen=True)
class Kind:
    """One kind of problem: `slug` ends its `type`, `raised` are the domain's errors that it stands for."""

    status: int
    slug: str
    title: str
    raised: tuple[type[CatalogdError], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        return _PREFIX + self.slug


KINDS: tuple[Kind, ...] = (
    Kind(400, "malformed", "Malformed request", (errors.Malformed,)),
    Kind(
        401,
        "unauthenticated",
        "Credentials needed",
        (errors.Unauthenticated,),
        {"WWW-Authenticate": f'Token {_REALM}, Bearer {_REALM}, Basic {_REALM}, charset="UTF-8"'},
    ),
    Kind(403, "forbidden", "Not allowed", (errors.Forbidden,)),
    Kind(403, "protected", "Only by a proposal", (errors.Protected,)),
    Kind(403, "replica", "A replica takes no writes", (errors.ReadOnly,)),
    Kind(404, "not-found", "Not found", (errors.NotFound,)),
    Kind(405, "method-not-allowed", "Method not allowed"),
    Kind(406, "not-acceptable", "Not acceptable"),
    Kind(409, "conflict", "Conflict", (errors.Conflict,)),
    Kind(409, "already-exists", "Already exists", (errors.AlreadyExists,)),
    Kind(409, "not-mergeable", "Cannot be merged now", (NotMergeable,)),
    Kind(409, "in-conflict", "Changed on main too", (NotResolved,)),
    Kind(409, "edited-by-hand", "Edited by hand", (errors.EditedByHand,)),
    Kind(410, "gone", "Gone", (errors.Gone,)),
    Kind(412, "precondition-failed", "Precondition failed", (errors.PreconditionFailed,)),
    Kind(413, "too-large", "Body too large", (TooLarge,)),
    Kind(415, "unsupported-media-type", "Unsupported media type", (UnsupportedMedia,)),
    Kind(422, "invalid", "Does not fit the schema", (errors.Invalid,)),
    Kind(429, "too-many-attempts", "Too many failed logins", (errors.TooManyAttempts,)),
    Kind(431, "headers-too-large", "Headers too large"),
    Kind(500, "internal", "Internal error"),
    Kind(501, "not-implemented", "Not implemented"),
    Kind(503, "unavailable", "Unavailable", (errors.Unavailable,)),
    Kind(503, "store-failed", "The store refuses writes", (errors.StoreFailed,)),
    Kind(503, "broken-schema", "A schema is broken", (errors.BrokenSchema,)),
    Kind(507, "no-space", "No space left", (errors.NoSpace,)),
)

_BY_ERROR = {error: kind for kind in KINDS for error in kind.raised}
# The first kind of a status is the general one.
_BY_STATUS = {kind.status: kind for kind in reversed(KINDS)}
_INTERNAL = _BY_STATUS[500]
# Clients of registries take the first scheme of a header for the only one.
_REGISTRY_CHALLENGE = {"WWW-Authenticate": f"Basic {_REALM}"}
_GIT = ("/catalog.git/", "/proposals.git/", "/public.git/")
_PUSH = "/catalog.git/git-receive-pack"
_REPORT = "/v1/registry/events"
_INTERNAL_DETAIL = "The server met an error that it did not expect. Its log has the cause under this request's id."

# What any call may end in, whatever it does.
ANYWHERE = (400, 413, 431, 500, 501)

# Of what a caller sent, so much is quoted: a problem must not grow with the body that it refuses.
_MOST_QUOTED = 1000
# So many faults are told at once, and looked for.
MOST_FAULTS = 20

# Of the machine, and not of what was asked for.
_REFUSED_BY_SYSTEM = frozenset(
    {
        *(errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
        *(errno.EACCES, errno.EPERM, errno.EAGAIN, errno.ESTALE),
    }
)

# What Falcon itself raises says little; these say what would be right.
_DETAILS = {
    404: "There is no such path. /docs lists those that there are.",
    400: "A header of the request is malformed.",
}


def kind_of(error: CatalogdError) -> Kind | None:
    """The kind for an error of the domain, by its nearest class; None for one that is no business of
    HTTP's.
    """
    for cls in type(error).__mro__:
        kind = _BY_ERROR.get(cls)
        if kind is not None:
            return kind
    return None


def kind_for_status(status: int) -> Kind:
    """The general kind for a status; one made up for a status that the table has not."""
    kind = _BY_STATUS.get(status)
    if kind is not None:
        return kind
    try:
        title = http.HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return Kind(status, f"http-{status}", title)


def problem(
    kind: Kind,
    detail: str,
    request_id: str | None = None,
    faults: Iterable[Fault] = (),
    members: Mapping[str, object] | None = None,
) -> bytes:
    """The body of a problem, in UTF-8, ending in a newline; `members` are those that only its kind has."""
    body: dict[str, object] = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": _cut(detail),
    }
    if request_id is not None:
        body["request_id"] = request_id
    some = islice(faults, MOST_FAULTS)
    listed = [{"pointer": _cut(fault.pointer), "detail": _cut(fault.detail)} for fault in some]
    if listed:
        body["errors"] = listed
    body |= members or {}
    # A detail may quote what a caller sent, so a lone surrogate must not turn a 400 into a 500.
    return (json.dumps(body, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def is_git(path: str) -> bool:
    """Whether a path is for git clients."""
    return path.startswith(_GIT)


def is_registry(path: str) -> bool:
    """Whether a path is of the protocol of registries."""
    return path == "/v2" or path.startswith("/v2/")


def is_report(path: str) -> bool:
    """Whether a path takes the notifications of a registry, which come as often as images are pulled."""
    return path.rstrip("/") == _REPORT


def is_push(path: str) -> bool:
    """Whether a path takes git's pushes, which may be larger than other bodies."""
    return path == _PUSH


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_QUOTED else text[:_MOST_QUOTED] + "..."


def install(app: falcon.App[Any, Any]) -> None:
    """Makes every error that leaves a resource of `app` a problem."""
    app.add_error_handler(Exception, _on_unexpected)
    app.add_error_handler(OSError, _on_refusal)
    app.add_error_handler(CatalogdError, _on_domain_error)
    app.add_error_handler(falcon.HTTPError, _on_http_error)


def _on_domain_error(req: falcon.Request, resp: falcon.Response, error: CatalogdError, params: object) -> None:
    kind = kind_of(error)
    if kind is None:
        _on_unexpected(req, resp, error, params)
        return
    _reply(req, resp, kind, error.detail, error.faults, _members(error))
    resp.set_headers(kind.headers)
    if kind.status == 401 and is_registry(req.path):
        resp.set_headers(_REGISTRY_CHALLENGE)
    if isinstance(error, UnsupportedMedia):
        resp.set_headers(error.accept)
    if isinstance(error, errors.ReadOnly) and server_of(f"{error.primary}/catalog.git") == error.primary:
        resp.set_header("Link", f'<{error.primary}{quote(req.path)}>; rel="edit"')
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        resp.set_header("Retry-After", str(max(1, int(retry_after))))


def _on_http_error(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: object) -> None:
    kind = kind_for_status(error.status_code)
    if kind is _INTERNAL:
        _on_unexpected(req, resp, error, params)
        return
    detail = error.description or _DETAILS.get(kind.status) or f"{kind.title}."
    if kind.status == 405:
        allowed = dict(error.headers or {}).get("Allow", "nothing")
        detail = f"{req.method} is not possible on this path; possible is: {allowed}."
    _reply(req, resp, kind, detail)
    if error.headers:
        resp.set_headers(error.headers)


def _on_refusal(req: falcon.Request, resp: falcon.Response, error: OSError, params: object) -> None:
    """What the system refuses wherever it is asked, be it to read a file; any other such error is a mistake of ours."""
    if error.errno not in _REFUSED_BY_SYSTEM:
        _on_unexpected(req, resp, error, params)
        return
    _log(req, error)
    detail = f"The system refuses what this needs ({os.strerror(error.errno)}). The log has the cause under this id."
    _on_domain_error(req, resp, errors.Unavailable(detail), params)


def _on_unexpected(req: falcon.Request, resp: falcon.Response, error: Exception, params: object) -> None:
    _log(req, error)
    _reply(req, resp, _INTERNAL, _INTERNAL_DETAIL)


def _log(req: falcon.Request, error: Exception) -> None:
    # The path is quoted: it is the caller's, and may hold what would forge a line of the log.
    request_id = getattr(req, "request_id", None)
    log.error("request %s: %s %r failed", request_id, req.method, req.path, exc_info=error)


def _members(error: CatalogdError) -> dict[str, object]:
    """What there is to be told of an error beyond its detail."""
    if isinstance(error, NotMergeable):
        merging = error.view.merging
        found = merging.conflicts if merging else ()
        return {"why_not": list(error.view.why_not), "conflicts": proposals_shown.conflicts(found)}
    if isinstance(error, NotResolved):
        return {"conflicts": proposals_shown.conflicts(error.conflicts)}
    return {}


def _reply(
    req: falcon.Request,
    resp: falcon.Response,
    kind: Kind,
    detail: str,
    faults: Iterable[Fault] = (),
    members: Mapping[str, object] | None = None,
) -> None:
    resp.status = kind.status
    if is_git(req.path):
        # What git's user sees of it.
        resp.content_type = falcon.MEDIA_TEXT
        resp.data = f"{detail}\n".encode("utf-8", "replace")
        return
    resp.content_type = PROBLEM
    resp.data = problem(kind, detail, getattr(req, "request_id", None), faults, members)
