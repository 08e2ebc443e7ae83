"""`POST /v1/registry/events`: what a registry notifies of."""

from __future__ import annotations

import re

import falcon

from catalogd import rights
from catalogd.registry.intake import Intake
from catalogd.web.bodies import check_encoding, read_raw
from catalogd.web.errors import UnsupportedMedia
from catalogd.web.metrics import Metrics
from catalogd.web.replies import send
from catalogd.web.requests import Request

# 2.8 sends version 1, 3.x version 2, which has the same members.
MEDIA_TYPES = (
    "application/vnd.docker.distribution.events.v1+json",
    "application/vnd.docker.distribution.events.v2+json",
    "application/json",
)
_MEDIA_TYPE = re.compile(r"application/(?:vnd\.docker\.distribution\.events\.v[0-9]+\+)?json")
CHANGES = ("push", "delete", "pull")


class RegistryEvents:
    """The handler returns whether anything was taken."""

    def __init__(self, intake: Intake, metrics: Metrics, max_body: int):
        self._intake = intake
        self._metrics = metrics
        self._max_body = max_body

    def take(self, req: Request, resp: falcon.Response) -> bool:
        """A registry sends again, for ever, what is not answered with 2xx: so only what is no envelope is refused."""
        rights.require_scope(req.account, rights.REPORT)
        check_encoding(req)
        media_type = (req.content_type or "").partition(";")[0].strip().lower()
        if not _MEDIA_TYPE.fullmatch(media_type):
            raise UnsupportedMedia(
                f"The Content-Type must be {' or '.join(MEDIA_TYPES)}.", {"Accept": ", ".join(MEDIA_TYPES)}
            )
        counts = self._intake.take(req.account, read_raw(req, self._max_body))
        self._metrics.took(counts)
        taken = sum(counts[outcome] for outcome in CHANGES)
        passed_over = {
            outcome: number for outcome, number in sorted(counts.items()) if outcome not in CHANGES and number
        }
        send(resp, {"taken": taken, "passed_over": passed_over}, None, status=202)
        return taken > 0
