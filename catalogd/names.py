"""The grammar of names, and where each document lives. Untrusted names are checked here and nowhere else.

data/<namespace>/<repo_name>.json   the document of an image repository
namespaces/<namespace>.json         an organization
schemas/<kind>.schema.json          the JSON Schemas of this catalog
policy.json                         what it asks of edits, if anything
"""

from __future__ import annotations

import re

from catalogd.errors import Fault, Invalid, Malformed

MAX_NAME = 128

# path-component of the OCI distribution specification, "Pulling manifests":
#   [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_COMPONENT = re.compile(COMPONENT)

# The tag grammar of the same section: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
_TAG = re.compile(TAG)

# Names Windows keeps for devices, with or without an extension: a clone there could not check them out.
_DEVICES = frozenset({"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in "0123456789"})

# Endings that git or this layout gives a meaning of their own.
_RESERVED_ENDINGS = (".json", ".lock", ".git")

REPOSITORY_KIND = "repository"
NAMESPACE_KIND = "namespace"
KINDS = (REPOSITORY_KIND, NAMESPACE_KIND)

# No kind of document, but with a schema of the project all the same, which no catalog tightens.
POLICY_KIND = "policy"
POLICY_PATH = "policy.json"


def fault_in_name(name: object) -> str | None:
    """What is wrong with `name` as a namespace or a repository's name, in words; None if nothing is."""
    if not isinstance(name, str) or not name:
        return "must be a string of at least one character"
    if len(name) > MAX_NAME:
        return f"must have at most {MAX_NAME} characters"
    if not _COMPONENT.fullmatch(name):
        return "must be lower-case letters and digits, parted by single '.', '_', '__' or any number of '-'"
    if name.partition(".")[0] in _DEVICES:
        return f"must not be a device name of Windows ({name.partition('.')[0]})"
    if name.endswith(_RESERVED_ENDINGS):
        return "must not end in .json, .lock or .git"
    return None


def check_name(name: object, what: str) -> str:
    """`name` if it is a valid component. Raises Malformed; `what` names the parameter, e.g. "namespace"."""
    fault = fault_in_name(name)
    if fault is not None:
        raise Malformed(f"The {what} is not a valid name: it {fault}.", [Fault(what, fault)])
    assert isinstance(name, str)
    return name


def check_new_name(name: object, pointer: str) -> str:
    """`name` if it is a valid component, for one that stands in a document. Raises Invalid."""
    fault = fault_in_name(name)
    if fault is not None:
        raise Invalid(f"{pointer} is not a valid name: it {fault}.", [Fault(pointer, fault)])
    assert isinstance(name, str)
    return name


def check_tag(tag: object) -> str:
    """`tag` if it is a valid image tag. Raises Malformed."""
    if not isinstance(tag, str) or not _TAG.fullmatch(tag):
        fault = "must be 1 to 128 letters, digits, '_', '.' or '-', and not begin with '.' or '-'"
        raise Malformed(f"The tag is not valid: it {fault}.", [Fault("tag", fault)])
    return tag


def document_path(namespace: str, repo_name: str) -> str:
    """The path of a repository's document in the catalog."""
    return f"data/{namespace}/{repo_name}.json"


def namespace_path(namespace: str) -> str:
    """The path of an organization's document in the catalog."""
    return f"namespaces/{namespace}.json"


def schema_path(kind: str) -> str:
    """The path of a schema, in the catalog and in the project."""
    return f"schemas/{kind}.schema.json"


def parse_document_path(path: str) -> tuple[str, str] | None:
    """(namespace, repo_name) if `path` is one of a repository's document with valid names, else None."""
    parts = path.split("/")
    if len(parts) != 3 or parts[0] != "data" or not parts[2].endswith(".json"):
        return None
    namespace, repo_name = parts[1], parts[2][: -len(".json")]
    if fault_in_name(namespace) or fault_in_name(repo_name):
        return None
    return namespace, repo_name


def parse_namespace_path(path: str) -> str | None:
    """The namespace if `path` is one of an organization's document with a valid name, else None."""
    parts = path.split("/")
    if len(parts) != 2 or parts[0] != "namespaces" or not parts[1].endswith(".json"):
        return None
    name = parts[1][: -len(".json")]
    return None if fault_in_name(name) else name


def namespace_of(path: str) -> str | None:
    """The namespace whose organization or repository stands at `path`; None for what is the whole catalog's."""
    repository = parse_document_path(path)
    return repository[0] if repository else parse_namespace_path(path)
