"""With one guard taken out the battery fails: that is what its passing is worth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import source, stack
from tests.chaos.controls import CONTROLS, Control
from tests.chaos.points import POINTS, SOON
from tests.chaos.table import Table

SEEDS = 20
NEEDED = 19

each_control = pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)


def problems_of(control: Control, seed: int, folder: Path, *, has_guard: bool) -> list[str]:
    """What the scenario finds wrong, with the guard or without."""
    patches = control.setting if has_guard else (*control.setting, control.guard)
    copied = source.copy(folder / f"{seed}-{has_guard}", patches)
    with stack.running(copied, **control.chosen) as running:
        return control.scenario(running, seed)


def test_every_patch_still_finds_its_place(tmp_path: Path) -> None:
    for control in CONTROLS:
        source.copy(tmp_path / control.name, [*control.setting, control.guard])
    source.copy(tmp_path / "points", [SOON, *(point.applied for point in POINTS)])
    for path in (tmp_path / "points").rglob("*.py"):
        compile(path.read_text(), path, "exec")


@pytest.mark.timeout(120)
@each_control
def test_without_a_guard_the_battery_fails(control: Control, tmp_path: Path) -> None:
    problems = problems_of(control, 1, tmp_path, has_guard=False)
    assert any(control.symptom in problem for problem in problems), problems[:10]


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    made = Table("One guard taken out", "guard", "seeds", "failed without it", "failed with it")
    yield made
    made.show()


@pytest.mark.chaos
@pytest.mark.timeout(0)
@each_control
def test_a_guard_is_missed_in_19_of_20_seeds_and_its_presence_in_none(
    control: Control, tmp_path: Path, table: Table
) -> None:
    seeds = range(1, SEEDS + 1)
    without = [problems_of(control, seed, tmp_path, has_guard=False) for seed in seeds]
    intact = [problems_of(control, seed, tmp_path, has_guard=True) for seed in seeds]
    failed = [sum(map(bool, runs)) for runs in (without, intact)]
    table.add(control.name, SEEDS, *failed)
    assert [problems[:3] for problems in intact if problems] == []
    assert failed[0] >= NEEDED
