"""The table of errors: complete, and a 500 tells nothing."""

from __future__ import annotations

import errno
import inspect
import json
import logging
import os

import falcon
import pytest
from falcon import testing

from catalogd import errors
from catalogd.errors import CatalogdError, Fault
from catalogd.web.errors import KINDS, install, kind_of, problem
from catalogd.web.requests import Request

# Raised only where nothing is served yet, and where a registry is read, which no request waits for.
IN_NO_REQUEST = {errors.NotACatalog, errors.AlreadyServed, errors.BadSettings, errors.RegistryFailed}
DOMAIN = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, CatalogdError) and cls not in {CatalogdError, *IN_NO_REQUEST}
]


class Raising:
    """A resource that raises what it is told to."""

    error: Exception

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        raise self.error


@pytest.fixture
def raising() -> Raising:
    return Raising()


@pytest.fixture
def client(raising: Raising) -> testing.TestClient:
    app = falcon.App(request_type=Request)
    install(app)
    app.add_route("/", raising)
    return testing.TestClient(app)


def made(cls: type[CatalogdError]) -> CatalogdError:
    required = [
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    return cls(*["words"] * len(required))


@pytest.mark.parametrize("cls", DOMAIN)
def test_every_error_of_the_domain_has_a_status(cls: type[CatalogdError], raising, client) -> None:
    raising.error = made(cls)
    reply = client.simulate_get("/")
    kind = kind_of(raising.error)
    assert kind is not None
    assert (reply.status_code, reply.json["type"], reply.json["title"]) == (
        kind.status,
        kind.type,
        kind.title,
    )
    assert reply.json["status"] == kind.status
    assert reply.json["detail"] == raising.error.detail


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (errors.AlreadyExists("x"), 409, "already-exists"),
        (errors.Gone("x"), 410, "gone"),
        (errors.StoreFailed("x"), 503, "store-failed"),
        (errors.BrokenSchema("x"), 503, "broken-schema"),
        (errors.NoSpace("x"), 507, "no-space"),
        (errors.PreconditionFailed("x"), 412, "precondition-failed"),
    ],
)
def test_the_nearest_class_decides(error: CatalogdError, status: int, slug: str) -> None:
    kind = kind_of(error)
    assert kind is not None
    assert (kind.status, kind.type) == (status, f"urn:catalogd:{slug}")


def test_types_are_unique() -> None:
    assert len({kind.type for kind in KINDS}) == len(KINDS)


def test_what_is_at_fault_is_named(raising, client) -> None:
    raising.error = errors.Invalid("Two things are wrong.", [Fault("/a", "must be b"), Fault("/c", "must be d")])
    assert client.simulate_get("/").json["errors"] == [
        {"pointer": "/a", "detail": "must be b"},
        {"pointer": "/c", "detail": "must be d"},
    ]


@pytest.mark.parametrize(("error", "seconds"), [(errors.Unavailable("x", 7), "7"), (errors.StoreFailed("x"), "60")])
def test_a_503_says_when_to_try_again(error: CatalogdError, seconds: str, raising, client) -> None:
    raising.error = error
    assert client.simulate_get("/").headers["retry-after"] == seconds


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        FileNotFoundError(errno.ENOENT, "secret"),
        RecursionError("secret"),
        errors.BadSettings("secret"),
        falcon.HTTPInternalServerError(title="secret"),
    ],
)
def test_a_500_is_constant_and_logged_once(error: Exception, raising, client, caplog) -> None:
    raising.error = error
    with caplog.at_level(logging.ERROR):
        reply = client.simulate_get("/")
    assert (reply.status_code, reply.json["type"]) == (500, "urn:catalogd:internal")
    assert "secret" not in reply.text
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENOSPC, errno.ENOMEM])
def test_what_the_system_refuses_is_no_mistake_of_the_server(number: int, raising, client, caplog) -> None:
    raising.error = OSError(number, os.strerror(number), "/secret/refs/heads/main")
    reply = client.simulate_get("/")
    assert (reply.status_code, reply.json["type"]) == (503, "urn:catalogd:unavailable")
    assert os.strerror(number) in reply.json["detail"]
    assert "secret" not in reply.text
    assert "secret" in caplog.text


def test_an_error_of_falcons_has_the_same_form(client) -> None:
    reply = client.simulate_post("/")
    assert (reply.status_code, reply.json["type"]) == (405, "urn:catalogd:method-not-allowed")
    assert reply.headers["allow"] == "GET, OPTIONS"


def test_a_problem_reads_well_as_text() -> None:
    body = problem(KINDS[0], "Wörter \ud800.", "id", [Fault("/a", "must be b")])
    assert body.decode().startswith('{\n  "type": "urn:catalogd:malformed",\n  "title"')
    assert "Wörter \\ud800." in body.decode()
    json.loads(body)


def test_a_problem_does_not_grow_with_what_it_refuses(raising, client) -> None:
    raising.error = errors.Malformed("x" * 10_000, [Fault(f"/{number}", "y" * 10_000) for number in range(1_000)])
    reply = client.simulate_get("/")
    assert len(reply.json["errors"]) == 20
    assert len(reply.content) < 30_000
