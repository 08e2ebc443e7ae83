"""HTTP to a registry: one request, one bounded answer, within a time that no server can stretch.

urllib3 bounds each read of a socket; a server that sends a byte now and then would hold it for hours. So a watch shuts
the socket of an exchange that takes too long as a whole.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, SSLError, TimeoutError

import catalogd
from catalogd.errors import RegistryFailed

# How the catalog names itself to registries, which tell it of its own reading too.
PROGRAM = "catalogd/"
USER_AGENT = f"{PROGRAM}{catalogd.__version__}"

# An exchange as a whole may take so many times what one read may.
_WHOLE = 3.0
_STEP = 1 << 16
# How often somebody looks whether a connection is still wanted, and whether an exchange takes too long, in seconds.
_GLANCE = 0.2
# After so many seconds without any exchange nobody looks.
_IDLE = 5.0

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in lower case; one that came several times is joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Watch:
    """Shuts sockets whose time is over: one thread for all of them, while there are any."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._due: dict[object, tuple[float, socket.socket]] = {}
        self._is_running = False

    @contextmanager
    def over(self, wire: socket.socket | None, seconds: float) -> Iterator[None]:
        """Ends what is read from the socket after so many seconds."""
        if wire is None:
            yield
            return
        key = object()
        try:
            with self._guard:
                self._due[key] = time.monotonic() + seconds, wire
                if not self._is_running:
                    threading.Thread(target=self._run, name="registry-watch", daemon=True).start()
                    self._is_running = True
            yield
        finally:
            with self._guard:
                del self._due[key]

    def _run(self) -> None:
        idle_since = time.monotonic()
        while True:
            time.sleep(_GLANCE)
            now = time.monotonic()
            # Under the guard: what is not due any more has perhaps become another request's.
            with self._guard:
                for until, wire in self._due.values():
                    if until <= now:
                        _shut(wire)
                idle_since = now if self._due else idle_since
                if now - idle_since > _IDLE:
                    self._is_running = False
                    return


def _shut(wire: socket.socket | None) -> None:
    if wire is not None:
        with suppress(OSError):  # it may be closed already
            socket.socket.shutdown(wire, socket.SHUT_RDWR)  # past TLS, whose state belongs to the thread that reads


class _Timed(HTTPConnection):
    """A connection whose wait for headers is bounded as a whole, and which tells a response its socket."""

    whole = 30.0
    owner: Wire

    def _new_conn(self) -> socket.socket:
        """In a thread of its own: neither a name that is looked up nor a connection that is made can be broken off."""
        made: Future[socket.socket] = Future()
        threading.Thread(target=_fulfil, args=(made, super()._new_conn), daemon=True).start()
        while not wait([made], _GLANCE).done:
            if self.owner.is_aborted:
                made.add_done_callback(_close)
                raise NewConnectionError(self, "it was stopped")
        wire = made.result()
        self.owner.opened(wire)
        return wire

    def connect(self) -> None:
        super().connect()
        self.owner.opened(self.sock)  # another object than above, with TLS

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as of urllib3's own
        wire = self.sock
        with self.owner.watch.over(wire, self.whole):
            response = super().getresponse()
        response.wire = wire  # type: ignore[attr-defined]  # it has let go of it by the time that it is read
        return response


def _fulfil(made: Future[socket.socket], connect: Callable[[], socket.socket]) -> None:
    try:
        made.set_result(connect())
    except Exception as error:  # is raised where it is waited for
        made.set_exception(error)


def _close(made: Future[socket.socket]) -> None:
    if made.exception() is None:
        made.result().close()


def _pools(whole: float, owner: Wire) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    members = {"whole": whole, "owner": owner}
    plain = type("Plain", (_Timed,), members)
    secure = type("Secure", (_Timed, HTTPSConnection), members)
    return {
        "http": type("PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


class Wire:
    """Connections to a registry and to what it refers to, kept open, with at most `jobs` requests at once.

    Use from any number of threads.
    """

    def __init__(self, timeout: float, jobs: int):
        self._whole = _WHOLE * timeout
        self.watch = _Watch()
        self._jobs = threading.BoundedSemaphore(jobs)
        self._manager = urllib3.PoolManager(
            num_pools=8,
            maxsize=jobs,
            timeout=urllib3.Timeout(connect=timeout, read=timeout),
            retries=False,
            ssl_context=ssl.create_default_context(),
        )
        self._manager.pool_classes_by_scheme = _pools(self._whole, self)
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._aborted = threading.Event()

    def close(self) -> None:
        self._manager.clear()

    @property
    def is_aborted(self) -> bool:
        return self._aborted.is_set()

    def rest(self, seconds: float) -> bool:
        """Wait so long. False as soon as all is broken off."""
        return not self._aborted.wait(seconds)

    def abort(self) -> None:
        """All exchanges fail from now on, and so do those under way."""
        with self._guard:
            self._aborted.set()
            sockets = list(self._sockets)
        for wire in sockets:
            _shut(wire)

    def opened(self, wire: socket.socket) -> None:
        """A connection has this socket; `abort` shuts it."""
        with self._guard:
            self._sockets.add(wire)
        if self.is_aborted:
            _shut(wire)

    def exchange(self, method: str, url: str, headers: Mapping[str, str], most: int, what: str) -> Answer:
        """Ask once, again if a connection that was kept open has died. `what` names the request in errors.

        Raises RegistryFailed, also for a body of more than `most` bytes.
        """
        for is_last in (False, True):
            try:
                with self._jobs:
                    if self.is_aborted:
                        raise RegistryFailed(f"{what}: it was stopped.")
                    return self._exchange(method, url, headers, most, what)
            except ProtocolError as error:
                if is_last:
                    raise RegistryFailed(f"{what}: {_in_words(error)}.") from error
            except (HTTPError, OSError, ValueError) as error:
                raise RegistryFailed(f"{what}: {_in_words(error)}.") from error
        raise AssertionError("unreachable")

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], most: int, what: str) -> Answer:
        response = self._manager.request(
            method,
            url,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers},
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        is_whole = False
        try:
            with self.watch.over(getattr(response, "wire", None), self._whole):
                body = bytearray()
                while method != "HEAD" and (part := response.read1(_STEP, decode_content=False)):
                    body += part
                    if len(body) > most:
                        raise RegistryFailed(f"{what}: the answer has more than {most:,} bytes.", response.status)
            is_whole = True
        finally:
            if is_whole:
                response.release_conn()
            else:
                response.close()
        return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, bytes(body))


def origin(url: str) -> Origin:
    """(scheme, host, port): what must be the same for credentials to be sent. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no http:// or https:// URL")
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]


def _in_words(error: Exception) -> str:
    """Without the URL, which may have a secret of the registry's storage in its query."""
    if isinstance(error, NewConnectionError):
        return "no connection can be made"
    if isinstance(error, TimeoutError):
        return "no answer came in time"
    if isinstance(error, SSLError):
        return "TLS fails: the certificate is not one that this system trusts, or the other side speaks no TLS"
    if isinstance(error, ProtocolError):
        return "the answer broke off, or took too long as a whole"
    return f"the connection failed ({type(error).__name__})"
