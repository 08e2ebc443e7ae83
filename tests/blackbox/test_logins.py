"""Guessing passwords and tokens on a real server: nothing is learnt, nothing breaks, and the right user gets in."""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest
from served_catalog import Client, Reply, Served, run

pytestmark = pytest.mark.slow

PASSWORD, WRONG = "correct horse battery", "a wrong password"
LOG_IN = "/v1/generate-api-token"
FORM = "application/x-www-form-urlencoded"
A_HASH_TAKES_LONGER = 0.02  # seconds
_ADDRESSES = itertools.count(20)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("logins")
    assert run(home, "init", "catalog").status == 0
    served = Served(home / "catalog", home, home / "catalog.log")
    with_password(served, "ann")
    yield served.start()
    served.close()


def with_password(served: Served, *users: str) -> None:
    for user in users:
        assert served.run("user", "add", user, "--password-stdin", stdin=PASSWORD.encode()).status == 0


def new_address() -> str:
    """Of this machine, and used by nobody else."""
    return f"127.0.0.{next(_ADDRESSES)}"


def coming_from(served: Served, address: str, authorization: str | None = None) -> Client:
    """A client that connects from one of the addresses of this machine."""
    client = Client(served.address, authorization)
    client._connection = HTTPConnection(*served.address, timeout=30, source_address=(address, 0))
    served.clients.append(client)
    return client


def basic(user: str, secret: str | bytes) -> str:
    given = secret if isinstance(secret, bytes) else secret.encode()
    return "Basic " + base64.b64encode(user.encode() + b":" + given).decode()


def log_in(client: Client, user: str, password: str = WRONG, **headers: str) -> Reply:
    return client.post(LOG_IN, {"username": user, "password": password}, **headers)


def guesses(client: Client, user: str) -> Iterator[Reply]:
    """One of each kind."""
    yield log_in(client, user)
    yield client.post(LOG_IN, f"username={user}&password=wrong".encode(), Content_Type=FORM)
    yield client.post(LOG_IN, f"username={user}&password=%00%00".encode(), Content_Type=FORM)
    yield client.post(LOG_IN, f"username={user}&password=%ff%fe".encode(), Content_Type=FORM)
    yield client.post(LOG_IN, f'{{"username": "{user}", "password": "\\ud800"}}'.encode())
    yield client.post(LOG_IN, f'{{"username": "{user}", "password": "\\u0000"}}'.encode())
    yield client.post(LOG_IN, f'{{"username": "{user}", "password": "'.encode() + b'\xff"}')
    yield log_in(client, user, "")
    yield log_in(client, user, "x" * 100_000)
    for secret in (WRONG, "", b"\xff\xfe", b"a\0b", "\N{SNOWMAN}" * 1025, "catd_" + "0" * 38):
        yield client.get("/v1/user", Authorization=basic(user, secret))


def nonsense(client: Client) -> Iterator[Reply]:
    """Credentials of no user."""
    for header in ("Token", "Token x", "Bearer catd_" + "0" * 38, "Basic", "Basic !!!", "Basic YQ==", "Digest x", "x",
                   "Token " + "y" * 5000, basic("", ""), basic("No Name", WRONG), basic("a\0b", WRONG)):  # fmt: skip
        yield client.get("/v1/user", Authorization=header)
        yield client.get("/v1/repositories/", Authorization=header)


def told(reply: Reply, user: str) -> tuple[int, str]:
    """What a reply says, but for what differs from one to the next; and it must not say who was asked for."""
    text = reply.body.decode()
    assert user not in text
    return reply.status, re.sub(r'"request_id": "[^"]*"|\d+ s', "", text)


def test_a_thousand_guesses_break_nothing_and_tell_nothing_and_the_right_user_gets_in(shared: Served) -> None:
    known = coming_from(shared, new_address(), basic("ann", PASSWORD))
    assert known.get("/v1/user").status == 200
    token = shared.run("token", "create", "ann").out.strip()
    flood = coming_from(shared, new_address())
    seen: dict[str, set[tuple[int, str]]] = {"ann": set(), "zed": set()}
    count = 0  # there is no user zed
    while count < 1000:
        for user, found in seen.items():
            for reply in guesses(flood, user):
                count += 1
                found.add(told(reply, user))
                assert reply.status in (400, 401, 413, 429), reply
                assert reply.status != 429 or 0 < int(reply.headers["retry-after"]) <= 30
        for reply in nonsense(flood):
            count += 1
            assert reply.status in (401, 429), reply
    assert {status for status, _ in seen["ann"]} == {400, 401, 413, 429}
    assert seen["ann"] == seen["zed"]

    assert shared.client(token).get("/v1/user").status == 200
    flood.authorization = f"Token {token}"
    assert flood.get("/v1/user").status == 200, "a token is not slowed down, wherever it comes from"
    assert known.get("/v1/user").status == 200, "nor is an address that has logged in before"
    assert "Traceback" not in shared.log_text
    assert PASSWORD not in shared.log_text and WRONG not in shared.log_text


