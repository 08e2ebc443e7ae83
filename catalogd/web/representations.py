"""From documents to the JSON of the interface. Names and order of the members are those of the original
service, also where they differ from call to call: clients of it exist.

Every function takes a complete document, of which it leaves nothing out that it says it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from catalogd.accounts import SCOPES, Account, TokenInfo, UserInfo
from catalogd.catalog import OrganizationFound
from catalogd.documents import Role
from catalogd.documents.fields import ABSENT, FieldChange

DEFAULT_LOGO = "/static/images/user/default-logo.png"

Document = Mapping[str, Any]
JSON = dict[str, Any]


def repo_path(document: Document) -> str:
    return f"{document['namespace']}/{document['repo_name']}"


def is_automated(document: Document) -> bool:
    """Whether the repository is built from a source that its build_config names."""
    config = document.get("build_config") or {}
    return bool(
        config.get("code_repo_clone_url") or (config.get("code_repo_namespace") and config.get("code_repo_name"))
    )


def created(document: Document) -> JSON:
    """The reply to a create."""
    return {
        "repo_name": document["repo_name"],
        "namespace": document["namespace"],
        "repo_path": repo_path(document),
        "is_automated": is_automated(document),
        "description": document["description"],
        "creation_time": document.get("created_at"),
        "updated_time": document.get("updated_at"),
        "is_public": document["is_public"],
        "logo": document["logo"],
    }


def row(document: Document) -> JSON:
    """One row of a list. `creation_at` is what the original wrote, `created_at` what some of its clients
    read.
    """
    created_at = document.get("created_at")
    return {
        "repo_name": document["repo_name"],
        "namespace": document["namespace"],
        "repo_path": repo_path(document),
        "is_automated": is_automated(document),
        "description": document["description"],
        "creation_at": created_at,
        "updated_at": document.get("updated_at"),
        "is_public": document["is_public"],
        "logo": document["logo"],
        "repo_starred_count": document["repo_starred_count"],
        "full_description": document["full_description"],
        "download": document["download"],
        "upload": document["upload"],
        "pulled_at": document.get("pulled_at"),
        "pushed_at": document.get("pushed_at"),
        "created_at": created_at,
        "labels": document["labels"],
    }


def updated(document: Document) -> JSON:
    """The reply to an update."""
    return {
        "repo_name": document["repo_name"],
        "namespace": document["namespace"],
        "repo_path": repo_path(document),
        "description": document["description"],
        "is_public": document["is_public"],
        "logo": document["logo"],
    }


def detail(document: Document, is_starred: bool) -> JSON:
    """All of a repository but its tags."""
    return {
        "namespace": document["namespace"],
        "repo_name": document["repo_name"],
        "repo_path": repo_path(document),
        "logo_file": DEFAULT_LOGO,
        "description": document["description"],
        "full_description": document["full_description"],
        "repo_starred_count": document["repo_starred_count"],
        "created_at": document.get("created_at"),
        "updated_at": document.get("updated_at"),
        "is_public": document["is_public"],
        "logo": document["logo"],
        "is_automated": is_automated(document),
        "download": document["download"],
        "upload": document["upload"],
        "pulled_at": document.get("pulled_at"),
        "pushed_at": document.get("pushed_at"),
        "is_repo_starred": is_starred,
        "labels": document["labels"],
        "build_config": build_config(document),
    }


def build_config(document: Document) -> JSON:
    """The stored members and the four strings that clients read from every repository, automated or not."""
    stored = document.get("build_config") or {}
    namespace, name = stored.get("code_repo_namespace"), stored.get("code_repo_name")
    shown = {
        "code_repo_client": stored.get("code_repo_client", "Simple"),
        "created_by": document["namespace"],
        "docker_repo_path": repo_path(document),
        "code_repo_path": f"{namespace}/{name}" if namespace and name else "",
    }
    for key, value in stored.items():
        shown.setdefault(key, value)
    return shown


_TAG_MEMBERS = ("image_id", "tag", "digest", "pushed_at", "architectures", "size")


def tag(stored: Document) -> JSON:
    """One tag: the two members of the original first, then what else is known."""
    return {name: stored[name] for name in _TAG_MEMBERS if name in stored}


def tags(stored: Iterable[Document]) -> list[JSON]:
    return [tag(one) for one in stored]


def changed_repository(change: Document) -> JSON:
    """A row of the changes feed: the document as stored, tags and all; null for one that is gone."""
    return {
        "namespace": change["namespace"],
        "repo_name": change["repo_name"],
        "action": change["action"],
        "last": change["last"],
        "document": change.get("document"),
    }


def field_changes(changes: Iterable[FieldChange]) -> list[JSON]:
    """`{pointer, before, after}` for each change; a side on which the field is absent is left out.

    Null is a value of its own, so absence cannot be written as null.
    """
    return [present({"pointer": change.pointer, "before": change.before, "after": change.after}) for change in changes]


def present(members: Mapping[str, Any]) -> JSON:
    """The members that are not absent."""
    return {name: value for name, value in members.items() if value is not ABSENT}


def commit(found: Document) -> JSON:
    """One commit with what it changed, field by field."""
    changes = [{**change, "fields": [present(field) for field in change["fields"]]} for change in found["changes"]]
    return {**found, "changes": changes}


def organization(found: OrganizationFound) -> JSON:
    """An organization; the lists of members are there for those who may see them."""
    return {**found.document, "role": found.role}


def user(info: UserInfo) -> JSON:
    """A user, for an admin."""
    return {
        "name": info.name,
        "email": info.email,
        "is_admin": info.is_admin,
        "is_active": info.is_active,
        "has_password": info.has_password,
        "created_at": info.created_at,
    }


def me(info: UserInfo, roles: Mapping[str, Role], account: Account) -> JSON:
    """The caller, and what the credentials are good for."""
    return {
        **user(info),
        "scopes": [scope for scope in SCOPES if scope in account.scopes],
        "namespace": account.namespace,
        "expires_at": account.expires_at,
        "roles": {namespace: role.name.lower() for namespace, role in sorted(roles.items())},
    }


def token(info: TokenInfo) -> JSON:
    """A token without the token."""
    return {
        "id": info.id,
        "name": info.name,
        "scopes": list(info.scopes),
        "namespace": info.namespace,
        "created_at": info.created_at,
        "expires_at": info.expires_at,
        "last_used_at": info.last_used_at,
    }
