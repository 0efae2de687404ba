"""Rate limits and failed tries, counted in Redis for all processes together."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from core.limits import Pace, Policy, Standing
from db import keys, redis

#: For how long a try counts of which nobody says how it ended, in microseconds.
TRY_US: Final = 30_000_000

What = Literal["try", "look", "fail", "pass"]


class Verdict(NamedTuple):
    """Whether to go on, and otherwise after how many microseconds."""

    may_go_on: bool
    wait_us: int


async def spend(
    connection: redis.Connection,
    policy: Policy,
    who: str,
    now_us: int,
    *,
    least: int = 1,
    most: int = 1,
) -> Standing:
    """Spend as many requests as there are of `most`, or none when there are fewer than `least`.

    Exact over all processes whose clocks agree. `now_us` is the Unix time in microseconds.
    Raises as `Connection.run`.
    """
    reply = await connection.run(
        redis.RATE_LIMIT,
        (keys.rate_limit(policy.name, who),),
        (now_us, policy.each_us, policy.quota, least, most),
    )
    return Standing(policy, *reply)


async def give_back(
    connection: redis.Connection, policy: Policy, who: str, now_us: int, count: int
) -> None:
    """Give back what was spent and not used; raises as `Connection.run`."""
    await spend(connection, policy, who, now_us, least=0, most=-count)


async def look(connection: redis.Connection, policy: Policy, who: str, now_us: int) -> Standing:
    """Where a caller stands, without spending; raises as `Connection.run`."""
    return await spend(connection, policy, who, now_us, least=0, most=0)


async def call(connection: redis.Connection, pace: Pace, who: str, now_us: int) -> int:
    """Count a call of somebody else's API that is made now: 0; or the microseconds for which it has
    to wait, and then it is not counted. Exact and raises as `spend`.
    """
    spent, _, wait_us, _ = await connection.run(
        redis.RATE_LIMIT,
        (keys.rate_limit("calls", who),),
        (now_us, pace.each_us, pace.saved, 1, 1),
    )
    return 0 if spent else int(wait_us)


async def tried(
    connection: redis.Connection,
    what: What,
    policy: Policy,
    who: str,
    now_us: int,
    name: str,
) -> Verdict:
    """Remember a try (`try`), its end (`fail`, `pass`), or only `look`; see the script.

    At most `policy.quota` failures and tries under way are let through in a window, exactly, over
    all processes. `name` is unlike that of any other try. Raises as `Connection.run`.
    """
    window_us = policy.window_s * 1_000_000
    reply = await connection.run(
        redis.FAILURES,
        (keys.failures(who),),
        (what, now_us, policy.quota, window_us, min(TRY_US, window_us), name),
    )
    return Verdict(bool(reply[0]), reply[1])
