"""What replies have in common: compact JSON, the headers of a version, pages with links."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import falcon

from catalogd.catalog import Caller, Page
from catalogd.errors import NotFound
from catalogd.web.conditions import none_match
from catalogd.web.requests import Request, base_url

# Set on every response; what needs others overrides them. `no-cache` asks a cache to revalidate, which the
# ETag makes cheap.
COMMON_HEADERS = (
    ("cache-control", "no-cache"),
    ("vary", "Authorization, Accept"),
    ("x-content-type-options", "nosniff"),
)

CATALOG_COMMIT = "catalog-commit"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def caller(req: Request) -> Caller:
    """Who asks, as the use cases want to know it."""
    return Caller(req.account, req.request_id)


def encode(value: object) -> bytes:
    """Compact JSON in UTF-8."""
    return _encode(value).encode("utf-8", "replace")


def to_json(value: object) -> bytes:
    """The same with a newline at its end: in a shell the prompt stays on a line of its own."""
    return encode(value) + b"\n"


def send(resp: falcon.Response, value: object, commit: str | None, etag: str | None = None, status: int = 200) -> None:
    """Replies with JSON, the commit that was read or made, and the tag of the representation if it has
    one.
    """
    resp.status = status
    send_encoded(resp, encode(value), commit, etag)


def send_encoded(resp: falcon.Response, data: bytes, commit: str | None, etag: str | None = None) -> None:
    """The same with what is JSON already."""
    resp.data = data + b"\n"
    _set_version(resp, commit, etag)


def send_text(resp: falcon.Response, text: str, media_type: str, commit: str | None) -> None:
    """Replies with text, and the commit that was read."""
    resp.content_type = f"{media_type}; charset=utf-8"
    resp.data = text.encode("utf-8", "replace")
    _set_version(resp, commit, None)


def send_unless_known(req: falcon.Request, resp: falcon.Response, current: str, commit: str | None) -> bool:
    """Replies 304 if the caller has the representation tagged `current`; whether it did."""
    if not none_match(req.env.get("HTTP_IF_NONE_MATCH"), current):
        return False
    resp.status = 304
    _set_version(resp, commit, current)
    return True


def send_nothing(resp: falcon.Response, commit: str) -> None:
    """Replies 204 with the commit that was made."""
    resp.status = 204
    _set_version(resp, commit, None)


def _set_version(resp: falcon.Response, commit: str | None, etag: str | None) -> None:
    if commit is not None:
        resp.set_header(CATALOG_COMMIT, commit)
    if etag is not None:
        resp.set_header("etag", etag)


def send_page(req: Request, resp: falcon.Response, page: Page, results: Sequence[Any], public_url: str) -> None:
    """Replies with one page of a list: its rows, the count of all, and absolute links to its neighbours."""
    following, previous = link_neighbours(req, resp, page.count, public_url)
    send(
        resp,
        {"count": page.count, "next": following, "previous": previous, "results": results},
        page.commit,
    )


def send_encoded_page(
    req: Request, resp: falcon.Response, page: Page, results: Sequence[bytes], public_url: str
) -> None:
    """The same with rows that are JSON already."""
    following, previous = link_neighbours(req, resp, page.count, public_url)
    head = encode({"count": page.count, "next": following, "previous": previous, "results": []})
    resp.data = b"".join((head[:-2], b",".join(results), b"]}\n"))
    _set_version(resp, page.commit, None)


def send_list(req: Request, resp: falcon.Response, rows: Sequence[Any], public_url: str) -> None:
    """Replies with the page that is asked for of a list that is at hand. Raises NotFound past the last page."""
    number, size = req.parameters["page"], req.parameters["page_size"]
    page = rows[(number - 1) * size : number * size]
    if number > 1 and not page:
        raise NotFound(f"There is no page {number}: the list has {len(rows)} entries.")
    following, previous = link_neighbours(req, resp, len(rows), public_url)
    send(resp, {"count": len(rows), "next": following, "previous": previous, "results": page}, None)


def link_neighbours(req: Request, resp: falcon.Response, count: int, public_url: str) -> tuple[str | None, str | None]:
    """The URLs of the next and the previous page, None where there is none; also set as the Link header."""
    number, size = req.parameters["page"], req.parameters["page_size"]
    following = _page_url(req, public_url, number + 1) if number * size < count else None
    previous = _page_url(req, public_url, number - 1) if number > 1 else None
    links = [f'<{url}>; rel="{rel}"' for url, rel in ((following, "next"), (previous, "prev")) if url]
    if links:
        resp.set_header("link", ", ".join(links))
    return following, previous


def _page_url(req: Request, public_url: str, number: int) -> str:
    others = [(name, value) for name, value in req.query if name != "page"]
    query = urlencode([*others, ("page", str(number))], quote_via=quote)
    return f"{base_url(req, public_url)}{quote(req.path)}?{query}"


class Fixed:
    """A body that stays as it is while the process runs, with the tag of its content."""

    def __init__(self, body: bytes, content_type: str, headers: Sequence[tuple[str, str]] = ()):
        self._body = body
        self._content_type = content_type
        self._etag = f'"{hashlib.sha256(body).hexdigest()[:40]}"'
        self._headers = tuple(headers)

    def __call__(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.set_headers(self._headers)
        if not send_unless_known(req, resp, self._etag, None):
            resp.data = self._body
            resp.content_type = self._content_type
            resp.set_header("etag", self._etag)
