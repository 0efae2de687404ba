"""Rate limits: what a caller may do in a time, where it stands, and how the headers say it.

The limits are those of the generic cell rate algorithm: a caller saves up at most one window's
quota and earns it back evenly, one every `Policy.each_us`. The headers are those of
draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MINUTE_S: Final = 60
SECOND_US: Final = 1_000_000
#: Calls of others that are made at once.
SAVED_MAX: Final = 10


class Policy(NamedTuple):
    """So many requests in a window; `name` is a token of the headers and of a metric."""

    name: str
    quota: int
    window_s: int = MINUTE_S

    @property
    def each_us(self) -> int:
        """Microseconds in which one request is earned, rounded up so that none is given away."""
        return -(-self.window_s * SECOND_US // self.quota)

    @property
    def header(self) -> str:
        """As an item of `RateLimit-Policy`."""
        return f'"{self.name}";q={self.quota};w={self.window_s}'


class Pace(NamedTuple):
    """Calls of others that we make: `saved` of them at once, and one more every `each_us`."""

    saved: int
    each_us: int


def pace(per_minute: int) -> Pace:
    """The pace at which no minute, wherever it begins, has more than `per_minute` calls, at least
    two. Few are made at once, because some who allow many a minute allow few a second.
    """
    saved = min(max(2, per_minute // 4), SAVED_MAX)
    return Pace(saved, -(-MINUTE_S * SECOND_US // (per_minute - saved + 1)))


class Standing(NamedTuple):
    """Where a caller stands: how many requests were `spent` on this question and are `left`, how
    long until one more can be spent, and until the whole quota is there again.
    """

    policy: Policy
    spent: int
    left: int
    wait_us: int
    reset_us: int

    @property
    def header(self) -> str:
        """As an item of `RateLimit`."""
        return f'"{self.policy.name}";r={self.left};t={seconds(self.reset_us)}'

    @property
    def retry_after_s(self) -> int:
        """Whole seconds after which a refused caller may come again, at least one."""
        return max(1, seconds(self.wait_us))


def seconds(duration_us: int) -> int:
    """Microseconds in whole seconds, rounded up: who waits that long has waited enough."""
    return -(-duration_us // SECOND_US)
