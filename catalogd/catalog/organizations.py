"""Use cases on organizations: the namespaces whose members stand in a document of the catalog."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from catalogd import names, rights
from catalogd.catalog import bodies
from catalogd.catalog.base import Document, Result, UseCases, history_row, require_match
from catalogd.catalog.repositories import page_of
from catalogd.catalog.shapes import Caller, IfMatch, OrganizationFound, Page
from catalogd.documents import Role, canonical
from catalogd.documents.organizations import LISTS, complete, fault_in, parse, stored_roles
from catalogd.errors import AlreadyExists, Conflict, Fault, Invalid, Malformed, NotFound
from catalogd.readmodel import OrganizationRow
from catalogd.store import Draft, Reading, blob_id

# A reply that refuses a body is not to grow with it.
_MOST_FAULTS = 20

EDITABLE = ("description", *LISTS)

# Which of the names are users: asked for members that were not members before.
KnownUsers = Callable[[Iterable[str]], set[str]]


class Organizations(UseCases):
    """What callers do with organizations."""

    def organizations(self, caller: Caller, page: int = 1, page_size: int = 20) -> Page:
        """OrganizationFound of every organization, by name. Raises NotFound past the last page."""
        self._mirror.check()
        count, rows, commit = self._model.organizations(page, page_size)
        visibility = self._visibility(caller)
        return page_of(count, [_seen(caller, visibility, row, commit or "") for row in rows], commit or "", page)

    def organization(self, caller: Caller, namespace: str) -> OrganizationFound:
        """Raises NotFound, Malformed."""
        self._mirror.check()
        found = self._model.organization(names.check_name(namespace, "namespace"))
        if found is None:
            raise no_organization(namespace)
        return _seen(caller, self._visibility(caller), *found)

    def organization_history(self, caller: Caller, namespace: str, page: int = 1, page_size: int = 20) -> Page:
        """The commits that changed an organization, newest first, for its members. Raises NotFound."""
        self._mirror.check()
        names.check_name(namespace, "namespace")
        visibility = self._visibility(caller)
        if not visibility.covers(namespace, False):
            raise no_organization(namespace)
        count, entries, commit = self._model.history(names.namespace_path(namespace), 0, visibility, page, page_size)
        if not count:
            raise no_organization(namespace)
        return page_of(count, [history_row(entry) for entry in entries], commit or "", page)

    def create_organization(self, caller: Caller, body: object, known: KnownUsers) -> OrganizationFound:
        """Raises Unauthenticated, Forbidden, AlreadyExists, Invalid, and what the store raises."""
        rights.require_admin(caller.account)
        fields = bodies.members(body, allowed=("namespace", *EDITABLE))
        namespace = names.check_new_name(fields.get("namespace"), "/namespace")
        given = complete({"namespace": namespace, "owners": [caller.account.name]}) | fields
        document = _filled(given)
        path = names.namespace_path(namespace)
        result = Result(document, created=True)

        def draft(reading: Reading) -> Draft:
            if reading.id_of(path) is not None:
                raise AlreadyExists(f"There is an organization {namespace} already; PUT or PATCH changes it.")
            data = self._checked(reading, namespace, given, {}, known)
            result.blob = blob_id(data)
            return Draft(f"Create namespace {namespace}", {path: data})

        outcome = self._submit(caller, draft, f"create namespace {namespace}")
        return _shown_to_member(caller, document, result.blob, outcome.commit)

    def update_organization(
        self,
        caller: Caller,
        namespace: str,
        body: object,
        known: KnownUsers,
        *,
        patch: bool,
        if_match: IfMatch | None = None,
    ) -> tuple[OrganizationFound, bool]:
        """PUT (partial) or PATCH (RFC 7396). Returns what it is now, and whether anything was changed.

        Raises NotFound, Unauthenticated, Forbidden, PreconditionFailed, Invalid.
        """

        def change(before: Document) -> Document:
            fields = bodies.members(body, allowed=EDITABLE)
            defaults = complete({"namespace": namespace})
            given = {key: defaults[key] if patch and value is None else value for key, value in fields.items()}
            return before | given

        return self._change_organization(caller, namespace, change, known, if_match=if_match)

    def grant(
        self, caller: Caller, namespace: str, user: str, role: Role, known: KnownUsers
    ) -> tuple[OrganizationFound, bool]:
        """The user has this role from now on, and no other. Role.NONE takes it away. As update_organization."""

        def change(before: Document) -> Document:
            without = {name: [member for member in before[name] if member != user] for name in LISTS}
            given = {name: [*without[name], user] for name, gives in LISTS.items() if gives is role}
            return before | without | given

        return self._change_organization(caller, namespace, change, known)

    def delete_organization(self, caller: Caller, namespace: str, *, if_match: IfMatch | None = None) -> str:
        """Returns the commit. Raises NotFound, Unauthenticated, Forbidden, PreconditionFailed, and Conflict while
        the namespace has repositories."""
        path = names.namespace_path(names.check_name(namespace, "namespace"))

        def draft(reading: Reading) -> Draft:
            found = reading.read(path)
            if found is None:
                raise no_organization(namespace)
            self._require(caller, reading, rights.GOVERN, namespace)
            require_match(if_match, found[0], "organization")
            require_empty(namespace, reading.names(f"data/{namespace}"))
            return Draft(f"Delete namespace {namespace}", {path: None})

        return self._submit(caller, draft, f"delete namespace {namespace}").commit

    def forget_member(self, caller: Caller, user: str) -> str | None:
        """No organization names the user any more: in one commit, whose id is returned; None if none did.

        Raises Conflict, naming them, where the user is the only owner of organizations, and Unauthenticated, Forbidden.
        """
        rights.require_admin(caller.account)

        def draft(reading: Reading) -> Draft | None:
            files: dict[str, bytes | None] = {}
            orphans: list[str] = []
            for file in reading.names("namespaces"):
                path = f"namespaces/{file}"
                namespace = names.parse_namespace_path(path)
                found = reading.read(path)
                # One that is broken gives nobody a role.
                if namespace is None or found is None or user not in stored_roles(namespace, found[1]):
                    continue
                before = parse(namespace, found[1])
                after = before | {name: [member for member in before[name] if member != user] for name in LISTS}
                if not after["owners"] and before["owners"]:
                    orphans.append(namespace)
                # Whether it fits the schemas in force is no matter: a user must be removable.
                files[path] = canonical.dumps(after)
            if orphans:
                raise Conflict(f"{user} is the only owner of {', '.join(orphans)}; make somebody else an owner first.")
            return Draft(f"Remove {user} from {_counted(len(files), 'namespace')}", files) if files else None

        # A name without an account must not stay an owner, whatever is protected.
        outcome = self._submit(caller, draft, f"forget {user}", is_direct=False)
        return outcome.commit if outcome.changed else None

    def roles_of(self, user: str) -> dict[str, Role]:
        """Namespace -> the user's role, of each organization that gives one."""
        self._mirror.check()
        return {namespace: role for namespace, role in self._model.roles(user).items() if role}

    def is_organization(self, namespace: str) -> bool:
        """Whether an organization has this name."""
        self._mirror.check()
        return self._model.organization(namespace) is not None

    def awaits(self, user: str) -> str | None:
        """What a new user of that name would get that was somebody else's, in words; None if nothing."""
        self._mirror.check()
        if self._model.has_past(user):
            return f"There are or were repositories in the namespace {user}, or an organization of that name"
        if any(self._model.roles(user).values()):
            return f"Organizations name {user} as a member"
        return None

    def all_roles(self) -> list[tuple[str, dict[str, Role]]]:
        """(namespace, user -> role) of every organization, by name; for who may see everything."""
        self._mirror.check()
        rows = self._model.organizations(1, 1 << 31).rows
        return [(row.document["namespace"], self._model.members(row.document["namespace"])) for row in rows]

    def namespaces_with_repositories(self) -> list[str]:
        """The namespaces that have repositories, by name; for who may see everything."""
        return self._store.snapshot().names("data")

    def _change_organization(
        self,
        caller: Caller,
        namespace: str,
        change: Callable[[Document], Document],
        known: KnownUsers,
        *,
        if_match: IfMatch | None = None,
    ) -> tuple[OrganizationFound, bool]:
        path = names.namespace_path(names.check_name(namespace, "namespace"))
        rights.require_scope(caller.account, rights.GOVERN)
        result = Result()

        def draft(reading: Reading) -> Draft | None:
            found = reading.read(path)
            if found is None:
                raise no_organization(namespace)
            self._require(caller, reading, rights.GOVERN, namespace)
            require_match(if_match, found[0], "organization")
            before = parse_organization(namespace, found[1])
            given = change(before)
            after = _filled(given)
            result.document, result.blob = before, found[0]
            if after == before:
                return None
            data = self._checked(reading, namespace, given, before, known)
            result.document, result.blob = after, blob_id(data)
            changed = ", ".join(name for name in EDITABLE if after[name] != before[name])
            return Draft(f"Update namespace {namespace}: {changed}", {path: data})

        outcome = self._submit(caller, draft, f"update namespace {namespace}")
        return _shown_to_member(caller, result.document, result.blob, outcome.commit), outcome.changed

    def _checked(self, reading: Reading, namespace: str, given: Document, before: Document, known: KnownUsers) -> bytes:
        """The bytes of an organization that has an owner, and no new members that are no users. Raises Invalid, whose
        faults say where in `given`.
        """
        data = self._validated_organization(reading, namespace, given)
        require_members(namespace, given, before, known)
        return data

    def _validated_organization(self, reading: Reading, namespace: str, document: Document) -> bytes:
        """The canonical bytes of a document that fits the schemas in force. Raises Invalid, BrokenSchema."""
        faults = self._schemas_in(reading).check(names.NAMESPACE_KIND, document, identity=(namespace,))
        if faults:
            raise Invalid(f"The document of the namespace {namespace} does not fit the schema.", faults)
        return canonical.dumps(complete(document))


