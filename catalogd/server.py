"""The HTTP server: waitress with the settings, bound before it runs, stopped without cutting off what is
under way.
"""

from __future__ import annotations

import errno
import logging
import math
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.proxy_headers import proxy_headers_middleware
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from catalogd.errors import CatalogdError
from catalogd.http_channel import Channel
from catalogd.http_parser import Limits
from catalogd.polling import Polling
from catalogd.sender import Sender
from catalogd.settings import Address, Settings
from catalogd.shared.memory import Load

log = logging.getLogger(__name__)

_MAX_HEADERS = 64 * 1024
_RECEIVE = 64 * 1024
# Replies that a client has not read; beyond it, it gets no further ones. A single one may be larger.
_MAX_PENDING = 4 * 1024 * 1024
# One of more goes to a file: 100 rows with long texts are 1.3 MB as a rule, and could be 10.
_MAX_IN_MEMORY = 2 * 1024 * 1024
# How long a connection may be silent, and how often that is looked at, in seconds.
_IDLE, _CLEANUP = 60, 2
# How long a client may take to send one request, in seconds: 8 MiB at 28 KiB/s, a push of 64 MiB at 220.
_SLOWEST_REQUEST = 300.0
# Threads that answer git clients; most of them wait for their turn.
_GIT_THREADS = 32
# Threads that answer a registry. The database takes one transaction at a time, so more of them would only wake each
# other up and keep readers waiting meanwhile.
_REGISTRY_THREADS = 1
# A thread that sends whole clones or checks a push gives way after so many seconds, where Python's own way is 5 ms.
_SWITCH = 0.0005
# How long requests under way may take once the server is to stop, in seconds.
_GRACE = 10.0
# How long a worker with more connections than another one leaves new ones to that, in seconds.
_WAY = 0.01

Application = Callable[..., Any]
# Who may push, by the environment of a request without its body; see web/admission.py.
Admission = Callable[..., "CatalogdError | None"]


def _everybody(env: dict[str, Any], start_response: object = None) -> None:
    """For an application that takes no pushes."""


class _Question:
    """Asks in a thread that may wait, and has the answer taken in the one that polls."""

    def __init__(self, ask: Callable[[], CatalogdError | None], answer: Callable[[CatalogdError | None], None]):
        self._ask = ask
        self._answer = answer

    def service(self) -> None:
        refusal = None
        try:
            refusal = self._ask()
        finally:
            # Where asking has failed, the application meets the same when it has the body.
            self._answer(refusal)

    def cancel(self) -> None:
        """The server ends, and its connections with it."""


