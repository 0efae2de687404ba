"""How much a benchmark measures."""

from __future__ import annotations

from typing import Final, NamedTuple


class Effort(NamedTuple):
    """Rounds of each closed and open case, the seconds of each and of loops at a rate of their own,
    the flusher's events, and what a network has to tell.

    wrk knows whole seconds only.
    """

    rounds: int
    closed_s: int
    open_rounds: int
    open_s: float
    steady_s: float
    clicks: int
    awards: int
    conversions: int
    is_quick: bool


FULL: Final = Effort(5, 2, 3, 60.0, 20.0, 400_000, 200_000, 100_000, is_quick=False)
QUICK: Final = Effort(1, 1, 1, 2.0, 5.0, 150_000, 100_000, 10_000, is_quick=True)
