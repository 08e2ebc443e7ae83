"""Reads a container registry by its HTTP API (version 2). Nothing that it sends is believed before it was looked at."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from catalogd.errors import RegistryFailed
from catalogd.registry.challenges import Credentials, Mint
from catalogd.registry.wire import Answer, Origin, Wire, origin

# Distribution's own bound on manifests.
MOST_MANIFEST = 4 << 20
SIGNED_V1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    SIGNED_V1,
)

# Of one page of a listing: 2.8 sends all tags of a repository in one.
_MOST_PAGE = 32 << 20
_MOST_LISTED = 1_000_000
# Pages that bring nothing new, which a listing may have before it is taken for an endless one.
_MOST_IDLE_PAGES = 10
_MOST_REDIRECTS = 5
_MOST_ERROR = 1 << 16
# A registry that has too much to do is asked again after so many seconds, where it does not say itself after how many;
# who is to come back later than this comes back with the next comparison.
_PAUSES = (1.0, 2.0, 4.0, 8.0)
_LONGEST_PAUSE = 60.0

_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[a-zA-Z]+\s*=\s*(?:"[^"]*"|[^\s";,]+))*)')
_REL_NEXT = re.compile(r';\s*rel\s*=\s*"?next"?\s*(?:;|$)', re.IGNORECASE)
_REDIRECTS = (301, 302, 303, 307, 308)


class RegistryClient:
    """One registry. `timeout` is for each wait, in seconds; `jobs` is how many connections are kept open.

    `mint` makes a token where no user is given and the registry asks for one of `service` ("" for any). All methods
    raise RegistryFailed, and may be called from any number of threads.
    """

    def __init__(
        self,
        url: str,
        user: str = "",
        password: str = "",
        timeout: float = 10.0,
        jobs: int = 8,
        mint: Mint | None = None,
        service: str = "",
    ):
        try:
            self._origin = origin(url)
        except ValueError as error:
            raise RegistryFailed(f"The address of the registry is {error}.") from None
        self._base = url.rstrip("/")
        self.host = urlsplit(url).netloc.rpartition("@")[2]
        self._wire = Wire(timeout, jobs)
        self._credentials = Credentials(self._wire, user, password, mint, service, self._origin[0] == "https")

    def close(self) -> None:
        self._wire.close()

    def abort(self) -> None:
        """All that is asked fails from now on, and so does what is under way."""
        self._wire.abort()

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def repositories(self) -> list[str]:
        """The names of all repositories, in the registry's order. Whole, or RegistryFailed."""
        what = "The list of repositories"
        return self._listed("/v2/_catalog?n=100", "registry:catalog:*", "repositories", what)

    def tags(self, name: str) -> list[str] | None:
        """All tags of a repository; None only if the registry said that it does not know that name."""
        path = f"/v2/{_checked(name)}/tags/list"
        try:
            return self._listed(path, _pull(name), "tags", f"The tags of {name}")
        except RegistryFailed as error:
            if error.status == 404 and error.code == "NAME_UNKNOWN":
                return None
            raise

    def digest(self, name: str, reference: str) -> str | None:
        """The digest of a manifest by HEAD; None if there is none, or the registry does not tell it."""
        what = f"The digest of {_said(name, reference)}"
        path = f"/v2/{_checked(name)}/manifests/{_reference(reference)}"
        answer = self._ask("HEAD", path, _pull(name), what, Accept=", ".join(MANIFESTS))
        if answer.status == 404:
            return None
        self._require_ok(answer, what)
        told = answer.headers.get("docker-content-digest", "")
        return told if DIGEST.fullmatch(told) else None

    def manifest(self, name: str, reference: str) -> tuple[bytes, str, str]:
        """(bytes, media type, digest) of a manifest by tag or digest; the digest is that of the bytes.

        Of a signed manifest of version 1 it is what the registry says, as the digest leaves the signatures out.
        """
        what = f"The manifest of {_said(name, reference)}"
        path = f"/v2/{_checked(name)}/manifests/{_reference(reference)}"
        answer = self._ask("GET", path, _pull(name), what, MOST_MANIFEST, Accept=", ".join(MANIFESTS))
        self._require_ok(answer, what)
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        told = answer.headers.get("docker-content-digest", "")
        asked = reference if DIGEST.fullmatch(reference) else ""
        digest = asked or (told if DIGEST.fullmatch(told) else "") or digest_of(answer.body)
        if media_type != SIGNED_V1 and digest_of(answer.body, digest) != digest:
            raise RegistryFailed(f"{what}: what came is not what its digest {digest} says.", 200)
        return answer.body, media_type, digest

    def blob(self, name: str, digest: str, most: int) -> bytes:
        """A blob of at most `most` bytes, such as a configuration. Storage elsewhere is asked without credentials."""
        if not DIGEST.fullmatch(digest):
            raise RegistryFailed(f"A blob of {name}: {digest[:150]!r} is no digest of sha256 or sha512.", 200)
        what = f"The blob {digest} of {name}"
        answer = self._ask("GET", f"/v2/{_checked(name)}/blobs/{digest}", _pull(name), what, most, elsewhere=True)
        self._require_ok(answer, what)
        if digest_of(answer.body, digest) != digest:
            raise RegistryFailed(f"{what}: what came is not what its digest says.", 200)
        return answer.body

    # Listings

    def _listed(self, path: str, scope: str, member: str, what: str) -> list[str]:
        found: dict[str, None] = {}
        asked = {path}
        idle = 0
        while True:
            answer = self._ask("GET", path, scope, what, _MOST_PAGE)
            self._require_ok(answer, what)
            before = len(found)
            found.update(dict.fromkeys(_names_in(answer.body, member, what)))
            idle = idle + 1 if len(found) == before else 0
            following = self._next(path, answer.headers.get("link", ""), what)
            if following is None:
                return list(found)
            if following in asked or idle > _MOST_IDLE_PAGES or len(found) > _MOST_LISTED:
                raise RegistryFailed(f"{what}: the pages do not end (after {len(found):,} entries).")
            asked.add(following)
            path = following

    def _next(self, path: str, link: str, what: str) -> str | None:
        """The path of the next page. A link to another host is not followed: it would be asked with our token."""
        for target, parameters in _LINK.findall(link[:100_000]):
            if not _REL_NEXT.search(parameters):
                continue
            try:
                url = urljoin(self._base + path, target)
                same = origin(url) == self._origin
            except ValueError:
                same = False
            base, here = urlsplit(self._base).path, urlsplit(url if same else "")
            if not same or not here.path.startswith(f"{base}/v2/"):
                raise RegistryFailed(f"{what}: the link to the next page leads out of the registry.")
            return here._replace(scheme="", netloc="", fragment="").geturl().removeprefix(base)
        return None

    # Requests

    def _ask(
        self,
        method: str,
        path: str,
        scope: str,
        what: str,
        most: int = _MOST_ERROR,
        elsewhere: bool = False,
        **headers: str,
    ) -> Answer:
        """The answer, after a challenge and redirects. `elsewhere` is whether these may lead to other hosts."""
        url = self._base + path
        authorization = self._credentials.known(scope)
        answer = self._sent(method, url, authorization, most, what, headers)
        if answer.status == 401:
            authorization = self._credentials.answer(answer, scope, what)
            if authorization is not None:
                answer = self._sent(method, url, authorization, most, what, headers)
        for _ in range(_MOST_REDIRECTS):
            if answer.status not in _REDIRECTS:
                return answer
            url, there = self._redirected(url, answer, elsewhere, what)
            own = authorization if there == self._origin else None
            answer = self._sent(method, url, own, most, what, headers)
        if answer.status in _REDIRECTS:
            raise RegistryFailed(f"{what}: the registry redirects on and on.", answer.status)
        return answer

    def _sent(
        self, method: str, url: str, authorization: str | None, most: int, what: str, headers: dict[str, str]
    ) -> Answer:
        own = {"Authorization": authorization} if authorization else {}
        at, most = f"{what} at {self.host}", max(most, _MOST_ERROR)
        for pause in (*_PAUSES, None):
            answer = self._wire.exchange(method, url, {**headers, **own}, most, at)
            wanted = None if pause is None else _asked_to_wait(answer, pause)
            if wanted is None or not self._wire.rest(wanted):
                break
        return answer

    def _redirected(self, url: str, answer: Answer, elsewhere: bool, what: str) -> tuple[str, Origin]:
        target = answer.headers.get("location", "")
        try:
            url = urljoin(url, target)
            there = origin(url)
        except ValueError:
            raise RegistryFailed(f"{what}: the registry redirects to nowhere.", answer.status) from None
        if there != self._origin and not elsewhere:
            raise RegistryFailed(
                f"{what}: the registry redirects to {there[0]}://{there[1]}:{there[2]}; is that its address?",
                answer.status,
            )
        if self._origin[0] == "https" and there[0] != "https":
            raise RegistryFailed(f"{what}: the registry redirects to an address without TLS.", answer.status)
        return url, there

    def _require_ok(self, answer: Answer, what: str) -> None:
        if answer.status == 200:
            return
        code = _code_in(answer.body)
        at = f"{what} at {self.host}"
        if answer.status == 401:
            raise RegistryFailed(f"{at}: the registry wants other credentials, or any (401).", 401, code)
        if answer.status == 403:
            raise RegistryFailed(f"{at}: the registry does not allow it to whom it is read as (403).", 403, code)
        said = f"{answer.status} {code}".strip()
        raise RegistryFailed(f"{at}: the answer was {said}.", answer.status, code)


