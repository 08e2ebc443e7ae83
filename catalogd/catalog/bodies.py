"""What a request's body does to a document. Pure: no store, no clock, no account. The schema has the last word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from catalogd.documents import canonical, same
from catalogd.documents.positions import escape
from catalogd.errors import Fault, Invalid, NotFound

Document = dict[str, Any]

WRITABLE = ("description", "full_description", "is_public", "logo", "labels", "build_config")
READ_ONLY = (
    "namespace", "repo_name", "repo_path", "logo_file", "is_automated", "is_repo_starred", "repo_starred_count",
    "created_at", "updated_at", "creation_at", "creation_time", "updated_time", "pushed_at", "pulled_at",
    "download", "upload", "tags",
)  # fmt: skip

# What use has made of a repository, not an editor: going back in history leaves it alone.
COUNTERS = ("download", "upload", "repo_starred_count", "pulled_at", "pushed_at")

# A reply that refuses a body is not to grow with it.
_MOST_FAULTS = 20
_MOST_OF_A_KEY = 200

_DEFAULTS = canonical.complete({"namespace": "", "repo_name": ""})


def created(namespace: str, body: object, now: str) -> Document:
    """The document that a POST asks for. Raises Invalid."""
    fields = members(body, allowed=(*WRITABLE, "namespace", "repo_name"))
    if "repo_name" not in fields:
        raise Invalid("The body has no repo_name.", [Fault("/repo_name", "is required: the repository's name")])
    if fields.get("namespace", namespace) != namespace:
        fault = f"must be {namespace}, as in the path, or be left out"
        raise Invalid(f"The namespace {fault}.", [Fault("/namespace", fault)])
    return _DEFAULTS | fields | {"namespace": namespace, "created_at": now, "updated_at": now}


def told(namespace: str, repo_name: str, now: str, is_public: bool = False) -> Document:
    """The document of a repository of which only its registry has told."""
    return canonical.complete(
        {"namespace": namespace, "repo_name": repo_name, "is_public": is_public, "created_at": now}
    )


def updated(document: Document, body: object) -> Document:
    """The document after a PUT: each field that is given takes the place of the old one. Raises Invalid."""
    return document | members(body, allowed=WRITABLE)


def patched(document: Document, body: object) -> Document:
    """The document after a PATCH (RFC 7396): null removes, which for a field with a default brings that back."""
    fields = members(body, allowed=WRITABLE)
    if "is_public" in fields and fields["is_public"] is None:
        raise Invalid("is_public cannot be removed.", [Fault("/is_public", "must be true or false")])
    return document | {
        key: _DEFAULTS.get(key) if value is None else merge_patch(document.get(key), value)
        for key, value in fields.items()
    }


def merge_patch(target: object, patch: object) -> object:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def with_tag(document: Document, tag: str, body: object, now: str) -> Document:
    """The document with a tag set. One that points to the same image already stays as it is. Raises Invalid."""
    fields = members(body, allowed=("image_id", "digest", "architectures", "size"))
    if "image_id" not in fields:
        raise Invalid("The body has no image_id.", [Fault("/image_id", "is required: 64 hex digits")])
    old = find_tag(document, tag)
    if old is not None and same({**old, **fields}, old):
        return document
    new = {"tag": tag, **fields, "pushed_at": now}
    tags = [*(t for t in document["tags"] if t["tag"] != tag), new]
    return document | {"tags": canonical.sorted_tags(tags), "pushed_at": now}


def seen_in_tag(error: Invalid, document: Document, tag: str) -> Invalid:
    """The same error with its pointers into the body that `with_tag` was given, where they were into the document."""
    place = f"/tags/{[there['tag'] for there in document['tags']].index(tag)}/"
    faults = [Fault(fault.pointer.replace(place, "/", 1), fault.detail) for fault in error.faults]
    return Invalid(error.detail, faults)


def without_tag(document: Document, tag: str) -> Document:
    """The document without a tag. Raises NotFound."""
    require_tag(document["tags"], tag)
    return document | {"tags": [t for t in document["tags"] if t["tag"] != tag]}


def find_tag(document: Document, tag: str) -> dict[str, Any] | None:
    """The tag object of that name, or None."""
    return next((t for t in document["tags"] if t["tag"] == tag), None)


def require_tag(tags: Iterable[dict[str, Any]], tag: str) -> dict[str, Any]:
    """The tag object of that name. Raises NotFound."""
    for found in tags:
        if found["tag"] == tag:
            return found
    raise NotFound(f"The repository has no tag {tag}.")


def with_tag_configs(document: Document, body: object) -> Document:
    """The document with `body` merged into build_config.tag_configs.

    Objects merge as RFC 7396 says; of a list, those elements are added that are not there yet. Raises Invalid.
    """
    config = document.get("build_config") or {"code_repo_client": "Simple"}
    old = config.get("tag_configs")
    if not isinstance(body, dict | list):
        raise Invalid("The body must be an object or an array.", [Fault("", "must be an object or an array")])
    if old is not None and type(old) is not type(body):
        what = "an object" if isinstance(old, dict) else "an array"
        raise Invalid(f"The stored tag_configs is {what}, so the body must be one.", [Fault("", f"must be {what}")])
    if isinstance(body, list):
        # By their text, as Python takes true and 1 for the same, and as a search through a list takes long.
        known = {canonical.one_line(element) for element in old or []}
        given = {canonical.one_line(element): element for element in body}
        merged: object = [*(old or []), *(element for text, element in given.items() if text not in known)]
    else:
        merged = merge_patch(old, body)
    return document | {"build_config": config | {"tag_configs": merged}}


def rolled_back(old: Document, current: Document | None) -> Document:
    """The document as it was, but for what use has counted since."""
    return old if current is None else old | {key: current[key] for key in COUNTERS if key in current}


def same_but_for_time(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two documents differ in nothing that anybody has written."""
    return same({**one, "updated_at": None}, {**other, "updated_at": None})


def members(body: object, allowed: tuple[str, ...]) -> Document:
    """The members of a body that is an object of no others than the allowed ones. Raises Invalid."""
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object.", [Fault("", "must be an object")])
    refused = [key for key in body if key not in allowed][:_MOST_FAULTS]
    if refused:
        names = ", ".join(key[:80] for key in refused[:5])
        faults = [Fault(f"/{escape(key[:_MOST_OF_A_KEY])}", _why_refused(key, allowed)) for key in refused]
        raise Invalid(f"These fields cannot be written: {names}.", faults)
    return dict(body)


def _why_refused(key: str, allowed: tuple[str, ...]) -> str:
    choices = ", ".join(allowed)
    if key in READ_ONLY:
        return f"cannot be written here; these can: {choices}"
    return f"is no field of it; the fields are {choices}"
