"""How much a benchmark measures."""

from __future__ import annotations

from typing import Final, NamedTuple


class Effort(NamedTuple):
    """Rounds of each closed case, the seconds of each loop, and the flusher's events."""

    rounds: int
    closed_s: float
    open_s: float
    clicks: int
    awards: int
    is_quick: bool


FULL: Final = Effort(5, 1.5, 60.0, 400_000, 200_000, is_quick=False)
QUICK: Final = Effort(1, 1.0, 2.0, 150_000, 100_000, is_quick=True)
