"""The addresses of other git repositories: which are let in, and what of them may be shown."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

SCHEMES = ("http", "https", "ssh", "git", "file")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# `ext::sh -c ...` and its like name a program to run (gitremote-helpers).
_HELPER = re.compile(r"[A-Za-z0-9_.+-]+::")
# host, [user@]host, [2001:db8::1], each with an optional port.
_AUTHORITY = re.compile(r"(?:[^@]*@)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)(?::[0-9]{1,5})?")
_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^/:]+|\[[^/]+\]):")


class Credentials(NamedTuple):
    """What an http(s) URL says of who asks. The password is None where it names none."""

    user: str
    password: str | None


def fault_in_url(url: object) -> str | None:
    """What is wrong with the address of a git repository, in words that follow "must"; None if nothing is.

    Right are URLs of the schemes above, `user@host:path` for ssh, and paths.
    """
    if not isinstance(url, str) or not url:
        return "be the URL or the path of a git repository"
    if not url.isprintable():
        return "have no control characters"
    if url.startswith("-"):
        return 'not begin with "-"'
    if _HELPER.match(url):
        return "not name a program to run (`helper::`)"
    found = _SCHEME.match(url)
    if found is None:
        host = _SCP.match(url)
        return 'have no host that begins with "-"' if host and host["host"].startswith("-") else None
    if found[1] not in SCHEMES:
        return f"begin with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}, or be a path"
    if found[1] != "file" and not _AUTHORITY.fullmatch(_authority(url)):
        return f"have a host, and perhaps a port, after {found[0]}"
    return None


def without_credentials(url: str) -> str:
    """The URL as it may be shown: without a password; of http(s) without a user either, who may be a token."""
    found = _SCHEME.match(url)
    authority = _authority(url)
    if found is None or "@" not in authority:
        return url
    userinfo, _, host = authority.rpartition("@")
    user = "" if found[1] in ("http", "https") else userinfo.partition(":")[0] + "@"
    return f"{found[0]}{user}{host}{url[found.end() + len(authority) :]}"


def credentials(url: str) -> Credentials | None:
    """Those in an http(s) URL, if there are any."""
    if not url.startswith(("http://", "https://")) or "@" not in _authority(url):
        return None
    user, colon, password = _authority(url).rpartition("@")[0].partition(":")
    return Credentials(unquote(user), unquote(password) if colon else None)


def origin(url: str) -> str:
    """Scheme, host and port of a URL: what credentials are good for."""
    shown = without_credentials(url)
    found = _SCHEME.match(shown)
    return found[0] + _authority(shown) if found else shown


def server_of(url: str) -> str | None:
    """The address of the catalogd server whose whole catalog is at the URL; None for what is no such."""
    shown = without_credentials(url)
    site = shown.removesuffix("/").removesuffix("/catalog.git")
    return site if shown.startswith(("http://", "https://")) and site == origin(url) else None


def primary_of(url: str) -> str:
    """Where writes go from a replica of the URL: the server's address, else the URL as it may be shown."""
    return server_of(url) or without_credentials(url)


def is_path(url: str) -> bool:
    """Whether it is a path on this machine, as git tells them apart: no scheme, and no colon before a slash."""
    return _SCHEME.match(url) is None and _SCP.match(url) is None


def _authority(url: str) -> str:
    """User, password, host and port; "" for what has no scheme."""
    found = _SCHEME.match(url)
    return re.split(r"[/?#]", url[found.end() :], maxsplit=1)[0] if found else ""
