"""A catalog with some people, whose proposals are opened, reviewed and merged without HTTP in between."""

from __future__ import annotations

import pytest
from review_site import ReviewSite


@pytest.fixture
def site(new_home):
    site = ReviewSite(new_home() / "catalog")
    yield site
    site.close()
