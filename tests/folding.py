"""A process that folds activity into the documents without a pause, to be killed: `python folding.py ROOT STATE`."""

from __future__ import annotations

import sys
from pathlib import Path

from catalogd.activity import Activity
from catalogd.catalog import Catalog
from catalogd.state import State


def main(root: Path, state: Path) -> None:
    catalog = Catalog.open(root)
    activity = Activity(catalog, State(state))
    print("folds", flush=True)
    while True:
        activity.fold()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
