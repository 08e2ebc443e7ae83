"""What Prometheus sees. One registry per application, so that two in a process do not count each other's
requests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
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
        self._requests = Counter(
            "catalogd_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "catalogd_http_request_duration_seconds",
            "Time from a request's arrival at the application to its reply.",
            ("route",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._writes = Counter(
            "catalogd_writes",
            "Writes by operation and whether they changed anything.",
            ("operation", "changed"),
            registry=self.registry,
        )
        self._events = Counter(
            "catalogd_registry_events", "Events of a registry, by what they were.", ("outcome",), registry=self.registry
        )
        # labels() takes a lock and a lookup by tuple each; a plain dict of the children is several times
        # cheaper.
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        self._lock = threading.Lock()
        if health is not None:
            self.registry.register(_HealthCollector(health))

    def observe(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """One request answered. `route` is the template of its path; None if there was none."""
        key = (route or NO_ROUTE, method, status)
        children = self._children.get(key)
        if children is None:
            children = self._add(key)
        children[0].inc()
        children[1].observe(seconds)

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

    def _add(self, key: tuple[str, str, int]) -> tuple[Any, Any]:
        route, method, status = key
        with self._lock:
            children = (self._requests.labels(route, method, str(status)), self._durations.labels(route))
            self._children[key] = children
        return children


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
