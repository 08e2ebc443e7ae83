"""A mixed load on one server for as long as one likes: `python -m tests.faults.mixed_load --seconds 600`.

See mixture.py for what it is made of and what it prints.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).parent
    # As pytest has it from pyproject.toml.
    sys.path[:0] = [str(here), str(here.parent / "blackbox")]
    sys.exit(import_module("mixture").main())
