"""Names of repositories in a registry, and what they are called in the catalog.

A registry's name has any number of components, parted by "/"; the catalog's has two. One component alone belongs to the
namespace `library`, as on Docker Hub; deeper names have no place in the catalog.
"""

from __future__ import annotations

from catalogd.names import fault_in_name

LIBRARY = "library"


def catalog_name(name: str) -> tuple[str, str] | None:
    """(namespace, repo_name) of a registry's repository; None where the catalog has no place for it."""
    components = name.split("/")
    if len(components) == 1:
        components = [LIBRARY, *components]
    if len(components) != 2 or any(fault_in_name(component) for component in components):
        return None
    return components[0], components[1]


def registry_names(namespace: str, repo_name: str) -> tuple[str, ...]:
    """All names that a repository of the catalog may have in a registry, the one to look at first in front."""
    name = f"{namespace}/{repo_name}"
    return (repo_name, name) if namespace == LIBRARY else (name,)
