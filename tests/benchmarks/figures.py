"""How often is measured, and how what was found is told."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence


def rounds(usual: int) -> int:
    """CATALOGD_TEST_ROUNDS of them, for a quick look or a busy machine, where that is set."""
    return int(os.environ.get("CATALOGD_TEST_ROUNDS", usual))


def ms(seconds: float) -> str:
    """In milliseconds."""
    return f"{seconds * 1e3:.1f} ms"


def p95(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def p99(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1]
