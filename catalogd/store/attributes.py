"""How git treats the files of a catalog: documents are bytes as they are, and are merged field by field.

`.gitattributes` is in the catalog and says so; what the driver it names is stands in the configuration of each clone.
"""

from __future__ import annotations

import shlex
import sys

ATTRIBUTES = ".gitattributes"
ATTRIBUTES_CONTENT = b"""\
# What a document is does not depend on the system that it is checked out on, so line ends are left alone. catalogd sets
# up the driver "catalogd" (catalogd hooks install does in a clone); without it git merges by line.
data/**/*.json -text merge=catalogd
namespaces/*.json -text merge=catalogd
schemas/*.json -text
/policy.json -text merge=catalogd
"""


def merge_driver() -> dict[str, str]:
    """The configuration of the driver, by key. It runs with this interpreter.

    With -P: git runs it in the working tree, and no file there may pass for a module.
    """
    python = shlex.quote(sys.executable).replace("%", "%%")
    return {
        "merge.catalogd.name": "field by field, by catalogd",
        "merge.catalogd.driver": f"{python} -P -m catalogd merge-driver --marker-size %L -- %O %A %B %P",
    }
