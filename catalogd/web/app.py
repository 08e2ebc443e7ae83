"""Puts the application together: the use cases in, a WSGI application out."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from itertools import groupby
from time import perf_counter

import falcon

import catalogd
from catalogd.accounts import Accounts
from catalogd.activity import Activity
from catalogd.catalog import Catalog
from catalogd.errors import Malformed
from catalogd.lookout import Elsewhere, Lookout
from catalogd.people import People
from catalogd.proposals import Proposals
from catalogd.registry.intake import Intake
from catalogd.registry.keys import Keys
from catalogd.settings import Settings
from catalogd.web import errors, openapi, page
from catalogd.web.account import OwnAccount
from catalogd.web.authentication import Authenticator
from catalogd.web.commits import Commits
from catalogd.web.git import GitService, refuse
from catalogd.web.history import History
from catalogd.web.metrics import Metrics
from catalogd.web.namespaces import Namespaces
from catalogd.web.operation import Endpoint, Handler
from catalogd.web.operations import Operations
from catalogd.web.proposals import ProposalCalls
from catalogd.web.registry_events import RegistryEvents
from catalogd.web.registry_tokens import RegistryTokens
from catalogd.web.replies import COMMON_HEADERS, Fixed
from catalogd.web.repositories import Repositories
from catalogd.web.requests import Request, check_host, check_target, request_id
from catalogd.web.routes import OPERATIONS
from catalogd.web.search import Search
from catalogd.web.stars import Stars
from catalogd.web.sync import Sync
from catalogd.web.tags import Tags
from catalogd.web.users import Users

_METHODS = frozenset(falcon.COMBINED_METHODS)
_DAY = 86_400
_PUBLIC = (("cache-control", f"public, max-age={_DAY}"), ("vary", "Accept-Encoding"))


def make_app(
    catalog: Catalog,
    accounts: Accounts,
    activity: Activity,
    settings: Settings,
    metrics: Metrics,
    lookout: Lookout | Elsewhere | None = None,
    wake: Callable[[], None] = lambda: None,
) -> falcon.App[Request, falcon.Response]:
    """The WSGI application of one catalog; with what keeps it up with a primary or an upstream.

    `wake` is called when a registry has told something that is to be committed.
    """
    app = falcon.App(request_type=Request, middleware=[_Middleware(metrics)])
    app.req_options.strip_url_path_trailing_slash = True
    errors.install(app)
    handlers = _handlers(catalog, accounts, activity, settings, metrics, lookout, wake)
    authenticator = Authenticator(accounts)
    by_path = sorted(OPERATIONS, key=lambda operation: operation.path)
    for path, operations in groupby(by_path, key=lambda operation: operation.path):
        endpoint = Endpoint(operations, handlers, authenticator, metrics, settings.public_url, catalog.primary)
        app.add_route(path, endpoint)
    app.add_sink(refuse, r"/(?:catalog|proposals|public)\.git/")
    return app


def description(public_url: str = "") -> openapi.Description:
    """The OpenAPI description of the interface."""
    return openapi.describe(OPERATIONS, catalogd.__version__, public_url)


def _handlers(
    catalog: Catalog,
    accounts: Accounts,
    activity: Activity,
    settings: Settings,
    metrics: Metrics,
    lookout: Lookout | Elsewhere | None,
    wake: Callable[[], None],
) -> dict[str, Handler]:
    people, form = People(catalog, accounts), (settings.public_url, settings.max_body)
    proposals = Proposals(catalog, people)
    intake = Intake(catalog, activity.state, wake)
    described = description(settings.public_url)
    html, policy = page.render(described)
    by_name = {
        "repositories": Repositories(catalog, proposals, activity, *form),
        "tags": Tags(catalog, proposals, settings.max_body),
        "history": History(catalog, activity, *form),
        "stars": Stars(activity, *form),
        "namespaces": Namespaces(catalog, people, *form),
        "proposals": ProposalCalls(proposals, *form),
        "account": OwnAccount(accounts, people, *form),
        "users": Users(people, *form),
        "commits": Commits(catalog, *form),
        "git": GitService(catalog, people, proposals, settings.public_url, settings.max_push),
        "registry_events": RegistryEvents(intake, metrics, settings.max_body),
        "registry_tokens": RegistryTokens(
            catalog, accounts, Keys.of(catalog.store.private), settings.registry_service, settings.max_body
        ),
        "operations": Operations(lookout.health if lookout else catalog.health, metrics),
        "search": Search(catalog, activity),
        "sync": Sync(lookout, settings.sync_secret, settings.max_body),
    }
    fixed = {
        "operations.openapi": Fixed(json.dumps(described).encode(), falcon.MEDIA_JSON),
        "operations.docs": Fixed(html, falcon.MEDIA_HTML, [("content-security-policy", policy)]),
        "operations.logo": Fixed(_logo(), falcon.MEDIA_PNG, _PUBLIC),
    }
    return {
        operation.handler: fixed.get(operation.handler) or _bound(by_name, operation.handler)
        for operation in OPERATIONS
    }


def _bound(by_name: dict[str, object], handler: str) -> Handler:
    name, _, method = handler.partition(".")
    bound: Handler = getattr(by_name[name], method)
    return bound


def _logo() -> bytes:
    return resources.files("catalogd.web").joinpath("static", "default-logo.png").read_bytes()


class _Middleware:
    """What happens to every request, whether a route takes it or not."""

    def __init__(self, metrics: Metrics):
        self._metrics = metrics

    def process_request(self, req: Request, resp: falcon.Response) -> None:
        req.started = perf_counter()
        env = req.env
        req.request_id = request_id(env.get("HTTP_X_REQUEST_ID"))
        resp.set_headers(COMMON_HEADERS)
        resp.set_header("x-request-id", req.request_id)
        if req.method not in _METHODS:
            raise Malformed("The method is none that HTTP knows.")
        check_target(env)
        check_host(env)

    def process_response(self, req: Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        # A method that nobody knows would be one more series for each that somebody makes up.
        method = req.method if req.method in _METHODS else "(other)"
        self._metrics.observe(req.uri_template, method, resp.status_code, perf_counter() - req.started)
