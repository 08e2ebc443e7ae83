"""How a registry lets one in: the challenges of a 401, and the tokens that were got for them."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from catalogd.errors import RegistryFailed
from catalogd.registry.wire import Answer, Wire, origin

# Makes a token of [{type, name, actions}], for a registry whose token server is this catalog.
Mint = Callable[[Sequence[Mapping[str, object]]], str]

_MOST_TOKEN = 1 << 20
# RFC 7235, section 2.1: a scheme and its parameters, of which any number may stand in one header.
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_SCHEME = re.compile(r"(?:^|,)\s*(Bearer|Basic)(?=\s|$|,)", re.IGNORECASE)
# A token without a lifetime is good for a minute; none is kept for longer than an hour.
_LEAST_SECONDS, _MOST_SECONDS = 60.0, 3600.0
_MOST_TOKENS = 10_000


def parse(header: str) -> dict[str, dict[str, str]]:
    """The challenges of a WWW-Authenticate header, by scheme in lower case, with their parameters."""
    found: dict[str, dict[str, str]] = {}
    starts = list(_SCHEME.finditer(_blanked(header)))
    for here, following in zip(starts, [*starts[1:], None], strict=True):
        text = header[here.end() : following.start() if following else len(header)]
        parameters = {
            name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
            for name, quoted, bare in _PARAMETER.findall(text)
        }
        found.setdefault(here[1].lower(), parameters)
    return found


def _blanked(header: str) -> str:
    """What stands in quotes is no scheme, whatever it says."""
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda match: "_" * len(match[0]), header)


def access(scope: str) -> list[dict[str, object]]:
    """What a scope asks for, as a token lists it: `repository:a/b:pull,push`, several parted by spaces."""
    listed: list[dict[str, object]] = []
    for one in scope.split():
        kind, _, rest = one.partition(":")
        name, _, actions = rest.rpartition(":")
        listed.append({"type": kind, "name": name, "actions": [action for action in actions.split(",") if action]})
    return listed


class Credentials:
    """Who reads the registry, and the tokens got so far. Use from any number of threads."""

    def __init__(self, wire: Wire, user: str, password: str, mint: Mint | None, service: str, is_secure: bool):
        self._wire = wire
        self._user = user
        self._password = password
        self._mint = mint if not user else None
        self._service = service
        self._is_secure = is_secure
        self._asks_basic = False
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def known(self, scope: str) -> str | None:
        """The Authorization to send without being asked; None if there is none yet."""
        with self._lock:
            token, until = self._tokens.get(scope, ("", 0.0))
        if token and time.monotonic() < until:
            return f"Bearer {token}"
        return self._basic() if self._asks_basic else None

    def answer(self, refusal: Answer, scope: str, what: str) -> str | None:
        """The Authorization that the 401 asks for; None if there is none that we could give.

        Raises RegistryFailed where the token server fails.
        """
        challenges = parse(refusal.headers.get("www-authenticate", ""))
        if "bearer" in challenges:
            return f"Bearer {self._token(challenges['bearer'], scope, what)}"
        if "basic" in challenges and self._user:
            self._asks_basic = True
            return self._basic()
        return None

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self._user}:{self._password}".encode()).decode()

    def _token(self, challenge: Mapping[str, str], scope: str, what: str) -> str:
        asked = challenge.get("scope") or scope
        service = challenge.get("service", "")
        if self._mint is not None and self._service in ("", service):
            # What we need, not what the challenge says: who has answered shall not choose what its token is good for.
            token, seconds = self._mint(access(scope)), _LEAST_SECONDS
        else:
            token, seconds = self._fetched(challenge.get("realm", ""), service, asked, what)
        # Used a little short of its end: the request is under way for a while, and clocks differ.
        until = time.monotonic() + 0.8 * min(seconds, _MOST_SECONDS)
        with self._lock:
            if len(self._tokens) >= _MOST_TOKENS:
                self._tokens.clear()
            self._tokens[scope] = token, until
        return token

    def _fetched(self, realm: str, service: str, scope: str, what: str) -> tuple[str, float]:
        try:
            origin(realm)
        except ValueError:
            raise RegistryFailed(f"{what}: the registry names no token server that could be asked.", 401) from None
        parts = urlsplit(realm)
        if self._is_secure and parts.scheme != "https":
            raise RegistryFailed(f"{what}: the registry names a token server without TLS; it is not asked.", 401)
        query = [*([("service", service)] if service else []), *(("scope", one) for one in scope.split())]
        url = parts._replace(query="&".join(filter(None, (parts.query, urlencode(query)))), fragment="").geturl()
        headers = {"Authorization": self._basic()} if self._user else {}
        about = f"A token of {parts.hostname} for {scope or 'the registry'}"
        found = self._wire.exchange("GET", url, headers, _MOST_TOKEN, about)
        if found.status in (401, 403):
            raise RegistryFailed(f"{about}: {_refused(self._user)} ({found.status}).", found.status)
        if found.status != 200:
            raise RegistryFailed(f"{about}: the answer was {found.status}.", found.status)
        return _token_in(found.body, about)


def _refused(user: str) -> str:
    return "the user or the password is refused" if user else "it is not given without a user"


def _token_in(body: bytes, about: str) -> tuple[str, float]:
    try:
        said = json.loads(body)
        token = said.get("token") or said.get("access_token")
        seconds = said.get("expires_in", _LEAST_SECONDS)
    except (ValueError, RecursionError, AttributeError):
        raise RegistryFailed(f"{about}: the answer is no JSON object.") from None
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]{1,100000}", token):
        raise RegistryFailed(f"{about}: the answer has no token.")
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0
    return token, float(min(seconds, _MOST_SECONDS)) if is_number else _LEAST_SECONDS
