"""In which namespaces a repository is created that the registry tells of and the catalog has not."""

from __future__ import annotations

from collections.abc import Callable

from catalogd.accounts import Accounts
from catalogd.catalog import Catalog


def creation(where: str, catalog: Catalog, accounts: Accounts) -> Callable[[str], bool]:
    """Tells of a namespace whether it is one. `where` is the setting `registry_create`: existing, always or never."""
    if where == "existing":
        return lambda namespace: catalog.has_namespace(namespace) or bool(accounts.are_users([namespace]))
    return lambda namespace: where == "always"
