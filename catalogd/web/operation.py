"""What a call of the interface is: the form of one row of the table in `routes`, from which routing, the
check of queries and the OpenAPI description all come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import falcon

from catalogd.errors import Malformed, ReadOnly
from catalogd.rights import Right, require_somebody
from catalogd.web import parameters
from catalogd.web.admission import REFUSAL
from catalogd.web.authentication import Authenticator, is_nobody
from catalogd.web.metrics import Metrics
from catalogd.web.parameters import Parameter
from catalogd.web.requests import Request, check_origin

JSON = "application/json"


@dataclass(frozen=True)
class Body:
    """A body that a call takes: the name of its schema among the components, and examples by name."""

    schema: str
    examples: Mapping[str, object]
    media_types: tuple[str, ...] = (JSON,)
    required: bool = True


@dataclass(frozen=True)
class Reply:
    """A reply of a call. `schemas` is by media type: the name of a component, or a schema; nothing for an
    empty body.
    """

    status: int
    description: str
    schemas: Mapping[str, str | dict[str, Any]]
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One call. `right` is what the caller needs, which the use case sees to; `handler` is "resource.method";
    `errors` are the statuses of the problems that it may reply with. A replica takes of those that are `writes` only
    the ones `for_replicas`, which change no document. `is_foreign`: it is what clients of another interface ask; from
    them parameters that nobody knows, and the credentials of nobody, are passed over.
    """

    method: str
    path: str
    id: str
    right: Right
    handler: str
    section: str
    summary: str
    description: str
    replies: tuple[Reply, ...]
    errors: tuple[int, ...]
    parameters: tuple[Parameter, ...] = ()
    headers: tuple[str, ...] = ()
    body: Body | None = None
    writes: bool = False
    for_replicas: bool = False
    is_foreign: bool = False


Handler = Callable[..., Any]


class Endpoint:
    """All operations on one path, in the form in which Falcon takes a resource."""

    def __init__(
        self,
        operations: Iterable[Operation],
        handlers: Mapping[str, Handler],
        authenticator: Authenticator,
        metrics: Metrics,
        public_url: str,
        primary: str,
    ):
        """`primary` is the address of the one whose replica this server is; "" if it is none."""
        methods = []
        for operation in operations:
            responder = _responder(operation, handlers[operation.handler], authenticator, metrics, public_url, primary)
            methods.append(operation.method)
            setattr(self, f"on_{operation.method.lower()}", responder)
            if operation.method == "GET":
                methods.append("HEAD")
                # Falcon sends the length and leaves the body out.
                self.on_head = responder
        self._allow = ", ".join(sorted([*methods, "OPTIONS"]))

    def on_options(self, req: Request, resp: falcon.Response, **names: str) -> None:
        resp.status = 204
        resp.set_header("allow", self._allow)


def _responder(
    operation: Operation,
    handler: Handler,
    authenticator: Authenticator,
    metrics: Metrics,
    public_url: str,
    primary: str,
) -> Handler:
    known = {parameter.name: parameter for parameter in operation.parameters}
    # What a query without parameters comes to; a required one is found missing by the full reader.
    defaults = {parameter.name: parameter.default for parameter in operation.parameters}
    always_read = any(parameter.required for parameter in operation.parameters)
    takes_if_match = "If-Match" in operation.headers
    refuses = primary != "" and operation.writes and not operation.for_replicas
    takes_credentials, writes, operation_id = operation.right.takes_credentials, operation.writes, operation.id
    is_foreign = operation.is_foreign
    # A foreign client looks for more in the refusal than this.
    needs_credentials = operation.right.needs_credentials and not is_foreign

    def respond(req: Request, resp: falcon.Response, **names: str) -> None:
        if REFUSAL in req.env:
            raise req.env[REFUSAL]
        if takes_credentials:
            header = req.env.get("HTTP_AUTHORIZATION")
            if header is not None and not (is_foreign and is_nobody(header)):
                req.account = authenticator.account(header, req.env.get("REMOTE_ADDR", ""))
        if req.query_string or always_read:
            req.query = parameters.decode(req.query_string)
            if is_foreign:
                req.query = [pair for pair in req.query if pair[0] in known]
            req.parameters = parameters.read(req.query, known)
        else:
            req.parameters = defaults
        if refuses:
            raise ReadOnly(primary)
        if writes:
            check_origin(req.env, public_url)
        if needs_credentials:
            # Before the body is read, and whether there is anything at this path or not.
            require_somebody(req.account)
        if not writes:
            handler(req, resp, **names)
            return
        if not takes_if_match:
            _refuse_if_match(req)
        metrics.wrote(operation_id, handler(req, resp, **names))

    return respond


def _refuse_if_match(req: Request) -> None:
    """A condition that a write would not keep must not be passed over in silence."""
    if "HTTP_IF_MATCH" in req.env:
        raise Malformed("If-Match is not possible on this call: it changes one thing and overwrites no other.")
