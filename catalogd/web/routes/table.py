"""Every call of the interface, once. Falcon's routes, the check of queries, who may make the call, `/openapi.json`,
`/docs`, docs/api.md and the table of rights in docs/security.md come from this table.
"""

from __future__ import annotations

from catalogd.web.operation import Operation
from catalogd.web.routes import accounts, git, namespaces, proposals, registry, repositories, search, server

OPERATIONS: tuple[Operation, ...] = (
    *repositories.OPERATIONS,
    *namespaces.OPERATIONS,
    *proposals.OPERATIONS,
    *git.OPERATIONS,
    *registry.OPERATIONS,
    *search.OPERATIONS,
    *accounts.OPERATIONS,
    *server.OPERATIONS,
)
