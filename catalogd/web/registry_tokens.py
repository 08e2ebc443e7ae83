"""The token server of a registry: says who may pull and push, in tokens that the registry believes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import falcon

from catalogd.accounts import Account, Accounts
from catalogd.catalog import Catalog
from catalogd.credentials import is_token
from catalogd.errors import Fault, Malformed
from catalogd.registry.deciding import grant, in_words
from catalogd.registry.keys import Keys, Minted
from catalogd.web.authentication import token_in
from catalogd.web.bodies import MOST_OF_A_LOGIN, read_form
from catalogd.web.replies import send
from catalogd.web.requests import Request

PASSWORD, REFRESH = "password", "refresh_token"
# Of the form; what a client adds of its own is passed over.
_FIELDS = frozenset(
    {"grant_type", "username", "password", "refresh_token", "service", "scope", "access_type", "client_id"}
)


class RegistryTokens:
    """As the documentation of Docker's registry has it: a GET with credentials in the header, or a form as in OAuth 2.

    A token of the catalog is its own refresh token: there is no other secret to be kept and revoked.
    """

    def __init__(self, catalog: Catalog, accounts: Accounts, keys: Keys, service: str, max_body: int):
        self._catalog = catalog
        self._accounts = accounts
        self._keys = keys
        self._service = service
        self._max_body = max_body

    def get(self, req: Request, resp: falcon.Response) -> None:
        asked = req.parameters
        self._check_service(asked["service"])
        _, minted = self._decide(req.account, asked["scope"])
        reply = {"token": minted.token, **_told(minted)}
        secret = token_in(req.env["HTTP_AUTHORIZATION"]) if "HTTP_AUTHORIZATION" in req.env else None
        if asked["offline_token"] and secret is not None:
            reply["refresh_token"] = secret
        _send(resp, reply)

    def post(self, req: Request, resp: falcon.Response) -> None:
        form = read_form(req, min(self._max_body, MOST_OF_A_LOGIN), _FIELDS)
        self._check_service(form.get("service"))
        account, secret = self._account(form, req.remote_addr)
        granted, minted = self._decide(account, [form.get("scope", "")])
        reply = {"token_type": "Bearer", "scope": in_words(granted), **_told(minted)}
        if is_token(secret) and (form["grant_type"] == REFRESH or form.get("access_type") == "offline"):
            reply["refresh_token"] = secret
        _send(resp, reply)

    def _account(self, form: dict[str, str], address: str) -> tuple[Account, str]:
        """(who it is, by which secret). Raises Malformed, and as Accounts.authenticate_basic."""
        kind = form.get("grant_type")
        if kind == PASSWORD:
            user, secret = _field(form, "username"), _field(form, "password")
            return self._accounts.authenticate_basic(user, secret, address), secret
        if kind == REFRESH:
            secret = _field(form, "refresh_token")
            return self._accounts.authenticate_token(secret), secret
        fault = f"must be {PASSWORD} or {REFRESH}"
        raise Malformed(f"The form is not valid: grant_type {fault}.", [Fault("/grant_type", fault)])

    def _decide(self, account: Account, scopes: Iterable[str]) -> tuple[Sequence[dict[str, object]], Minted]:
        granted = grant(self._catalog, account, scopes)
        return granted, self._keys.mint(account.name or "", granted, self._service)

    def _check_service(self, service: str | None) -> None:
        """A client that names none means the only one that there is."""
        if service not in (None, "", self._service):
            fault = f"must be {self._service!r}, the only registry that tokens are made for here"
            raise Malformed(f"The parameter service {fault}.", [Fault("service", fault)])


def _field(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise Malformed(f"The form is not valid: {name} is needed.", [Fault(f"/{name}", "is needed")])
    return form[name]


def _told(minted: Minted) -> dict[str, object]:
    issued = datetime.fromtimestamp(minted.issued_at, UTC)
    return {
        "access_token": minted.token,
        "expires_in": minted.expires_in,
        "issued_at": issued.isoformat().replace("+00:00", "Z"),
    }


def _send(resp: falcon.Response, reply: dict[str, object]) -> None:
    send(resp, reply, None)
    resp.set_header("cache-control", "no-store")
