"""Locust's shape for the profile `mixed_day`: as many paced users as the day's rate wants."""

from __future__ import annotations

import os
from typing import Final

from locust import LoadTestShape

from loadtests import shapes

SECONDS: Final = float(os.environ["STAMPGATE_LOAD_SECONDS"])
SPAWNED_A_SECOND: Final = 100


class MixedDay(LoadTestShape):
    """A day pressed into the run."""

    def tick(self) -> tuple[int, float] | None:
        """How many users there shall be now, and how fast they come; None ends the run."""
        elapsed_s: float = self.get_run_time()
        rate = shapes.rate_at(elapsed_s, SECONDS)
        return None if rate is None else (rate, SPAWNED_A_SECOND)
