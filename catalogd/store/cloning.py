"""A catalog that begins as a clone of another one: it is there whole, or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from catalogd.errors import NotACatalog
from catalogd.giturl import without_credentials
from catalogd.names import REPOSITORY_KIND, schema_path
from catalogd.store.files import fsync_directory
from catalogd.store.locks import is_process_alive
from catalogd.store.remote import clone


def begin_as_clone(root: Path, url: str) -> None:
    """Make a clone of the catalog at `url` in a directory that is empty or does not exist yet.

    Raises RemoteFailed, NotACatalog, OSError. What was begun and broken off is removed the next time.
    """
    if os.path.ismount(root):
        # It would have to be replaced.
        raise NotACatalog(f"{root} is a mount point; a replica needs a directory below it.")
    root.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{root.name}.clone-"
    for begun in root.parent.glob(prefix + "*"):
        owner = begun.name.removeprefix(prefix)
        if owner == str(os.getpid()) or not (owner.isdigit() and is_process_alive(int(owner))):
            shutil.rmtree(begun, ignore_errors=True)
    whole = root.parent / f"{prefix}{os.getpid()}"
    try:
        clone(url, whole)
        if not (whole / schema_path(REPOSITORY_KIND)).is_file():
            raise NotACatalog(
                f"{without_credentials(url)} is no catalog: its main has no {schema_path(REPOSITORY_KIND)}. Take a "
                "repository without a branch main, or push a catalog there that `catalogd init` has made."
            )
        os.sync()  # git syncs neither its refs nor the files
        whole.rename(root)
    except BaseException:
        shutil.rmtree(whole, ignore_errors=True)
        raise
    fsync_directory(root.parent)
