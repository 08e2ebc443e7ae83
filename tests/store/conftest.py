from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogd.store import Store


@pytest.fixture
def root(tmp_path, empty_catalog) -> Path:
    """An empty catalog."""
    return shutil.copytree(empty_catalog, tmp_path / "catalog", symlinks=True)


@pytest.fixture
def store(root) -> Iterator[Store]:
    store = Store(root)
    yield store
    store.close()
