"""Reads the calls of networks, and tries again what waits for a click or a rate."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from core import conversions as conversions_
from core import money
from core.keyring import KeyRing
from core.money import Money
from core.settings import Settings
from core.tasks import TellCashback
from db import conversions, intake, networks, notices, outbox, pg, postbacks
from db.bookings import Act
from db.pg import Db
from workers import loop, seal
from workers.broker import Tools

log: Final = logging.getLogger("stampgate.conversions")

IDLE_S: Final = 0.2
LOOKED_AT: Final = 2_000
BATCH: Final = 500
#: How long a network rests that cannot be read, and a conversion that cannot be taken.
REST_MS: Final = 10_000
REST: Final = dt.timedelta(hours=1)


class Work(NamedTuple):
    """What is done with a network's calls or conversions: all at once, or if that fails one by one;
    `set_aside` is for what fails even then.
    """

    names: Callable[[Db], Awaitable[Sequence[str]]]
    take: Callable[[Db, str | None], Awaitable[int]]
    set_aside: Callable[[Db, str], Awaitable[None]]


class Conversions:
    """One reader; any number may run at a time: a network's calls are read by one of them."""

    def __init__(self, settings: Settings, pool: pg.Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._skipped: dict[str, int] = {}

    async def step(self, now_ms: int) -> int:
        """Read what waits; returns how many calls and conversions that were."""
        act = acting(self._settings, now_ms, "network")
        async with self._pool.acquire() as db:
            called = await postbacks.waiting(db, LOOKED_AT)
            parked = await conversions.waiting(db, act.at, LOOKED_AT)
        # Not before PostgreSQL was reached: to wait for it says more than that there are no keys.
        ring = seal.read_ring(Path(self._settings.keyring_file))
        done = 0
        for program_id, network_id in called:
            work = _reading(ring, program_id, network_id, act)
            done += await self._one(ring, program_id, network_id, now_ms, work)
        for program_id, network_id in parked:
            work = _trying(ring, program_id, network_id, act)
            done += await self._one(ring, program_id, network_id, now_ms, work)
        return done

    async def _one(
        self, ring: KeyRing, program_id: str, network_id: str, now_ms: int, work: Work
    ) -> int:
        """One network's fault is not to keep the others waiting, nor to be tried all the time."""
        if now_ms < self._skipped.get(network_id, 0):
            return 0
        async with self._pool.acquire() as db:
            try:
                return await self._take(db, work, None)
            except pg.NOT_NOW:
                raise
            except Exception:
                log.exception("reports of %s could not be taken at once", network_id)
            try:
                networks.made(ring, await networks.get(db, program_id, network_id))
                return await self._apart(db, network_id, work)
            except pg.NOT_NOW:
                raise
            except Exception:
                log.exception("reports of %s could not be taken", network_id)
                self._skipped[network_id] = now_ms + REST_MS
                return 0

    async def _apart(self, db: Db, network_id: str, work: Work) -> int:
        """Each in a transaction of its own, so that the one at fault is found, and set aside."""
        done = 0
        for name in await work.names(db):
            try:
                done += await self._take(db, work, name)
            except pg.NOT_NOW:
                raise
            except Exception:
                log.exception("%s of %s could not be taken", name, network_id)
                await work.set_aside(db, name)
        return done

    @staticmethod
    async def _take(db: Db, work: Work, only: str | None) -> int:
        async with db.transaction():
            return await work.take(db, only)


def _reading(ring: KeyRing, program_id: str, network_id: str, act: Act) -> Work:
    async def names(db: Db) -> Sequence[str]:
        return await postbacks.unread_ids(db, program_id, network_id, BATCH)

    async def take(db: Db, only: str | None) -> int:
        return len(await intake.process(db, ring, program_id, network_id, act, only=only))

    async def set_aside(db: Db, name: str) -> None:
        await intake.fail(db, program_id, name, act)

    return Work(names, take, set_aside)


def _trying(ring: KeyRing, program_id: str, network_id: str, act: Act) -> Work:
    async def names(db: Db) -> Sequence[str]:
        return await conversions.due(db, program_id, network_id, act.at, BATCH)

    async def take(db: Db, only: str | None) -> int:
        network = await networks.lock(db, program_id, network_id)
        return await conversions.retry(db, ring, network, act, BATCH, only=only)

    async def set_aside(db: Db, name: str) -> None:
        await conversions.put_off(db, program_id, name, act.at + REST)

    return Work(names, take, set_aside)


def acting(settings: Settings, now_ms: int, by: str) -> Act:
    """Who takes reports now."""
    patience = dt.timedelta(days=settings.click_patience_days)
    return Act(by, conversions_.moment(now_ms), patience)


async def tell(tools: Tools, row_id: int, task: TellCashback) -> None:
    """Tell members of cashback that was credited, unless it was taken back meanwhile."""
    async with tools.pool.acquire() as db, db.transaction():
        for one in await conversions.to_tell(db, task.conversion_ids):
            assert one.member_id is not None
            assert one.booked_currency is not None
            amount = Money(one.booked_cashback_minor, one.booked_currency)
            notice = notices.Notice(
                program_id=one.program_id,
                member_id=one.member_id,
                template="cashback_credited",
                variables={"amount": money.text(amount)},
                dedupe_key=f"{one.id}_credited",
            )
            await notices.tell(db, tools.ring, notice)
        await outbox.done(db, row_id)


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[loop.Step]:
    """The step of a reader with its own connections."""
    async with pg.open_pool(settings) as pool:
        yield Conversions(settings, pool).step
