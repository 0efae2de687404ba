"""What a gateway process measures of the servers that it stands on."""

from __future__ import annotations

from typing import Final, Literal

from db import decisions, points, redis
from web import metrics

Transaction = Literal["read", "write"]

#: The script's statuses, in words.
OUTCOMES: Final = {
    decisions.DONE: "done",
    decisions.REPLAYED: "replayed",
    **{status: refusal.code for status, (refusal, _) in decisions.REFUSALS.items()},
}


class Measures:
    """Numbers counted in plain Python until they are published."""

    def __init__(self, connection: redis.Connection, points_: points.Points) -> None:
        self._redis: Final = connection
        self._points: Final = points_
        self._reconnects = 0
        self._batch_sizes: Final = metrics.Timings(metrics.award_batch_size)
        self._call_seconds: Final = metrics.Timings(metrics.redis_seconds.labels("points"))
        self.seconds: Final[dict[Transaction, metrics.Timings]] = {
            "read": metrics.Timings(metrics.postgres_seconds.labels("read")),
            "write": metrics.Timings(metrics.postgres_seconds.labels("write")),
        }
        self.failures: Final[dict[Transaction, int]] = {"read": 0, "write": 0}

    def publish(self) -> None:
        """Move what was counted into the metrics."""
        sizes = self._points.batch_sizes
        for size in sizes:
            self._batch_sizes.observe(size)
        sizes.clear()
        self._batch_sizes.publish()
        for seconds in self._points.call_seconds:
            self._call_seconds.observe(seconds)
        self._points.call_seconds.clear()
        self._call_seconds.publish()
        for (operation, status), count in self._points.outcomes.items():
            metrics.awards.labels(operation, OUTCOMES[status]).inc(count)
        self._points.outcomes.clear()
        for kind, timings in self.seconds.items():
            timings.publish()
            metrics.postgres_failures.labels(kind).inc(self.failures[kind])
            self.failures[kind] = 0
        metrics.redis_pending.set(self._redis.pending)
        metrics.redis_reconnects.inc(self._redis.reconnects - self._reconnects)
        self._reconnects = self._redis.reconnects
