"""What the bodies of calls on proposals ask for, and the files that come of it. Pure, but for what is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from catalogd import names
from catalogd.catalog import bodies
from catalogd.catalog.base import Document, parse_stored
from catalogd.catalog.organizations import EDITABLE, parse_organization
from catalogd.documents import canonical, loads
from catalogd.documents.organizations import complete
from catalogd.documents.policy import dumps_policy
from catalogd.errors import Conflict, Fault, Invalid, Malformed
from catalogd.proposals.shapes import THEIRS_OR_OURS
from catalogd.store import Reading, Snapshot

MOST_CHANGES = 1000
MOST_TITLE, MOST_TEXT = 200, 10_000
_FORMS = (
    '{"namespace", "repo_name", "document"} for a repository, {"namespace", "document"} for an organization, {"policy"}'
)


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked of one file: a merge patch, None to delete. `pointer` says where in the body."""

    path: str
    patch: object
    pointer: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """Whose value a field in conflict gets: OURS is main's, THEIRS the proposal's."""

    path: str
    pointer: str
    take: str


def members(body: object, allowed: tuple[str, ...], required: tuple[str, ...] = ()) -> Document:
    """The members of a body. Raises Invalid."""
    given = bodies.members(body, allowed)
    missing = [Fault(f"/{name}", "is required") for name in required if name not in given]
    if missing:
        raise Invalid(f"The body has no {missing[0].pointer[1:]}.", missing)
    return given


def title(value: object, pointer: str = "/title") -> str:
    """Raises Invalid."""
    found = text(value, pointer, MOST_TITLE).strip()
    if not found or any(ord(character) < 32 for character in found):
        fault = "must be one line that says what the proposal does"
        raise Invalid(f"The title {fault}.", [Fault(pointer, fault)])
    return found


def texts(given: Mapping[str, object]) -> dict[str, Any]:
    """The title and the description, of those that are given. Raises Invalid."""
    found = {"title": title(given["title"])} if "title" in given else {}
    return found | ({"description": text(given["description"], "/description")} if "description" in given else {})


def text(value: object, pointer: str, most: int = MOST_TEXT) -> str:
    """Raises Invalid."""
    if not isinstance(value, str) or len(value) > most or "\0" in value:
        fault = f"must be a text of at most {most:,} characters"
        raise Invalid(f"The {pointer[1:]} {fault}.", [Fault(pointer, fault)])
    return value


def changes(value: object, pointer: str = "/changes") -> list[Change]:
    """What `changes` asks for. Raises Invalid."""
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_CHANGES:
        fault = f"must be a list of 1 to {MOST_CHANGES:,} changes"
        raise Invalid(f"The changes {fault}.", [Fault(pointer, fault)])
    asked: dict[str, Change] = {}
    for index, given in enumerate(value):
        change = _change(given, f"{pointer}/{index}")
        if change.path in asked:
            raise _refused(f"{pointer}/{index}", f"is the second change of {change.path}; put both into one")
        asked[change.path] = change
    return list(asked.values())


def resolutions(value: object) -> list[Resolution]:
    """What `resolve` asks for. Raises Invalid."""
    if not isinstance(value, list) or not value or len(value) > MOST_CHANGES:
        raise _refused("/resolve", f"must be a list of 1 to {MOST_CHANGES:,} fields in conflict")
    found = []
    for index, given in enumerate(value):
        at = f"/resolve/{index}"
        if not isinstance(given, dict) or not isinstance(given.get("pointer"), str):
            raise _refused(at, "must be an object with namespace, repo_name, pointer and take")
        if given.get("take") not in THEIRS_OR_OURS:
            raise _refused(f"{at}/take", 'must be "ours", for the value of main, or "theirs", for that of the proposal')
        found.append(Resolution(path_at(given, at), given["pointer"], given["take"]))
    return found


def path_at(given: Document, at: str) -> str:
    """The file that `namespace` and `repo_name` of an object name; neither is the policy. Raises Invalid."""
    if "namespace" not in given:
        return names.POLICY_PATH
    namespace = names.check_new_name(given["namespace"], f"{at}/namespace")
    if given.get("repo_name") is None:
        return names.namespace_path(namespace)
    return names.document_path(namespace, names.check_new_name(given["repo_name"], f"{at}/repo_name"))


def files(asked: Iterable[Change], reading: Reading | Snapshot, now: str) -> dict[str, bytes | None]:
    """The new content of each file that is asked for, laid on what is read. Not validated against the schemas.

    Raises Invalid, with pointers into the body.
    """
    return {change.path: _file(change, reading, now) for change in asked}


def _change(given: object, at: str) -> Change:
    if not isinstance(given, dict):
        raise _refused(at, f"must be an object: {_FORMS}")
    if "policy" in given:
        if len(given) > 1:
            raise _refused(at, "must have no other member beside policy")
        return Change(names.POLICY_PATH, given["policy"], f"{at}/policy")
    unknown = [name for name in given if name not in ("namespace", "repo_name", "document")]
    if unknown or "namespace" not in given or "document" not in given:
        raise _refused(f"{at}/{unknown[0][:200]}" if unknown else at, f"is none of the forms that there are: {_FORMS}")
    patch = given["document"]
    if patch is not None and not isinstance(patch, dict):
        raise _refused(f"{at}/document", "must be a merge patch, which is an object, or null to delete")
    return Change(path_at(given, at), patch, f"{at}/document")


def _file(change: Change, reading: Reading | Snapshot, now: str) -> bytes | None:
    found = reading.read(change.path)
    if change.patch is None:
        if found is None:
            raise _refused(change.pointer, "is null, to delete what is not there")
        return None
    try:
        return _patched(change, found[1] if found else None, now)
    except Invalid as error:
        faults = [Fault(f"{change.pointer}{fault.pointer}", fault.detail) for fault in error.faults]
        raise Invalid(error.detail, faults) from None


def _patched(change: Change, data: bytes | None, now: str) -> bytes:
    assert isinstance(change.patch, dict) or change.path == names.POLICY_PATH
    repository, namespace = names.parse_document_path(change.path), names.parse_namespace_path(change.path)
    if repository is not None:
        if data is not None:
            before = parse_stored(data, *repository)
            after = bodies.patched(before, change.patch)
            if bodies.same_but_for_time(before, after):
                return data
            return canonical.dumps(after | {"updated_at": now})
        given = _without_nulls(change.patch) | {"repo_name": repository[1]}
        return canonical.dumps(bodies.created(repository[0], given, now))
    if namespace is not None:
        organization = parse_organization(namespace, data) if data is not None else complete({"namespace": namespace})
        defaults = complete({"namespace": namespace})
        fields = bodies.members(change.patch, allowed=EDITABLE)
        given = {key: defaults[key] if value is None else value for key, value in fields.items()}
        return canonical.dumps(organization | given)
    return _policy(change.patch, data)


def _policy(patch: object, data: bytes | None) -> bytes:
    try:
        before = loads(data) if data is not None else {}
    except Malformed as error:
        raise Conflict(f"policy.json is broken ({error.detail}); mend it by hand in the catalog.") from error
    after = bodies.merge_patch(before, patch)
    if not isinstance(after, dict):
        raise Invalid("The policy must be an object.", [Fault("", "must be a merge patch, which is an object")])
    return dumps_policy(after)


def _without_nulls(patch: object) -> Document:
    """What a merge patch makes of nothing."""
    made = bodies.merge_patch({}, patch)
    assert isinstance(made, dict)
    return made


def _refused(pointer: str, fault: str) -> Invalid:
    return Invalid(f"{pointer} {fault}.", [Fault(pointer, fault)])