class Server:
    """Serves one application. Listens from its construction on, so that its address is known before it
    runs.
    """

    def __init__(
        self,
        application: Application,
        settings: Settings,
        admission: Admission = _everybody,
        sockets: list[socket.socket] | None = None,
        load: Load | None = None,
    ):
        """`sockets` are those of `bind`, where others listen on them too; `load` spreads connections among these.

        Raises OSError if the address cannot be listened on.
        """
        # Each request that waits for a thread is a warning to waitress; waiting is what its queue is for.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._map: dict[int, Any] = {}
        self._stop_at: float | None = None
        self._is_closed = False
        sockets = sockets or bind(settings.listen)
        self._load = load
        self.address = Address(settings.listen.host, sockets[0].getsockname()[1])
        adjustments = _adjustments(settings, sockets)
        self._dispatcher = ThreadedTaskDispatcher()
        self._dispatcher.set_thread_count(adjustments.threads)
        # Of their own, so that no number of clones keeps the API waiting.
        self._git_dispatcher = ThreadedTaskDispatcher()
        self._git_dispatcher.set_thread_count(_GIT_THREADS)
        # Nor do notifications, of which a registry can have as many as its images are pulled.
        self._registry_dispatcher = ThreadedTaskDispatcher()
        self._registry_dispatcher.set_thread_count(_REGISTRY_THREADS)
        self._sender = Sender()
        dispatchers = self._dispatcher, self._git_dispatcher, self._registry_dispatcher
        self._polling = Polling(self._map, self._is_done, self._timeout)
        self._listeners = [
            _Listener(
                application, self._map, dispatchers, adjustments, bound, self._sender, self._polling, admission, load
            )
            for bound in sockets
        ]

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop_at is not None

    def run(self) -> None:
        """Serves until `stop` is called or, in the main thread, SIGTERM or SIGINT arrives; then closes."""
        with self._signals():
            self.run_until_stopped()

    def run_until_stopped(self) -> None:
        """Serves until `stop` is called; then closes."""
        sys.setswitchinterval(_SWITCH)
        try:
            self._polling.run()
        finally:
            self._close()

    def stop(self) -> None:
        """Takes no more connections, lets requests under way finish, and ends `run`. A second call does not
        wait.

        May be called from any thread and from a signal handler.
        """
        grace = _GRACE if self._stop_at is None else 0.0
        self._stop_at = time.monotonic() + grace
        if not self._is_closed:
            self._listeners[0].pull_trigger()

    def _timeout(self) -> float:
        if any(listener.gives_way for listener in self._listeners):
            return _WAY
        # While stopping, the end of a request is seen by looking.
        return 1.0 if self._stop_at is None else 0.05

    def _is_done(self) -> bool:
        if self._stop_at is None:
            if self._load is not None:
                self._load.tell(sum(len(listener.active_channels) for listener in self._listeners))
            return False
        if self._load is not None:
            self._load.leave()
        for listener in self._listeners:
            listener.stop_listening()
        return time.monotonic() >= self._stop_at or not any(listener.drain() for listener in self._listeners)

    def _close(self) -> None:
        self._is_closed = True
        self._dispatcher.shutdown(timeout=1)
        self._git_dispatcher.shutdown(timeout=1)
        self._registry_dispatcher.shutdown(timeout=1)
        self._sender.close()
        wasyncore.close_all(self._map, ignore_all=True)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(number: int, frame: FrameType | None) -> None:
            self.stop()

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Listener(TcpWSGIServer):
    """waitress's server on one socket that is bound already."""

    channel_class = Channel
    is_stopping = False
    # waitress would look after its channels by the wall clock: never, for as long as that has been set back.
    next_channel_cleanup: Any = math.inf
    _look_at = 0.0
    _way_until = 0.0

    def __init__(
        self,
        application: Application,
        channels: dict[int, Any],
        dispatchers: tuple[ThreadedTaskDispatcher, ThreadedTaskDispatcher, ThreadedTaskDispatcher],
        adjustments: Adjustments,
        bound: socket.socket,
        sender: Sender,
        polling: Polling,
        admission: Admission,
        load: Load | None,
    ):
        self.sender = sender
        self._polling = polling
        self._load = load
        # From the address that a proxy names, as the application sees it.
        self._admission = proxy_headers_middleware(
            admission,
            trusted_proxy=adjustments.trusted_proxy,
            trusted_proxy_count=adjustments.trusted_proxy_count,
            trusted_proxy_headers=adjustments.trusted_proxy_headers,
        )
        dispatcher, self._git_dispatcher, self._registry_dispatcher = dispatchers
        info = (bound.family, bound.type, bound.proto, bound.getsockname())
        super().__init__(application, channels, True, bound, dispatcher, adjustments, sockinfo=info, bind_socket=False)

    @property
    def is_polling_here(self) -> bool:
        """Whether it is the calling thread that polls."""
        return self._polling.is_here()

    @property
    def gives_way(self) -> bool:
        """Whether it leaves connections to less busy workers, for a moment."""
        return time.monotonic() < self._way_until

    def readable(self) -> bool:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self.adj.cleanup_interval
            self.maintenance(now)
        return super().readable() and now >= self._way_until

    def handle_accept(self) -> None:
        now = time.monotonic()
        # All workers see a new connection. If nobody has taken it meanwhile, it is taken after all.
        has_waited = now - self._way_until < _WAY
        if self._load is not None and not has_waited and self._load.is_above_others():
            self._way_until = now + _WAY
            return
        self._way_until = 0.0
        super().handle_accept()

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        for channel in self.active_channels.values():
            if channel.is_too_slow(_SLOWEST_REQUEST):
                channel.will_close = True
            if channel.will_close:
                channel.break_off()

    def pull_trigger(self) -> None:
        # The thread that polls need not wake itself.
        if not self._polling.is_here():
            super().pull_trigger()

    def add_task(self, task: Channel) -> None:
        if not (task.is_short_read and self._polling.offer(task)):
            self.hand_over(task)

    def hand_over(self, task: Channel) -> None:
        """Let a thread that is there for such requests answer the next one."""
        if task.is_gits:
            self._git_dispatcher.add_task(task)
        elif task.is_registrys:
            self._registry_dispatcher.add_task(task)
        else:
            self.task_dispatcher.add_task(task)

    def ask(self, env: dict[str, Any], answered: Callable[[CatalogdError | None], None]) -> None:
        """Asks who pushes; `answered` is called in the thread that polls."""

        def ask() -> CatalogdError | None:
            refusal = self._admission(env, lambda *_: None)
            # A header of a proxy that cannot be read is the application's to refuse.
            return refusal if isinstance(refusal, CatalogdError) else None

        self._git_dispatcher.add_task(
            _Question(ask, lambda refusal: self.trigger.pull_trigger(lambda: answered(refusal)))
        )

    def stop_listening(self) -> None:
        """Refuses new connections from now on; those that there are live on."""
        if self.is_stopping:
            return
        self.is_stopping = True
        self.accepting = False
        self.del_channel(self._map)
        assert self.socket is not None
        self.socket.close()

    def drain(self) -> bool:
        """Closes the connections on which nothing is under way; whether there are others."""
        for channel in list(self.active_channels.values()):
            if channel.is_idle:
                channel.handle_close()
        return bool(self.active_channels)


