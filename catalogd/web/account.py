"""The account of the caller: who that is, the password, the tokens."""

from __future__ import annotations

from datetime import datetime

import falcon

from catalogd.accounts import Accounts
from catalogd.errors import Fault, Invalid
from catalogd.people import People
from catalogd.web import representations
from catalogd.web.bodies import FORM, JSON, MOST_OF_A_LOGIN, TEXT, TEXT_OR_NULL, TEXTS, read_members
from catalogd.web.parameters import Unfit, as_time
from catalogd.web.replies import send, send_list
from catalogd.web.requests import Request

_LOGIN = {"username": TEXT, "password": TEXT}
_PASSWORD = {"current_password": TEXT_OR_NULL, "password": TEXT}
_TOKEN = {"name": TEXT, "scopes": TEXTS, "namespace": TEXT_OR_NULL, "expires_at": TEXT_OR_NULL}


class OwnAccount:
    """The handlers of writes return whether anything was changed."""

    def __init__(self, accounts: Accounts, people: People, public_url: str, max_body: int):
        self._accounts = accounts
        self._people = people
        self._public_url = public_url
        self._max_body = max_body

    def log_in(self, req: Request, resp: falcon.Response) -> bool:
        login = read_members(req, min(self._max_body, MOST_OF_A_LOGIN), _LOGIN, required=_LOGIN, accepted=(JSON, FORM))
        token = self._accounts.log_in(login["username"], login["password"], req.remote_addr)
        _send_secret(resp, {"token": token})
        return True

    def me(self, req: Request, resp: falcon.Response) -> None:
        info, roles = self._people.me(req.account)
        send(resp, representations.me(info, roles, req.account), None)

    def change_password(self, req: Request, resp: falcon.Response) -> bool:
        body = read_members(req, self._max_body, _PASSWORD, required=("password",))
        self._people.change_my_password(req.account, body.get("current_password"), body["password"], req.remote_addr)
        resp.status = 204
        return True

    def list_tokens(self, req: Request, resp: falcon.Response) -> None:
        tokens = self._people.my_tokens(req.account)
        send_list(req, resp, [representations.token(info) for info in tokens], self._public_url)

    def create_token(self, req: Request, resp: falcon.Response) -> bool:
        body = read_members(req, self._max_body, _TOKEN)
        token, info = self._people.make_my_token(
            req.account, body.get("name", ""), body.get("scopes"), body.get("namespace"), _time(body.get("expires_at"))
        )
        resp.set_header("location", f"/v1/user/tokens/{info.id}")
        _send_secret(resp, {**representations.token(info), "token": token}, status=201)
        return True

    def revoke_token(self, req: Request, resp: falcon.Response, token: str) -> bool:
        self._people.revoke_my_token(req.account, token)
        resp.status = 204
        return True


def _send_secret(resp: falcon.Response, value: object, status: int = 200) -> None:
    """A reply that no cache may keep (RFC 6749, section 5.1, asks the same of access tokens)."""
    send(resp, value, None, status=status)
    resp.set_header("cache-control", "no-store")


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return as_time(text)
    except Unfit as unfit:
        raise Invalid(f"expires_at must be {unfit}.", [Fault("/expires_at", f"must be {unfit}")]) from None
