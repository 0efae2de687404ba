from __future__ import annotations

import asyncio
import random

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from web import metrics


def text(registry: CollectorRegistry) -> str:
    """The exposition without creation times."""
    lines = generate_latest(registry).decode().splitlines()
    return "\n".join(line for line in lines if "_created" not in line)


def test_published_timings_are_what_observe_would_have_counted() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    bounds = (0.1, 0.5, 1.0)
    tallied = Histogram("seconds", "Seconds.", ["route"], buckets=bounds, registry=ours)
    observed = Histogram("seconds", "Seconds.", ["route"], buckets=bounds, registry=theirs)
    timings = metrics.Timings(tallied.labels("awards"))
    values = [0.0, 0.1, 0.5, 1.0, 2.0, *(random.Random(7).randrange(3) / 2 for _ in range(50))]
    for value in values:
        timings.observe(value)
        observed.labels("awards").observe(value)
    timings.publish()
    timings.publish()
    assert text(ours) == text(theirs)


def test_published_counts_are_what_inc_would_have_counted() -> None:
    registry = CollectorRegistry()
    counter = Counter("hits", "Hits.", ["class"], registry=registry)
    counts = metrics.Counts(counter, [("human",), ("bot",)])
    counts.pending[0] += 3
    counts.publish()
    counts.publish()
    counts.pending[1] += 1
    counts.publish()
    assert 'hits_total{class="human"} 3.0' in text(registry)
    assert 'hits_total{class="bot"} 1.0' in text(registry)


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_requests_are_counted_by_route_and_status() -> None:
    requests = metrics.Requests("test")
    for status in (201, 201, 422):
        requests.add("create_award", status, 0.004)
    requests.publish()
    labels = {"app": "test", "route": "create_award"}
    assert sample("stampgate_http_requests_total", **labels, status="201") == 2
    assert sample("stampgate_http_requests_total", **labels, status="422") == 1
    assert sample("stampgate_http_request_seconds_count", **labels) == 3
    assert sample("stampgate_http_request_seconds_sum", **labels) == pytest.approx(0.012)


async def test_what_is_pending_at_the_end_is_published() -> None:
    requests = metrics.Requests("test")
    task = asyncio.create_task(metrics.publish_forever([requests]))
    await asyncio.sleep(0)
    requests.add("last", 200, 0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    name = "stampgate_http_requests_total"
    assert sample(name, app="test", route="last", status="200") == 1


def test_every_metric_of_the_catalogue_bears_our_name() -> None:
    kinds = (Counter, Gauge, Histogram)
    found = [metric for metric in vars(metrics).values() if isinstance(metric, kinds)]
    assert len(found) > 30
    for metric in found:
        for family in metric.describe():
            assert family.name.startswith("stampgate_")
            assert family.documentation.endswith(".")
