"""The component schemas of what clients of a registry find."""

from __future__ import annotations

from catalogd.web.schemas.shared import BOOLEAN, COUNT, Schema, object_of, ref

_NAME: Schema = {"type": "string", "description": "Namespace and name.", "examples": ["acme/web"]}


def components() -> dict[str, Schema]:
    """The replies to searches, and to the listings that clients ask for instead of one."""
    return {
        "SearchResult": object_of(
            {
                "name": _NAME,
                "description": {"type": "string"},
                "star_count": COUNT,
                "is_official": {**BOOLEAN, "description": "Whether it is in the namespace `library`."},
                "is_automated": BOOLEAN,
            }
        ),
        "SearchResults": object_of(
            {
                "num_results": {**COUNT, "description": "Of all pages."},
                "query": {"type": "string"},
                "page": COUNT,
                "page_size": COUNT,
                "num_pages": COUNT,
                "results": {"type": "array", "items": ref("SearchResult")},
            }
        ),
        "RegistryVersion": object_of({}),
        "RegistryPing": object_of({"standalone": BOOLEAN}),
        "RegistryNames": object_of({"repositories": {"type": "array", "items": _NAME}}),
        "RegistryTags": object_of({"name": _NAME, "tags": {"type": "array", "items": {"type": "string"}}}),
    }
