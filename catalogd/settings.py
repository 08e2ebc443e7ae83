"""The settings: one table, and how a value is found (flag, then environment, then file) and checked.

The table is the class `Settings`: each field has a name, a cast with its bounds, a default and one line of
help. Defaults go through the same casts as what an operator writes. Nothing here reads the environment or the
command line: the CLI hands both in. An unknown key is fatal, because a misspelt setting that is silently
ignored is found out on the worst day.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from catalogd.errors import BadSettings
from catalogd.giturl import fault_in_url

ENV_PREFIX = "CATALOGD_"

# Read by others: the tests' own switches, and the CLI's name for the settings file.
_ENV_NOT_OURS = ("CATALOGD_TEST_",)
_ENV_CONFIG = "CATALOGD_CONFIG"

LOG_LEVELS = ("debug", "info", "warning", "error")
REGISTRY_CREATE = ("existing", "always", "never")

KIB, MIB, GIB = 1024, 1024**2, 1024**3

# A cast turns what was written (text, or a TOML value) into the setting's value, or raises ValueError with
# the words that follow "must be".
Cast = Callable[[object], Any]


class Address(NamedTuple):
    """Where to listen: a host name or IP address (IPv6 without brackets) and a port, 0 for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# --- casts


def _path(raw: object) -> Path:
    if isinstance(raw, Path):
        return raw
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise ValueError("the path of a directory")
    return Path(raw)


def _whole(low: int, high: int, unit: str = "") -> Cast:
    what = f"a whole number{unit and ' of ' + unit} from {low} to {high}"

    def cast(raw: object) -> int:
        # 18 digits keep int() cheap whatever was written; every bound in the table is far below.
        if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,18}", raw):
            raw = int(raw)
        if not isinstance(raw, int) or isinstance(raw, bool) or not low <= raw <= high:
            raise ValueError(what)
        return raw

    return cast


def _seconds(low: float, high: float) -> Cast:
    what = f"a number of seconds from {low:g} to {high:g}"

    def cast(raw: object) -> float:
        if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", raw):
            raw = float(raw)
        # The comparison also refuses NaN, which TOML can write.
        if not isinstance(raw, (int, float)) or isinstance(raw, bool) or not low <= raw <= high:
            raise ValueError(what)
        return float(raw)

    return cast


def _choice(*choices: str) -> Cast:
    def cast(raw: object) -> str:
        if not isinstance(raw, str) or raw.lower() not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return raw.lower()

    return cast


# HOST:PORT, or [IPV6]:PORT as in RFC 3986, section 3.2.2
_LISTEN = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")


def _address(raw: object) -> Address:
    what = "HOST:PORT or [IPV6]:PORT with a port from 0 to 65535 (0: any free one), such as 127.0.0.1:8080"
    match = _LISTEN.fullmatch(raw) if isinstance(raw, str) else None
    if match is None or int(match["port"]) > 65535:
        raise ValueError(what)
    if match["v6"] is not None:
        try:
            ipaddress.IPv6Address(match["v6"])
        except ValueError:
            raise ValueError(what) from None
    return Address(match["v6"] or match["host"], int(match["port"]))


def _public_url(raw: object) -> str:
    what = 'empty or an http:// or https:// URL without user, "?" or "#", such as https://catalog.example.org'
    if raw == "":
        return ""
    # What may not stand in a URL would end up in every Link header.
    if not isinstance(raw, str) or not re.fullmatch(r"[!-~]{1,2000}", raw) or re.search(r'[?#@"<>\\]', raw):
        raise ValueError(what)
    try:
        parts = urlsplit(raw)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(what)
    return raw.rstrip("/")


def _state_url(raw: object) -> str:
    if raw == "":
        return ""
    if not isinstance(raw, str) or not re.fullmatch(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://\S*", raw):
        raise ValueError("empty or a database URL, such as postgresql+psycopg://user:password@host/name")
    return raw


def _git_url(raw: object) -> str:
    if raw == "":
        return ""
    fault = fault_in_url(raw)
    if fault is not None:
        raise ValueError(f"empty or a git repository: a URL, USER@HOST:PATH or a path; it must {fault}")
    return str(raw)


def _secret(raw: object) -> str:
    if raw == "":
        return ""
    if not isinstance(raw, str) or not re.fullmatch(r"[!-~][ -~]{14,198}[!-~]", raw):
        raise ValueError("empty or 16 to 200 characters of ASCII, with no space at either end")
    return raw


def _user(raw: object) -> str:
    # A colon would end it in HTTP's Basic scheme.
    if not isinstance(raw, str) or not re.fullmatch(r"[^\x00-\x1f\x7f:]{0,200}", raw):
        raise ValueError("empty or the name of a user, without a colon")
    return raw


def _text(raw: object) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"[^\x00-\x1f\x7f]{0,10000}", raw):
        raise ValueError("text without control characters")
    return raw


