"""The catalogue of what our processes measure, and cheap counting for hot paths.

Labels take their values from closed sets: route names, statuses, classes, partitions, actors.
A hot path adds to plain numbers (`Counts`, `Timings`, `Requests`); `publish` moves them into the
Prometheus objects twice a second, because one `inc` into a shared file costs as much as minting
a click id. Under a parent (`web/parent.py`) the numbers live in files named after the seat, so
that they outlast the process.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from prometheus_client import Counter, Gauge, Histogram, values

from web.child import METRICS_DIR, SEAT

PUBLISH_INTERVAL_S: Final = 0.5
UNMATCHED: Final = "unmatched"

_PID: Final = os.getpid()
_FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SLOW: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16_384)


def _writer() -> str:
    """Whose files to write: the seat's own; after a fork the pid's, never the same file twice."""
    pid = os.getpid()
    return os.environ[SEAT] if pid == _PID else str(pid)


# Must precede the first metric.
if METRICS_DIR in os.environ and SEAT in os.environ:
    values.ValueClass = values.MultiProcessValue(_writer)  # type: ignore[no-untyped-call] # no hints


# HTTP, in and out.
http_requests = Counter("stampgate_http_requests", "Requests answered.", ["app", "route", "status"])
http_request_seconds = Histogram(
    "stampgate_http_request_seconds",
    "From the request's head to its answer.",
    ["app", "route"],
    buckets=_FAST,
)
rate_limited = Counter("stampgate_rate_limited", "Requests refused by a rate limit.", ["policy"])
rate_limits_unchecked = Counter(
    "stampgate_rate_limits_unchecked",
    "Limits that Redis was not there to check, by what was done instead.",
    ["policy", "outcome"],
)
unusual_use = Counter(
    "stampgate_unusual_use", "Refusals that honest clients seldom meet.", ["kind"]
)
outbound_requests = Counter(
    "stampgate_outbound_requests", "Requests that we sent, by outcome.", ["purpose", "outcome"]
)
outbound_seconds = Histogram(
    "stampgate_outbound_seconds", "Duration of requests that we sent.", ["purpose"], buckets=_SLOW
)
outbound_breakers_opened = Counter(
    "stampgate_outbound_breakers_opened", "Times that a host was given a rest.", ["purpose"]
)

# The servers that remember.
redis_seconds = Histogram(
    "stampgate_redis_seconds", "From sending a call to its reply.", ["call"], buckets=_FAST
)
redis_failures = Counter(
    "stampgate_redis_failures", "Calls without a good reply.", ["call", "outcome"]
)
redis_pending = Gauge(
    "stampgate_redis_pending", "Calls waiting for a reply.", multiprocess_mode="livesum"
)
redis_reconnects = Counter("stampgate_redis_reconnects", "Connections made after the first.")
postgres_seconds = Histogram(
    "stampgate_postgres_seconds", "Duration of a transaction.", ["transaction"], buckets=_FAST
)
postgres_failures = Counter(
    "stampgate_postgres_failures", "Transactions that failed.", ["transaction"]
)

# People.
sign_ins = Counter(
    "stampgate_sign_ins",
    "People who tried to sign in or to go on with a session.",
    ["method", "outcome"],
)
codes = Counter(
    "stampgate_codes",
    "One-time codes that were asked for, sent and used.",
    ["purpose", "outcome"],
)
password_seconds = Histogram(
    "stampgate_password_seconds",
    "From the wish to hash or to verify a password to its end, the wait included.",
    buckets=_FAST,
)

# Clicks.
clicks = Counter("stampgate_clicks", "Hits on links, by class.", ["class"])
clicks_recorded = Counter(
    "stampgate_clicks_recorded", "Clicks by how they were recorded.", ["outcome"]
)
click_batch_size = Histogram(
    "stampgate_click_batch_size", "Clicks committed together.", buckets=_SIZES
)
cap_decisions = Counter(
    "stampgate_cap_decisions", "Clicks on capped links, by what was decided.", ["decision"]
)
link_cache_lookups = Counter("stampgate_link_cache_lookups", "Slugs looked up.", ["outcome"])
link_cache_links = Gauge(
    "stampgate_link_cache_links", "Links held in memory.", multiprocess_mode="livesum"
)
spool_records = Gauge(
    "stampgate_spool_records",
    "Clicks in the spool's segments that are being written.",
    multiprocess_mode="livesum",
)
# Every process sees the whole folder.
spool_bytes = Gauge(
    "stampgate_spool_bytes", "Size of the spool's segments.", multiprocess_mode="livemostrecent"
)
click_breakers_open = Gauge(
    "stampgate_click_breakers_open",
    "Redirector processes that give Redis a rest and record in the spool.",
    multiprocess_mode="livesum",
)
spool_events = Counter(
    "stampgate_spool_events", "Clicks written, replayed, cancelled or refused.", ["outcome"]
)

# Awards.
awards = Counter(
    "stampgate_awards",
    "Awards, spends and holds by operation and outcome.",
    ["operation", "outcome"],
)
award_batch_size = Histogram(
    "stampgate_award_batch_size", "Awards decided in one script call.", buckets=_SIZES
)

# From the streams to PostgreSQL.
stream_lag_events = Gauge(
    "stampgate_stream_lag_events",
    "Events that PostgreSQL does not have yet.",
    ["stream"],
    multiprocess_mode="livemostrecent",
)
stream_lag_seconds = Gauge(
    "stampgate_stream_lag_seconds",
    "Age of the oldest event that PostgreSQL does not have yet.",
    ["stream"],
    multiprocess_mode="livemostrecent",
)
flush_rows = Counter("stampgate_flush_rows", "Rows inserted from streams.", ["kind"])
flush_seconds = Histogram(
    "stampgate_flush_seconds", "Duration of a flush transaction.", ["kind"], buckets=_SLOW
)
flush_batch_size = Histogram(
    "stampgate_flush_batch_size", "Events in a flush transaction.", ["kind"], buckets=_SIZES
)
flush_duplicates = Counter(
    "stampgate_flush_duplicates", "Events that were already stored.", ["kind"]
)
quarantined = Counter(
    "stampgate_quarantined", "Events set aside because they cannot be applied.", ["kind"]
)
quarantine_depth = Gauge(
    "stampgate_quarantine_depth",
    "Events in quarantine.",
    ["kind"],
    multiprocess_mode="livemostrecent",
)
lost_points_events = Counter(
    "stampgate_lost_points_events", "Points events that Redis lost before PostgreSQL had them."
)
lost_sequence_numbers = Gauge(
    "stampgate_lost_sequence_numbers",
    "Numbers of click ids that PostgreSQL lacks: lost, refused, or still in a spool.",
    ["kind"],
    multiprocess_mode="livemostrecent",
)
balance_mismatches = Gauge(
    "stampgate_balance_mismatches",
    "Accounts whose balance is not the sum of their entries, or differs from Redis.",
    ["check"],
    multiprocess_mode="livemostrecent",
)
rebuild_seconds = Histogram(
    "stampgate_rebuild_seconds", "Time that a partition was closed.", buckets=_SLOW
)

# What is sealed.
stale_fields = Gauge(
    "stampgate_stale_fields",
    "Values that are not under the active field key yet.",
    multiprocess_mode="livemostrecent",
)

# The audit log.
audit_unsealed = Gauge(
    "stampgate_audit_unsealed_entries",
    "Entries of the audit log that wait for their place in their chain.",
    multiprocess_mode="livemostrecent",
)
audit_unsealed_seconds = Gauge(
    "stampgate_audit_unsealed_seconds",
    "For how long the oldest of them waits.",
    multiprocess_mode="livemostrecent",
)
audit_broken_chains = Gauge(
    "stampgate_audit_broken_chains",
    "Chains of the audit log that no longer have a head that Redis has kept.",
    multiprocess_mode="livemostrecent",
)

# Jobs.
outbox_depth = Gauge(
    "stampgate_outbox_depth",
    "Outbox rows not done.",
    ["queue"],
    multiprocess_mode="livemostrecent",
)
outbox_oldest_seconds = Gauge(
    "stampgate_outbox_oldest_seconds",
    "Age of the oldest outbox row that is due and not done.",
    ["queue"],
    multiprocess_mode="livemostrecent",
)
jobs = Counter("stampgate_jobs", "Jobs run, by outcome.", ["actor", "outcome"])
job_seconds = Histogram("stampgate_job_seconds", "Duration of a job.", ["actor"], buckets=_SLOW)
dead_letters = Gauge(
    "stampgate_dead_letters",
    "Jobs given up and not yet replayed.",
    ["actor"],
    multiprocess_mode="livemostrecent",
)
payouts = Counter(
    "stampgate_payouts", "What providers answered about payouts.", ["provider", "outcome"]
)
payout_calls = Counter(
    "stampgate_payout_calls", "What providers called us with.", ["provider", "outcome"]
)
webhook_deliveries = Counter(
    "stampgate_webhook_deliveries", "Attempts to deliver a webhook.", ["outcome"]
)
notifications = Counter(
    "stampgate_notifications", "Attempts to send a notification.", ["provider", "outcome"]
)

# Who looks where nobody should without a reason.
break_glass = Counter(
    "stampgate_break_glass",
    "Accesses of admins to a program's data, opened and ended.",
    ["event"],
)


class Tally(Protocol):
    """Numbers counted in plain Python until they are published."""

    def publish(self) -> None: ...


class Counts:
    """A counter's rows by index: `counts.pending[i] += 1`."""

    __slots__ = ("_rows", "pending")

    def __init__(self, counter: Counter, rows: Iterable[Sequence[str]]) -> None:
        self._rows = [counter.labels(*row) for row in rows]
        self.pending = [0] * len(self._rows)

    def publish(self) -> None:
        """Move what is pending into the counter."""
        for index, count in enumerate(self.pending):
            if count:
                self._rows[index].inc(count)
                self.pending[index] = 0


