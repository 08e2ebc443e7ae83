"""Connections on which no client holds up the others, and the replies on them.

waitress lets a thread wait for a reader for ever, and goes by the wall clock. Each of the classes here changes one of
its parts, by overriding what that part offers for it.
"""

from __future__ import annotations

import io
import json
import secrets
import time
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error, RequestEntityTooLarge, build_http_date

from catalogd.errors import CatalogdError
from catalogd.http_parser import Limits, Parser, may_be_push
from catalogd.sender import TURN, Sender, Sending
from catalogd.web.admission import REFUSAL
from catalogd.web.errors import PROBLEM, is_git, is_report, kind_for_status, problem
from catalogd.web.requests import is_short_read

# Headers of a reply that are the server's own business, whoever else sets them.
_OF_THE_SERVER = frozenset({"Connection", "Date", "Server"})

# How long a refused client may go on sending before its connection is cut, in seconds: cut at once, it would
# often lose the reply that says why.
_LINGER = 2.0
# How long a thread waits for the reader of a reply that comes in pieces, in seconds. A reply in one piece,
# and a file of any size, it hands over whole.
_READER_PATIENCE = 10.0
# What one client gets of a reply in memory before others have their turn, in bytes: 0.1 ms.
_TURN_IN_MEMORY = 256 * 1024
# A body of no more is copied, to be sent with its header in one piece.
_COPIED = 64 * 1024


class Problem(ErrorTask):
    """The reply to a request that did not get as far as the application, in the form of all other errors."""

    content_length: Any

    def execute(self) -> None:
        error: Error = self.request.error
        request_id = secrets.token_hex(16)
        sentence = _sentence(error, self.channel.adj, self.request)
        # A request that is refused need not have a path.
        if is_git(getattr(self.request, "path", "")):
            kind, body = "text/plain; charset=utf-8", f"{sentence}\n".encode()
        else:
            kind, body = PROBLEM, problem(kind_for_status(error.code), sentence, request_id)
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [("Content-Type", kind), ("X-Request-Id", request_id)]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.linger_when_flushed = True
        self.write(body)


def _sentence(error: Error, adjustments: Limits, request: HTTPRequestParser) -> str:
    if isinstance(error, RequestEntityTooLarge):
        return f"The body is too large: this server reads at most {adjustments.most_of(request)} bytes."
    if error.code == 431:
        most = adjustments.max_request_header_size
        return f"The headers are too large: this server reads at most {most} bytes."
    # What waitress quotes came from the client; it is shown as text and cannot be long.
    text = json.dumps(error.body)[1:-1][:300]
    return text if text.endswith(".") else f"{text}."


class _File(ReadOnlyFileBasedBuffer):
    """A body that is a file. What is left of a large one is got as a whole, for the sender."""

    def get(self, numbytes: int = -1, skip: bool = False) -> bytes | _File:
        return self if len(self) > TURN else super().get(numbytes, skip)


def _in_memory(data: bytes) -> ReadOnlyFileBasedBuffer:
    """A body of so much that to copy it would take longer than to send it in two pieces."""
    body = ReadOnlyFileBasedBuffer(io.BytesIO(data))  # which shares the bytes
    body.prepare()
    return body


class Task(WSGITask):
    """Sends a reply's headers and body in one piece, and tells clients to go while the server stops."""

    def get_environment(self) -> dict[str, Any]:
        environ = super().get_environment()
        environ["wsgi.file_wrapper"] = _File
        if self.request.refusal is not None:
            environ[REFUSAL] = self.request.refusal
            # What is left of the body must not be taken for another request.
            self.set_close_on_finish()
            self.channel.linger_when_flushed = True
        return environ

    def write(self, data: bytes) -> None:
        if self.wrote_header or not data or self.content_length != len(data):
            super().write(data)
            return
        header = self.build_response_header()
        self.wrote_header = True
        self.content_bytes_written = len(data)
        if not self.has_body:
            self.channel.write_soon(header)
        elif len(data) <= _COPIED:
            self.channel.write_soon(header + data)
        else:
            self.channel.write_soon(header)
            self.channel.write_soon(_in_memory(data) if len(data) <= self.channel.adj.outbuf_overflow else data)

    def build_response_header(self) -> bytes:
        if self.channel.server.is_stopping:
            self.set_close_on_finish()
        headers = [(_capitalized(name), value) for name, value in self.response_headers]
        names = {name for name, _ in headers}
        is_closing = self.request.headers.get("CONNECTION", "").lower() == "close"
        # waitress closes the connection after each 204 and 304, as it does where nobody knows how long a body is.
        is_delimited = not self.has_body or "Content-Length" in names
        if self.version != "1.1" or is_closing or not is_delimited or names & _OF_THE_SERVER:
            return super().build_response_header()
        if not self.has_body:  # RFC 9110, section 8.6: a 204 must not have one
            headers = [header for header in headers if header[0] != "Content-Length"]
        # The same for what almost every reply is, in half the time.
        headers += (("Date", _date(int(self.start_time))), ("Server", self.channel.server.adj.ident))
        headers.sort(key=itemgetter(0))
        lines = [f"{name}: {value}" for name, value in headers]
        return "\r\n".join((f"HTTP/1.1 {self.status}", *lines, "\r\n")).encode("latin-1")


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return build_http_date(second)


