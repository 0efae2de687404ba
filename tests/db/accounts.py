"""Accounts to award to: what tests of the award path ask, and what they are told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

from core import events, ids
from core.programs import Program, ProgramSettings, UnitRules
from db import awards, decisions, keys, points, redis
from db.pg import Pool

PROGRAM = "prg_01h455vb4pex5vsknk084sn02q"
NOW_MS = 1_768_478_400_000
MEMBER = "mem_1"
WHERE = ids.partition_of(PROGRAM, MEMBER, keys.AWARD_PARTITIONS)
FREE = Program(PROGRAM, "Asia/Kolkata", ProgramSettings())

_keys = itertools.count(1)


def limited(**rules: int) -> Program:
    """The program with rules for both units."""
    both = UnitRules(**rules)
    return FREE._replace(settings=ProgramSettings(points=both, stamps=both))


def ask(op: awards.Op, amount: int = 0, **more: object) -> awards.Ask:
    """A question with a key of its own, unless one is given."""
    base = awards.Ask(op, FREE, "test", f"key-{next(_keys)}", "points", amount, MEMBER)
    return base._replace(**more)  # type: ignore[arg-type] # the fields' own types


def closing(op: awards.Op, hold: decisions.Decision, amount: int = 0, **more: object) -> awards.Ask:
    """Capture, release or expire a hold of the member."""
    where = ask("hold").where
    return ask(op, amount, partition=where, member_id="", related=name(hold), **more)


def name(decision: decisions.Decision) -> str:
    """How events refer to one another."""
    return f"{decision.generation}-{decision.sequence}"


async def written(connection: redis.Connection) -> list[events.PointsEvent]:
    """All events that wait in the member's partition."""
    entries = await connection.call("XRANGE", keys.award_stream(WHERE), "-", "+")
    return [event for _, fields in entries for event in events.decode_points(fields[1])]


async def open_heads(connection: redis.Connection, generation: int = 1, sequence: int = 0) -> None:
    """Open all partitions as the flusher does."""
    for number in range(keys.AWARD_PARTITIONS):
        head = (generation, sequence, connection.run_id, 1)
        assert await connection.run(redis.POINTS_HEAD, (keys.award_head(number),), head) == 1


class Bank:
    """Asks and waits."""

    def __init__(self, state: points.Points, pool: Pool) -> None:
        self.state = state
        self.pool = pool

    async def decide(self, asked: awards.Ask, now_ms: int = NOW_MS) -> decisions.Decision:
        return await awards.decide(self.state, self.pool, asked, now_ms)

    async def together(
        self, asked: Sequence[awards.Ask], now_ms: int = NOW_MS
    ) -> list[decisions.Outcome]:
        """What the script says to questions of one turn."""
        return await asyncio.gather(*(awards.place(self.state, one, now_ms) for one in asked))

    async def balance(self, member_id: str = MEMBER, unit: str = "points") -> tuple[int, int]:
        """Available and held."""
        found = await self.state.balances(PROGRAM, member_id)
        assert found is not None
        return found[unit]


async def quiet(_db: object, _placed: object, _clicks: object) -> None:
    """Nobody listens to what is flushed."""
