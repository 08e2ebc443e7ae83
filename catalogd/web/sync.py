"""`/v1/sync`: what is known of a primary or an upstream; told to look at once, by an admin or by a forge's webhook."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import falcon

from catalogd import rights
from catalogd.errors import Conflict, Unauthenticated
from catalogd.lookout import Elsewhere, Lookout
from catalogd.web.bodies import read_raw
from catalogd.web.replies import send
from catalogd.web.representations import present
from catalogd.web.requests import Request

# What forges send with a webhook: the HMAC-SHA256 of the body in hexadecimal, after a prefix, or the secret itself.
_SIGNED = {"HTTP_X_HUB_SIGNATURE_256": "sha256=", "HTTP_X_GITEA_SIGNATURE": ""}
_TOKEN = "HTTP_X_GITLAB_TOKEN"


class Sync:
    """Tells the one that follows. A webhook that is sent again does no harm: it is only a look."""

    def __init__(self, lookout: Lookout | Elsewhere | None, secret: str, max_body: int):
        self._lookout = lookout
        self._secret = secret.encode()
        self._max_body = max_body

    def tell(self, req: Request, resp: falcon.Response) -> bool:
        """Returns that nothing was changed: what is found is told by /healthz."""
        if req.account.is_anonymous and _is_webhook(req):
            self._require_signed(req)
        else:
            rights.require_admin(req.account)
        self._required().wake()
        send(resp, {"status": "looking"}, None, status=202)
        return False

    def show(self, req: Request, resp: falcon.Response) -> None:
        """For admins, as conflicts may be in what is private. Raises Unauthenticated, Forbidden, Conflict."""
        rights.require_admin(req.account)
        report = self._required().report()
        if "conflicts" in report:
            report["conflicts"] = [present(conflict) for conflict in report["conflicts"]]
        send(resp, report, None)

    def _required(self) -> Lookout | Elsewhere:
        if self._lookout is None:
            raise Conflict("This server has neither a primary (setting follow) nor an upstream (setting upstream).")
        return self._lookout

    def _require_signed(self, req: Request) -> None:
        """Raises Unauthenticated, TooLarge."""
        if not self._secret:
            raise Unauthenticated("Webhooks are refused: this server has no sync_secret to check them by.")
        if not is_signed(req.env, self._secret, read_raw(req, self._max_body)):
            raise Unauthenticated("The webhook is not signed with the sync_secret of this server.")


def is_signed(env: dict[str, Any], secret: bytes, body: bytes) -> bool:
    """Whether one of the headers of a webhook, in WSGI's form, proves that its sender knows the secret."""
    digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
    expected = {name: (prefix + digest).encode() for name, prefix in _SIGNED.items()} | {_TOKEN: secret}
    # All of them, and each in constant time.
    fits = [hmac.compare_digest(env.get(name, "").encode("latin-1"), value) for name, value in expected.items()]
    return any(fits)


def _is_webhook(req: Request) -> bool:
    return any(name in req.env for name in (*_SIGNED, _TOKEN))
