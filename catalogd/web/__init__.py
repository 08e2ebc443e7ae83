"""The HTTP interface: the only floor that knows Falcon. `app.make_app` puts it together."""

from __future__ import annotations
