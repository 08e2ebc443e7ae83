from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogd.store import Store

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def root(tmp_path, empty_catalog) -> Path:
    """An empty catalog."""
    return shutil.copytree(empty_catalog, tmp_path / "catalog", symlinks=True)


@pytest.fixture
def store(root) -> Iterator[Store]:
    store = Store(root)
    yield store
    store.close()
