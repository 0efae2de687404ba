"""A process or a server dies between every two steps of settlement and payout: each member is paid
once, and the books are right.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance import world
from tests.acceptance.story import ACTS, open_shop
from tests.acceptance.world import World
from tests.chaos import settling
from tests.chaos.settling import CONTROLS, STOPS, VICTIMS, Control
from tests.chaos.table import Table

SEEDS: Final = 3
#: Signing up is another matter.
STEPS: Final = tuple(ACTS)[1:]
# Many members sign up from one address, and the owner stays signed in.
CHOSEN: Final = {
    "gateway_processes": "1",
    "redirector_processes": "1",
    "access_ttl_s": "86400",
    "code_network_hourly": "0",
    "rate_anonymous_per_minute": "0",
    "rate_caller_per_minute": "0",
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source with all points in it, none of them armed."""
    return settling.copied(tmp_path_factory.mktemp("settling") / "source")


@contextmanager
def opened(copied: Path, folder: Path) -> Iterator[World]:
    """A world with its shop open, run from a copy of the source."""
    folder.mkdir()
    with world.running(folder, copied, **CHOSEN) as found:
        found.loop.run(open_shop(found))
        yield found


@pytest.mark.timeout(180)
def test_a_member_is_paid_once_whoever_is_killed(copied: Path, tmp_path: Path) -> None:
    with opened(copied, tmp_path / "world") as found:
        seen = settling.killed(found, 1, random.Random(1), settling.QUICK)
        assert seen == [], found.stack.tails()


@pytest.mark.chaos
@pytest.mark.timeout(0)
def test_a_member_is_paid_once_whoever_is_killed_between_any_two_steps(
    copied: Path, tmp_path: Path
) -> None:
    wrong: dict[str, list[str]] = defaultdict(list)
    for seed in range(1, SEEDS + 1):
        rng, numbers = random.Random(seed), itertools.count(1)
        with opened(copied, tmp_path / f"seed-{seed}") as found:
            for victim in rng.sample(VICTIMS, len(VICTIMS)):
                seen = settling.killed(found, next(numbers), rng, dict.fromkeys(STEPS, victim))
                wrong[victim] += [f"seed {seed}: {problem}" for problem in seen]
    table = Table("Killed in each step from the click to the bank", "victim", "kills", "wrong")
    for victim in VICTIMS:
        table.add(victim, SEEDS * len(STEPS), len(wrong[victim]))
    table.show()
    assert {victim: seen for victim, seen in wrong.items() if seen} == {}


@pytest.mark.chaos
@pytest.mark.timeout(0)
def test_a_member_is_paid_once_wherever_somebody_dies(copied: Path, tmp_path: Path) -> None:
    wrong: dict[str, list[str]] = defaultdict(list)
    for seed in range(1, SEEDS + 1):
        rng, numbers = random.Random(seed), itertools.count(1)
        with opened(copied, tmp_path / f"seed-{seed}") as found:
            for at in rng.sample(STOPS, len(STOPS)):
                seen = settling.stopped(found, next(numbers), at)
                wrong[at.point.name] += [f"seed {seed}: {problem}" for problem in seen]
    table = Table("Killed at a named point on the way to the bank", "point", "seeds", "wrong")
    for at in STOPS:
        table.add(at.point.name, SEEDS, len(wrong[at.point.name]))
    table.show()
    assert {name: seen for name, seen in wrong.items() if seen} == {}


def test_every_patch_of_the_controls_finds_its_place(tmp_path: Path) -> None:
    for number, control in enumerate(CONTROLS):
        more = (*control.setting, control.guard)
        made = settling.copied(tmp_path / str(number), *more)
        for patch in (*settling.SOON, *(one.point.patch for one in STOPS), *more):
            compile((made / patch.path).read_text(), patch.path, "exec")


@pytest.mark.chaos
@pytest.mark.timeout(0)
@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_without_a_guard_the_battery_fails(control: Control, tmp_path: Path) -> None:
    for guards in ((), (control.guard,)):
        made = settling.copied(tmp_path / f"source-{len(guards)}", *control.setting, *guards)
        with opened(made, tmp_path / f"world-{len(guards)}") as found:
            seen = settling.stopped(found, 1, control.at)
        assert any(control.symptom in problem for problem in seen) == bool(guards), seen
