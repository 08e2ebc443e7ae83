"""What a client sends, read strictly: what RFC 9112 calls faulty framing is refused.

waitress joins repeated headers and ignores one of two contradicting framings. Each of the classes here changes one of
its parts, by overriding what that part offers for it.
"""

from __future__ import annotations

import re
from typing import Any

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver
from waitress.utilities import BadRequest, RequestEntityTooLarge

from catalogd.errors import CatalogdError
from catalogd.web.errors import is_push

# RFC 9110, section 5.3: these are no lists, so a second one contradicts the first.
_SINGLE = frozenset({b"host", b"content-length", b"content-type", b"transfer-encoding", b"authorization"})

# RFC 8446, section 5.1: the type of the record that a client begins with. No method of HTTP begins so.
_TLS_HANDSHAKE = b"\x16"

# RFC 9112, section 3.2.2, absolute-form
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# The longest Content-Length that a 64-bit size has; Python refuses to convert numbers of over 4,300 digits.
_MAX_LENGTH_DIGITS = 19

# Of a chunk's size and its extensions, and of a chunked body's trailer, in bytes: nobody needs them long.
_MAX_CHUNK_LINE = 1024
_MAX_TRAILER = 8192


class Limits(Adjustments):
    """waitress's settings, which know one largest body for all requests, and with them the largest of each kind."""

    def __init__(self, *, max_body: int, max_push: int, **adjustments: Any):
        # waitress refuses a body of exactly its limit.
        super().__init__(max_request_body_size=max(max_body, max_push) + 1, **adjustments)
        self._max_body, self._max_push = max_body, max_push

    def most_of(self, request: HTTPRequestParser) -> int:
        """Bytes that the body of a request may have. Nobody pushes without credentials."""
        return self._max_push if may_be_push(request) else self._max_body


def may_be_push(request: HTTPRequestParser) -> bool:
    """Whether it is a push of somebody, as far as the headers say."""
    return is_push(getattr(request, "path", "")) and "AUTHORIZATION" in request.headers


class Parser(HTTPRequestParser):
    """Refuses requests that two readers could understand in two ways, and bodies that are too large for their path."""

    adj: Limits
    error: Any
    # Of a push whose sender is asked for before its body is read: whether that was done, and why it is refused.
    is_asked_for = False
    refusal: CatalogdError | None = None

    def received(self, data: bytes) -> int:
        if self.header_bytes_received == 0 and data.startswith(_TLS_HANDSHAKE):
            return self._refuse_tls(data)
        consumed = super().received(data)
        if self.error is None and self.headers_finished:
            most = self.adj.most_of(self)
            if max(self.content_length, self.body_bytes_received) > most:
                self.error = RequestEntityTooLarge(f"exceeds {most} bytes")
                self.completed = True
        if self.completed:
            # A request that is refused, or that has no body, has nothing to be encouraged for.
            self.expect_continue = False
        return consumed

    def _refuse_tls(self, data: bytes) -> int:
        # It may have no line end in it, and its client waits for an answer: podman ten seconds, before it tries HTTP.
        self.parse_header(b"GET / HTTP/1.0\r\n")
        self.error = BadRequest("This is the beginning of TLS, and here is plain HTTP.")
        self.completed = True
        return len(data)

    def parse_header(self, header_plus: bytes) -> None:
        _check_lines(header_plus)
        try:
            super().parse_header(header_plus)
        except ValueError as error:
            # From the splitting of a target such as "http://[", which waitress lets through to its main loop.
            raise ParsingError("The target of the request is no URI.") from error
        if self.version not in ("1.0", "1.1"):
            raise ParsingError("The version of HTTP must be 1.0 or 1.1.")
        self._check_framing(header_plus)
        self._check_host()
        if isinstance(self.body_rcv, ChunkedReceiver):
            self.body_rcv = _BoundedChunks(self.body_rcv.getbuf())

    def _check_framing(self, header_plus: bytes) -> None:
        # waitress takes Transfer-Encoding out of the headers of HTTP/1.1, and leaves it alone in those of
        # 1.0.
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("There must not be both Content-Length and Transfer-Encoding.")
        if "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("HTTP/1.0 has no Transfer-Encoding.")
        if self.chunked and _count(header_plus, b"chunked") > 1:
            raise ParsingError("A body must not be chunked twice.")

    def _check_host(self) -> None:
        host = self.headers.get("HOST")
        if host is None:
            if self.version == "1.1":
                raise ParsingError("The request has no Host header. HTTP/1.1 needs exactly one.")
            return
        absolute = _ABSOLUTE.match(self.request_uri)
        if absolute and _authority(absolute[1], absolute[2]) != _authority(absolute[1], host):
            raise ParsingError("The host in the request line is not the one in the Host header.")


def _check_lines(header_plus: bytes) -> None:
    seen = set()
    for line in header_plus.split(b"\r\n")[1:]:
        if line[:1] in (b" ", b"\t"):
            raise ParsingError("A header must not be folded over several lines.")
        name, _, value = line.partition(b":")
        name = name.lower()
        if name not in _SINGLE:
            continue
        if name in seen:
            raise ParsingError(f"There must be only one {name.decode().title()} header.")
        seen.add(name)
        if name == b"content-length" and len(value.strip()) > _MAX_LENGTH_DIGITS:
            raise ParsingError("Content-Length is larger than any body.")


def _count(header_plus: bytes, coding: bytes) -> int:
    for line in header_plus.lower().split(b"\r\n"):
        if line.startswith(b"transfer-encoding:"):
            return line.count(coding)
    return 0


def _authority(scheme: str, authority: str) -> str:
    """The authority for comparison: lower case, without the port that the scheme has anyway."""
    return authority.lower().removesuffix(_DEFAULT_PORTS.get(scheme.lower(), ""))


class _BoundedChunks(ChunkedReceiver):
    """Chunks whose framing cannot grow without end while it is searched again and again."""

    def received(self, s: bytes) -> int:
        consumed = super().received(s)
        if len(self.control_line) > _MAX_CHUNK_LINE or len(self.trailer) > _MAX_TRAILER:
            self.error = BadRequest("The framing of the chunks is too long.")
            self.completed = True
        return consumed