@lru_cache(maxsize=64)
def _capitalized(name: str) -> str:
    """As waitress writes names of headers, whoever has given them."""
    return "-".join(part.capitalize() for part in name.split("-"))


class Channel(HTTPChannel):
    """A connection that takes no thread hostage, and that closes so that its last reply arrives."""

    parser_class = Parser
    task_class = Task
    error_task_class = Problem

    # waitress begins them with something of another type.
    addr: Any
    request: Any
    socket: Any
    outbufs: list[Any]

    linger_when_flushed = False
    # While it is asked who pushes, nothing more of the push is read; once that is refused, what comes is thrown away.
    _is_asking = _is_refused = False
    _lingers_until: float | None = None
    _receiving_since: float | None = None
    _left_of_turn = 0
    _sending: Sending | None = None
    _active_at = 0.0

    @property
    def last_activity(self) -> Any:
        """When the connection was last used, in seconds of the monotonic clock; of waitress's type it is not."""
        return self._active_at

    @last_activity.setter
    def last_activity(self, moment: float) -> None:
        # waitress says that it is used now, by the wall clock, which may be set meanwhile.
        self._was_active()

    def _was_active(self) -> None:
        self._active_at = time.monotonic()

    def received(self, data: bytes) -> bool:
        if self._is_refused:
            return False
        accepted = super().received(data)
        self._ask_if_push()
        if self.request is None:
            self._receiving_since = None
        elif self._receiving_since is None:
            self._receiving_since = time.monotonic()
        return accepted

    def _ask_if_push(self) -> None:
        """A push whose headers are there and whose body is not waits until it is known that its sender may push."""
        request = self.request
        if request is None or not request.headers_finished or request.is_asked_for or not may_be_push(request):
            return
        request.is_asked_for = self._is_asking = True
        headers = {f"HTTP_{name}": value for name, value in request.headers.items()}
        self.server.ask(headers | {"REMOTE_ADDR": self.addr[0]}, partial(self._admit, request))

    def _admit(self, request: Parser, refusal: CatalogdError | None) -> None:
        """In the thread that polls: reads on, or lets the application say why not."""
        self._is_asking = False
        if refusal is None or not self.connected:
            return
        request.refusal, request.completed = refusal, True
        with self.requests_lock:
            self._is_refused = True
            self._receiving_since = self.request = None
            self.requests.append(request)
            if len(self.requests) == 1:
                self.server.add_task(self)

    def is_too_slow(self, seconds: float) -> bool:
        """Whether its client has been sending one request for longer than that."""
        return self._receiving_since is not None and time.monotonic() - self._receiving_since > seconds

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way, nor a reply to one."""
        return not (self.requests or self.request is not None or self.total_outbufs_len)

    @property
    def is_short_read(self) -> bool:
        """Whether a short read comes next, as web/requests.py tells them."""
        first = next(iter(self.requests), None)
        if first is None or first.error is not None or first.body_rcv is not None:
            return False
        return is_short_read(first.command, first.path, first.query, first.headers.get("AUTHORIZATION"))

    @property
    def is_gits(self) -> bool:
        """Whether it is git whose request comes next. An answer takes long to make, so its end is watched meanwhile."""
        return is_git(self._next_path())

    @property
    def is_registrys(self) -> bool:
        """Whether it is a registry's notification that comes next."""
        return is_report(self._next_path())

    def _next_path(self) -> str:
        # A thread takes requests away at any moment, so it is looked for the first one once. One that is refused need
        # not have a path.
        first = next(iter(self.requests), None)
        return first.path if first is not None and first.error is None else ""

    def readable(self) -> bool:
        if self._lingers_until is not None:
            return True
        if self._is_asking:
            return False
        if super().readable():
            return True
        is_ending = self.will_close or self.close_when_flushed
        return not is_ending and len(self.requests) == 1 and self.is_gits

    def handle_read(self) -> None:
        if self._lingers_until is None:
            super().handle_read()
        elif time.monotonic() > self._lingers_until or not self._discard():
            self.handle_close()

    def _discard(self) -> bool:
        try:
            return bool(self.recv(self.adj.recv_bytes))
        except OSError:
            return False

    def handle_write(self) -> None:
        if not (self.linger_when_flushed and self.close_when_flushed) or self.will_close:
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.will_close:
            self.handle_close()
        elif not self.total_outbufs_len:
            self._linger()

    def _flush_some(self, do_close: bool = True) -> bool:
        # Only the thread that polls closes connections: it goes through all of them without a lock. What another one
        # has added of its own accord, a 100 after an answer, is sent there next.
        if self._sending is not None or (do_close and not self.server.is_polling_here):
            return False
        # waitress would send to one client for as long as it reads as fast as that, and to nobody else meanwhile.
        self._left_of_turn = self.sendbuf_len = _TURN_IN_MEMORY
        return super()._flush_some(do_close)

    def writable(self) -> bool:
        return self._sending is None and super().writable()

    def send(self, data: bytes | _File, do_close: bool = True) -> int:
        if isinstance(data, _File):
            self._hand_over(data)
            return 0
        if self._left_of_turn <= 0:
            return 0
        sent = super().send(data, do_close)
        self._left_of_turn -= sent
        return sent

    def _hand_over(self, body: _File) -> None:
        """The file goes to the sender. Until it comes back its length is still counted, and nothing else is sent."""
        sender: Sender = self.server.sender
        size = len(body)

        def ended(is_whole: bool) -> None:
            self.server.trigger.pull_trigger(lambda: self._take_back(size, is_whole))

        self._sending = sender.send(self.socket, body.file, size, self._was_active, ended)
        self.outbufs.remove(body)

    def _take_back(self, size: int, is_whole: bool) -> None:
        """In the thread that polls. The lock is held by a thread that is still handing over."""
        with self.outbuf_lock:
            self._sending = None
            if not self.connected:
                return
            self.total_outbufs_len -= size
            self.outbuf_lock.notify()
        if not is_whole:
            self.handle_close()

    def break_off(self) -> None:
        """End what is being sent to a client that takes nothing of it any more."""
        if self._sending is not None:
            self._sending.break_off()

    def handle_close(self) -> None:
        self.break_off()
        super().handle_close()

    def _linger(self) -> None:
        """The reply is out; now only the other side may end this, within its time."""
        self.close_when_flushed = False
        try:
            self.socket.shutdown(1)  # SHUT_WR: the client sees the end of the reply
        except OSError:
            self.handle_close()
            return
        self._lingers_until = time.monotonic() + _LINGER
        # The server's own look at idle channels ends it if the client does nothing at all.
        self._active_at = time.monotonic() - self.adj.channel_timeout + _LINGER

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Bounds the time that a thread waits for a reader; waitress would wait as long as the connection
        lives. For a client that has sent further requests and reads no reply, it does not wait at all.
        """
        if self.total_outbufs_len <= self.adj.outbuf_high_watermark:
            return
        patience = _READER_PATIENCE if len(self.requests) <= 1 else 0.0
        deadline = time.monotonic() + patience
        with self.outbuf_lock:
            self._flush_exception(self._flush_some, do_close=False)
            while self.connected and self.total_outbufs_len > self.adj.outbuf_high_watermark:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._give_up()
                    return
                self.server.pull_trigger()
                self.outbuf_lock.wait(left)

    def _give_up(self) -> None:
        self.will_close = True
        self.connected = False
        self.server.pull_trigger()
        self.logger.info("%s reads too slowly; its connection is closed", self.addr[0])
