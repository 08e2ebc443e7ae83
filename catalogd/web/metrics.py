"""What Prometheus sees. What is counted, all workers of a server count together; so each of them tells the same."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from catalogd.registry.keeping import Kept
from catalogd.shared.memory import Tallies

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Reads take well under a millisecond, durable writes some, a slow disk a second.
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

# For requests that no route took: their paths are the callers' and must not become label values without end.
NO_ROUTE = "(none)"
_STATES = ("ok", "degraded", "failing")

# What becomes of changes that a registry has told.
_OUTCOMES = ("committed", "unknown_repository", "unfit")

Health = Callable[[], Mapping[str, Any]]


_REQUESTS, _DURATIONS = "catalogd_http_requests", "catalogd_http_request_duration_seconds"
_WRITES, _EVENTS, _CHANGES = "catalogd_writes", "catalogd_registry_events", "catalogd_registry_changes"
_COUNTERS = {
    _REQUESTS: ("Requests answered.", ("route", "method", "status")),
    _WRITES: ("Writes by operation and whether they changed anything.", ("operation", "changed")),
    _EVENTS: ("Events of a registry, by what they were.", ("outcome",)),
    _CHANGES: ("Pushes and deletes of tags, by what became of them.", ("outcome",)),
}
# Of a histogram: in place of the number of a bucket, the sum of all.
_SUM = "sum"


class Metrics:
    """Counts requests. `health` is asked at each scrape for the state of the store and of the read model."""

    def __init__(self, health: Health | None = None, tallies: Tallies | None = None):
        """`tallies` are where all workers count."""
        self.registry = CollectorRegistry()
        self._tallies = tallies or Tallies()
        # By route, method and status: the places of the counter and of the sum, and the route's buckets.
        self._places: dict[tuple[str, str, int], tuple[int, int, list[int]]] = {}
        self.registry.register(_TalliesCollector(self._tallies))
        if health is not None:
            self.registry.register(_HealthCollector(health))

    def observe(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """One request answered. `route` is the template of its path; None if there was none."""
        key = (route or NO_ROUTE, method, status)
        places = self._places.get(key)
        if places is None:
            places = self._places[key] = self._add(*key)
        count, total, buckets = places
        self._tallies.add(((count, 1.0), (total, seconds), (buckets[bisect_left(_BUCKETS, seconds)], 1.0)))

    def wrote(self, operation: str, changed: bool) -> None:
        """One write acknowledged."""
        self._count(_WRITES, (operation, "true" if changed else "false"), 1)

    def took(self, counts: Mapping[str, int]) -> None:
        """Events of a registry, by outcome."""
        for outcome, number in counts.items():
            self._count(_EVENTS, (outcome,), number)

    def followed(self, outcome: str, number: int) -> None:
        """What became of changes that a registry has told."""
        self._count(_CHANGES, (outcome,), number)

    def watch_changes(self, waiting: Callable[[], int]) -> None:
        """Tell how many changes that a registry has told wait for their commit."""
        for outcome in _OUTCOMES:
            self.followed(outcome, 0)
        self.registry.register(_WaitingCollector(waiting))

    def watch_comparisons(self, kept: Callable[[], Kept]) -> None:
        """Tell what has come of comparing the catalog with its registry."""
        self.registry.register(_KeptCollector(kept))

    def render(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self.registry)

    def _count(self, name: str, labels: tuple[str, ...], number: int) -> None:
        self._tallies.add(((self._tallies.place(json.dumps((name, *labels))), number),))

    def _add(self, route: str, method: str, status: int) -> tuple[int, int, list[int]]:
        place = self._tallies.place
        buckets = [place(json.dumps((_DURATIONS, route, number))) for number in range(len(_BUCKETS) + 1)]
        count = place(json.dumps((_REQUESTS, route, method, str(status))))
        return count, place(json.dumps((_DURATIONS, route, _SUM))), buckets


class _TalliesCollector(Collector):
    """What all workers have counted."""

    def __init__(self, tallies: Tallies):
        self._tallies = tallies

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        counters = {
            name: CounterMetricFamily(name, words, labels=labels) for name, (words, labels) in _COUNTERS.items()
        }
        durations: dict[str, dict[object, float]] = defaultdict(dict)
        for key, value in self._tallies.sums().items():
            name, *labels = json.loads(key)
            if name == _DURATIONS:
                durations[labels[0]][labels[1]] = value
            else:
                counters[name].add_metric(labels, value)
        yield counters.pop(_REQUESTS)
        words = "Time from a request's arrival at the application to its reply."
        histogram = HistogramMetricFamily(_DURATIONS, words, labels=("route",))
        for route, counted in durations.items():
            histogram.add_metric([route], list(_cumulated(counted)), counted.get(_SUM, 0.0))
        yield histogram
        yield from counters.values()


def _cumulated(counted: Mapping[object, float]) -> Iterator[tuple[str, float]]:
    """(upper bound, how many requests took no longer)."""
    total = 0.0
    for number, bound in enumerate((*map(str, _BUCKETS), "+Inf")):
        total += counted.get(number, 0.0)
        yield bound, total


class _WaitingCollector(Collector):
    """What waits for its commit."""

    def __init__(self, waiting: Callable[[], int]):
        self._waiting = waiting

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        words = "Pushes and deletes of tags that are not in the documents yet."
        yield GaugeMetricFamily("catalogd_registry_changes_waiting", words, value=float(self._waiting()))


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
