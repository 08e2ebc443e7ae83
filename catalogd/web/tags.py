"""The tags of a repository."""

from __future__ import annotations

import falcon

from catalogd.catalog import Catalog
from catalogd.proposals import Proposals
from catalogd.web import representations
from catalogd.web.bodies import read_json
from catalogd.web.conditions import etag, if_match
from catalogd.web.parameters import OfProposal
from catalogd.web.replies import caller, send, send_nothing, send_unless_known
from catalogd.web.requests import Request


class Tags:
    """The handlers of writes return whether anything was changed."""

    def __init__(self, catalog: Catalog, proposals: Proposals, max_body: int):
        self._catalog = catalog
        self._proposals = proposals
        self._max_body = max_body

    def list(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> None:
        at = req.parameters["at"]
        if isinstance(at, OfProposal):
            found = self._proposals.tags(caller(req), namespace, repo_name, at.number)
        else:
            found = self._catalog.tags(caller(req), namespace, repo_name, at=at)
        current = etag(found.blob)
        if not send_unless_known(req, resp, current, found.commit):
            send(resp, representations.tags(found.tags), found.commit, current)

    def read(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str, tag: str) -> None:
        at = req.parameters["at"]
        if isinstance(at, OfProposal):
            found, commit = self._proposals.tag(caller(req), namespace, repo_name, tag, at.number)
        else:
            found, commit = self._catalog.tag(caller(req), namespace, repo_name, tag, at=at)
        send(resp, representations.tag(found), commit)

    def put(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str, tag: str) -> bool:
        body = read_json(req, self._max_body)
        written = self._catalog.put_tag(
            caller(req), namespace, repo_name, tag, body, if_match=if_match(req.env.get("HTTP_IF_MATCH"))
        )
        if written.created:
            resp.set_header("location", f"/v1/repositories/{namespace}/{repo_name}/tags/{tag}")
        send(resp, representations.tag(written.tag), written.commit, status=201 if written.created else 200)
        return written.changed

    def delete(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str, tag: str) -> bool:
        allowed = if_match(req.env.get("HTTP_IF_MATCH"))
        send_nothing(resp, self._catalog.delete_tag(caller(req), namespace, repo_name, tag, if_match=allowed))
        return True
