"""The catalog that every test of faults begins with a copy of."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from served_catalog import Served

NAMESPACE = "/v1/repositories/ns"
# Its document changes by writes that meet a fault, and the other's only by writes that do not.
ONE, KEPT = f"{NAMESPACE}/one", f"{NAMESPACE}/kept"

# One thread answers requests, so that its system calls are those of the write. Nothing folds packs meanwhile.
_SETTINGS = "threads = 1\nfold_packs = 10000\n"


@dataclass(frozen=True)
class Prepared:
    """A catalog that no process has open, and its admin's token."""

    root: Path
    token: str

    def copy(self, home: Path, settings: str = "") -> Served:
        """A copy of it in `home`, not started yet."""
        home.mkdir(parents=True, exist_ok=True)
        root = shutil.copytree(self.root, home / "catalog", symlinks=True)
        # What git and catalogd know of it by its path.
        (root / ".git/catalogd/catalogd.toml").write_text(_SETTINGS + settings)
        return Served(root, home, home / "catalog.log", token=self.token)


def prepare(home: Path) -> Prepared:
    served = Served(home / "catalog", home, home / "catalog.log").start()
    client = served.client()
    for name in ("one", "kept"):
        assert client.post(NAMESPACE, {"repo_name": name, "description": "first"}).status == 201
    served.close()
    return Prepared(served.root, served.token)
