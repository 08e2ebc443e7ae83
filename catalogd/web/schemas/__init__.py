"""The component schemas of the OpenAPI description."""

from catalogd.web.schemas.components import components
from catalogd.web.schemas.shared import ref

__all__ = ["components", "ref"]
