"""What a pushed commit may change: documents and schemas at their places, by whom the API would let change them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalogd import names, rights
from catalogd.accounts import Account
from catalogd.catalog.base import parse_stored, roles_in
from catalogd.catalog.organizations import KnownUsers, parse_organization, require_empty, require_members
from catalogd.catalog.protection import policy_in, require_direct
from catalogd.catalog.pushed_commits import CLOCK_SKEW
from catalogd.check import ERROR, Finding, check_file, check_policy, findings_at, not_plain, too_large
from catalogd.documents import Schemas, canonical, line_of, lines, organizations, same, strict
from catalogd.documents.merge import COUNTERS
from catalogd.errors import BrokenSchema, CatalogdError, Conflict, Invalid, Protected
from catalogd.store import Difference, Incoming, ObjectTooLarge, Snapshot, rfc3339

Document = dict[str, Any]

_SCHEMAS = {names.schema_path(kind): kind for kind in names.KINDS}
_DIRECTORIES = ("data", "namespaces", "schemas")

# What use and the catalog itself write into a repository's document.
_KEPT = (*sorted(pointer[1:] for pointer in COUNTERS), "created_at")
_NO_PLACE = "is no place for a document"
_PLACES = (
    "Only data/<namespace>/<repo_name>.json, namespaces/<namespace>.json, schemas/<kind>.schema.json and policy.json "
    "can be pushed, with lower-case names."
)
_PROPOSE = "Propose it instead: git push origin HEAD:refs/for/main"
_DEFAULTS = canonical.complete({"namespace": "", "repo_name": ""})


@dataclass(frozen=True)
class Pusher:
    """Who pushes, what is known of others, and when. `last` tells the newest document that a repository had."""

    account: Account
    known: KnownUsers
    last: Callable[[str, str], Document | None]
    now: float

    @property
    def is_admin(self) -> bool:
        return rights.administers(self.account)


def _is_directory(path: str) -> bool:
    """Whether the layout of a catalog has a directory there."""
    first, _, rest = path.partition("/")
    return path in _DIRECTORIES or (first == "data" and names.fault_in_name(rest) is None)


class Review:
    """The review of one commit: what it changes, from `before` to `after`, by the roles in `roles`.

    What a merge has as one of its `others` has, the parents besides `before`, came with the commits of that one. Such a
    merge, on a line that is merged later, is held to roles only: what it keeps of whom is judged when main gets it.
    """

    def __init__(
        self,
        incoming: Incoming,
        pusher: Pusher,
        before: Snapshot,
        after: Snapshot,
        schemas_in: Callable[[Snapshot], Schemas],
        roles: Snapshot,
        others: Sequence[Snapshot] = (),
    ):
        self._incoming = incoming
        self._pusher = pusher
        self._before = before
        self._after = after
        self._schemas_in = schemas_in
        self._roles = roles
        self._others = others
        self._odd: dict[str, Mapping[str, str]] = {}

    def changes(self) -> Iterator[Difference]:
        """What the commit changes. Raises as Incoming.differences."""
        return self._incoming.differences(self._before, self._after, _is_directory)

    def findings(self, change: Difference) -> Iterator[Finding]:
        """What is wrong with one change."""
        path = change.path
        if change.new is not None and change.new.is_tree and _is_directory(path):
            yield misplaced(path, "is an empty directory, or one in the place of a file", "Remove it.")
        elif not self._is_place(path):
            yield misplaced(path, _NO_PLACE, _PLACES)
        elif change.new is not None and not change.new.is_plain_file:
            mode = change.new.mode.decode("ascii", "replace").zfill(6)
            yield misplaced(path, *not_plain(mode))
        else:
            yield from self._clash(change)
            try:
                old, new = (
                    self._incoming.blob(side.id) if side and side.is_file else None for side in (change.old, change.new)
                )
            except ObjectTooLarge as error:
                yield misplaced(path, *too_large(error.size))
            except KeyError:
                yield misplaced(path, "is missing in the push", "Push all of its objects.")
            else:
                yield from self._of_file(path, old, new, self.is_its_own(change))

    def is_its_own(self, change: Difference) -> bool:
        """Whether it did not come with another parent of a merge."""
        new = change.new.id if change.new else None
        return all(other.id_of(change.path) != new for other in self._others)

    @staticmethod
    def _is_place(path: str) -> bool:
        return (
            path in _SCHEMAS
            or path == names.POLICY_PATH
            or names.parse_document_path(path) is not None
            or names.parse_namespace_path(path) is not None
        )

    def _clash(self, change: Difference) -> Iterator[Finding]:
        """A name that is there already in another spelling, which a hand has made."""
        if change.old is not None:
            return
        parts = change.path.split("/")
        for depth in range(1, len(parts)):
            directory, name = "/".join(parts[:depth]), parts[depth]
            if directory not in self._odd:
                there = self._after.names(directory)
                self._odd[directory] = {odd.casefold(): odd for odd in there if odd.casefold() != odd}
            other = self._odd[directory].get(name)
            if other:
                detail = f"is {directory}/{other} on a file system that knows no case; only one of them can be there"
                yield misplaced(change.path, detail, "Give it another name.")

    def _of_file(self, path: str, old: bytes | None, new: bytes | None, is_its_own: bool) -> Iterator[Finding]:
        """What is wrong with a plain file at a place of the layout."""
        if path in _SCHEMAS:
            yield from self._of_schema(path, new) if is_its_own else ()
            return
        if path == names.POLICY_PATH:
            yield from self._of_policy(old, new) if is_its_own else ()
            return
        errors = False
        if new is not None:
            for finding in self._checked(path, new):
                errors = errors or finding.severity == ERROR
                yield finding
        if is_its_own and not errors:
            yield from self._of_rights(path, old, new)

    def _of_schema(self, path: str, new: bytes | None) -> Iterator[Finding]:
        if not self._pusher.is_admin:
            yield misplaced(path, "is a schema, which only an admin changes", "Take it out of the commit.")
        elif new is not None:
            try:
                Schemas({_SCHEMAS[path]: new})
            except BrokenSchema as error:
                yield Finding(ERROR, path, 1, "", error.detail, "Mend the schema.")

    def _of_policy(self, old: bytes | None, new: bytes | None) -> Iterator[Finding]:
        if not self._pusher.is_admin:
            yield misplaced(names.POLICY_PATH, "is changed by admins only", "Take it out of the commit.")
        elif old is not None:
            yield misplaced(names.POLICY_PATH, "is reviewed itself, once there is one", _PROPOSE)
        elif new is not None:
            yield from check_policy(new)

    def _checked(self, path: str, new: bytes) -> Iterator[Finding]:
        try:
            schemas = self._schemas_in(self._after)
        except BrokenSchema as error:
            yield misplaced(path, f"cannot be checked: {error.detail}", "Mend the schema first.")
            return
        yield from check_file(path, new, schemas)

    def _of_rights(self, path: str, old: bytes | None, new: bytes | None) -> Iterator[Finding]:
        """What the API would refuse, for a file that is sound in itself."""
        try:
            if not self._others:
                require_direct(self._before, {path: new}, policy_in(self._roles))
            repository = names.parse_document_path(path)
            if repository is not None:
                yield from self._of_repository(path, *repository, old, new)
            else:
                self._require_organization(names.parse_namespace_path(path) or "", old, new)
        except Protected as error:
            yield misplaced(path, error.detail, _PROPOSE)
        except CatalogdError as error:
            yield from told(error, path, new)

    def _of_repository(
        self, path: str, namespace: str, repo_name: str, old: bytes | None, new: bytes | None
    ) -> Iterable[Finding]:
        right = rights.OWN if new is None else rights.WRITE
        rights.require(self._pusher.account, right, namespace, roles_in(self._roles, namespace))
        return () if new is None or self._others else self._overwritten(path, old, new)

    def _overwritten(self, path: str, old: bytes | None, new: bytes) -> Iterable[Finding]:
        """What of a repository's sound document only the catalog itself, or an admin, may write."""
        if self._pusher.is_admin:
            return ()
        namespace, repo_name = names.parse_document_path(path) or ("", "")
        if old is not None:
            allowed = [parse_stored(old, namespace, repo_name)]
        else:
            last = self._pusher.last(namespace, repo_name)
            allowed = [_DEFAULTS, *([last] if last else [])]
        return _overwritten(path, new, allowed, self._pusher.now)

    def _require_organization(self, namespace: str, old: bytes | None, new: bytes | None) -> None:
        account = self._pusher.account
        path = names.namespace_path(namespace)
        if old is None and not any(other.id_of(path) for other in self._others):
            rights.require_admin(account)
            self._require_free(namespace)
        else:
            rights.require(account, rights.GOVERN, namespace, roles_in(self._roles, namespace))
        if not self._others:
            self._require_fit(namespace, old, new)

    def _require_free(self, namespace: str) -> None:
        if self._pusher.known([namespace]):
            raise Conflict(f"There is a user {namespace} already; an organization needs a name of its own.")

    def _require_fit(self, namespace: str, old: bytes | None, new: bytes | None) -> None:
        """That an organization can be so, among the users and repositories that there are."""
        known = self._pusher.known
        if new is None:
            require_empty(namespace, self._after.names(f"data/{namespace}"))
            return
        try:
            before = parse_organization(namespace, old) if old is not None else {}
        except Conflict:
            if not self._pusher.is_admin:  # who may mend what a hand has broken
                raise
            before = {}
        # As it was pushed, for the places of its faults: complete() sorts the members.
        given = strict.loads(new)
        assert isinstance(given, dict)
        given = organizations.parse(namespace, new) | given
        require_members(namespace, given, before, known)