def _service(raw: object) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,199}", raw):
        raise ValueError("1 to 200 letters, digits, spaces, '.', '_', ':', '/' or '-', such as registry.example.org")
    return raw


def _ip_or_empty(raw: object) -> str:
    if raw == "":
        return ""
    try:
        return str(ipaddress.ip_address(raw if isinstance(raw, str) else ""))
    except ValueError:
        raise ValueError("empty or an IP address, such as 127.0.0.1") from None


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


def _domain(raw: object) -> str:
    if not isinstance(raw, str) or len(raw) > 200 or not re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*", raw):
        raise ValueError("a domain name, such as users.example.org")
    return raw.lower()


# --- the table


def _setting(cast: Cast, default: str, help: str, *, secret: bool = False) -> dict[str, Any]:
    """A row of the table; a `secret` one is never repeated in messages or in the repr."""
    metadata = {"cast": cast, "text": default, "help": help, "secret": secret}
    return {"default": cast(default), "repr": not secret, "metadata": metadata}


@dataclass(frozen=True)
class Settings:
    """All settings, checked. `load` makes one; `Settings()` is the defaults."""

    catalog: Path = field(**_setting(_path, "./catalog", "directory of the catalog"))
    listen: Address = field(**_setting(_address, "127.0.0.1:8080", "HOST:PORT to serve on; port 0 takes any free one"))
    workers: int = field(**_setting(_whole(1, 64), "1", "number of processes that answer requests"))
    threads: int = field(**_setting(_whole(1, 64), "16", "number of threads of each of them that answer requests"))
    max_body: int = field(
        **_setting(_whole(KIB, GIB, "bytes"), str(8 * MIB), "largest body of a request that is read, in bytes")
    )
    max_push: int = field(
        **_setting(_whole(KIB, 4 * GIB, "bytes"), str(64 * MIB), "largest push of git's that is taken, in bytes")
    )
    public_url: str = field(
        **_setting(_public_url, "", "base of absolute links in responses; empty takes it from the request")
    )
    state_url: str = field(
        **_setting(_state_url, "", "database URL of accounts and tokens; empty is SQLite in the catalog", secret=True)
    )
    email_domain: str = field(
        **_setting(_domain, "users.noreply.catalogd.invalid", "domain of the address of authors who have no e-mail")
    )
    index_interval: float = field(
        **_setting(_seconds(0.01, 60), "0.5", "how soon git's index follows a write, in seconds")
    )
    watch_interval: float = field(
        **_setting(_seconds(0.01, 60), "0.25", "how soon commits made by others are noticed, in seconds")
    )
    fold_packs: int = field(
        **_setting(_whole(2, 10_000, "packs"), "64", "number of packs at which they are folded into one")
    )
    maintenance_interval: float = field(
        **_setting(_seconds(1, 86_400), "60", "time between two looks at what needs maintenance, in seconds")
    )
    activity_interval: float = field(
        **_setting(_seconds(0.1, 86_400), "300", "how often stars and pulls are folded into the documents, in seconds")
    )
    git_children: int = field(
        **_setting(_whole(1, 64), "2", "how many git clients are answered at once; others wait for their turn")
    )
    follow: str = field(
        **_setting(
            _git_url,
            "",
            "git URL of the primary, e.g. https://USER:TOKEN@HOST/catalog.git: this is a replica then",
            secret=True,
        )
    )
    follow_interval: float = field(
        **_setting(_seconds(0.1, 86_400), "1", "how often a replica looks at its primary, in seconds")
    )
    upstream: str = field(
        **_setting(
            _git_url,
            "",
            "git URL of the repository that the catalog is kept together with: on a forge, say, or a bare directory",
            secret=True,
        )
    )
    upstream_interval: float = field(
        **_setting(_seconds(0.1, 86_400), "10", "how often the upstream is looked at, in seconds")
    )
    sync_secret: str = field(
        **_setting(_secret, "", "what webhooks to `POST /v1/sync` are signed with; empty refuses them", secret=True)
    )
    registry_url: str = field(
        **_setting(_public_url, "", "address of the registry that the catalog describes; empty: it is not read")
    )
    registry_user: str = field(
        **_setting(_user, "", "whom the registry is read as; empty: nobody, or the server itself")
    )
    registry_password: str = field(**_setting(_text, "", "the password or token of that user", secret=True))
    registry_service: str = field(
        **_setting(_service, "registry", "name of the registry in the tokens made for it, as in its configuration")
    )
    registry_create: str = field(
        **_setting(
            _choice(*REGISTRY_CREATE),
            "existing",
            "where a repository that the registry tells of is created, private: existing namespaces, always, never",
        )
    )
    registry_interval: float = field(
        **_setting(_seconds(1, 604_800), "3600", "how often the catalog is compared with the registry, in seconds")
    )
    registry_timeout: float = field(
        **_setting(_seconds(0.1, 600), "10", "how long an answer of the registry is waited for, in seconds")
    )
    registry_jobs: int = field(**_setting(_whole(1, 64), "8", "how many requests are made to the registry at once"))
    trusted_proxy: str = field(
        **_setting(_ip_or_empty, "", "IP address of a proxy whose X-Forwarded-For is believed; empty for none")
    )
    log_level: str = field(**_setting(_choice(*LOG_LEVELS), "info", f"how much is logged: {', '.join(LOG_LEVELS)}"))
    lock_timeout: float = field(
        **_setting(_seconds(0.1, 600), "10", "how long a write waits for the catalog's lock, in seconds")
    )


