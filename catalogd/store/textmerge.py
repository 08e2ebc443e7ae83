"""Three-way merge of texts by line: `git merge-file`, which needs no repository."""

from __future__ import annotations

import tempfile
from pathlib import Path

import git as gitpython

# `git merge-file` exits with the number of conflicts, up to this; with more where it could not merge.
_MOST_CONFLICTS = 127
_SIDES = ("ours", "base", "theirs")


def merge_texts(base: bytes, ours: bytes, theirs: bytes, marker_size: int = 7) -> tuple[bytes, bool] | None:
    """(`ours` with what changed from `base` to `theirs`, whether it has conflict markers); None for binary files.

    `marker_size` is the length of the markers, in characters.
    """
    with tempfile.TemporaryDirectory(prefix="catalogd-merge-") as directory:
        for name, data in zip(_SIDES, (ours, base, theirs), strict=True):
            (Path(directory) / name).write_bytes(data)
        labels = [f"-L{name}" for name in _SIDES]
        # The base of a diff3 conflict would be shown as the caller made it, who may not mean it to be seen.
        command = ["git", "-c", "merge.conflictStyle=merge", "merge-file", "-p", f"--marker-size={marker_size}"]
        status, merged, _ = gitpython.Git(directory).execute(
            [*command, *labels, *_SIDES],
            with_extended_output=True, with_exceptions=False, stdout_as_string=False, strip_newline_in_stdout=False,
        )  # fmt: skip
    return (merged, status > 0) if 0 <= status <= _MOST_CONFLICTS else None
