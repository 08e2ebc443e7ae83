"""The calls on organizations."""

from __future__ import annotations

from catalogd import rights
from catalogd.web.bodies import JSON, MERGE_PATCH
from catalogd.web.operation import Body, Operation
from catalogd.web.parameters import PAGING
from catalogd.web.routes.shared import (
    BODILESS,
    CONDITIONAL,
    CREATE,
    GONE,
    NAMESPACES,
    NOT_MODIFIED,
    PAGED,
    READ,
    VERSIONED,
    json_reply,
)

_ALL = "/v1/namespaces"
_ONE = f"{_ALL}/{{namespace}}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        _ALL,
        "listNamespaces",
        rights.LIST,
        "namespaces.list",
        NAMESPACES,
        "List the organizations",
        "By name. Their members are shown to members only; `role` is what the caller is there.",
        (json_reply(200, "One page.", "NamespacePage", PAGED),),
        READ,
        parameters=PAGING,
    ),
    Operation(
        "POST",
        _ALL,
        "createNamespace",
        rights.ADMINISTER,
        "namespaces.create",
        NAMESPACES,
        "Make an organization",
        "Without `owners` the caller is its owner. Members must be users. A name that a user or another organization "
        "has is a 409.",
        (json_reply(201, "Made.", "Namespace", (*VERSIONED, "Location")),),
        CREATE,
        body=Body(
            "NewNamespace",
            {"team": {"namespace": "acme", "description": "The makers of everything", "owners": ["alice"]}},
        ),
        writes=True,
    ),
    Operation(
        "GET",
        _ONE,
        "getNamespace",
        rights.LIST,
        "namespaces.detail",
        NAMESPACES,
        "Read an organization",
        "Its members are shown to members only; `role` is what the caller is there.",
        (json_reply(200, "The organization.", "Namespace", VERSIONED), NOT_MODIFIED),
        READ,
        headers=("If-None-Match",),
    ),
    Operation(
        "PUT",
        _ONE,
        "updateNamespace",
        rights.GOVERN,
        "namespaces.update",
        NAMESPACES,
        "Update an organization",
        "Fields that are left out keep their value; a list of members takes the place of the old one. The last owner "
        "cannot be removed.",
        (json_reply(200, "Updated, or so already.", "Namespace", VERSIONED),),
        CONDITIONAL,
        headers=("If-Match",),
        body=Body("NamespaceUpdate", {"members": {"writers": ["bob", "carol"]}}),
        writes=True,
    ),
    Operation(
        "PATCH",
        _ONE,
        "patchNamespace",
        rights.GOVERN,
        "namespaces.patch",
        NAMESPACES,
        "Update an organization by merge patch",
        "RFC 7396: null brings back the default of a field. A list is replaced as a whole.",
        (json_reply(200, "Updated, or so already.", "Namespace", VERSIONED),),
        CONDITIONAL,
        headers=("If-Match",),
        body=Body("NamespacePatch", {"description": {"description": None}}, (MERGE_PATCH, JSON)),
        writes=True,
    ),
    Operation(
        "DELETE",
        _ONE,
        "deleteNamespace",
        rights.GOVERN,
        "namespaces.delete",
        NAMESPACES,
        "Delete an organization",
        "Only when the namespace has no repositories. Its history stays.",
        (GONE,),
        (*BODILESS, 412),
        headers=("If-Match",),
        writes=True,
    ),
    Operation(
        "GET",
        f"{_ONE}/history",
        "getNamespaceHistory",
        rights.BELONG,
        "namespaces.history",
        NAMESPACES,
        "List the commits that changed an organization",
        "Newest first, for its members; for others there is none.",
        (json_reply(200, "One page.", "HistoryPage", PAGED),),
        READ,
        parameters=PAGING,
    ),
)
