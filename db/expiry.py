"""Holds whose time is up: what they set aside goes back to the member."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, cast

from core import errors, events
from core.programs import Program, ProgramSettings
from db import awards, decisions, keys, points
from db.redis import Connection

CALLER: Final = "expiry"
#: Holds of one partition that are closed at a time: those of one script call.
BATCH_MAX: Final = points.ITEMS_MAX


async def expire_due(state: points.Points, redis: Connection, now_ms: int) -> int:
    """Close holds that expired by `now_ms`; returns how many. Raises as `Points.submit`.

    A hold that is captured or released meanwhile stays so. Partitions that are closed for a
    rebuild are passed over.
    """
    closed = await asyncio.gather(
        *(_expire(state, redis, number, now_ms) for number in range(keys.AWARD_PARTITIONS))
    )
    return sum(closed)


async def _expire(state: points.Points, redis: Connection, number: int, now_ms: int) -> int:
    with contextlib.suppress(errors.NotOpen):
        generation = await state.generation(number)
        due: list[bytes] = await redis.call(
            *("ZRANGEBYSCORE", keys.award_hold_expiries(number, generation)),
            *("-inf", now_ms, "LIMIT", 0, BATCH_MAX),
        )
        if due:
            holds = await redis.call("HMGET", keys.award_holds(number, generation), *due)
            asked = [
                awards.place(state, _ask(number, key, value), now_ms)
                for key, value in zip(due, holds, strict=True)
                if value is not None
            ]
            outcomes = await asyncio.gather(*asked)
            return sum(outcome.status == decisions.DONE for outcome in outcomes)
    return 0


def _ask(number: int, key: bytes, value: bytes) -> awards.Ask:
    """`value` is the account's field and the amount, as the script stores an open hold."""
    program_id, _, unit = events.parse_account(value.decode().rpartition(" ")[0])
    return awards.Ask(
        op="expire",
        # Closing a hold asks for no rule of the program.
        program=Program(program_id, "UTC", ProgramSettings()),
        caller=CALLER,
        key="",
        unit=cast("awards.Unit", unit),
        amount=0,
        partition=number,
        related=key.decode(),
    )
