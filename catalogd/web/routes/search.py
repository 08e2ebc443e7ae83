"""The calls of clients of registries that search."""

from __future__ import annotations

from catalogd import rights
from catalogd.web.operation import Operation
from catalogd.web.parameters import HOW_MANY, HOW_MANY_NAMES, LAST, PAGE, TERM
from catalogd.web.routes.shared import COMMITTED, READ, REGISTRY, json_reply

_VERSION = "Docker-Distribution-Api-Version"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/v2",
        "getRegistryVersion",
        rights.IDENTIFY,
        "search.version",
        REGISTRY,
        "Log in with a client of registries",
        "What `podman login` and `docker login` ask first. The challenge of the 401 is for Basic. What is below `/v2/` "
        "is for searching only: no image can be pulled from here.",
        (json_reply(200, "The credentials are good.", "RegistryVersion", (_VERSION,)),),
        (400, 401),
        is_foreign=True,
    ),
    Operation(
        "GET",
        "/v2/_catalog",
        "listRegistryNames",
        rights.LIST,
        "search.names",
        REGISTRY,
        "List names as a registry does",
        "What `podman search` asks for without a term: all repositories that the caller may read, by name.",
        (json_reply(200, "One page.", "RegistryNames", (*COMMITTED, _VERSION, "Link")),),
        READ,
        parameters=(HOW_MANY_NAMES, PAGE, LAST),
        is_foreign=True,
    ),
    Operation(
        "GET",
        "/v2/{namespace}/{repo_name}/tags/list",
        "listRegistryTags",
        rights.READ,
        "search.tags",
        REGISTRY,
        "List tags as a registry does",
        "What `podman search --list-tags` asks for: the tags that the catalog knows, in one page.",
        (json_reply(200, "The tags.", "RegistryTags", (*COMMITTED, _VERSION)),),
        READ,
        is_foreign=True,
    ),
    Operation(
        "GET",
        "/v1/_ping",
        "pingRegistry",
        rights.OPEN,
        "search.ping",
        REGISTRY,
        "Say that there is a registry",
        "What `docker search` asks first.",
        (json_reply(200, "There is.", "RegistryPing", ("X-Docker-Registry-Standalone",)),),
        (400,),
        is_foreign=True,
    ),
    Operation(
        "GET",
        "/v1/search",
        "searchRegistry",
        rights.LIST,
        "search.find",
        REGISTRY,
        "Search with a client of registries",
        "What `docker search` and `podman search` ask. It finds what `search` finds in the list of all repositories, "
        "in the same order: first what has the words in its name.",
        (json_reply(200, "One page.", "SearchResults"),),
        READ,
        parameters=(TERM, HOW_MANY, PAGE),
        is_foreign=True,
    ),
)