def _adjustments(settings: Settings, sockets: list[socket.socket]) -> Limits:
    return Limits(
        sockets=sockets,
        threads=settings.threads,
        ident="catalogd",
        server_name=settings.listen.host,
        max_body=settings.max_body,
        max_push=settings.max_push,
        max_request_header_size=_MAX_HEADERS,
        recv_bytes=_RECEIVE,
        outbuf_high_watermark=_MAX_PENDING,
        outbuf_overflow=_MAX_IN_MEMORY,
        connection_limit=_connection_limit(),
        channel_timeout=_IDLE,
        cleanup_interval=_CLEANUP,
        clear_untrusted_proxy_headers=True,
        **_proxy(settings.trusted_proxy),
        log_socket_errors=False,
        # select() knows no descriptor from 1,024 on.
        asyncore_use_poll=True,
    )


def _proxy(address: str) -> dict[str, Any]:
    """Of all that a proxy may say, only where a request comes from is believed: failed logins are counted by that."""
    if not address:
        return {}
    return {"trusted_proxy": address, "trusted_proxy_count": 1, "trusted_proxy_headers": {"x-forwarded-for"}}


def _connection_limit() -> int:
    """A third of the descriptors that the process may have: a connection that a file is sent to needs two more."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if soft == resource.RLIM_INFINITY else max(64, min(4096, soft // 3))


def bind(address: Address) -> list[socket.socket]:
    """A socket for every address that the name has on this machine, all on one port. Raises OSError."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    port = address.port
    for family, kind, protocol, _, where in dict.fromkeys(found):
        try:
            sockets.append(_bound(family, kind, protocol, (where[0], port, *where[2:])))
        except OSError as error:
            # "localhost" often has an address of IPv6 where the machine has none.
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                missing = error
                continue
            for bound in sockets:
                bound.close()
            raise
        # A free port is chosen once, by the first.
        port = sockets[0].getsockname()[1]
    if not sockets:
        raise missing or OSError(errno.EADDRNOTAVAIL, f"{address} is no address of this machine")
    return sockets


def _bound(family: int, kind: int, protocol: int, where: tuple[Any, ...]) -> socket.socket:
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(where)
    except OSError:
        bound.close()
        raise
    return bound
