"""Hostile HTTP over raw sockets: every one ends in a clear 4xx, and the server is as quick as before."""

from __future__ import annotations

import gzip
import json
import random
import socket
import time

import pytest
from web_site import MAX_BODY, Site, Wire, read_reply

from catalogd.http_parser import Limits, Parser

HOST = b"Host: catalog.example\r\n"
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /v1/repositories/hostile HTTP/1.1\r\n" + HOST + JSON
# For what is refused only to those who may write.
TOKEN = b"<token>"
AUTHORIZED = b"Authorization: Token " + TOKEN + b"\r\n"
CHUNK = b"2\r\n{}\r\n0\r\n\r\n"

# What is sent, and the status it must end in.
REFUSED = {
    "Content-Length with Transfer-Encoding": (
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK,
        400,
    ),
    "two Content-Lengths": (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    "two Content-Lengths in one": (POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    "a signed Content-Length": (POST + b"Content-Length: +2\r\n\r\n{}", 400),
    "a Content-Length of 5,000 digits": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "two Hosts": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Host: other.example\r\n\r\n", 400),
    "two equal Hosts": (b"GET /healthz HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "no Host in HTTP/1.1": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "an empty Host": (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "a Host with a path": (b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "a Host with a user": (b"GET /healthz HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "a Host with a port of 99999": (b"GET /healthz HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNK, 400),
    "Transfer-Encoding twice": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK,
        400,
    ),
    "Transfer-Encoding in HTTP/1.0": (
        POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK,
        400,
    ),
    "a chunk of no size": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
    "a chunk extension without end": (POST + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"a" * 4096, 400),
    "an absolute URI for another host": (
        b"GET http://other.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        400,
    ),
    "an absolute URI with a user": (
        b"GET http://x@catalog.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        400,
    ),
    "another scheme for another host": (b"GET ftp://other.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a target that is no URI": (b"GET http://[/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "//path": (b"GET //healthz HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "an inner empty segment": (b"GET /v1//commits HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "dots": (b"GET /v1/../healthz HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "encoded dots": (b"GET /v1/%2e%2e%2fhealthz HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "an encoded slash": (b"GET /v1%2Fcommits HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "an encoded NUL": (b"GET /v1/repositories/a%00b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a broken escape": (b"GET /v1/repositories/a%zz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a path that is no UTF-8": (b"GET /v1/repositories/%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a fragment": (b"GET /healthz#top HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "300 KB of headers": (
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-Long: " + b"a" * 300_000 + b"\r\n\r\n",
        431,
    ),
    "a bare LF in a header": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: b\nX-C: d\r\n\r\n", 400),
    "a bare CR in a header": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: b\rX-C: d\r\n\r\n", 400),
    "a NUL in a header": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: b\0c\r\n\r\n", 400),
    "a folded header": (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: b\r\n c\r\n\r\n", 400),
    "a space before the colon": (b"GET /healthz HTTP/1.1\r\nHost : catalog.example\r\n\r\n", 400),
    "HTTP/9.9": (b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n", 400),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 400),
    "no HTTP at all": (b"\x01\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "TLS, without a line end": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a method that is none": (b"NONSENSE /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a malformed If-Match": (
        b"DELETE /v1/repositories/a/b HTTP/1.1\r\n" + HOST + AUTHORIZED + b'If-Match: "unfinished\r\n\r\n',
        400,
    ),
}


@pytest.mark.parametrize(("request_bytes", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_hostile_is_refused_with_a_problem(wire: Wire, site: Site, request_bytes: bytes, status: int) -> None:
    got, headers, body = wire.send(request_bytes.replace(TOKEN, site.token.encode()))
    assert got == status
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    assert (problem["status"], problem["request_id"]) == (status, headers["x-request-id"])
    assert problem["detail"].endswith(".")


def test_a_body_of_a_gigabyte_is_refused_before_it_is_sent(wire: Wire) -> None:
    began = time.monotonic()
    status, _, _ = wire.send(POST + b"Content-Length: 1073741824\r\n\r\n")
    assert status == 413
    assert time.monotonic() - began < 1


def test_a_client_that_asks_first_is_not_encouraged_to_send_too_much(wire: Wire) -> None:
    status, _, _ = wire.send(POST + b"Expect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n")
    assert status == 413


def test_a_client_that_asks_first_and_has_no_body_gets_its_reply(wire: Wire) -> None:
    status, _, _ = wire.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n\r\n")
    assert status == 200


def test_a_client_that_goes_on_sending_still_reads_why_it_was_refused(wire: Wire) -> None:
    with wire.connect() as connection:
        connection.sendall(POST + b"Content-Length: 1073741824\r\n\r\n")
        for _ in range(32):
            connection.sendall(b" " * 65536)
        assert read_reply(connection)[0] == 413


def test_chunks_that_are_too_much_in_all_are_refused(wire: Wire) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with wire.connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (MAX_BODY // 65536 + 1))
        assert read_reply(connection)[0] == 413


def test_a_gzip_bomb_is_not_unpacked(wire: Wire, site: Site) -> None:
    bomb = gzip.compress(b"{" + b" " * 50_000_000 + b"}")
    length = f"Content-Length: {len(bomb)}\r\n".encode()
    post = POST + AUTHORIZED.replace(TOKEN, site.token.encode())
    status, headers, body = wire.send(post + b"Content-Encoding: gzip\r\n" + length + b"\r\n" + bomb)
    assert status == 415
    assert headers["accept-encoding"] == "identity"
    assert json.loads(body)["type"] == "urn:catalogd:unsupported-media-type"


def push(token: str, *headers: bytes) -> bytes:
    """The headers of a push."""
    kind = b"Content-Type: application/x-git-receive-pack-request\r\n"
    lines = b"".join(header + b"\r\n" for header in headers)
    return (
        b"POST /catalog.git/git-receive-pack HTTP/1.1\r\n" + HOST + kind + AUTHORIZED.replace(TOKEN, token.encode())
    ) + lines + b"\r\n"  # fmt: skip


@pytest.mark.parametrize("framing", [b"Content-Length: 60000000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("who", ["nobody", "a reader"])
def test_a_push_of_who_may_not_push_is_refused_before_its_body_is_sent(
    wire: Wire, site: Site, framing: bytes, who: str
) -> None:
    if who == "a reader":
        site.accounts.add_user(name := f"reader{len(framing)}")
    token = "wrong" if who == "nobody" else site.accounts.create_token(name, scopes=["read"])[0]
    with wire.connect() as connection:
        connection.sendall(push(token, framing))
        status, headers, body = read_reply(connection)
        assert status == (401 if who == "nobody" else 403)
        assert headers["content-type"].startswith("text/plain")
        assert body.endswith(b".\n")
        assert headers["connection"] == "close"
        # What comes after that is thrown away, and is no request.
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert connection.recv(100) == b""


def test_what_comes_with_a_push_that_is_refused_is_not_taken_for_a_request(wire: Wire) -> None:
    smuggled = b"DELETE /v1/repositories/a/b HTTP/1.1\r\n" + HOST + b"\r\n"
    with wire.connect() as connection:
        connection.sendall(push("wrong", b"Content-Length: 60000000") + smuggled * 100)
        assert read_reply(connection)[0] == 401
        assert connection.recv(100) == b""


def test_a_push_whose_body_is_late_is_taken_from_who_may_push(wire: Wire, site: Site) -> None:
    with wire.connect() as connection:
        for _ in range(2):
            connection.sendall(push(site.token, b"Content-Length: 4"))
            time.sleep(0.1)
            connection.sendall(b"00")
            time.sleep(0.1)
            connection.sendall(b"00")
            status, headers, _ = read_reply(connection)
            assert status == 200
            assert headers["content-type"] == "application/x-git-receive-pack-result"


def test_an_absolute_uri_for_the_same_host_is_legal(wire: Wire) -> None:
    status, _, _ = wire.send(b"GET http://CATALOG.example:80/healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status == 200


def test_http_1_0_may_leave_out_the_host(wire: Wire) -> None:
    status, headers, _ = wire.send(b"GET /v1/commits HTTP/1.0\r\n\r\n")
    assert status == 200
    assert headers["connection"] == "close"


def test_forged_proxy_headers_change_no_link(wire: Wire, site: Site) -> None:
    for name in ("one", "two"):
        site.create(f"forged/{name}")
    _, _, body = wire.send(
        b"GET /v1/repositories/forged?page_size=1 HTTP/1.1\r\n" + HOST
        + b"X-Forwarded-Host: evil.example\r\nX-Forwarded-For: 10.0.0.1\r\n"
        + b"Forwarded: host=evil.example\r\n\r\n"
    )  # fmt: skip
    assert json.loads(body)["next"].startswith("http://catalog.example/v1/repositories/forged?")


def test_a_line_break_in_a_request_id_reaches_no_header(wire: Wire) -> None:
    _, headers, _ = wire.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-Request-Id: a%0d%0aSet-Cookie: x\r\n\r\n")
    assert "set-cookie" not in headers
    assert len(headers["x-request-id"]) == 32


def test_clients_that_send_slowly_stop_nobody(wire: Wire) -> None:
    slow = [wire.connect() for _ in range(40)]
    for connection in slow:
        connection.sendall(POST + b"Content-Length: 100\r\n\r\n{")
    began = time.monotonic()
    status, _, _ = wire.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status == 200
    assert time.monotonic() - began < 1
    for connection in slow:
        connection.close()


@pytest.mark.slow
def test_clients_that_read_nothing_stop_nobody(wire: Wire) -> None:
    slow = []
    for _ in range(8):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(wire.server.address)
        connection.sendall((b"GET /docs HTTP/1.1\r\n" + HOST + b"\r\n") * 200)
        slow.append(connection)
    time.sleep(0.5)
    began = time.monotonic()
    status, _, _ = wire.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status == 200
    assert time.monotonic() - began < 2
    for connection in slow:
        connection.close()


def test_a_reply_of_many_kilobytes_arrives_whole(wire: Wire) -> None:
    status, headers, body = wire.send(b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status == 200
    assert len(body) == int(headers["content-length"]) > 50_000
    assert json.loads(body)["openapi"] == "3.1.0"


def test_the_server_says_its_name_and_no_version(wire: Wire) -> None:
    _, headers, _ = wire.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    assert headers["server"] == "catalogd"


def test_no_bytes_whatever_make_the_parser_fail() -> None:
    adjustments = Limits(max_body=9_999, max_push=9_999, max_request_header_size=65_536)
    chance = random.Random(1)
    seeds = [request for request, _ in REFUSED.values() if len(request) < 1000]
    pieces = [
        b"\r\n",
        b"\r",
        b"\0",
        b" ",
        b":",
        b"chunked",
        b"%",
        b"[",
        b"]",
        b"://",
        b"@",
        b"#",
        b"\xff",
        b"9" * 50,
    ]
    for _ in range(5000):
        request = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 5)):
            place = chance.randrange(len(request) + 1)
            request[place : place + chance.randrange(3)] = chance.choice(pieces)
        parser, rest = Parser(adjustments), bytes(request)
        while rest and not parser.completed:
            rest = rest[parser.received(rest[: chance.choice((7, 64, 4096))]) :]
