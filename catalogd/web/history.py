"""The history of one repository: its commits, what they changed, who last touched what, and the way back."""

from __future__ import annotations

import falcon

from catalogd.activity import Activity
from catalogd.catalog import Catalog
from catalogd.web import representations
from catalogd.web.bodies import only_member, read_json
from catalogd.web.conditions import if_match
from catalogd.web.replies import caller, send, send_page, send_text
from catalogd.web.repositories import send_detail
from catalogd.web.requests import Request

DIFF = "text/x-diff"


class History:
    """The handler of the rollback returns whether anything was changed."""

    def __init__(self, catalog: Catalog, activity: Activity, public_url: str, max_body: int):
        self._catalog = catalog
        self._activity = activity
        self._public_url = public_url
        self._max_body = max_body

    def list(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> None:
        asked = req.parameters
        page = self._catalog.history(caller(req), namespace, repo_name, asked["page"], asked["page_size"])
        send_page(req, resp, page, page.results, self._public_url)

    def diff(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> None:
        arguments = (caller(req), namespace, repo_name, req.parameters["from"], req.parameters["to"])
        if req.client_prefers((falcon.MEDIA_JSON, DIFF)) != DIFF:
            changes, commit = self._catalog.diff(*arguments)
            send(resp, representations.field_changes(changes), commit)
            return
        text, commit = self._catalog.unified_diff(*arguments)
        send_text(resp, text, DIFF, commit)

    def blame(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> None:
        fields, commit = self._catalog.blame(caller(req), namespace, repo_name)
        send(resp, fields, commit)

    def rollback(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> bool:
        allowed = if_match(req.env.get("HTTP_IF_MATCH"))
        commit_id = only_member(read_json(req, self._max_body), "commit")
        written = self._catalog.rollback(caller(req), namespace, repo_name, commit_id, if_match=allowed)
        send_detail(req, resp, self._activity, written)
        return written.changed
