"""What all use cases share: how a repository is looked up, how a document is changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from catalogd import names, rights
from catalogd.catalog import bodies
from catalogd.catalog.mirror import Mirror
from catalogd.catalog.protection import require_direct
from catalogd.catalog.shapes import Caller, IfMatch, Written
from catalogd.documents import Role, Schemas, canonical, organizations, strict
from catalogd.errors import (
    AlreadyExists,
    CatalogdError,
    Conflict,
    Invalid,
    Malformed,
    NotFound,
    PreconditionFailed,
)  # fmt: skip
from catalogd.readmodel import HistoryEntry, Row, fault_in
from catalogd.store import Draft, Edit, Outcome, Reading, Snapshot, blob_id, rfc3339

Document = bodies.Document
Change = Callable[[Document, str], Document]


@dataclass
class Result:
    """What the last run of a draft has made: the document as it will be, and its blob."""

    document: Document = field(default_factory=dict)
    blob: str = ""
    created: bool = False

    def written(self, outcome: Outcome) -> Written:
        document = canonical.complete(self.document)
        return Written(document, self.blob, outcome.commit, self.created, outcome.changed)


class UseCases:
    """The parts that the use cases stand on."""

    def __init__(self, mirror: Mirror, clock: Callable[[], float] = time.time):
        self._mirror = mirror
        self._store = mirror.store
        self._model = mirror.model
        self._clock = clock
        self._schemas: dict[tuple[str | None, ...], Schemas] = {}

    # Reading

    def _row(self, caller: Caller, namespace: str, repo_name: str) -> Row:
        """The newest document, if the caller may read it. Raises NotFound, Malformed."""
        self._mirror.check()
        names.check_name(namespace, "namespace")
        names.check_name(repo_name, "repo_name")
        row = self._model.get(namespace, repo_name, private=False)
        if row is not None:
            return row
        # Asked for what is not there, too: nobody is to learn from the time that it takes whether it is.
        if self._may_read(caller, namespace, False):
            row = self._model.get(namespace, repo_name)
        if row is None:
            raise no_repository(namespace, repo_name)
        return row

    def _may_read(self, caller: Caller, namespace: str, is_public: bool) -> bool:
        """By the organization of the newest commit."""
        if is_public:
            return True
        account = caller.account
        roles = None if account.is_admin or account.is_anonymous else self._model.roles_in(namespace, account.name)
        return rights.may_read(account, namespace, False, roles)

    def _require_visible(self, caller: Caller, namespace: str, repo_name: str) -> None:
        """Before a document is read to change it: what is hidden is refused in no more time than what is not there.

        Raises NotFound, Malformed.
        """
        names.check_name(namespace, "namespace")
        names.check_name(repo_name, "repo_name")
        self._mirror.check()
        if not self._may_read(caller, namespace, False) and not self._model.is_public(namespace, repo_name):
            raise no_repository(namespace, repo_name)

    def _visibility(self, caller: Caller) -> rights.Visibility:
        """What the caller sees, by the organizations of the newest commit."""
        return rights.visibility(caller.account, self._model.roles)

    def _readable_history(self, caller: Caller, namespace: str, repo_name: str) -> tuple[str, int]:
        """(path, the first commit of its history that the caller may see). Raises NotFound."""
        self._mirror.check()
        path = names.document_path(names.check_name(namespace, "namespace"), names.check_name(repo_name, "repo_name"))
        if self._may_read(caller, namespace, False):
            return path, 0
        floor = self._model.visible_from(path)
        if floor is None:
            raise no_repository(namespace, repo_name)
        return path, floor

    def _commit_read(self) -> str:
        return self._model.mirrored() or ""

    # Writing

    def _require(self, caller: Caller, reading: Reading, right: rights.Right, namespace: str) -> None:
        """Raises Unauthenticated, Forbidden; decided on the very tree that the commit is made on."""
        rights.require(caller.account, right, namespace, roles_in(reading, namespace))

    def _change(
        self,
        caller: Caller,
        namespace: str,
        repo_name: str,
        change: Change,
        *,
        action: str,
        message: Callable[[Document, Document], str],
        if_match: IfMatch | None = None,
    ) -> Written:
        """Change a document that is there; no difference makes no commit.

        Raises NotFound, Unauthenticated, Forbidden, PreconditionFailed, Invalid, and what the store raises.
        """
        self._require_visible(caller, namespace, repo_name)
        path = names.document_path(namespace, repo_name)
        result = Result()

        def draft(reading: Reading) -> Draft | None:
            blob, before = self._read_for_write(caller, reading, rights.WRITE, namespace, repo_name)
            require_match(if_match, blob)
            now = rfc3339(self._clock())
            after = change(before, now)
            if bodies.same_but_for_time(before, after):
                result.document, result.blob = before, blob
                return None
            after = after | {"updated_at": now}
            data = self._validated(reading, namespace, repo_name, after)
            result.document, result.blob = after, blob_id(data)
            return Draft(message(before, after), {path: data})

        outcome = self._submit(caller, draft, f"{action} {namespace}/{repo_name}")
        return result.written(outcome)

    def _read_for_write(
        self, caller: Caller, reading: Reading, right: rights.Right, namespace: str, repo_name: str
    ) -> tuple[str, Document]:
        """(blob id, complete document) of one that the caller may change.

        Raises NotFound, Unauthenticated, Forbidden.
        """
        roles = roles_in(reading, namespace)
        found = reading.read(names.document_path(namespace, repo_name))
        if found is None:
            raise no_repository(namespace, repo_name)
        try:
            document = parse_stored(found[1], namespace, repo_name)
            is_public = document["is_public"]
        except Conflict:
            # Whether a broken document is public nobody can tell, so it is there only for who sees all of them.
            if rights.may_read(caller.account, namespace, False, roles):
                rights.require(caller.account, right, namespace, roles)
                raise
            is_public = False
        if not rights.may_read(caller.account, namespace, is_public, roles):
            raise no_repository(namespace, repo_name)
        rights.require(caller.account, right, namespace, roles)
        return found[0], document

    def _validated(
        self, reading: Reading, namespace: str, repo_name: str, document: Document, *, complete: bool = False
    ) -> bytes:
        """The canonical bytes of a document that fits the schemas in force, if `complete` with all defaults.

        Raises Invalid, BrokenSchema.
        """
        stored = {key: value for key, value in document.items() if value is not None or key in bodies.WRITABLE}
        faults = self._schemas_in(reading).check(names.REPOSITORY_KIND, stored, identity=(namespace, repo_name))
        if faults:
            raise Invalid(f"The document of {namespace}/{repo_name} does not fit the schema.", faults)
        return canonical.dumps(canonical.complete(stored) if complete else stored)

    def _schemas_in(self, reading: Reading | Snapshot) -> Schemas:
        """The schemas in force. Raises BrokenSchema."""
        key = tuple(reading.id_of(names.schema_path(kind)) for kind in names.KINDS)
        schemas = self._schemas.get(key)
        if schemas is None:
            found = {kind: reading.read(names.schema_path(kind)) for kind in names.KINDS}
            schemas = Schemas({kind: there[1] for kind, there in found.items() if there})
            self._schemas = {key: schemas}  # only the newest: a catalog's schemas change seldom
        return schemas

    def _submit(
        self,
        caller: Caller,
        draft: Callable[[Reading], Draft | None],
        action: str,
        *,
        is_direct: bool = True,
        **more: str,
    ) -> Outcome:
        """Commit what the draft says. An edit that is direct, of a caller's own choice, is held to the policy.

        Raises Protected, and what the draft and the store raise.
        """

        def allowed(reading: Reading) -> Draft | None:
            drafted = draft(reading)
            if drafted is not None:
                require_direct(reading, drafted.files)
            return drafted

        account = caller.account
        trailers = {"Catalog-Action": action, "Request-Id": caller.request_id, **more}
        function = allowed if is_direct else draft
        return self._store.submit(Edit(account.name or "anonymous", account.email or "", function, trailers))


def roles_in(reading: Reading | Snapshot, namespace: str) -> Mapping[str, Role] | None:
    """User -> role in the organization of that name in what is read; None if there is none."""
    found = reading.read(names.namespace_path(namespace))
    return None if found is None else organizations.stored_roles(namespace, found[1])


def no_repository(namespace: str, repo_name: str) -> NotFound:
    """The same error for what is not there and for what the caller may not see."""
    return NotFound(f"There is no repository {namespace}/{repo_name}.")


def already_exists(namespace: str, repo_name: str) -> AlreadyExists:
    return AlreadyExists(f"The repository {namespace}/{repo_name} exists already; PUT or PATCH changes it.")


def history_row(entry: HistoryEntry) -> dict[str, Any]:
    """An entry of a history as it is shown. The message of a commit that also touched what is private may name that."""
    return {
        "commit": entry.commit,
        "author": entry.author,
        "committed_at": entry.committed_at,
        "message": entry.message if entry.complete else "",
        "proposal": entry.proposal if entry.complete else None,
        "reviewed_by": entry.reviewed_by if entry.complete else [],
        "action": entry.action,
        "fields": entry.fields,
    }


def require_match(if_match: IfMatch | None, blob: str | None, what: str = "repository") -> None:
    """Raises PreconditionFailed unless If-Match allows to replace `blob`."""
    if if_match is None or (if_match == "*" and blob) or (if_match != "*" and blob in if_match):
        return
    now = f"it is at {blob} now" if blob else "there is none"
    raise PreconditionFailed(f"If-Match names another version of the {what}: {now}; read it again.")


def parse_stored(data: bytes, namespace: str, repo_name: str) -> Document:
    """The complete document in a stored file. Raises Conflict where a hand has broken it."""
    try:
        document = strict.loads(data, what="the file")
        if not isinstance(document, dict):
            raise Malformed("It is no JSON object.")
        fault = fault_in(namespace, repo_name, document)
        if fault is not None:
            raise Malformed(fault)
        return canonical.complete(document)
    except CatalogdError as error:
        raise Conflict(
            f"The stored document of {namespace}/{repo_name} is broken ({error.detail}); "
            "mend the file by hand, or roll it back."
        ) from error
