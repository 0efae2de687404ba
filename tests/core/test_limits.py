"""Policies, and how the headers say where a caller stands."""

from __future__ import annotations

import pytest

from core.errors import RateLimited
from core.limits import Policy, Standing, seconds

POLICY = Policy("caller", 100)


def test_the_headers_are_lists_of_strings_with_parameters() -> None:
    assert POLICY.header == '"caller";q=100;w=60'
    assert Standing(POLICY, 1, 50, 0, 29_000_001).header == '"caller";r=50;t=30'


@pytest.mark.parametrize(("quota", "each_us"), [(100, 600_000), (7, 8_571_429), (1_000_000, 60)])
def test_no_request_is_given_away_by_rounding(quota: int, each_us: int) -> None:
    policy = Policy("caller", quota)
    assert policy.each_us == each_us
    assert policy.each_us * quota >= 60_000_000


@pytest.mark.parametrize(("wait_us", "retry_s"), [(0, 1), (1, 1), (1_000_000, 1), (1_000_001, 2)])
def test_who_waits_as_long_as_told_has_waited_enough(wait_us: int, retry_s: int) -> None:
    standing = Standing(POLICY, 0, 0, wait_us, wait_us)
    assert standing.retry_after_s == retry_s
    assert RateLimited(standing=standing).retry_after_s == retry_s
    assert RateLimited(standing=standing, retry_after_s=9).retry_after_s == 9
    assert seconds(wait_us) * 1_000_000 >= wait_us
