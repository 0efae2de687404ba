from __future__ import annotations

import msgspec
import pytest

from loadtests import comparison, summary
from loadtests.peers import running
from loadtests.results import Row, Target
from loadtests.subjects import LIMIT
from tests.loadtests.test_results import row, some_results

OURS = row(lane="fast")
BUN = running.BUN_WRITE.name


def worth(measured: Row, value: float) -> Row:
    return msgspec.structs.replace(measured, value=value, each=[value] * measured.rounds)


def peer(value: float, name: str = BUN, **facts: object) -> Row:
    return worth(row(subject=name, **facts), value)


def test_a_ratio_is_ours_divided_by_theirs_under_the_same_conditions() -> None:
    rows = [OURS, worth(row(lane="ordinary"), 1), peer(10_000), peer(1, connections=256)]
    ratios = [found.ratio for found in comparison.with_ratios(rows)]
    assert ratios == [None, None, 1.5, None]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    ours = msgspec.structs.replace(OURS, each=[30_000, 10_000, 5_000])
    theirs = msgspec.structs.replace(peer(10_000), each=[10_000, 20_000, 1_000])
    assert comparison.with_ratios([ours, theirs])[1].ratio == 3


def test_the_limit_is_held_against_the_usual_link_and_the_safe_sync() -> None:
    limit = peer(50_000, LIMIT, link="-", durability="-")
    found = comparison.with_ratios([OURS, limit])[1]
    assert found.ratio == pytest.approx(0.3)
    assert found.target is not None
    assert found.target.met(found)


@pytest.mark.parametrize(("headers", "wanted"), [("short", 1.15), ("1 KiB", 1.1)])
def test_bun_shall_be_beaten_by_less_with_long_headers(headers: str, wanted: float) -> None:
    rows = comparison.with_ratios([row(lane="fast", headers=headers), peer(1, headers=headers)])
    assert rows[1].target == Target(ratio_at_least=wanted)


def test_the_summary_shows_a_peer_that_wins_in_bold() -> None:
    rows = comparison.with_ratios([OURS, peer(30_000), peer(5_000, "Node + ioredis")])
    lines = summary.text(some_results(*rows)).splitlines()
    assert f"| stampgate | {BUN} | Node + ioredis |" in lines
    assert "| 15,000 | **30,000** (0.50) | 5,000 (3.00) |" in lines
    assert "Missing: nginx." in lines


def test_the_summary_names_the_conditions_that_differ() -> None:
    rows = [OURS, peer(10_000), row(lane="fast", connections=256), peer(10_000, connections=256)]
    lines = summary.text(some_results(*comparison.with_ratios(rows))).splitlines()
    assert f"| connections | stampgate | {BUN} |" in lines
    assert "| 256 | **15,000** | 10,000 (1.50) |" in lines


def test_the_limit_stands_beside_those_that_work_and_wins_nothing() -> None:
    rows = comparison.with_ratios([OURS, peer(50_000, LIMIT, link="-", durability="-"), peer(9)])
    lines = summary.text(some_results(*rows)).splitlines()
    assert "| **15,000** | 50,000 (0.30) | 9 (1,666.67) |" in lines


def test_without_peers_the_summary_says_so() -> None:
    assert "No peer was measured." in summary.text(some_results(OURS))
