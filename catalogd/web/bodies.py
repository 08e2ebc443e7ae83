"""The bodies of requests: what form they may have, and strict JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import falcon

from catalogd.documents import strict
from catalogd.documents.positions import escape
from catalogd.errors import Fault, Invalid, Malformed
from catalogd.web.errors import MOST_FAULTS, TooLarge, UnsupportedMedia
from catalogd.web.parameters import decode_form

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
FORM = "application/x-www-form-urlencoded"

# Of what anybody may send who has no credentials yet, in bytes: a password has 1,024 characters of 12 at most.
MOST_OF_A_LOGIN = 64 * 1024


class Kind(NamedTuple):
    """What a member of a body must be; `words` follow "must be"."""

    words: str
    fits: Callable[[object], bool]


TEXT = Kind("a string", lambda value: isinstance(value, str))
TEXT_OR_NULL = Kind("a string or null", lambda value: value is None or isinstance(value, str))
TEXTS = Kind(
    "an array of strings", lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value)
)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))

# RFC 9110, section 8.3.1, as far as JSON has use for it: the only parameter that is looked at is charset.
_CONTENT_TYPE = re.compile(r'([^\s;,]+)[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*"?utf-?8"?[ \t]*)?;?[ \t]*', re.IGNORECASE)


def read_json(req: falcon.Request, max_body: int, accepted: tuple[str, ...] = (JSON,)) -> object:
    """The value in the body. Raises Malformed, TooLarge or UnsupportedMedia."""
    check_encoding(req)
    data = _read(req, max_body)
    _check_type(req, accepted)
    if not data:
        raise Malformed("The body is empty. It must be a JSON value.")
    return strict.loads(data)


def read_json_if_any(req: falcon.Request, max_body: int) -> object:
    """The value in the body, None without one. Raises as read_json."""
    check_encoding(req)
    data = _read(req, max_body)
    if not data.strip():
        return None
    _check_type(req, (JSON,))
    return strict.loads(data)


def read_members(
    req: falcon.Request,
    max_body: int,
    kinds: Mapping[str, Kind],
    *,
    required: Iterable[str] = (),
    accepted: tuple[str, ...] = (JSON,),
) -> dict[str, Any]:
    """The members of the object in the body, or of the form if that is accepted. Raises as read_json, and Invalid."""
    body = _read_form(req, max_body) if FORM in accepted and _is_form(req) else read_json(req, max_body, accepted)
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object.", [Fault("", "must be an object")])
    faults = [Fault(f"/{name}", f"is needed: {kinds[name].words}") for name in required if name not in body]
    for name, value in body.items():
        if len(faults) >= MOST_FAULTS:
            break
        if name not in kinds:
            faults.append(Fault(f"/{escape(name)}", f"is not known; possible: {', '.join(kinds)}"))
        elif not kinds[name].fits(value):
            faults.append(Fault(f"/{name}", f"must be {kinds[name].words}"))
    if faults:
        raise Invalid("The body is not what this call takes.", faults)
    return body


def read_form(req: falcon.Request, max_body: int, known: Collection[str]) -> dict[str, str]:
    """The known fields of a form, each of which is there once; others say nothing (RFC 6749, section 3.2).

    Raises Malformed, TooLarge or UnsupportedMedia.
    """
    _check_type(req, (FORM,))
    return _read_form(req, max_body, known)


def read_raw(req: falcon.Request, max_body: int) -> bytes:
    """The body as it was sent, of whatever type. Raises TooLarge."""
    return _read(req, max_body)


def check_no_body(req: falcon.Request, max_body: int) -> None:
    """For a call that takes nothing: an empty body, or the empty object that some clients cannot leave
    out.
    """
    check_encoding(req)
    data = _read(req, max_body)
    if data.strip() and strict.loads(data) != {}:
        raise Invalid("This call takes no body; an empty object is allowed.", [Fault("", "must be empty")])


def only_member(body: object, name: str) -> object:
    """The value of the one member that the body must have. Raises Invalid."""
    if not isinstance(body, dict) or name not in body:
        raise Invalid(f'The body must be an object with "{name}".', [Fault(f"/{name}", "is needed")])
    others = [key for key in body if key != name][:MOST_FAULTS]
    if others:
        faults = [Fault(f"/{escape(key)}", f"is not known; only {name} is") for key in others]
        raise Invalid(f'The body must have no other member than "{name}".', faults)
    return body[name]


def _is_form(req: falcon.Request) -> bool:
    return (req.content_type or "").partition(";")[0].strip().lower() == FORM


def _read_form(req: falcon.Request, max_body: int, known: Collection[str] | None = None) -> dict[str, str]:
    """What an HTML form sends: like a query. Raises Malformed, TooLarge or UnsupportedMedia."""
    check_encoding(req)
    fields: dict[str, str] = {}
    for name, value in decode_form(_read(req, max_body).decode("latin-1").strip("\r\n")):
        if known is not None and name not in known:
            continue
        if name in fields:
            raise Malformed("The form has a field twice.", [Fault(f"/{escape(name)}", "must be given only once")])
        fields[name] = value
    return fields


def _read(req: falcon.Request, max_body: int) -> bytes:
    length = req.content_length
    if length is not None and length > max_body:
        raise TooLarge(f"The body has {length} bytes; this server reads at most {max_body}.")
    if length is not None:
        return req.bounded_stream.read() if length else b""
    if not req.env.get("wsgi.input_terminated"):
        return b""
    data = req.stream.read(max_body + 1)
    if len(data) > max_body:
        raise TooLarge(f"The body has more than {max_body} bytes, the most that this server reads.")
    return data


def check_encoding(req: falcon.Request) -> None:
    encoding = req.get_header("Content-Encoding")
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMedia(
            "The body must not be compressed: Content-Encoding must be identity or left out.",
            {"Accept-Encoding": "identity"},
        )


def _check_type(req: falcon.Request, accepted: tuple[str, ...]) -> None:
    match = _CONTENT_TYPE.fullmatch(req.content_type or "")
    if match is not None and match[1].lower() in accepted:
        return
    said = " or ".join(accepted)
    accept = "Accept-Patch" if req.method == "PATCH" else "Accept"
    raise UnsupportedMedia(f"The Content-Type must be {said}, in UTF-8.", {accept: ", ".join(accepted)})
