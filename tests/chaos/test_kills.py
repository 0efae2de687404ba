"""Every process and every server is killed under load, and nothing that was answered is amiss."""

from __future__ import annotations

import random
import time

import pytest

from tests.chaos import hooks, load, oracle, stack
from tests.chaos.faults import FAULTS
from tests.chaos.load import History
from tests.chaos.stack import Stack
from tests.chaos.table import Table

VICTIMS = ("redirector", "gateway", "flusher", "relay", "jobs", "redis", "postgres")
SEEDS = (1,)
LONG_SEEDS = 20


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_answered_is_stored_once_whoever_is_killed(seed: int) -> None:
    rng, history = random.Random(seed), History()
    with stack.running() as running:
        kill_all(running, rng, history)
        assert oracle.verify(running, history) == [], running.tails()
    assert history.redirects > 50
    assert history.done > 50


def kill_all(running: Stack, rng: random.Random, history: History) -> None:
    """Kill each victim once, in any order, while clients click and award."""
    with load.loaded(running, rng.randrange(1 << 30), history):
        for victim in rng.sample(VICTIMS, len(VICTIMS)):
            time.sleep(rng.uniform(0.05, 0.5))
            running.kill(victim, rng)
        running.wait_ready()
        load.answered(history, 50)


@pytest.mark.chaos
@pytest.mark.timeout(0)
def test_a_long_time_of_faults_leaves_nothing_answered_amiss() -> None:
    columns = ("seed", "faults", *History().counts(), "wrong")
    table, wrong = Table("Faults at random", *columns), []
    for seed in range(1, LONG_SEEDS + 1):
        rng, history = random.Random(seed), History()
        with hooks.receiving() as told, stack.running(webhook_url=told.url) as running:
            with load.loaded(running, seed, history):
                for name in rng.sample(list(FAULTS), len(FAULTS)):
                    FAULTS[name](running, rng)
                    time.sleep(rng.uniform(0.0, 0.5))
                running.wait_ready()
            problems = oracle.verify(running, history)
        table.add(seed, len(FAULTS), *history.counts().values(), len(problems))
        wrong += [f"seed {seed}: {problem}" for problem in problems[:3]]
    table.show()
    assert wrong == []
