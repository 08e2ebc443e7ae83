"""Proposals: opened, read, revised, reviewed, merged."""

from __future__ import annotations

import falcon

from catalogd.errors import NotFound
from catalogd.proposals import ProposalQuery, Proposals, View
from catalogd.web import proposals_shown
from catalogd.web.bodies import check_no_body, read_json, read_json_if_any
from catalogd.web.history import DIFF
from catalogd.web.parameters import proposal_number
from catalogd.web.replies import caller, send, send_page, send_text
from catalogd.web.requests import Request, base_url


class ProposalCalls:
    """The handlers of writes return whether anything was changed."""

    def __init__(self, proposals: Proposals, public_url: str, max_body: int):
        self._proposals = proposals
        self._public_url = public_url
        self._max_body = max_body

    def list(self, req: Request, resp: falcon.Response) -> None:
        asked = req.parameters
        query = ProposalQuery(
            state=asked["state"],
            namespace=asked["namespace"],
            author=asked["author"],
            reviewer=asked["reviewer"],
            page=asked["page"],
            page_size=asked["page_size"],
        )
        page = self._proposals.list(caller(req), query)
        start = base_url(req, self._public_url)
        send_page(req, resp, page, [proposals_shown.row(view, start) for view in page.results], self._public_url)

    def create(self, req: Request, resp: falcon.Response) -> bool:
        view = self._proposals.open(caller(req), read_json(req, self._max_body))
        resp.set_header("location", proposals_shown.path_of(view.proposal))
        return self._send(req, resp, view, status=201)

    def detail(self, req: Request, resp: falcon.Response, number: str) -> None:
        self._send(req, resp, self._proposals.get(caller(req), _number(number)))

    def diff(self, req: Request, resp: falcon.Response, number: str) -> None:
        as_lines = req.client_prefers((falcon.MEDIA_JSON, DIFF)) == DIFF
        view, files = self._proposals.diff(caller(req), _number(number), unified=as_lines)
        if as_lines:
            send_text(resp, "".join(file.unified for file in files), DIFF, view.proposal.commit)
        else:
            send(resp, proposals_shown.difference(view.proposal, files), view.proposal.commit)

    def revise(self, req: Request, resp: falcon.Response, number: str) -> bool:
        body = read_json(req, self._max_body)
        return self._send(req, resp, self._proposals.revise(caller(req), _number(number), body))

    def review(self, req: Request, resp: falcon.Response, number: str) -> bool:
        body = read_json(req, self._max_body)
        return self._send(req, resp, self._proposals.review(caller(req), _number(number), body))

    def dismiss(self, req: Request, resp: falcon.Response, number: str, review: str) -> bool:
        body = read_json_if_any(req, self._max_body)
        proposal, review_id = _number(number), proposal_number(review)
        if review_id is None:
            raise NotFound(f"The proposal {proposal} has no such review.")
        return self._send(req, resp, self._proposals.dismiss(caller(req), proposal, review_id, body))

    def merge(self, req: Request, resp: falcon.Response, number: str) -> bool:
        body = read_json_if_any(req, self._max_body)
        return self._send(req, resp, self._proposals.merge(caller(req), _number(number), body))

    def close(self, req: Request, resp: falcon.Response, number: str) -> bool:
        check_no_body(req, self._max_body)
        return self._send(req, resp, self._proposals.close(caller(req), _number(number)))

    def reopen(self, req: Request, resp: falcon.Response, number: str) -> bool:
        check_no_body(req, self._max_body)
        return self._send(req, resp, self._proposals.reopen(caller(req), _number(number)))

    def _send(self, req: Request, resp: falcon.Response, view: View, status: int = 200) -> bool:
        """Replies with the whole proposal, and the commit of main that has it."""
        shown = proposals_shown.detail(view, base_url(req, self._public_url))
        send(resp, shown, view.proposal.commit, status=status)
        return True


def _number(text: str) -> int:
    """Raises NotFound for what can be the number of no proposal."""
    number = proposal_number(text)
    if number is None:
        raise NotFound("There is no such proposal: they have whole numbers, from 1.")
    return number
