"""A process dies under load at each point where it matters, and no answer turns out wrong."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.chaos import hooks, load, oracle, points, source, stack
from tests.chaos.load import History
from tests.chaos.points import POINTS, SOON, Point
from tests.chaos.stack import Stack
from tests.chaos.table import Table

SEEDS = 20


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source with all points in it, none of them armed."""
    patches = [SOON, *(point.applied for point in POINTS)]
    made = source.copy(tmp_path_factory.mktemp("points"), patches)
    points.install(made)
    return made


@pytest.mark.chaos
@pytest.mark.timeout(0)
def test_whoever_dies_wherever_nothing_answered_is_amiss(copied: Path) -> None:
    failures: dict[str, list[str]] = defaultdict(list)
    for seed in range(1, SEEDS + 1):
        rng, history = random.Random(seed), History()
        with (
            hooks.receiving() as told,
            stack.running(copied, webhook_url=told.url) as running,
        ):
            for point in rng.sample(POINTS, len(POINTS)):
                problems = die_at(running, point, rng, history)
                failures[point.name] += [f"seed {seed}: {problem}" for problem in problems[:3]]
            failures["all webhooks"] += oracle.verify(running, history, hooks=told)
        print(f"seed {seed}: {history.counts()}")  # noqa: T201
    table = Table("Killed at a named point", "point", "seeds", "wrong")
    for name, problems in sorted(failures.items()):
        table.add(name, SEEDS, len(problems))
    table.show()
    assert {name: problems for name, problems in failures.items() if problems} == {}


def die_at(running: Stack, point: Point, rng: random.Random, history: History) -> list[str]:
    """Let a process die there, and say what is wrong afterwards."""
    with load.loaded(running, rng.randrange(1 << 30), history):
        time.sleep(rng.uniform(0.0, 0.2))
        points.hit(running, point)
        running.wait_ready()
    return oracle.verify(running, history)
