"""What operators and tools ask of the server itself: health, metrics, the description, the page made from
it.
"""

from __future__ import annotations

import falcon

from catalogd.web.metrics import CONTENT_TYPE, Health, Metrics
from catalogd.web.replies import CATALOG_COMMIT, to_json
from catalogd.web.requests import Request


class Operations:
    """Nobody needs credentials for these; they tell how much is in the catalog, and nothing of what."""

    def __init__(self, health: Health, metrics: Metrics):
        self._health = health
        self._metrics = metrics

    def healthz(self, req: Request, resp: falcon.Response) -> None:
        report = self._health()
        # A degraded catalog still answers reads, so whoever balances load is to go on asking it.
        resp.status = 503 if report["status"] == "failing" else 200
        resp.data = to_json(report)
        if report.get("commit"):
            resp.set_header(CATALOG_COMMIT, report["commit"])

    def metrics(self, req: Request, resp: falcon.Response) -> None:
        resp.content_type = CONTENT_TYPE
        resp.data = self._metrics.render()
