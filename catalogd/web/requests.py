"""What every request must be before a resource sees it: an id, a clean target, a sane Host.

The checks stand here and not only in the server, because any WSGI server may carry this application.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import falcon

from catalogd.accounts import ANONYMOUS, Account
from catalogd.errors import Forbidden, Malformed, NotFound

# What a caller may choose as X-Request-Id: it goes to the log, into commits and back into a header.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

# RFC 3986, section 3.2: host [":" port], without userinfo; RFC 3986's sub-delims and pct-encoded are left
# out: no name that is resolved has them.
_HOST = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")

# RFC 3986, section 3.3, without percent-encoding and without empty segments: almost every path there is.
_PLAIN_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]+/)*(?:[A-Za-z0-9._~!$&'()*+,;=:@-]+)?")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DOTS = re.compile(r"/\.{1,2}(?:/|$)")
# C0 controls, DEL and the backslash, which some clients take for a slash.
_NEVER_IN_A_PATH = re.compile(r"[\x00-\x1f\x7f\\]")

_DETAIL = re.compile(r"/v1/repositories/[^/]+/[^/]+/?")
_LIST = re.compile(r"/v1/repositories(?:/[^/]+)?/?")
# What makes a list long work: words to search for, labels, a commit of the past; and what may be one of these, encoded.
_LONG = re.compile(r"(?:^|&)(?:search|at|label)=|%")

_NO_SUCH_PATH = "There is no such path: empty segments, '.', '..' and encoded slashes name nothing here."


class Request(falcon.Request):
    """A request with what the middleware and the endpoint found out about it."""

    request_id: str = ""
    started: float = 0.0
    account: Account = ANONYMOUS
    # Of the query, by name: checked, converted, defaults filled in.
    parameters: Mapping[str, Any] = MappingProxyType({})
    # Of the query, as given and decoded, in order.
    query: Sequence[tuple[str, str]] = ()


def request_id(given: str | None) -> str:
    """The caller's id if it is sane, else a new one of 32 hexadecimal digits."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    # Only to tell requests apart: nothing depends on it that nobody can guess it.
    return f"{random.getrandbits(128):032x}"


def is_short_read(method: str, path: str, query: str, authorization: str | None) -> bool:
    """Whether it asks for repositories as they are now, without a password, which takes long to check."""
    if method != "GET":
        return False
    is_detail = not query and _DETAIL.fullmatch(path)
    if not is_detail and (_LIST.fullmatch(path) is None or _LONG.search(query)):
        return False
    return authorization is None or authorization[:6].lower() != "basic "


def check_host(env: dict[str, Any]) -> None:
    """Raises Malformed unless the request names one host, in the grammar of RFC 3986. HTTP/1.0 may leave it
    out.
    """
    host = env.get("HTTP_HOST")
    if host is None:
        if env.get("SERVER_PROTOCOL") == "HTTP/1.0":
            return
        raise Malformed("The request has no Host header. HTTP/1.1 needs exactly one.")
    # Servers join repeated headers with a comma, which the grammar has not.
    match = _HOST.fullmatch(host)
    if match is None or int(match[1] or 0) > 65535:
        raise Malformed("The Host header must be one host name or IP address, with or without a port.")


def check_target(env: dict[str, Any]) -> None:
    """Raises NotFound or Malformed for a path that only looks like one of ours once a server has tidied it
    up.
    """
    raw = env.get("REQUEST_URI") or env.get("RAW_URI")
    if raw is None:
        raw = env["PATH_INFO"]
    path = _ABSOLUTE.sub("", raw, count=1).partition("?")[0] if raw[:1] != "/" else raw.partition("?")[0]
    if _PLAIN_PATH.fullmatch(path):
        if "/." in path and _DOTS.search(path):
            raise NotFound(_NO_SUCH_PATH)
        return
    _check_unusual_path(path)


def _check_unusual_path(path: str) -> None:
    if _BAD_PERCENT.search(path):
        raise Malformed("The path has a '%' that two hexadecimal digits do not follow.")
    if "#" in path:
        raise Malformed("The path has a fragment, which is no part of a request.")
    try:
        decoded = unquote_to_bytes(path.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        raise Malformed("The path is not UTF-8 once it is decoded.") from None
    if "//" in decoded or decoded.count("/") != path.count("/") or _DOTS.search(decoded):
        raise NotFound(_NO_SUCH_PATH)
    if _NEVER_IN_A_PATH.search(decoded):
        raise Malformed("The path has a control character or a backslash in it.")


def check_origin(env: dict[str, Any], public_url: str) -> None:
    """Raises Forbidden for a write that a page of another site has made a browser send: a browser adds a password that
    it remembers to that, too. Programs send neither header.
    """
    site = env.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        is_ours = site in ("same-origin", "none")
    else:
        origin = env.get("HTTP_ORIGIN")
        is_ours = origin is None or _authority(origin) in {_authority(public_url), env.get("HTTP_HOST")} - {""}
    if not is_ours:
        raise Forbidden("A page of another site cannot write here.")


def _authority(url: str) -> str:
    """The host and port; empty where there are none, as in "null", which hides where a page is from."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def base_url(req: falcon.Request, public_url: str) -> str:
    """The start of absolute links, without a slash at its end: the configured one, or where this request
    came to.
    """
    if public_url:
        return public_url
    env = req.env
    host = env.get("HTTP_HOST") or f"{env['SERVER_NAME']}:{env['SERVER_PORT']}"
    return f"{env['wsgi.url_scheme']}://{host}"
