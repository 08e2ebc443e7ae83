"""What Prometheus sees. One registry per application, so that two in a process do not count each other's
requests.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from catalogd.registry.follower import RegistryFollower
from catalogd.registry.keeping import Kept

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Reads take well under a millisecond, durable writes some, a slow disk a second.
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

# For requests that no route took: their paths are the callers' and must not become label values without end.
NO_ROUTE = "(none)"
_STATES = ("ok", "degraded", "failing")

Health = Callable[[], Mapping[str, Any]]


class Metrics:
    """Counts requests. `health` is asked at each scrape for the state of the store and of the read model."""

    def __init__(self, health: Health | None = None):
        self.registry = CollectorRegistry()
        self._answered = _Answered()
        self.registry.register(self._answered)
        self._writes = Counter(
            "catalogd_writes",
            "Writes by operation and whether they changed anything.",
            ("operation", "changed"),
            registry=self.registry,
        )
        self._events = Counter(
            "catalogd_registry_events", "Events of a registry, by what they were.", ("outcome",), registry=self.registry
        )
        if health is not None:
            self.registry.register(_HealthCollector(health))

    def observe(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """One request answered. `route` is the template of its path; None if there was none."""
        self._answered.observe(route or NO_ROUTE, method, status, seconds)

    def wrote(self, operation: str, changed: bool) -> None:
        """One write acknowledged."""
        self._writes.labels(operation, "true" if changed else "false").inc()

    def took(self, counts: Mapping[str, int]) -> None:
        """Events of a registry, by outcome."""
        for outcome, number in counts.items():
            self._events.labels(outcome).inc(number)

    def watch(self, follower: RegistryFollower) -> None:
        """Tell what becomes of the changes that a registry has told."""
        self.registry.register(_FollowerCollector(follower))

    def watch_comparisons(self, kept: Callable[[], Kept]) -> None:
        """Tell what has come of comparing the catalog with its registry."""
        self.registry.register(_KeptCollector(kept))

    def render(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


class _Answered(Collector):
    """Requests, by route, method and status, and their time, by route.

    Counted for each request, so by hand: counters and histograms of the library take six times as long.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = {}
        # For each route how many came into each bucket, the last one for what is longer than all; and the sum.
        self._times: dict[str, tuple[list[int], list[float]]] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        key = (route, method, status)
        bucket = bisect_left(_BUCKETS, seconds)
        with self._lock:
            self._requests[key] = self._requests.get(key, 0) + 1
            if route not in self._times:
                self._times[route] = ([0] * (len(_BUCKETS) + 1), [0.0])
            counts, total = self._times[route]
            counts[bucket] += 1
            total[0] += seconds

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "catalogd_http_requests", "Requests answered.", labels=("route", "method", "status")
        )
        times = HistogramMetricFamily(
            "catalogd_http_request_duration_seconds",
            "Time from a request's arrival at the application to its reply.",
            labels=("route",),
        )
        with self._lock:
            for (route, method, status), number in self._requests.items():
                requests.add_metric((route, method, str(status)), number)
            for route, (counts, (total,)) in self._times.items():
                bounds = [*(str(bound) for bound in _BUCKETS), "+Inf"]
                times.add_metric((route,), list(zip(bounds, accumulate(counts), strict=True)), total)
        yield requests
        yield times


class _FollowerCollector(Collector):
    """What waits for its commit, and what became of the rest."""

    def __init__(self, follower: RegistryFollower):
        self._follower = follower

    def describe(self) -> Iterator[GaugeMetricFamily]:
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        yield GaugeMetricFamily(
            "catalogd_registry_changes_waiting",
            "Pushes and deletes of tags that are not in the documents yet.",
            value=float(self._follower.waiting()),
        )
        followed = CounterMetricFamily(
            "catalogd_registry_changes", "Pushes and deletes of tags, by what became of them.", labels=("outcome",)
        )
        for outcome in ("committed", "unknown_repository", "unfit"):
            followed.add_metric((outcome,), float(self._follower.counts[outcome]))
        yield followed


class _HealthCollector(Collector):
    """The numbers in the report of health as gauges: `catalogd_store_packs`, `catalogd_read_model_lag`,
    ...
    """

    def __init__(self, health: Health):
        self._health = health

    def describe(self) -> Iterator[GaugeMetricFamily]:
        # Without it, registering would ask for health before the catalog is ready to tell.
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        report = self._health()
        status = GaugeMetricFamily("catalogd_health", "1 for the state that the catalog is in.", labels=("status",))
        for state in _STATES:
            status.add_metric((state,), float(report["status"] == state))
        yield status
        faults = float(report["faults"])
        yield GaugeMetricFamily("catalogd_faults", "Documents that a hand has broken.", value=faults)
        for part in {"following", "upstream"} & report.keys():
            failing = float(report[part]["failure"] is not None)
            yield GaugeMetricFamily(f"catalogd_{part}_failing", "1 while that fails.", value=failing)
        for part in ("store", "read_model", "following", "upstream"):
            for name, value in report.get(part, {}).items():
                if isinstance(value, (int, float)):
                    metric = f"catalogd_{part}_{name}"
                    yield GaugeMetricFamily(metric, f"{name} of the {part}, as in /healthz.", value=float(value))


class _KeptCollector(Collector):
    """How the catalog and its registry compare."""

    def __init__(self, kept: Callable[[], Kept]):
        self._kept = kept

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        kept = self._kept()
        failing = float(kept.is_failing)
        yield GaugeMetricFamily("catalogd_registry_failing", "1 while comparing with it fails.", value=failing)
        if kept.seconds_ago is not None:
            words = "So long ago a comparison has ended well."
            yield GaugeMetricFamily("catalogd_registry_compared_seconds", words, value=kept.seconds_ago)
        mended = CounterMetricFamily("catalogd_registry_mended", "What comparisons have mended.", labels=("what",))
        for what, count in kept.mended.items():
            mended.add_metric((what,), float(count))
        yield mended
        found = GaugeMetricFamily("catalogd_registry_differences", "Those of the last comparison.", labels=("kind",))
        for kind, count in kept.differences.items():
            found.add_metric((kind,), float(count))
        yield found
