"""What catalogs of the benchmarks of reads hold: invented repositories, or the real official images where they are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from tests.benchmarks.catalogs import catalogd, make, name_of

# Where the tests look for them, too.
OFFICIAL_IMAGES = Path(__file__).parents[2].parent / "shared" / "data" / "official-images.jsonl.gz"

Names = list[tuple[str, str]]


def invented(directory: Path, size: int) -> tuple[Path, Names]:
    """(a catalog, the names of its repositories, in an order that goes to and fro in it)"""
    return make(directory, size), [name_of(number * 7919 % size) for number in range(size)]


def official(directory: Path) -> tuple[Path, Names] | None:
    """The same of the official images; None where they are not beside the project."""
    if not OFFICIAL_IMAGES.is_file():
        return None
    root = directory / "catalog-official"
    catalogd("init", str(root))
    catalogd("import", str(OFFICIAL_IMAGES), "--catalog", str(root))
    with gzip.open(OFFICIAL_IMAGES, "rt") as lines:
        return root, [(row["namespace"], row["repo_name"]) for row in map(json.loads, lines)]


def path_of(name: tuple[str, str]) -> str:
    """Of the repository in the interface."""
    return "/v1/repositories/{}/{}".format(*name)


def identifier_of(name: tuple[str, str]) -> str:
    """Of the same as a record of Kinto, which takes no dots."""
    return "--".join(name).replace(".", "_")
