"""What `docker search` and `podman search` ask of a registry, answered from the catalog. Nothing can be pulled here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon

from catalogd import rights
from catalogd.activity import Activity
from catalogd.catalog import Catalog, ListQuery, Page
from catalogd.registry.names import LIBRARY
from catalogd.web import representations
from catalogd.web.replies import caller, send
from catalogd.web.requests import Request

_API_VERSION = ("docker-distribution-api-version", "registry/2.0")
# A client that takes the registry for one of the first kind sends a password with each call, also where it has none.
_STANDALONE = ("x-docker-registry-standalone", "false")


class Search:
    """The calls of clients that look for images."""

    def __init__(self, catalog: Catalog, activity: Activity):
        self._catalog = catalog
        self._activity = activity

    def version(self, req: Request, resp: falcon.Response) -> None:
        # Clients send what they know of a user only to a registry that has asked for it here.
        resp.set_header(*_API_VERSION)
        rights.require_scope(req.account, rights.IDENTIFY)
        send(resp, {}, None)

    def ping(self, req: Request, resp: falcon.Response) -> None:
        resp.set_header(*_STANDALONE)
        send(resp, {"standalone": False}, None)

    def find(self, req: Request, resp: falcon.Response) -> None:
        term, number, size = req.parameters["q"], req.parameters["page"], req.parameters["n"]
        found = self._page(req, term)
        results = [_result(document) for document in self._activity.counted(found.results, found.batch)]
        body = {
            "num_results": found.count,
            "query": term or "",
            "page": number,
            "page_size": size,
            "num_pages": -(-found.count // size),
            "results": results,
        }
        send(resp, body, found.commit)

    def names(self, req: Request, resp: falcon.Response) -> None:
        resp.set_header(*_API_VERSION)
        number, size = req.parameters["page"], req.parameters["n"]
        found = self._page(req, None)
        if number * size < found.count:
            resp.set_header("link", f'</v2/_catalog?n={size}&page={number + 1}>; rel="next"')
        send(resp, {"repositories": [representations.repo_path(it) for it in found.results]}, found.commit)

    def tags(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> None:
        resp.set_header(*_API_VERSION)
        found = self._catalog.tags(caller(req), namespace, repo_name)
        tags = [tag["tag"] for tag in found.tags]
        send(resp, {"name": f"{namespace}/{repo_name}", "tags": tags}, found.commit)

    def _page(self, req: Request, term: str | None) -> Page:
        query = ListQuery(search=term, page=req.parameters["page"], page_size=req.parameters["n"])
        return self._catalog.list(caller(req), query)


def _result(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": representations.repo_path(document),
        "description": document["description"],
        "star_count": document["repo_starred_count"],
        "is_official": document["namespace"] == LIBRARY,
        "is_automated": representations.is_automated(document),
    }
