"""What is free goes back to the system; in a process of its own, whose heap nobody else has used."""

from __future__ import annotations

import subprocess
import sys

# The last block lies behind all that is freed, so that the end of the heap cannot just be cut off.
_PROGRAM = """
import re
from catalogd import memory

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) >> 10

memory.tune()
blocks = [bytes(64 << 10) for _ in range(1000)]
for at, block in enumerate(blocks):
    blocks[at] = block + b"x"  # written to, so that it is in memory
del blocks[:-1]
before = resident()
memory.give_back()
print(before - resident())
"""


def test_what_is_free_between_things_in_use_is_given_back():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True)
    assert int(done.stdout) > 30, "of 62 MiB"
