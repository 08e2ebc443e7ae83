"""The sample catalog: the project's own top-level `data/`, which the wheel carries along."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def sample_files() -> dict[str, bytes]:
    """Path in a catalog → content."""
    packaged = resources.files("catalogd").joinpath("sample")
    # In a checkout that is not installed, the sample stands beside the package.
    root = Path(str(packaged)) if packaged.is_dir() else Path(__file__).parents[1]
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in sorted((root / "data").glob("*/*.json"))}
