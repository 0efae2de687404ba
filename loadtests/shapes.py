"""How the load moves over a day: a million transactions, with peaks of fifty a second."""

from __future__ import annotations

from typing import Final

DAY_S: Final = 86_400
# Transactions a second in each hour. The day's sum is 1,000,800: 11.6/s on average.
MIXED_DAY: Final = (
    3, 2, 1, 1, 1, 2, 4, 7, 9, 10, 11, 14,
    50, 18, 10, 9, 10, 11, 13, 16, 50, 14, 8, 4,
)  # fmt: skip
HOURS: Final = len(MIXED_DAY)


def rate_at(elapsed_s: float, run_s: float) -> int | None:
    """Transactions a second, the day being pressed into `run_s`; None when it is over."""
    if elapsed_s >= run_s:
        return None
    return MIXED_DAY[int(elapsed_s / run_s * HOURS)]


def transactions_a_day() -> int:
    """How many transactions the curve adds up to in a real day."""
    return sum(MIXED_DAY) * DAY_S // HOURS
