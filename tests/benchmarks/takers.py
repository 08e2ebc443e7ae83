"""Clients that clone again and again, read what comes and do nothing with it, until the input ends.

takers.py HOST PORT TOKEN HOW_MANY   prints how many clones they took
"""

from __future__ import annotations

import base64
import http.client
import sys
import threading

_FLUSH, _DELIMITER = b"0000", b"0001"
_BUFFER = 1 << 20


def main(host: str, port: int, token: str, how_many: int) -> None:
    over = threading.Event()
    taken: list[int] = []
    takers = [threading.Thread(target=lambda: taken.append(_take(host, port, token, over))) for _ in range(how_many)]
    for taker in takers:
        taker.start()
    sys.stdin.read()
    over.set()
    for taker in takers:
        taker.join()
    if len(taken) != how_many:
        raise SystemExit("a clone has failed")
    print(sum(taken))


def _take(host: str, port: int, token: str, over: threading.Event) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=120)
    credentials = base64.b64encode(f"admin:{token}".encode()).decode()
    headers = {
        "Authorization": f"Basic {credentials}",
        "Git-Protocol": "version=2",
        "Content-Type": "application/x-git-upload-pack-request",
    }
    done = 0
    while not over.is_set():
        _asked(connection, headers, None)
        refs = _asked(connection, headers, _line(b"command=ls-refs") + _DELIMITER + _FLUSH)
        want = _line(b"want " + refs[4:44] + b"\n")
        fetch = _line(b"command=fetch") + _DELIMITER + _line(b"ofs-delta") + want + _line(b"done") + _FLUSH
        if not _asked(connection, headers, fetch).endswith(_FLUSH):
            raise RuntimeError("half a clone")
        done += 1
    connection.close()
    return done


def _asked(connection: http.client.HTTPConnection, headers: dict[str, str], body: bytes | None) -> bytes:
    """The end of the answer."""
    if body is None:
        connection.request("GET", "/catalog.git/info/refs?service=git-upload-pack", headers=headers)
    else:
        connection.request("POST", "/catalog.git/git-upload-pack", body, headers)
    reply = connection.getresponse()
    last = b""
    while data := reply.read(_BUFFER):
        last = data
    if reply.status != 200:
        raise RuntimeError(f"{reply.status}: {last!r}")
    return last


def _line(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