def _seen(caller: Caller, visibility: rights.Visibility, row: OrganizationRow, commit: str) -> OrganizationFound:
    if visibility.covers(row.document["namespace"], False):
        return _shown_to_member(caller, row.document, row.blob, commit)
    public = {key: value for key, value in row.document.items() if key not in LISTS}
    # The id of the whole would change with the members, and whoever guesses them could tell by it.
    return OrganizationFound(public, None, blob_id(canonical.dumps(public)), commit)


def _shown_to_member(caller: Caller, document: Document, blob: str, commit: str) -> OrganizationFound:
    roles = [role for name, role in LISTS.items() if caller.account.name in document[name]]
    role = Role.OWNER if caller.account.is_admin else max(roles, default=Role.NONE)
    return OrganizationFound(document, role.name.lower() if role else None, blob, commit)


def require_empty(namespace: str, names_left: Collection[str]) -> None:
    """Before an organization goes. Raises Conflict where its namespace still has repositories."""
    if names_left:
        left = len(names_left)
        what = "1 repository" if left == 1 else f"{left} repositories"
        raise Conflict(f"The namespace {namespace} has {what}; delete what is there first.")


def require_members(namespace: str, given: Document, before: Document, known: KnownUsers) -> None:
    """An organization has an owner, and no members who are no users but those that it had before. Raises Invalid, whose
    faults say where in `given`.
    """
    if not given["owners"]:
        fault = Fault("/owners", "must name at least one user: the last owner cannot be removed")
        raise Invalid(f"The namespace {namespace} would have no owner.", [fault])
    were = {member for name in LISTS for member in before.get(name, ())}
    new = {member for name in LISTS for member in given[name]} - were
    unknown = new - known(new) if new else set()
    if unknown:
        faults = [
            Fault(f"/{name}/{index}", f"must be a user; there is none named {member}")
            for name in LISTS
            for index, member in enumerate(given[name])
            if member in unknown
        ][:_MOST_FAULTS]
        raise Invalid("Members must be users.", faults)


def no_organization(namespace: str) -> NotFound:
    return NotFound(f"There is no organization {namespace}.")


def _filled(document: Document) -> Document:
    """The document with its defaults, its members sorted; as it is where the schema will refuse its form."""
    is_sound = fault_in(document["namespace"], document) is None
    return complete(document) if is_sound else document


def parse_organization(namespace: str, data: bytes) -> Document:
    """The complete document in a stored file. Raises Conflict where a hand has broken it."""
    try:
        return parse(namespace, data)
    except Malformed as error:
        what = f"The stored document of the namespace {namespace} is broken"
        raise Conflict(f"{what} ({error.detail}); mend the file by hand.") from error


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
