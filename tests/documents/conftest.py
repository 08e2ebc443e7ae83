"""How hypothesis runs here: without a time limit for each example, which a busy machine would miss."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("catalogd", deadline=None, database=None)
settings.load_profile("catalogd")
