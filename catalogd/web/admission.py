"""Who may push, asked while a push is still coming in: what nobody may send is not kept on the disk first."""

from __future__ import annotations

from typing import Any

from catalogd.accounts import Accounts
from catalogd.catalog import Caller, Catalog
from catalogd.errors import CatalogdError
from catalogd.web.authentication import Authenticator

# Where the environment of a request has why its body was not read.
REFUSAL = "catalogd.refusal"


class Admission:
    """Asked with the environment of a push of which only the headers are there."""

    def __init__(self, catalog: Catalog, accounts: Accounts):
        self._catalog = catalog
        self._authenticator = Authenticator(accounts)

    def __call__(self, env: dict[str, Any], start_response: object = None) -> CatalogdError | None:
        """Why its sender may not push; None for who may. In the form of an application, for what reads proxies'
        headers.
        """
        try:
            account = self._authenticator.account(env.get("HTTP_AUTHORIZATION", ""), env.get("REMOTE_ADDR", ""))
            self._catalog.require_push(Caller(account, ""))
        except CatalogdError as error:
            return error
        return None
