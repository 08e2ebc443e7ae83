"""Checks a catalog, or the part of it that changed: for `catalogd check` and the CI of a pull request.

It works on paths and bytes, wherever they come from: a working tree, a commit, the objects of a push.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from catalogd.documents import Schemas, describe, dumps, line_of, lines, loads
from catalogd.documents.policy import dumps_policy, faults_in_policy
from catalogd.errors import BrokenSchema, Fault, Malformed, NotJson
from catalogd.names import (
    NAMESPACE_KIND,
    POLICY_KIND,
    POLICY_PATH,
    REPOSITORY_KIND,
    parse_document_path,
    parse_namespace_path,
    schema_path,
)

ERROR = "error"
WARNING = "warning"

# A document that the interface would take has less: the largest body of a request.
MOST_BYTES = 8 << 20

_PLAIN_FILE = "100644"
_CANONICAL = "is not in canonical form, though it says the right things"
_LAYOUT = {
    "data": "Move it to data/<namespace>/<repo_name>.json, with lower-case names, or remove it.",
    "namespaces": "Move it to namespaces/<namespace>.json, with a lower-case name, or remove it.",
}


_KINDS_OF_ENTRY = {
    "040000": "a directory", "100755": "executable", "120000": "a symbolic link", "160000": "a submodule",
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing to mend. `severity` is ERROR or WARNING, `line` counts from 1, `pointer` is a JSON pointer.

    All texts may hold what stood in the file; only the formats of check_formats.py make them safe for a
    terminal.
    """

    severity: str
    path: str
    line: int
    pointer: str
    detail: str
    mend: str


def check(
    files: Iterable[tuple[str, bytes]],
    site: Mapping[str, bytes] | None = None,
    *,
    others: Iterable[str] = (),
) -> Iterator[Finding]:
    """The findings in `files`, pairs of a path in the catalog and its content; none if all is well.

    `site` maps a kind to the catalog's own schema, as for Schemas; one that is broken is a finding, and the
    rest is checked without it. Paths outside of data/ and namespaces/ are passed over, but for policy.json. `others`
    are the paths that are in the catalog too but need not be checked; they matter only for names that differ in
    nothing but case.
    """
    usable: dict[str, bytes] = {}
    for kind, data in (site or {}).items():
        try:
            Schemas({kind: data})
        except BrokenSchema as error:
            yield Finding(ERROR, schema_path(kind), 1, "", error.detail, "Mend the schema, or remove the file.")
        else:
            usable[kind] = data
    schemas = Schemas(usable)
    spellings = _Spellings()
    for path in others:
        spellings.clash(path)
    for path, data in files:
        if path == POLICY_PATH:
            yield from check_policy(data)
        elif path.split("/", 1)[0] in _LAYOUT:
            yield from spellings.findings(path)
            yield from check_file(path, data, schemas)


def entry_finding(path: str, mode: str, size: int = 0) -> Finding | None:
    """What is wrong with an entry of a tree before its content is looked at; None if nothing is.

    `mode` is git's, in octal, `size` is in bytes. What is not in the directories of a catalog nor its policy is passed
    over, but for what would be in their place on a file system that knows no case.
    """
    first = path.split("/", 1)[0]
    directory = first.casefold()
    if directory not in (*_LAYOUT, "schemas", POLICY_PATH):
        return None
    if first != directory:
        where = POLICY_PATH if directory == POLICY_PATH else f"in {directory}/"
        return Finding(ERROR, path, 1, "", f"is {where} on a file system that knows no case", "Rename it.")
    if first == POLICY_PATH and path != first:
        return Finding(ERROR, path, 1, "", f"is below {POLICY_PATH}, which must be a file", "Move it.")
    if path == first and path != POLICY_PATH:
        return Finding(ERROR, path, 1, "", "must be a directory", "Remove it.")
    if mode != _PLAIN_FILE:
        return _odd(path, mode)
    if size > MOST_BYTES:
        return Finding(ERROR, path, 1, "", *too_large(size))
    return None


def plain_finding(path: str, mode: str, size: int = 0) -> Finding | None:
    """As entry_finding(), and what is wrong with an entry anywhere else: that it is no plain file."""
    return entry_finding(path, mode, size) or (None if mode == _PLAIN_FILE else _odd(path, mode))


def _odd(path: str, mode: str) -> Finding:
    return Finding(ERROR, path, 1, "", *not_plain(mode))


def not_plain(mode: str) -> tuple[str, str]:
    """What is wrong with an entry that is no plain file, and what would be right."""
    what = _KINDS_OF_ENTRY.get(mode, f"of the mode {mode}")
    return f"is {what}", "Make it a plain file that is not executable (100644)."


