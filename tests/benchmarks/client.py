"""A client that takes little time itself: http.client takes longer to send a request and read the reply than the
server does to pass one on, and that would be counted as the server's.
"""

from __future__ import annotations

import socket


class Client:
    """One connection of HTTP/1.1, for requests with a body and replies with a Content-Length."""

    def __init__(self, host: str, port: int, headers: dict[str, str]):
        self._socket = socket.create_connection((host, port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [f"{name}: {value}\r\n" for name, value in {"Host": f"{host}:{port}", **headers}.items()]
        self._headers = "".join(lines)

    def close(self) -> None:
        self._socket.close()

    def request(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """(status, body) of the reply."""
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        head, body = self._receive_head()
        length = _length(head)
        while len(body) < length:
            body += self._receive()
        return int(head.split(b" ", 2)[1]), body

    def _receive_head(self) -> tuple[bytes, bytes]:
        """(head, what has come of the body)"""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        return head, body

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server has closed the connection")
        return data


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise ValueError(f"a reply without Content-Length: {head!r}")