@dataclass(frozen=True)
class Setting:
    """One row of the table, for documentation and the CLI. `default` is as an operator would write it."""

    name: str
    cast: Cast
    default: str
    help: str
    secret: bool

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENV_PREFIX + self.name.upper()


def _row(name: str, metadata: Mapping[str, Any]) -> Setting:
    return Setting(name, metadata["cast"], metadata["text"], metadata["help"], metadata["secret"])


SETTINGS: tuple[Setting, ...] = tuple(_row(f.name, f.metadata) for f in fields(Settings))
_BY_NAME = {setting.name: setting for setting in SETTINGS}
_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}


# --- loading


class _Written(NamedTuple):
    """A value as someone wrote it, and where."""

    raw: object
    source: str


def load(flags: Mapping[str, object], environ: Mapping[str, str], file: Path | None) -> Settings:
    """The settings: a flag wins over the environment, that over the file, that over the default.

    `flags` is by setting name, None where a flag was not given; of `environ` only CATALOGD_* is looked at;
    `file` is a TOML file that must exist, or None. A wrong value is refused even where a stronger source
    overrules it. Raises BadSettings.
    """
    values: dict[str, object] = {}
    for written in (_from_file(file), _from_environ(environ), _from_flags(flags)):
        for name, (raw, source) in written.items():
            values[name] = _cast(_BY_NAME[name], raw, source)
    return Settings(**values)  # type: ignore[arg-type]  # each cast returns its field's type


def _cast(setting: Setting, raw: object, source: str) -> object:
    try:
        return setting.cast(raw)
    except ValueError as error:
        shown = "" if setting.secret else f", not {_shown(raw)}"
        raise BadSettings(f"The setting {setting.name} ({source}) must be {error}{shown}.") from None


def _shown(raw: object) -> str:
    """The value for a message: on one line, at most about 80 characters of it, no control characters."""
    if isinstance(raw, (dict, list)):
        return "a table" if isinstance(raw, dict) else "a list"
    if isinstance(raw, float) and not math.isfinite(raw):
        return str(raw)
    try:
        text = repr(raw)
    except ValueError:  # an integer of TOML with more digits than Python prints
        return "a number that long"
    return text if len(text) <= 80 else text[:77] + "..."


def _from_flags(flags: Mapping[str, object]) -> dict[str, _Written]:
    written = {}
    for name, raw in flags.items():
        if name not in _BY_NAME:
            raise BadSettings(f"There is no setting {name!r} (flag).{_nearest(name)}")
        if raw is not None:
            written[name] = _Written(raw, f"flag {_BY_NAME[name].flag}")
    return written


def _from_environ(environ: Mapping[str, str]) -> dict[str, _Written]:
    written = {}
    for variable, raw in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable.startswith(_ENV_NOT_OURS) or variable == _ENV_CONFIG:
            continue
        setting = _BY_VARIABLE.get(variable)
        if setting is None:
            name = variable.removeprefix(ENV_PREFIX).lower()
            near = _nearest(name, lambda known: known.variable)
            raise BadSettings(f"There is no setting for the environment variable {variable}.{near}")
        written[setting.name] = _Written(raw, f"environment variable {variable}")
    return written


def _from_file(file: Path | None) -> dict[str, _Written]:
    if file is None:
        return {}
    table = _read_toml(file)
    for name in table:
        if name not in _BY_NAME:
            raise BadSettings(f"There is no setting {name!r} (file {file}).{_nearest(name)}")
    return {name: _Written(raw, f"file {file}") for name, raw in table.items()}


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        raise BadSettings(f"The settings file {file} cannot be read: {error.strerror}.") from error
    # A ValueError is what tomllib and the decoding raise, and int() for an endless number; nesting can
    # exhaust the stack.
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"The settings file {file} is not TOML: {error}.") from error


def _nearest(name: str, spelling: Callable[[Setting], str] = lambda setting: setting.name) -> str:
    near = difflib.get_close_matches(name, _BY_NAME, n=1)
    if near:
        return f" Did you mean {spelling(_BY_NAME[near[0]])}?"
    return f" There are: {', '.join(sorted(map(spelling, SETTINGS)))}."