def too_large(size: int) -> tuple[str, str]:
    """What is wrong with a file of so many bytes, and what would be right."""
    return f"has {size:,} bytes; {MOST_BYTES:,} are the most", "Make it smaller."


def findings_at(path: str, data: bytes, faults: Iterable[Fault], mend: Callable[[Fault], str]) -> Iterator[Finding]:
    """The faults of a document as findings in its file."""
    places = lines(data)
    for fault in faults:
        yield Finding(ERROR, path, line_of(places, fault.pointer), fault.pointer, fault.detail, mend(fault))


def check_file(path: str, data: bytes, schemas: Schemas) -> Iterator[Finding]:
    """The findings in one file of data/ or namespaces/."""
    identity: tuple[str, ...] | None = parse_document_path(path)
    kind = REPOSITORY_KIND
    if identity is None:
        namespace = parse_namespace_path(path)
        if namespace is None:
            yield Finding(ERROR, path, 1, "", "is no place for a document", _LAYOUT[path.split("/", 1)[0]])
            return
        identity, kind = (namespace,), NAMESPACE_KIND
    try:
        document = loads(data, what="the file")
    except NotJson as error:
        yield Finding(ERROR, path, error.line, "", error.detail, "Write the file as strict JSON in UTF-8.")
        return
    try:
        faults = schemas.check(kind, document, identity=identity)
    except BrokenSchema as error:
        yield Finding(ERROR, schema_path(kind), 1, "", error.detail, "Mend the schema, or remove the file.")
        return
    if faults:
        yield from findings_at(path, data, faults, lambda fault: _mend(kind, fault))
    elif isinstance(document, dict) and (canonical := dumps(document)) != data:
        line = _first_difference(data, canonical)
        yield Finding(WARNING, path, line, "", _CANONICAL, "Run catalogd check --fix, or change this line.")


def check_policy(data: bytes) -> Iterator[Finding]:
    """The findings in policy.json."""
    try:
        policy = loads(data, what="the file")
    except NotJson as error:
        yield Finding(ERROR, POLICY_PATH, error.line, "", error.detail, "Write the file as strict JSON in UTF-8.")
        return
    faults = faults_in_policy(policy)
    yield from findings_at(POLICY_PATH, data, faults, lambda fault: _mend(POLICY_KIND, fault))
    if not faults and isinstance(policy, dict) and (canonical := dumps_policy(policy)) != data:
        line = _first_difference(data, canonical)
        yield Finding(WARNING, POLICY_PATH, line, "", _CANONICAL, "Run catalogd check --fix, or change this line.")


def fixed(path: str, data: bytes) -> bytes | None:
    """The canonical form of the file of a document or the policy; None if it has it already, or is no JSON object."""
    try:
        document = loads(data)
    except Malformed:
        return None
    if not isinstance(document, dict):
        return None
    canonical = canonical_bytes(path, document)
    return canonical if canonical != data else None


def canonical_bytes(path: str, document: dict[str, Any]) -> bytes:
    """The canonical form of what stands at `path`: the policy, or a document."""
    return dumps_policy(document) if path == POLICY_PATH else dumps(document)


class _Spellings:
    """The paths seen so far, as a file system that knows no case and one form of Unicode would see them."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def clash(self, path: str) -> tuple[str, str] | None:
        """(what of `path` clashes, with what) if part or all of it is another spelling of what was seen."""
        found = None
        parts = path.split("/")
        for count in range(2, len(parts) + 1):
            part = "/".join(parts[:count])
            seen = self._seen.setdefault(unicodedata.normalize("NFC", part).casefold(), part)
            if seen != part and found is None:
                found = part, seen
        return found

    def findings(self, path: str) -> Iterator[Finding]:
        clash = self.clash(path)
        if clash:
            detail = f"{clash[0]} is {clash[1]} on a file system that knows no case; only one of them can be there"
            yield Finding(ERROR, path, 1, "", detail, "Rename or remove one of the two.")


def _mend(kind: str, fault: Fault) -> str:
    description = describe(kind, fault.pointer)
    if description is None:
        return "Remove it, or give it the name of a known field."
    return description if description not in fault.detail else "Correct the value."


def _first_difference(data: bytes, canonical: bytes) -> int:
    """The first line that is not as in the canonical form."""
    is_lines, should_be = data.split(b"\n"), canonical.split(b"\n")
    for number, (one, other) in enumerate(zip(is_lines, should_be, strict=False), 1):
        if one != other:
            return number
    return min(len(is_lines), len(should_be))
