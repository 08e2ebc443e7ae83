"""The calls of a container registry and its clients."""

from __future__ import annotations

from catalogd.web.operation import Operation

OPERATIONS: tuple[Operation, ...] = ()
