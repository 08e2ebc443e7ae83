"""Every call of the interface: see `table`."""

from catalogd.web.routes.shared import SECTIONS
from catalogd.web.routes.table import OPERATIONS

__all__ = ["OPERATIONS", "SECTIONS"]
