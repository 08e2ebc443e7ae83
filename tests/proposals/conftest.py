"""A catalog with some people, whose proposals are opened, reviewed and merged without HTTP in between."""

from __future__ import annotations

import shutil

import pytest
from review_site import ReviewSite


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A site that is made and closed: to copy it takes a tenth of the time."""
    root = tmp_path_factory.mktemp("review") / "catalog"
    ReviewSite(root).close()
    return root


@pytest.fixture
def site(new_home, made_once):
    root = new_home() / "catalog"
    shutil.copytree(made_once, root, symlinks=True)
    site = ReviewSite(root)
    yield site
    site.close()
