"""Image repositories: create, list, read, update, delete."""

from __future__ import annotations

from functools import partial

import falcon

from catalogd.activity import Activity, Seen
from catalogd.catalog import Catalog, ListQuery, Written
from catalogd.proposals import Proposals
from catalogd.web import representations
from catalogd.web.bodies import JSON, MERGE_PATCH, read_json
from catalogd.web.conditions import etag, if_match
from catalogd.web.kept import Kept
from catalogd.web.parameters import OfProposal
from catalogd.web.replies import caller, send, send_encoded, send_encoded_page, send_nothing, send_unless_known
from catalogd.web.requests import Request

# RFC 7396 has a type of its own, and clients send the general one as well.
_PATCH_TYPES = (MERGE_PATCH, JSON)


class Repositories:
    """The handlers of writes return whether anything was changed."""

    def __init__(self, catalog: Catalog, proposals: Proposals, activity: Activity, public_url: str, max_body: int):
        self._catalog = catalog
        self._proposals = proposals
        self._activity = activity
        self._public_url = public_url
        self._max_body = max_body
        self._details = Kept(partial(representations.detail, is_starred=False))
        self._rows = Kept(representations.row)

    def create(self, req: Request, resp: falcon.Response, namespace: str) -> bool:
        body = read_json(req, self._max_body)
        written = self._catalog.create(caller(req), namespace, body)
        document = written.document
        self._activity.begin_anew(namespace, document["repo_name"])
        resp.set_header("location", f"/v1/repositories/{representations.repo_path(document)}")
        send(resp, representations.created(document), written.commit, etag(written.blob), status=201)
        return written.changed

    def list_namespace(self, req: Request, resp: falcon.Response, namespace: str) -> None:
        self._list(req, resp, namespace)

    def list_all(self, req: Request, resp: falcon.Response) -> None:
        self._list(req, resp, req.parameters["namespace"])

    def detail(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> None:
        at, who = req.parameters["at"], caller(req)
        if isinstance(at, OfProposal):
            found = self._proposals.detail(who, namespace, repo_name, at.number)
        else:
            found = self._catalog.detail(who, namespace, repo_name, at=at)
        seen = self._activity.seen(who, found.document, found.batch)
        tag = etag(found.blob, seen.version)
        if not send_unless_known(req, resp, tag, found.commit):
            self._send_seen(resp, seen, found.commit, tag)

    def update(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> bool:
        body = read_json(req, self._max_body)
        return self._update(req, resp, namespace, repo_name, body, patch=False)

    def patch(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> bool:
        body = read_json(req, self._max_body, _PATCH_TYPES)
        return self._update(req, resp, namespace, repo_name, body, patch=True)

    def delete(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> bool:
        allowed = if_match(req.env.get("HTTP_IF_MATCH"))
        commit = self._catalog.delete(caller(req), namespace, repo_name, if_match=allowed)
        send_nothing(resp, commit)
        return True

    def merge_tag_configs(self, req: Request, resp: falcon.Response, namespace: str, repo_name: str) -> bool:
        body = read_json(req, self._max_body)
        allowed = if_match(req.env.get("HTTP_IF_MATCH"))
        written = self._catalog.merge_tag_configs(caller(req), namespace, repo_name, body, if_match=allowed)
        send_detail(req, resp, self._activity, written)
        return written.changed

    def _list(self, req: Request, resp: falcon.Response, namespace: str | None) -> None:
        asked = req.parameters
        query = ListQuery(
            namespace=namespace,
            search=asked["search"],
            is_public=asked["is_public"],
            labels=asked["label"],
            ordering=asked["ordering"],
            at=asked["at"],
            page=asked["page"],
            page_size=asked["page_size"],
        )
        page = self._catalog.list(caller(req), query)
        rows = [self._rows.json(document) for document in self._activity.counted(page.results, page.batch)]
        send_encoded_page(req, resp, page, rows, self._public_url)

    def _send_seen(self, resp: falcon.Response, seen: Seen, commit: str, tag: str) -> None:
        if seen.is_starred:
            send(resp, representations.detail(seen.document, True), commit, tag)
        else:
            send_encoded(resp, self._details.json(seen.document), commit, tag)

    def _update(
        self,
        req: Request,
        resp: falcon.Response,
        namespace: str,
        repo_name: str,
        body: object,
        *,
        patch: bool,
    ) -> bool:
        allowed = if_match(req.env.get("HTTP_IF_MATCH"))
        written = self._catalog.update(caller(req), namespace, repo_name, body, patch=patch, if_match=allowed)
        send(resp, representations.updated(written.document), written.commit, etag(written.blob))
        return written.changed


def send_detail(req: Request, resp: falcon.Response, activity: Activity, written: Written) -> None:
    """Replies to a write with the whole repository as it is now."""
    seen = activity.seen_now(caller(req), written.document)
    tag = etag(written.blob, seen.version)
    send(resp, representations.detail(seen.document, seen.is_starred), written.commit, tag)
