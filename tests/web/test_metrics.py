"""What Prometheus sees."""

from __future__ import annotations

from time import perf_counter

import pytest
from web_site import Site

from catalogd.web.metrics import Metrics


def test_requests_are_counted_by_the_template_of_their_route(site: Site) -> None:
    site.create("metrics/one")
    site.client.simulate_get("/v1/repositories/metrics/one")
    site.client.simulate_get("/v1/repositories/metrics/none")
    site.client.simulate_get("/nowhere/at/all")
    text = site.anonymous.simulate_get("/metrics").text
    route = 'route="/v1/repositories/{namespace}/{repo_name}"'
    assert f'catalogd_http_requests_total{{method="GET",{route},status="200"}} 1.0' in text
    assert f'catalogd_http_requests_total{{method="GET",{route},status="404"}} 1.0' in text
    assert 'method="GET",route="(none)",status="404"' in text
    assert "/nowhere" not in text
    assert f"catalogd_http_request_duration_seconds_count{{{route}}} 2.0" in text


def test_the_time_of_requests_is_told_in_buckets_that_include_the_smaller_ones() -> None:
    metrics = Metrics()
    for seconds in (0.0004, 0.002, 0.0025, 99.0):
        metrics.observe("/a", "GET", 200, seconds)
    text = metrics.render().decode()
    assert "# TYPE catalogd_http_request_duration_seconds histogram" in text
    for bound, number in (("0.0005", 1), ("0.001", 1), ("0.0025", 3), ("10.0", 3), ("+Inf", 4)):
        assert f'catalogd_http_request_duration_seconds_bucket{{le="{bound}",route="/a"}} {number}.0' in text
    assert 'catalogd_http_request_duration_seconds_count{route="/a"} 4.0' in text
    assert 'catalogd_http_request_duration_seconds_sum{route="/a"} 99.0049' in text


def test_writes_are_counted_by_whether_they_changed_anything(site: Site) -> None:
    site.create("metrics/two", description="a")
    for description in ("b", "b"):
        site.client.simulate_put("/v1/repositories/metrics/two", json={"description": description})
    text = site.anonymous.simulate_get("/metrics").text
    assert 'catalogd_writes_total{changed="true",operation="updateRepository"} 1.0' in text
    assert 'catalogd_writes_total{changed="false",operation="updateRepository"} 1.0' in text


def test_the_health_of_store_and_read_model_is_shown(site: Site) -> None:
    site.create("metrics/three")
    text = site.anonymous.simulate_get("/metrics").text
    assert 'catalogd_health{status="ok"} 1.0' in text
    assert 'catalogd_health{status="failing"} 0.0' in text
    assert "catalogd_store_packs " in text
    assert "catalogd_read_model_behind " in text


def test_health_is_told_to_everybody(site: Site) -> None:
    site.create("metrics/four")
    reply = site.anonymous.simulate_get("/healthz")
    assert (reply.status_code, reply.json["status"]) == (200, "ok")
    assert reply.headers["catalog-commit"] == reply.json["commit"]


def test_counting_a_request_costs_next_to_nothing() -> None:
    metrics = Metrics()
    metrics.observe("/v1/commits", "GET", 200, 0.001)
    best = min(_seconds_for(metrics, 1000) for _ in range(5)) / 1000
    # It takes about 2 µs; the bound leaves room for a busy machine.
    assert best < 20e-6


def _seconds_for(metrics: Metrics, times: int) -> float:
    began = perf_counter()
    for _ in range(times):
        metrics.observe("/v1/commits", "GET", 200, 0.001)
    return perf_counter() - began


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
def test_methods_that_nobody_knows_make_one_series(site) -> None:
    for method in ("FOO1", "FOO2", "FOO3"):
        site.anonymous.simulate_request(method, "/v1/repositories")
    rendered = site.anonymous.simulate_get("/metrics").text
    assert "FOO" not in rendered
    assert 'method="(other)"' in rendered
