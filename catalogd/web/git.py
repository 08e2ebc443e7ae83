"""git clients: the smart protocol over HTTP (gitprotocol-http), for clone, fetch and push.

Errors are plain text here, which git shows to its user.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

import falcon

from catalogd.catalog import Caller, Catalog, PushedRevision
from catalogd.errors import Forbidden, Malformed, NotFound, Unavailable
from catalogd.people import People
from catalogd.proposals import Proposals
from catalogd.store import ClientGone, IsWanted
from catalogd.web.errors import TooLarge, UnsupportedMedia
from catalogd.web.replies import caller
from catalogd.web.requests import Request, base_url

UPLOAD_PACK, RECEIVE_PACK = "git-upload-pack", "git-receive-pack"

# What a client has and wants, inflated: some 160,000 commits.
_MOST_ASKED = 8 << 20
# So much of a body is inflated at once.
_AT_ONCE = 1 << 18

_NO_PUSH = "What is public follows the catalog and takes no pushes. Push to /catalog.git."
_NO_PUSH_OF_PROPOSALS = "Proposals are pushed to /catalog.git: git push URL/catalog.git HEAD:refs/for/main"
_NOT_SMART = "Only git's smart protocol is served here; no files to fetch one by one, and no Git LFS."

Advertise = Callable[[], bytes]


class GitService:
    """Serves the catalog to git: all of it, what is public, and what is proposed; and takes pushes."""

    def __init__(self, catalog: Catalog, people: People, proposals: Proposals, public_url: str, max_push: int):
        self._catalog = catalog
        self._people = people
        self._proposals = proposals
        self._public_url = public_url
        self._max_push = max_push

    def refs(self, req: Request, resp: falcon.Response) -> None:
        who, is_wanted = caller(req), _is_wanted(req)
        services = {
            UPLOAD_PACK: partial(self._catalog.advertise, who, _protocol(req), is_wanted),
            RECEIVE_PACK: partial(self._catalog.advertise_receive, who, is_wanted),
        }
        _refs(req, resp, services)

    def upload_pack(self, req: Request, resp: falcon.Response) -> None:
        _upload_pack(req, resp, lambda *asked: self._catalog.upload_pack(caller(req), *asked))

    def receive_pack(self, req: Request, resp: falcon.Response) -> bool:
        """Whether main has moved by the push. One that is refused is told so by git, with a 200."""
        self._catalog.require_push(caller(req))
        _check_type(req, RECEIVE_PACK)
        with _told():
            proposer = _Proposer(self._proposals, base_url(req, self._public_url))
            file, moved = self._people.receive_pack(caller(req), _body(req, self._max_push), proposer, _is_wanted(req))
        _send(resp, file, RECEIVE_PACK)
        return moved

    def public_refs(self, req: Request, resp: falcon.Response) -> None:
        _refs(req, resp, {UPLOAD_PACK: partial(self._catalog.advertise_public, _protocol(req), _is_wanted(req))})

    def public_upload_pack(self, req: Request, resp: falcon.Response) -> None:
        _upload_pack(req, resp, self._catalog.upload_public)

    def proposal_refs(self, req: Request, resp: falcon.Response) -> None:
        serve = partial(self._catalog.advertise_proposals, caller(req), _protocol(req), _is_wanted(req))
        _refs(req, resp, {UPLOAD_PACK: serve}, _NO_PUSH_OF_PROPOSALS)

    def upload_proposals(self, req: Request, resp: falcon.Response) -> None:
        _upload_pack(req, resp, lambda *asked: self._catalog.upload_proposals(caller(req), *asked))


class _Proposer:
    """Makes proposals of what is pushed, and tells where they are."""

    def __init__(self, proposals: Proposals, site: str):
        self._proposals = proposals
        self._site = site

    def push(self, caller: Caller, pushed: PushedRevision) -> str:
        return self._proposals.push(caller, pushed, self._site)


def _refs(req: Request, resp: falcon.Response, services: Mapping[str, Advertise], no_push: str = _NO_PUSH) -> None:
    service = req.parameters["service"]
    if service not in services:
        raise Forbidden(no_push if service == RECEIVE_PACK else _NOT_SMART)
    with _told():
        resp.data = services[service]()
    resp.content_type = f"application/x-{service}-advertisement"


def _upload_pack(
    req: Request, resp: falcon.Response, answer: Callable[[str | None, bytes, IsWanted], BinaryIO]
) -> None:
    _check_type(req, UPLOAD_PACK)
    with _told():
        file = answer(_protocol(req), b"".join(_body(req, _MOST_ASKED)), _is_wanted(req))
    _send(resp, file, UPLOAD_PACK)


def _check_type(req: Request, service: str) -> None:
    asked = f"application/x-{service}-request"
    if req.content_type != asked:
        raise UnsupportedMedia(f"The Content-Type must be {asked}.", {"Accept": asked})


def _send(resp: falcon.Response, file: BinaryIO, service: str) -> None:
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    resp.set_stream(file, length)
    resp.content_type = f"application/x-{service}-result"


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


def _body(req: Request, most: int) -> Iterator[bytes]:
    """What is sent, inflated, piece by piece. Raises TooLarge, Malformed."""
    pieces = iter(lambda: req.stream.read(_AT_ONCE), b"")
    size = 0
    for piece in _inflated(pieces) if req.get_header("Content-Encoding") in ("gzip", "x-gzip") else pieces:
        size += len(piece)
        if size > most:
            raise TooLarge(f"The request has more than {most} bytes.")
        yield piece


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Never much at once, however small the data. Raises Malformed."""
    inflater = zlib.decompressobj(wbits=31)
    broken = Malformed("The body is no whole gzip, though Content-Encoding says so.")
    for piece in pieces:
        if inflater.eof:
            raise broken
        is_full = True
        while (piece or is_full) and not inflater.eof:
            try:
                inflated = inflater.decompress(piece, _AT_ONCE)
            except zlib.error:
                raise broken from None
            yield inflated
            piece, is_full = inflater.unconsumed_tail, len(inflated) == _AT_ONCE
        if inflater.unused_data:
            raise broken
    if not inflater.eof:
        raise broken