class Timings:
    """A histogram's observations, of seconds or of sizes."""

    __slots__ = ("_bounds", "_histogram", "_pending", "_total")

    def __init__(self, histogram: Histogram) -> None:
        """`histogram` must have no labels left open."""
        self._histogram = histogram
        # Bulk adding is not in the public interface; a test holds these two names to `observe`.
        self._bounds = list(histogram._upper_bounds)  # noqa: SLF001
        self._pending = [0] * len(self._bounds)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one value into its bucket."""
        self._pending[bisect_left(self._bounds, value)] += 1
        self._total += value

    def publish(self) -> None:
        """Move what is pending into the histogram."""
        for index, count in enumerate(self._pending):
            if count:
                self._histogram._buckets[index].inc(count)  # noqa: SLF001
                self._pending[index] = 0
        self._histogram._sum.inc(self._total)  # noqa: SLF001
        self._total = 0.0


class Requests:
    """Requests and their latency by route and status, for one app."""

    __slots__ = ("_app", "_counts", "_timings")

    def __init__(self, app: str) -> None:
        self._app = app
        self._counts: dict[tuple[str, int], int] = {}
        self._timings: dict[str, Timings] = {}

    def add(self, route: str, status: int, seconds: float) -> None:
        """Count one answer; `route` is a name from the route table, or UNMATCHED."""
        key = (route, status)
        self._counts[key] = self._counts.get(key, 0) + 1
        timings = self._timings.get(route)
        if timings is None:
            timings = Timings(http_request_seconds.labels(self._app, route))
            self._timings[route] = timings
        timings.observe(seconds)

    def publish(self) -> None:
        """Move what is pending into the metrics."""
        for (route, status), count in self._counts.items():
            http_requests.labels(self._app, route, str(status)).inc(count)
        self._counts.clear()
        for timings in self._timings.values():
            timings.publish()


async def publish_forever(tallies: Sequence[Tally]) -> None:
    """Publish at an interval until cancelled, and once more then."""
    try:
        while True:
            await asyncio.sleep(PUBLISH_INTERVAL_S)
            publish(tallies)
    finally:
        publish(tallies)


def publish(tallies: Iterable[Tally]) -> None:
    """Publish all of them now."""
    for tally in tallies:
        tally.publish()
