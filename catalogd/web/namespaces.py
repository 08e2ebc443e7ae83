"""Organizations: namespaces with members."""

from __future__ import annotations

import falcon

from catalogd.catalog import Catalog, OrganizationFound
from catalogd.people import People
from catalogd.web import representations
from catalogd.web.bodies import JSON, MERGE_PATCH, read_json
from catalogd.web.conditions import etag, if_match
from catalogd.web.replies import caller, send, send_nothing, send_page, send_unless_known
from catalogd.web.requests import Request


class Namespaces:
    """The handlers of writes return whether anything was changed."""

    def __init__(self, catalog: Catalog, people: People, public_url: str, max_body: int):
        self._catalog = catalog
        self._people = people
        self._public_url = public_url
        self._max_body = max_body

    def list(self, req: Request, resp: falcon.Response) -> None:
        page = self._catalog.organizations(caller(req), req.parameters["page"], req.parameters["page_size"])
        rows = [representations.organization(found) for found in page.results]
        send_page(req, resp, page, rows, self._public_url)

    def create(self, req: Request, resp: falcon.Response) -> bool:
        made = self._people.create_organization(caller(req), read_json(req, self._max_body))
        resp.set_header("location", f"/v1/namespaces/{made.document['namespace']}")
        _send(resp, made, status=201)
        return True

    def detail(self, req: Request, resp: falcon.Response, namespace: str) -> None:
        found = self._catalog.organization(caller(req), namespace)
        if not send_unless_known(req, resp, _tag(found), found.commit):
            _send(resp, found)

    def update(self, req: Request, resp: falcon.Response, namespace: str) -> bool:
        return self._update(req, resp, namespace, read_json(req, self._max_body), patch=False)

    def patch(self, req: Request, resp: falcon.Response, namespace: str) -> bool:
        body = read_json(req, self._max_body, (MERGE_PATCH, JSON))
        return self._update(req, resp, namespace, body, patch=True)

    def delete(self, req: Request, resp: falcon.Response, namespace: str) -> bool:
        allowed = if_match(req.env.get("HTTP_IF_MATCH"))
        send_nothing(resp, self._catalog.delete_organization(caller(req), namespace, if_match=allowed))
        return True

    def history(self, req: Request, resp: falcon.Response, namespace: str) -> None:
        asked = req.parameters
        page = self._catalog.organization_history(caller(req), namespace, asked["page"], asked["page_size"])
        send_page(req, resp, page, page.results, self._public_url)

    def _update(self, req: Request, resp: falcon.Response, namespace: str, body: object, *, patch: bool) -> bool:
        allowed = if_match(req.env.get("HTTP_IF_MATCH"))
        found, changed = self._people.update_organization(caller(req), namespace, body, patch=patch, if_match=allowed)
        _send(resp, found)
        return changed


def _send(resp: falcon.Response, found: OrganizationFound, status: int = 200) -> None:
    send(resp, representations.organization(found), found.commit, _tag(found), status)


def _tag(found: OrganizationFound) -> str:
    """One blob is shown in several ways, and what has a strong tag must be the same to the byte."""
    roles = (None, "reader", "writer", "owner")
    return etag(found.blob, str(roles.index(found.role) + 1) if found.shows_members else "")
