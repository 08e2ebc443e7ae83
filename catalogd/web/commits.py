"""The catalog as a whole: its commits, their revert, and the feed of changes."""

from __future__ import annotations

import falcon

from catalogd.catalog import Catalog
from catalogd.web import representations
from catalogd.web.bodies import check_no_body
from catalogd.web.replies import caller, link_neighbours, send, send_page
from catalogd.web.requests import Request


class Commits:
    """The handler of the revert returns whether anything was changed."""

    def __init__(self, catalog: Catalog, public_url: str, max_body: int):
        self._catalog = catalog
        self._public_url = public_url
        self._max_body = max_body

    def list(self, req: Request, resp: falcon.Response) -> None:
        page = self._catalog.commits(caller(req), req.parameters["page"], req.parameters["page_size"])
        send_page(req, resp, page, page.results, self._public_url)

    def read(self, req: Request, resp: falcon.Response, commit: str) -> None:
        found = self._catalog.commit(caller(req), commit, req.parameters["page"], req.parameters["page_size"])
        link_neighbours(req, resp, found["count"], self._public_url)
        send(resp, representations.commit(found), found["commit"])

    def revert(self, req: Request, resp: falcon.Response, commit: str) -> bool:
        check_no_body(req, self._max_body)
        made = self._catalog.revert(caller(req), commit)
        resp.set_header("location", f"/v1/commits/{made['commit']}")
        send(resp, representations.commit(made), made["commit"], status=201)
        return True

    def changes(self, req: Request, resp: falcon.Response) -> None:
        since, until, results = self._catalog.changes(caller(req), req.parameters["since"])
        rows = [representations.changed_repository(change) for change in results]
        send(resp, {"from": since, "to": until, "results": rows}, until)
