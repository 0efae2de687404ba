"""Every process and every server is killed under load, and nothing that was answered is amiss."""

from __future__ import annotations

import random
import time

import pytest

from tests.chaos import load, oracle, stack

VICTIMS = ("redirector", "gateway", "flusher", "relay", "jobs", "redis", "postgres")
SEEDS = (1, 2, 3)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_answered_is_stored_once_whoever_is_killed(seed: int) -> None:
    rng = random.Random(seed)
    with stack.running() as running:
        with load.loaded(running, seed) as history:
            for victim in rng.sample(VICTIMS, len(VICTIMS)):
                time.sleep(rng.uniform(0.1, 0.6))
                running.kill(victim, rng)
            running.wait_ready()
            time.sleep(0.5)
        problems = oracle.verify(running, history)
        assert problems == [], running.tails()
    counts = history.counts()
    assert counts["clicks"] > 100
    assert counts["deeds"] > 100
