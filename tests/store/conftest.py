from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogd.store import Store

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def opened_once(tmp_path_factory) -> Path:
    """An empty catalog that has been opened and closed: to copy it takes a quarter of the time."""
    root = tmp_path_factory.mktemp("opened") / "catalog"
    Store.create(root)
    Store(root).close()
    return root


@pytest.fixture
def root(tmp_path, opened_once) -> Path:
    """An empty catalog."""
    return shutil.copytree(opened_once, tmp_path / "catalog", symlinks=True)


@pytest.fixture
def store(root) -> Iterator[Store]:
    store = Store(root)
    yield store
    store.close()