def _overwritten(path: str, data: bytes, allowed: list[Document], now: float) -> Iterator[Finding]:
    """What of a sound document only the catalog itself may write, and is none of what is allowed."""
    given = strict.loads(data)
    assert isinstance(given, dict)
    document = canonical.complete(given)
    places = lines(data)

    def finding(pointer: str, detail: str, mend: str) -> Finding:
        return Finding(ERROR, path, line_of(places, pointer), pointer, detail, mend)

    for key in _KEPT:
        value = document.get(key)
        if not any(same(value, before.get(key)) for before in allowed):
            yield finding(f"/{key}", "is kept by the catalog itself", _as_it_was(allowed[-1].get(key)))
    latest = rfc3339(now + CLOCK_SKEW)
    if (document.get("updated_at") or "") > latest:
        yield finding("/updated_at", "is in the future", "Leave it as it was, or leave it out.")
    before_by_name = {tag["tag"]: tag for tag in allowed[-1]["tags"]}
    for index, tag in enumerate(given.get("tags", [])):
        pushed_at, before = tag.get("pushed_at"), before_by_name.get(tag["tag"])
        if before is not None and same({**tag, "pushed_at": None}, {**before, "pushed_at": None}):
            if pushed_at != before.get("pushed_at"):
                mend = _as_it_was(before.get("pushed_at"))
                yield finding(f"/tags/{index}/pushed_at", "changes where the tag does not", mend)
        elif (pushed_at or "") > latest:
            yield finding(f"/tags/{index}/pushed_at", "is in the future", "Leave it out.")


def told(error: CatalogdError, path: str, new: bytes | None) -> Iterator[Finding]:
    """What is refused of a file, as findings in it."""
    if not isinstance(error, Invalid):
        yield misplaced(path, error.detail, "Take this change out of the push, or have it pushed by who may.")
        return
    yield from findings_at(path, new or b"{}", error.faults, lambda _: "")


def _as_it_was(value: object) -> str:
    return "Leave it out." if value is None else f"Leave it as it was: {canonical.one_line(value)}"


def misplaced(path: str, detail: str, mend: str) -> Finding:
    """Something wrong with a file as a whole."""
    return Finding(ERROR, path, 0, "", detail, mend)
