"""The notifications of a registry, as Docker Distribution sends them: what the catalog makes of each. Pure.

An envelope is `{"events": [...]}`. An event has `id`, `timestamp`, `action` (push, pull, mount, delete), `target`
{mediaType, digest, repository, tag, references}, `request` {addr, method, useragent}, `actor` {name}. Any of it may be
missing or of another form: such an event is junk, which is counted and otherwise passed over, as a registry
would send it again for ever if it were refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from catalogd.errors import Malformed
from catalogd.names import TAG
from catalogd.registry.names import catalog_name
from catalogd.registry.wire import PROGRAM
from catalogd.state import ChangeRow, PullRow

INDEXES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
_MANIFESTS = INDEXES | {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
}
_CONFIGS = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"})
# So long after an index a client takes images from it.
_PULL_TAKES = timedelta(minutes=10)

_TAG = re.compile(TAG)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_FRACTION = re.compile(r"\.([0-9]{1,9})[0-9]*")
_MOST_SIZE = 2**53 - 1
_MOST_ACTOR = 100
_MOST_REFERENCES = 10_000
# In one envelope: a registry sends one event, or some; millions of empty ones would fill the memory.
MOST_EVENTS = 10_000

# What becomes of an event that is not taken.
BLOB, HEAD, UNTAGGED, OWN, NO_PLACE, JUNK = "blob", "head", "untagged", "own", "no_place", "junk"


class Sender(NamedTuple):
    """The account whose token came with the events."""

    name: str
    email: str


class Read(NamedTuple):
    """An event: what identifies it and what it tells, or why it tells nothing. `name` is one without a place."""

    identity: bytes = b""
    told: PullRow | ChangeRow | None = None
    why_not: str = ""
    name: str = ""


def events_in(body: bytes) -> list[object]:
    """The events of an envelope, whatever they are. Raises Malformed for what is no envelope, or a huge one."""
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("The body is no JSON; it must be an envelope of a registry's notifications.") from None
    events = envelope.get("events") if isinstance(envelope, dict) else None
    if not isinstance(events, list):
        raise Malformed('The body is no envelope of a registry\'s notifications: it has no list "events".')
    if len(events) > MOST_EVENTS:
        raise Malformed(f"The envelope has {len(events):,} events; at most {MOST_EVENTS:,} are taken at once.")
    return events


def read(event: object, sender: Sender, now: datetime) -> Read:
    """What the catalog makes of one event."""
    if not isinstance(event, dict):
        return Read(why_not=JUNK)
    target, request = _object(event, "target"), _object(event, "request")
    identity, action, name = _text(event, "id"), _text(event, "action"), _text(target, "repository")
    if not identity or not name or action not in ("push", "pull", "delete", "mount"):
        return Read(why_not=JUNK)
    media_type, tag = _text(target, "mediaType").partition(";")[0].strip().lower(), _text(target, "tag")
    why_not = _why_not(action, media_type, tag, _text(request, "method"), _text(request, "useragent"))
    if why_not:
        return Read(why_not=why_not)
    place = catalog_name(name)
    if place is None:
        return Read(why_not=NO_PLACE, name=name)
    at = _time(event.get("timestamp"), now)
    if action == "pull":
        return Read(_identity(identity), _pull(place, target, request, event, media_type, tag, at))
    change = _change(place, action, target, event, media_type, tag, _stamp(at), sender)
    return Read(_identity(identity), change) if change else Read(why_not=JUNK)


def _why_not(action: str, media_type: str, tag: str, method: str, program: str) -> str:
    """Why an event of that kind is nothing to the catalog; "" if it is."""
    if action == "mount":
        return BLOB
    if action == "delete":
        # What a digest stood for has an event for each of its tags.
        return "" if tag else UNTAGGED
    if media_type not in _MANIFESTS:
        return BLOB
    if action == "push":
        return "" if tag else UNTAGGED
    if program.startswith(PROGRAM):  # the catalog has read what was pushed
        return OWN
    return HEAD if method.upper() == "HEAD" else ""


def _pull(
    place: tuple[str, str],
    target: Mapping[str, Any],
    request: Mapping[str, Any],
    event: Mapping[str, Any],
    media_type: str,
    tag: str,
    at: datetime,
) -> PullRow:
    # The port is another one for each connection of a client.
    address = _text(request, "addr").rpartition(":")[0]
    who = "\0".join((address, _text(request, "useragent"), _text(_object(event, "actor"), "name")))
    client = hashlib.blake2b(who.encode("utf-8", "replace"), digest_size=16).digest()
    return PullRow(
        *place, client, _stamp(at), _stamp(at - _PULL_TAKES), _stamp(at + _PULL_TAKES), media_type in INDEXES, not tag
    )


def _change(
    place: tuple[str, str],
    action: str,
    target: Mapping[str, Any],
    event: Mapping[str, Any],
    media_type: str,
    tag: str,
    at: str,
    sender: Sender,
) -> ChangeRow | None:
    digest: str | None = _text(target, "digest")
    if not _TAG.fullmatch(tag):
        return None
    if not _DIGEST.fullmatch(digest or ""):
        if action == "push":
            return None
        digest = None
    image_id, size = _referred(target.get("references")) if media_type not in INDEXES else (None, None)
    actor = _text(_object(event, "actor"), "name")
    named = actor if actor.isprintable() and len(actor) <= _MOST_ACTOR else ""
    # Of a delete it may be any text, and longer than a database takes.
    kept = media_type if media_type in _MANIFESTS else None
    return ChangeRow(
        0, *place, action, tag, digest, kept, at, size, image_id, named or None, sender.name, sender.email
    )  # fmt: skip


def _referred(references: object) -> tuple[str | None, int | None]:
    """(image id, bytes) of an image by what its manifest refers to; the registry tells that if it is asked to."""
    if not isinstance(references, list) or not 0 < len(references) <= _MOST_REFERENCES:
        return None, None
    image_id, sizes = None, {}
    for one in references:
        digest, size = (one.get("digest"), one.get("size")) if isinstance(one, dict) else (None, None)
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or type(size) is not int or size < 0:
            return None, None
        sizes[digest] = size
        if one.get("mediaType") in _CONFIGS and digest.startswith("sha256:"):
            image_id = digest.removeprefix("sha256:")
    total = sum(sizes.values())
    return image_id, total if total <= _MOST_SIZE else None


def _identity(event_id: str) -> bytes:
    return hashlib.blake2b(event_id.encode("utf-8", "replace"), digest_size=16).digest()


def _time(written: object, now: datetime) -> datetime:
    """RFC 3339, with up to nine digits of a second. What is none, or is still to come, is now."""
    if not isinstance(written, str) or len(written) > 40:
        return now
    try:
        moment = datetime.fromisoformat(_FRACTION.sub(lambda match: f".{match[1][:6]:0<6}", written))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return now
    # Years that RFC 3339 writes with fewer digits would not compare as text, and the window must not leave them.
    return min(moment, now) if moment.year >= 2000 else now


def _stamp(moment: datetime) -> str:
    """Milliseconds, cut off as those of the catalog are."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _object(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = event.get(name)
    return found if isinstance(found, dict) else {}


def _text(event: Mapping[str, Any], name: str) -> str:
    """A member that is text which a database keeps; "" for any other."""
    found = event.get(name)
    if not isinstance(found, str) or len(found) > 1000 or "\0" in found:
        return ""
    return found if found.isascii() else found.encode("utf-8", "replace").decode()
