"""What one run against one server gave."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Measured(NamedTuple):
    """`per_second` counts good answers; times are milliseconds from the (intended) start.

    `stall_ms` is the longest time that the generator itself was late; wrk tells no `p95_ms`.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    stall_ms: float = 0.0
    p95_ms: float | None = None


def summarize(
    latencies_s: Sequence[float], seconds: float, errors: int, stall_s: float = 0.0
) -> Measured:
    """The figures of a run that took `seconds`."""
    ordered = sorted(latencies_s)
    return Measured(
        per_second=len(ordered) / seconds,
        p50_ms=percentile(ordered, 50) * 1000,
        p99_ms=percentile(ordered, 99) * 1000,
        max_ms=percentile(ordered, 100) * 1000,
        errors=errors,
        stall_ms=stall_s * 1000,
        p95_ms=percentile(ordered, 95) * 1000,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed (nearest rank); 0 of nothing."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def median(rounds: Sequence[Measured]) -> Measured:
    """The median of each figure over the rounds, but the worst maximum and all errors."""
    return Measured(
        per_second=statistics.median(one.per_second for one in rounds),
        p50_ms=statistics.median(one.p50_ms for one in rounds),
        p99_ms=statistics.median(one.p99_ms for one in rounds),
        max_ms=max(one.max_ms for one in rounds),
        errors=sum(one.errors for one in rounds),
        stall_ms=max(one.stall_ms for one in rounds),
        p95_ms=_median([one.p95_ms for one in rounds]),
    )


def _median(known: Sequence[float | None]) -> float | None:
    values = [one for one in known if one is not None]
    return statistics.median(values) if len(values) == len(known) else None
