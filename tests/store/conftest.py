from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogd.store import Store

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def root(tmp_path) -> Path:
    """An empty catalog."""
    root = tmp_path / "catalog"
    Store.create(root)
    return root


@pytest.fixture
def store(root) -> Iterator[Store]:
    store = Store(root)
    yield store
    store.close()
