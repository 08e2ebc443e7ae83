"""What catalogs of the benchmarks of reads hold: invented repositories, or the real official images where they are."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.catalogs import catalogd, make, name_of, spread
from tests.benchmarks.large import ENDS

# Where the tests look for them, too.
OFFICIAL_IMAGES = Path(__file__).parents[2].parent / "shared" / "data" / "official-images.jsonl.gz"

Names = list[tuple[str, str]]


def contents(directory: Path) -> Iterator[tuple[str, Path, Names]]:
    """(what it is, a catalog, the names of its repositories), one after another."""
    for size in ENDS:
        yield f"{size:,} repositories", *_invented(directory, size)
    found = _official(directory)
    if found is not None:
        yield "the official images", *found


def _invented(directory: Path, size: int) -> tuple[Path, Names]:
    """Their names are in an order that goes to and fro in the catalog."""
    return make(directory, size), [name_of(spread(number, size)) for number in range(size)]


def _official(directory: Path) -> tuple[Path, Names] | None:
    """None where they are not beside the project."""
    if not OFFICIAL_IMAGES.is_file():
        return None
    root = directory / "catalog-official"
    catalogd("init", str(root))
    catalogd("import", str(OFFICIAL_IMAGES), "--catalog", str(root))
    with gzip.open(OFFICIAL_IMAGES, "rt") as lines:
        return root, [(row["namespace"], row["repo_name"]) for row in map(json.loads, lines)]


def identifier_of(name: tuple[str, str]) -> str:
    """Of the repository as a record of Kinto, which takes no dots."""
    return "--".join(name).replace(".", "_")
