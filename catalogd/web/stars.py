"""Stars: what a user likes to find again."""

from __future__ import annotations

import falcon

from catalogd.activity import Activity
from catalogd.web import representations
from catalogd.web.bodies import check_no_body
from catalogd.web.replies import caller, send_nothing, send_page
from catalogd.web.requests import Request


class Stars:
    """The handlers of writes return whether anything may have changed."""

    def __init__(self, activity: Activity, public_url: str, max_body: int):
        self._activity = activity
        self._public_url = public_url
        self._max_body = max_body

    def star(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> bool:
        check_no_body(req, self._max_body)
        send_nothing(resp, self._activity.star(caller(req), namespace, repo_name).commit)
        return True

    def unstar(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> bool:
        send_nothing(resp, self._activity.unstar(caller(req), namespace, repo_name))
        return True

    def list(self, req: Request, resp: falcon.Response) -> None:
        page = self._activity.starred(caller(req), req.parameters["page"], req.parameters["page_size"])
        rows = [representations.row(document) for document in self._activity.counted(page.results, page.batch)]
        send_page(req, resp, page, rows, self._public_url)