def digest_of(data: bytes, like: str = "sha256:") -> str:
    """The digest of bytes, by the algorithm of another digest."""
    algorithm = "sha512" if like.startswith("sha512:") else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def json_object(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object as others make it, so not held to the strictness of documents. Raises RegistryFailed."""
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        raise RegistryFailed(f"{what}: what came is no JSON.", 200) from None
    if not isinstance(parsed, dict):
        raise RegistryFailed(f"{what}: what came is no JSON object.", 200)
    return parsed


def _names_in(body: bytes, member: str, what: str) -> Iterator[str]:
    page = json_object(body, what)
    listed = page.get(member, ...)
    if listed is None:  # 2.8 says so of a repository whose tags are all deleted
        return
    if not isinstance(listed, list):
        raise RegistryFailed(f"{what}: what came has no list of {member}.")
    for name in listed:
        if not isinstance(name, str) or len(name) > 1000:
            raise RegistryFailed(f"{what}: an entry of the list is no name.")
        yield name


def _code_in(body: bytes) -> str:
    """The code of the first error that a registry tells, "" if it tells none."""
    try:
        code = json.loads(body)["errors"][0]["code"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return ""
    return code if isinstance(code, str) and re.fullmatch(r"[A-Z_]{1,40}", code) else ""


def _asked_to_wait(answer: Answer, otherwise: float) -> float | None:
    """So many seconds (RFC 9110, 10.2.3), or None where it is not to be asked again."""
    if answer.status != 429:
        return None
    told = answer.headers.get("retry-after", "").strip()
    seconds = otherwise
    if re.fullmatch(r"[0-9]{1,9}", told):
        seconds = float(told)
    elif told:
        with suppress(ValueError, TypeError):
            seconds = (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0) if seconds <= _LONGEST_PAUSE else None


def _checked(name: str) -> str:
    if len(name) > 500 or not _NAME.fullmatch(name):
        raise RegistryFailed(f"{name[:200]!r} is no name of a repository that could be asked for.")
    return name


def _reference(reference: str) -> str:
    if not (_TAG.fullmatch(reference) or DIGEST.fullmatch(reference)):
        raise RegistryFailed(f"{reference[:200]!r} is neither a tag nor a digest of sha256 or sha512.")
    return quote(reference, safe=":")


def _said(name: str, reference: str) -> str:
    return f"{name}@{reference}" if ":" in reference else f"{name}:{reference}"


def _pull(name: str) -> str:
    return f"repository:{name}:pull"
