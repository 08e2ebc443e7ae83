"""A clock that a test sets while programs run: libfaketime, which reads the offset anew each time it is asked."""

from __future__ import annotations

import os
from pathlib import Path

import forked_program
import pytest

# Where it is put; "MT" is the one for programs with threads.
_LIBRARIES = ("usr/lib/*/faketime/libfaketimeMT.so.1", "usr/lib*/faketime/libfaketimeMT.so.1")
DAY = 86_400
# libfaketime 0.9.10 refuses the system call that Python sleeps with where it leaves the monotonic clock alone.
_SLEEP = """\
import threading
import time

time.sleep = lambda seconds: threading.Event().wait(seconds) and None
"""


class ShiftedClock:
    """The wall clock of all programs that are started from now on, and of those they start. The monotonic one stays,
    and so do the times of files: they are from before the clock was set.
    """

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch):
        library = next((path for pattern in _LIBRARIES for path in Path("/").glob(pattern)), None)
        if library is None:
            pytest.skip("faketime is not installed")
        directory.mkdir()
        (directory / "sitecustomize.py").write_text(_SLEEP)
        self._file = directory / "offset"
        self.days = 0.0
        self.set(0)
        paths = filter(None, (str(directory), os.environ.get("PYTHONPATH")))
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("LD_PRELOAD", str(library))
        patch.setenv("FAKETIME_TIMESTAMP_FILE", str(self._file))
        for name in ("FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC"):
            patch.setenv(name, "1")
        # A process that is forked has the C library that is loaded already.
        patch.setattr(forked_program, "_IS_FRESH", True)

    def set(self, days: float) -> None:
        """So far from the right time. Programs see the old offset or the new one, never half of it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{days * DAY:+.0f}\n")
        os.replace(new, self._file)
        self.days = days