def test_a_password_of_ten_megabytes_is_too_large(shared: Served) -> None:
    client = coming_from(shared, new_address())
    body = json.dumps({"username": "ann", "password": "x" * 10_000_000}).encode()
    for content, kind in ((body, "application/json"), (b"username=ann&password=" + b"x" * 10_000_000, FORM)):
        with suppress(BrokenPipeError, ConnectionResetError):  # the server need not read what it has refused
            assert client.post(LOG_IN, content, Content_Type=kind).status == 413
        client.close()


def test_after_some_failures_the_next_attempt_waits_as_long_as_it_is_told(shared: Served) -> None:
    with_password(shared, "bob")
    client = coming_from(shared, new_address())
    assert [log_in(client, "bob").status for _ in range(5)] == [401] * 5
    refused = log_in(client, "bob", PASSWORD)
    assert refused.status == 429
    assert json.loads(refused.body)["type"] == "urn:catalogd:too-many-attempts"
    client.authorization = basic("bob", PASSWORD)
    assert client.get("/v1/user").status == 429
    client.authorization = None
    time.sleep(int(refused.headers["retry-after"]))
    assert log_in(client, "bob", PASSWORD).status == 200
    assert log_in(client, "bob").status == 401, "the failures on this account are forgotten with the success"


def test_other_users_of_an_address_that_has_failed_on_one_get_in(shared: Served) -> None:
    with_password(shared, "eve")
    client = coming_from(shared, new_address())
    for _ in range(7):
        log_in(client, "somebody")
    assert log_in(client, "somebody").status == 429
    assert log_in(client, "eve", PASSWORD).status == 200


def test_a_user_who_does_not_exist_costs_a_hash_as_a_wrong_password_does(shared: Served) -> None:
    def least(user: str) -> float:
        client = coming_from(shared, new_address())
        seconds = []
        for _ in range(4):
            began = time.perf_counter()
            assert log_in(client, user).status == 401
            seconds.append(time.perf_counter() - began)
        return min(seconds)

    with_password(shared, "timed")
    assert min(least("timed"), least("nobody-timed")) > A_HASH_TAKES_LONGER


def test_an_address_is_believed_from_the_trusted_proxy_alone(new_catalog, tmp_path: Path) -> None:
    proxy, other = "127.0.0.7", "127.0.0.8"
    config = tmp_path / "catalogd.toml"
    config.write_text(f'trusted_proxy = "{proxy}"\n')
    served = new_catalog("proxied", "--config", str(config))
    through, beside = coming_from(served, proxy), coming_from(served, other)
    assert [log_in(through, "u1", X_Forwarded_For="192.0.2.1").status for _ in range(6)] == [401] * 5 + [429]
    assert log_in(through, "u1", X_Forwarded_For="192.0.2.2").status == 401
    forged = "192.0.2.3, 192.0.2.1"
    assert log_in(through, "u1", X_Forwarded_For=forged).status == 429, "the last is what the proxy has added"
    assert log_in(through, "u1").status == 401, "without the header it is the proxy itself"

    statuses = [log_in(beside, "u2", X_Forwarded_For=f"192.0.2.{number}").status for number in range(6)]
    assert statuses == [401] * 5 + [429], "whoever is no proxy has one address whatever they say"
    assert log_in(beside, "u2", Forwarded="for=192.0.2.77", X_Real_Ip="192.0.2.78").status == 429
    for odd in ("", ",", "unknown", '"[2001:db8::1]:80"', quote("\N{SNOWMAN}"), "x" * 1000):
        assert log_in(through, f"u{len(odd)}", X_Forwarded_For=odd).status in (400, 401, 429)
