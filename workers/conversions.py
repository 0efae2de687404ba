"""Reads the calls of networks, and tries again what waits for a click or a rate."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

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
            done += await self._one(network_id, now_ms, _reading(ring, program_id, network_id, act))
        for program_id, network_id in parked:
            done += await self._one(network_id, now_ms, _trying(ring, program_id, network_id, act))
        return done

    async def _one(self, network_id: str, now_ms: int, work: Work) -> int:
        """One network's fault is not to keep the others waiting, nor to be tried all the time."""
        if now_ms < self._skipped.get(network_id, 0):
            return 0
        async with self._pool.acquire() as db:
            try:
                async with db.transaction():
                    return await work(db)
            except pg.CONNECTION_ERRORS:
                raise
            except Exception:
                log.exception("reports of %s could not be taken", network_id)
                self._skipped[network_id] = now_ms + 10_000
                return 0


Work = Callable[[Db], Awaitable[int]]


def _reading(ring: KeyRing, program_id: str, network_id: str, act: Act) -> Work:
    async def work(db: Db) -> int:
        return len(await intake.process(db, ring, program_id, network_id, act))

    return work


def _trying(ring: KeyRing, program_id: str, network_id: str, act: Act) -> Work:
    async def work(db: Db) -> int:
        network = await networks.lock(db, program_id, network_id)
        return await conversions.retry(db, ring, network, act, BATCH)

    return work


def acting(settings: Settings, now_ms: int, by: str) -> Act:
    """Who takes reports now."""
    patience = dt.timedelta(days=settings.click_patience_days)
    return Act(by, conversions_.moment(now_ms), patience)


async def tell(tools: Tools, row_id: int, task: TellCashback) -> None:
    """Tell the member of cashback that was credited, unless it was taken back meanwhile."""
    async with tools.pool.acquire() as db, db.transaction():
        found = await conversions.to_tell(db, task.conversion_id)
        if found is not None and found.member_id is not None and found.booked_currency is not None:
            amount = Money(found.booked_cashback_minor, found.booked_currency)
            notice = notices.Notice(
                program_id=found.program_id,
                member_id=found.member_id,
                template="cashback_credited",
                variables={"amount": money.text(amount)},
                dedupe_key=f"{found.id}_credited",
            )
            await notices.tell(db, tools.ring, notice)
        await outbox.done(db, row_id)


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[loop.Step]:
    """The step of a reader with its own connections."""
    async with pg.open_pool(settings) as pool:
        yield Conversions(settings, pool).step
