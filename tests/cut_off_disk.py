"""A real file system that can be cut off from its disk: ext4 on a loop device, shut down by ioctl.

After the cut nothing reaches the disk any more that had not been there. What is mounted again is what a machine finds
after a power cut.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path

# linux/fs/ext4: EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32), and the flag that does not even flush the journal.
_SHUTDOWN, _NOLOGFLUSH = 0x8004587D, 2

# More than Linux gives as a process id.
_NO_PROCESS = 1 << 23
_PATIENCE = 5.0


class Disk:
    """An ext4 file system of its own, whose power can be cut. It is not mounted yet."""

    def __init__(self, directory: Path, mkfs: str):
        self._image = directory / "disk.img"
        self.root = directory / "disk"
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(128 << 20)
        subprocess.run([mkfs, "-q", str(self._image)], check=True)

    def mount(self) -> None:
        """Raises CalledProcessError where there is no loop device, or no right to mount one."""
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self.root)], check=True, capture_output=True)

    def cut(self) -> None:
        """Cut the power and mount what is left. Nobody may have a file of it open."""
        self.shut_down()
        self.remount()
        # A machine that starts again has none of the processes whose names these files bear; the test lives on.
        for own in self.root.glob(f"*/.git/catalogd/scratch/{os.getpid()}-*"):
            own.rename(own.with_name(own.name.replace(str(os.getpid()), str(_NO_PROCESS), 1)))

    def shut_down(self) -> None:
        """From now on nothing reaches the disk."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NOLOGFLUSH))
        finally:
            os.close(descriptor)

    def remount(self) -> None:
        # Not lazily: what is still in use would stay mounted beside its successor.
        # Children of whoever was killed end a moment later.
        until = time.monotonic() + _PATIENCE
        while subprocess.run(["umount", str(self.root)], capture_output=True).returncode:
            assert time.monotonic() < until, "the disk is still in use"
            time.sleep(0.005)
        self.mount()

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.root)], check=True)
