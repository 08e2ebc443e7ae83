"""The parameters of queries: their grammar, their conversion, and one strict reader for all of them.

Each parameter is described once; the description is what checks requests and what the OpenAPI description
shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from catalogd.catalog import ORDERINGS
from catalogd.errors import Fault, Malformed
from catalogd.names import COMPONENT, MAX_NAME, fault_in_name
from catalogd.proposals import OPEN, STATES

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 20
# What clients of registries ask for if nobody tells them otherwise.
DEFAULT_FOUND = 25

MAX_SEARCH = 200
# No list is this long, so every larger number means the same page past the end; offsets stay within 64 bits.
_LAST_PAGE = 10**9
_MOST_ASKED = 10**9

# So many faults are told at once, and looked for.
_MOST_FAULTS = 20
# How often a parameter may be repeated: no document has more labels.
MOST_REPEATED = 100

_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
COMMIT = r"[0-9a-f]{7,40}"
_COMMIT = re.compile(COMMIT)
# RFC 3339, section 5.6, date-time
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})")


class Unfit(ValueError):
    """The value of a parameter is not what it must be; the message follows "must be"."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a query. `read` converts one value or raises Unfit; a `repeatable` one gives a
    tuple.
    """

    name: str
    description: str
    schema: dict[str, Any]
    read: Callable[[str], Any]
    default: Any = None
    required: bool = False
    repeatable: bool = False
    example: Any = None


@dataclass(frozen=True)
class OfProposal:
    """The state that the merge of a proposal would make."""

    number: int


# --- the grammars of values


def _page(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise Unfit("a whole number from 1")
    return min(int(text), _LAST_PAGE)


def _choice(names: Sequence[str]) -> str:
    return " or ".join((", ".join(f"`{name}`" for name in names[:-1]), f"`{names[-1]}`"))


def _page_size(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > MAX_PAGE_SIZE:
        raise Unfit(f"a whole number from 1 to {MAX_PAGE_SIZE}")
    return int(text)


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def _boolean(text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise Unfit("true or false")
    return value


def _ordering(text: str) -> str:
    if text.removeprefix("-") not in ORDERINGS:
        raise Unfit(f"one of {', '.join(ORDERINGS)}, with '-' in front to turn it round")
    return text


def _label(text: str) -> tuple[str, str | None]:
    key, equals, value = text.partition("=")
    if not key:
        raise Unfit("key or key=value")
    return key, value if equals else None


def _search(text: str) -> str | None:
    if len(text) > MAX_SEARCH:
        raise Unfit(f"at most {MAX_SEARCH} characters")
    return text.strip() or None


def _how_many(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) > _MOST_ASKED:
        raise Unfit(f"a whole number from 0 to {_MOST_ASKED}")
    return min(int(text), MAX_PAGE_SIZE)


def _last(text: str) -> None:
    # To pass it over would send a client that counts on it round in circles.
    if text:
        raise Unfit("left out: the Link of a page leads to the next one")


def _namespace(text: str) -> str:
    if fault_in_name(text) is not None:
        raise Unfit("the name of a namespace")
    return text


def _commit(text: str) -> str:
    if not _COMMIT.fullmatch(text):
        raise Unfit("a commit id: 7 to 40 digits of lower-case hexadecimal")
    return text


def as_time(text: str) -> datetime:
    """An RFC 3339 time. Raises Unfit."""
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise Unfit("an RFC 3339 time such as 2015-06-04T16:30:27.532Z")


def _point(text: str) -> str:
    if _COMMIT.fullmatch(text):
        return text
    # A '+' that nobody encoded arrives as a space.
    text = text.replace(" ", "+")
    try:
        as_time(text)
    except Unfit as unfit:
        raise Unfit(f"a commit id of at least 7 digits, or {unfit}") from None
    return text


_PROPOSAL = "proposals/"
_EVERY_STATE = "all"


def proposal_number(text: str) -> int | None:
    """The number of a proposal; None for what can be none."""
    return int(text) if _NUMBER.fullmatch(text) else None


def _point_of_all(text: str) -> str:
    if text.startswith(_PROPOSAL):
        raise Unfit("a commit id or a time here: what a proposal makes is read repository by repository")
    return _point(text)


def _point_or_proposal(text: str) -> str | OfProposal:
    if not text.startswith(_PROPOSAL):
        return _point(text)
    number = proposal_number(text.removeprefix(_PROPOSAL))
    if number is None:
        raise Unfit(f"{_PROPOSAL} and the number of a proposal, or a commit id, or a time")
    return OfProposal(number)


def _state(text: str) -> str | None:
    if text not in (*STATES, _EVERY_STATE):
        raise Unfit(f"one of {', '.join((*STATES, _EVERY_STATE))}")
    return None if text == _EVERY_STATE else text


def _person(text: str) -> str:
    if not 0 < len(text) <= MAX_NAME:
        raise Unfit("the name of a user")
    return text


# --- the parameters there are

# What decode() takes.
_TEXT: dict[str, Any] = {"type": "string", "pattern": r"^[^\u0000-\u001f\u007f]*$"}
_POINT: dict[str, Any] = {
    "anyOf": [{"type": "string", "pattern": f"^{COMMIT}$"}, {"type": "string", "format": "date-time"}]
}

PAGE = Parameter(
    "page",
    "Which page, from 1. A page past the end is a 404.",
    {"type": "integer", "minimum": 1, "maximum": _LAST_PAGE, "default": 1},
    _page,
    default=1,
)
PAGE_SIZE = Parameter(
    "page_size",
    f"How many results a page has: 1 to {MAX_PAGE_SIZE}, by default {DEFAULT_PAGE_SIZE}.",
    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
    _page_size,
    default=DEFAULT_PAGE_SIZE,
)
SEARCH = Parameter(
    "search",
    "Words, or beginnings of words, to find in names and descriptions; all of them must be there.",
    {**_TEXT, "maxLength": MAX_SEARCH},
    _search,
    example="database",
)
IS_PUBLIC = Parameter("is_public", "Only public, or only private repositories.", {"type": "boolean"}, _boolean)
LABEL = Parameter(
    "label",
    "Only repositories with this label: `key`, or `key=value`. Repeated, all must fit.",
    {
        "type": "array",
        "maxItems": MOST_REPEATED,
        "items": {"type": "string", "pattern": r"^[^=\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*$"},
    },
    _label,
    default=(),
    repeatable=True,
)
ORDERING = Parameter(
    "ordering",
    f"What the list is sorted by: {_choice(ORDERINGS)}; `-` in front turns it round. By `download` and "
    "`repo_starred_count` it goes by what the documents count; pulls and stars of the last minutes are shown, but "
    "not in them yet.",
    {"type": "string", "enum": [sign + name for name in ORDERINGS for sign in ("", "-")]},
    _ordering,
)
NAMESPACE = Parameter(
    "namespace",
    "Only repositories of this namespace.",
    {"type": "string", "pattern": f"^{COMPONENT}$", "maxLength": MAX_NAME},
    _namespace,
)
AT = Parameter(
    "at",
    "The state at a commit (7 digits or more), or at an RFC 3339 time (of the newest commit not after it).",
    _POINT,
    _point_of_all,
)
AT_OR_PROPOSAL = Parameter(
    "at",
    "The state at a commit (7 digits or more), at an RFC 3339 time (of the newest commit not after it), or "
    "`proposals/{number}`: as it would be if that were merged now.",
    {"anyOf": [*_POINT["anyOf"], {"type": "string", "pattern": f"^{_PROPOSAL}{_NUMBER.pattern}$"}]},
    _point_or_proposal,
)
SINCE = Parameter(
    "since",
    "The commit after which changes are wanted: the `Catalog-Commit` of an earlier reply, or its `to`.",
    {"type": "string", "pattern": f"^{COMMIT}$"},
    _commit,
    required=True,
)
FROM = Parameter(
    "from",
    "The older state: a commit id or a time, as in `at`; that before the last change if left out.",
    _POINT,
    _point,
)
TO = Parameter("to", "The newer state, as in `at`; the newest if left out.", _POINT, _point)

TERM = Parameter(
    "q",
    f"Words, or beginnings of words, as in `search`; without one, everything. Only {MAX_SEARCH} characters count.",
    _TEXT,
    lambda text: _search(text[:MAX_SEARCH]),
    example="database",
)
_HOW_MANY: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": _MOST_ASKED}
HOW_MANY = Parameter(
    "n",
    f"How many results a page has: at most {MAX_PAGE_SIZE}, whatever more is asked for; 0 leaves it to the server.",
    {**_HOW_MANY, "default": DEFAULT_FOUND},
    lambda text: _how_many(text) or DEFAULT_FOUND,
    default=DEFAULT_FOUND,
)
HOW_MANY_NAMES = Parameter(
    "n",
    HOW_MANY.description,
    {**_HOW_MANY, "default": MAX_PAGE_SIZE},
    lambda text: _how_many(text) or MAX_PAGE_SIZE,
    default=MAX_PAGE_SIZE,
)
LAST = Parameter(
    "last",
    "Refused: the `Link` of a page leads to the next one.",
    {"type": "string", "maxLength": 0},
    _last,
)

SERVICE = Parameter(
    "service",
    "What git wants to do: `git-upload-pack` or, in the whole catalog, `git-receive-pack`.",
    {"type": "string", "enum": ["git-upload-pack", "git-receive-pack"]},
    lambda text: text,
)

# Those of a registry's token server.
REGISTRY_SERVICE = Parameter(
    "service",
    "The registry that the token is for, as in its challenge: the setting `registry_service`.",
    _TEXT,
    lambda text: text,
)
SCOPE = Parameter(
    "scope",
    "What access is wanted, such as `repository:acme/web:pull,push`. Repeatable, or parted by spaces; at most 100.",
    {"type": "array", "maxItems": MOST_REPEATED, "items": _TEXT},
    lambda text: text,
    default=(),
    repeatable=True,
    example="repository:acme/web:pull",
)
OFFLINE_TOKEN = Parameter(
    "offline_token",
    "`true` or `1` if a refresh token is wanted: that is the token of the catalog which was sent; for a password there "
    "is none.",
    {**_TEXT, "default": "false"},
    lambda text: text.lower() in ("true", "1"),
    default=False,
)

_USER: dict[str, Any] = {**_TEXT, "minLength": 1, "maxLength": MAX_NAME}
STATE = Parameter(
    "state",
    f"Only proposals that are so: {_choice((*STATES, _EVERY_STATE))}, by default `{OPEN}`.",
    {"type": "string", "enum": [*STATES, _EVERY_STATE], "default": OPEN},
    _state,
    default=OPEN,
)
TOUCHED = Parameter(
    "namespace",
    "Only proposals that change something of this namespace.",
    {"type": "string", "pattern": f"^{COMPONENT}$", "maxLength": MAX_NAME},
    _namespace,
)
AUTHOR = Parameter("author", "Only proposals of this user.", _USER, _person)
REVIEWER = Parameter(
    "reviewer",
    "Only open proposals that an approval of this user would help, as far as the caller may know that.",
    _USER,
    _person,
)

PAGING = (PAGE, PAGE_SIZE)


# --- reading a query


def decode(query_string: str) -> list[tuple[str, str]]:
    """The names and values of a query, decoded, in order. Raises Malformed for what is no UTF-8, badly encoded, or
    has a control character.

    `query_string` is as WSGI gives it: bytes in Latin-1.
    """
    pairs = decode_form(query_string, "query")
    if any(_CONTROL.search(text) for pair in pairs for text in pair):
        raise Malformed("The query has a control character in it.")
    return pairs


def decode_form(encoded: str, what: str = "form") -> list[tuple[str, str]]:
    """The names and values of what is form-urlencoded, as decode(); a password may have any character."""
    if _BAD_PERCENT.search(encoded):
        raise Malformed(f"The {what} has a '%' that two hexadecimal digits do not follow.")
    try:
        return [
            (_decode(name), _decode(value))
            for name, _, value in (pair.partition("=") for pair in encoded.split("&") if pair)
        ]
    except UnicodeError:
        raise Malformed(f"The {what} is not UTF-8 once it is decoded.") from None


def _decode(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode("utf-8")


def read(query: Iterable[tuple[str, str]], known: dict[str, Parameter]) -> dict[str, Any]:
    """The value of every known parameter, defaults filled in. Raises Malformed, naming all that is wrong."""
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    for name, text in query:
        if len(faults) >= _MOST_FAULTS:
            break
        parameter = known.get(name)
        if parameter is None:
            faults.append(Fault(name, f"is no parameter of this call ({_possible(known)})"))
        elif name in values and not parameter.repeatable:
            faults.append(Fault(name, "must be given only once"))
        else:
            _read_one(parameter, text, values, faults)
    for parameter in known.values():
        if parameter.name in values:
            continue
        if parameter.required and not any(fault.pointer == parameter.name for fault in faults):
            faults.append(Fault(parameter.name, "is needed"))
        values[parameter.name] = parameter.default
    if faults:
        said = "; ".join(f"{fault.pointer} {fault.detail}" for fault in faults)
        raise Malformed(f"The query is not valid: {said}.", faults)
    return values


def _read_one(parameter: Parameter, text: str, values: dict[str, Any], faults: list[Fault]) -> None:
    try:
        value = parameter.read(text)
    except Unfit as unfit:
        faults.append(Fault(parameter.name, f"must be {unfit}"))
        return
    if parameter.repeatable:
        before = values.get(parameter.name, ())
        if len(before) >= MOST_REPEATED:
            fault = f"must be given at most {MOST_REPEATED} times"
            raise Malformed(f"The query is not valid: {parameter.name} {fault}.", [Fault(parameter.name, fault)])
        values[parameter.name] = (*before, value)
    else:
        values[parameter.name] = value


def _possible(known: dict[str, Parameter]) -> str:
    return f"possible: {', '.join(sorted(known))}" if known else "it takes none"
