"""git clients: the smart protocol over HTTP (gitprotocol-http), as far as clone and fetch go.

Errors are plain text here, which git shows to its user.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import falcon

from catalogd.catalog import Catalog
from catalogd.errors import Forbidden, Malformed, NotFound, Unavailable
from catalogd.store import ClientGone, IsWanted
from catalogd.web.errors import TooLarge, UnsupportedMedia
from catalogd.web.replies import caller
from catalogd.web.requests import Request

UPLOAD_PACK = "git-upload-pack"
_ASKED = f"application/x-{UPLOAD_PACK}-request"
_ANSWER = f"application/x-{UPLOAD_PACK}-result"
_ADVERTISEMENT = f"application/x-{UPLOAD_PACK}-advertisement"

# What a client has and wants, inflated: some 160,000 commits.
_MOST_ASKED = 8 << 20


_NO_PUSH = "The catalog takes no pushes over HTTP."
_NOT_SMART = "Only git's smart protocol is served here; no files to fetch one by one, and no Git LFS."


class GitService:
    """Serves the catalog to git: all of it, and what is public."""

    def __init__(self, catalog: Catalog):
        self._catalog = catalog

    def refs(self, req: Request, resp: falcon.Response) -> None:
        _refs(req, resp, lambda *asked: self._catalog.advertise(caller(req), *asked))

    def upload_pack(self, req: Request, resp: falcon.Response) -> None:
        _upload_pack(req, resp, lambda *asked: self._catalog.upload_pack(caller(req), *asked))

    def public_refs(self, req: Request, resp: falcon.Response) -> None:
        _refs(req, resp, self._catalog.advertise_public)

    def public_upload_pack(self, req: Request, resp: falcon.Response) -> None:
        _upload_pack(req, resp, self._catalog.upload_public)


def _refs(req: Request, resp: falcon.Response, advertise: Callable[[str | None, IsWanted], bytes]) -> None:
    service = req.parameters["service"]
    if service != UPLOAD_PACK:
        raise Forbidden(_NO_PUSH if service else _NOT_SMART)
    with _told():
        resp.data = advertise(_protocol(req), _is_wanted(req))
    resp.content_type = _ADVERTISEMENT


def _upload_pack(
    req: Request, resp: falcon.Response, answer: Callable[[str | None, bytes, IsWanted], BinaryIO]
) -> None:
    if req.content_type != _ASKED:
        raise UnsupportedMedia(f"The Content-Type must be {_ASKED}.", {"Accept": _ASKED})
    with _told():
        file = answer(_protocol(req), _asked(req), _is_wanted(req))
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    resp.set_stream(file, length)
    resp.content_type = _ANSWER


@contextmanager
def _told() -> Iterator[None]:
    """For the log: nobody is there any more to be told."""
    try:
        yield
    except ClientGone:
        raise Unavailable("The client has closed the connection.") from None


def refuse(req: falcon.Request, resp: falcon.Response, **_: str) -> None:
    """What git and its kin ask for beside the smart protocol. Raises NotFound."""
    raise NotFound(_NOT_SMART)


def _protocol(req: Request) -> str | None:
    return req.env.get("HTTP_GIT_PROTOCOL")


def _is_wanted(req: Request) -> Callable[[], bool]:
    gone = req.env.get("waitress.client_disconnected")
    return (lambda: not gone()) if gone else (lambda: True)


def _asked(req: Request) -> bytes:
    data = req.stream.read(_MOST_ASKED + 1)
    if req.get_header("Content-Encoding") in ("gzip", "x-gzip"):
        data = _inflated(data)
    if len(data) > _MOST_ASKED:
        raise TooLarge(f"The request has more than {_MOST_ASKED} bytes.")
    return data


def _inflated(data: bytes) -> bytes:
    """At most one byte more than is read, however small the data. Raises Malformed."""
    inflater = zlib.decompressobj(wbits=31)
    try:
        inflated = inflater.decompress(data, _MOST_ASKED + 1)
    except zlib.error:
        inflated = None
    if inflated is None or (len(inflated) <= _MOST_ASKED and (not inflater.eof or inflater.unused_data)):
        raise Malformed("The body is no whole gzip, though Content-Encoding says so.")
    return inflated
