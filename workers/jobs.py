"""Performs tasks: one Dramatiq worker in this process, an actor for each task.

A message names a row of the outbox and the start it is good for. Whatever becomes of the process,
the row stays until its action has ended it, so at any point a kill costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import dramatiq
from dramatiq import Worker

from core import tasks
from core.errors import BadTask
from core.settings import Settings
from db import outbox, pg
from web import metrics
from workers import (
    broker,
    codes,
    conversions,
    inquiries,
    links,
    loop,
    notifications,
    payouts,
    privacy,
    reclassify,
    referrals,
    sync,
    webhooks,
)
from workers.broker import Tools

log: Final = logging.getLogger("stampgate.jobs")

# An action ends its row itself: done, put off or buried, in the transaction with its results.
Action = Callable[[Tools, int, Any], Coroutine[Any, Any, None]]
ACTIONS: Final[Mapping[type[tasks.Task], Action]] = {
    tasks.DeliverWebhook: webhooks.deliver,
    tasks.PublishLink: links.publish,
    tasks.SendNotification: notifications.send,
    tasks.SendCode: codes.send,
    tasks.ExportMember: privacy.export,
    tasks.EraseMember: privacy.erase,
    tasks.PayWithdrawal: payouts.pay,
    tasks.TellCashback: conversions.tell,
    tasks.TellReferral: referrals.tell,
    tasks.SyncNetwork: sync.sync,
    tasks.AskNetwork: inquiries.ask,
    tasks.Reclassify: reclassify.reclassify,
}

# Starts after which a task whose action fails is given up, and the waits between them.
FAILURES_MAX: Final = 15
RETRY_S_MAX: Final = 900
# How often what takes long says so: several times before the relay would send it again.
RENEW_S: Final = 15.0
# What stopping leaves of the time that the parent grants.
STOP_MARGIN_S: Final = 2.0


class Superseded(Exception):
    """Another start of the row was made, or it is done."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop`; exit when the connection to the queue is lost (see `Broker`)."""
    reached, ended = asyncio.Event(), asyncio.Event()
    watcher = asyncio.create_task(stop.wait())
    watcher.add_done_callback(lambda _: reached.set())
    watcher.add_done_callback(lambda _: ended.set())
    await loop.repeat("jobs", partial(_probe, settings, reached), reached, idle_s=0)
    if not stop.is_set():
        running = asyncio.get_running_loop()
        worker = start(settings, lambda: running.call_soon_threadsafe(ended.set))
        await ended.wait()
        grace_s = max(settings.shutdown_timeout_s - STOP_MARGIN_S, STOP_MARGIN_S) / 2
        await asyncio.to_thread(worker.stop, timeout=int(grace_s * 1000))
    if not stop.is_set():
        log.warning("jobs: the connection to the queue was lost")
        sys.exit(1)


def start(settings: Settings, on_lost: Callable[[], object]) -> Worker:
    """A running worker with all actors; blocks while it starts."""
    working, resources = broker.for_working(settings, on_lost)
    declare(working, resources)
    worker = Worker(working, worker_threads=settings.jobs_threads, worker_timeout=broker.IDLE_MS)
    worker.start()
    # Whoever is not run by Dramatiq's command line says so; else there is no limit of time.
    working.emit_after("process_boot")
    return worker


def declare(working: dramatiq.Broker, resources: broker.Resources) -> None:
    """Make the actor of each task known."""

    async def perform_row(row_id: int, attempt: int) -> None:
        await perform(resources.tools, row_id, attempt)

    for route in tasks.TASKS.values():
        limit_ms = broker.LONG_LIMIT_MS if route.is_long else broker.TIME_LIMIT_MS
        as_actor = dramatiq.actor(
            broker=working,
            actor_name=route.actor,
            queue_name=route.queue,
            time_limit=limit_ms,
        )
        as_actor(perform_row)


async def perform(tools: Tools, row_id: int, attempt: int) -> None:
    """Make one start of a row of the outbox, unless it was made before."""
    try:
        async with tools.pool.acquire() as db:
            task = await outbox.start(db, row_id, attempt)
    except BadTask as error:
        await _bury(tools, row_id, error)
        return
    if task is None:
        return
    name, started = tasks.TASKS[type(task)].actor, time.monotonic()
    outcome = "ended"
    try:
        if tasks.TASKS[type(task)].is_long:
            await _leased(tools, row_id, attempt + 1, ACTIONS[type(task)](tools, row_id, task))
        else:
            await ACTIONS[type(task)](tools, row_id, task)
    except asyncio.CancelledError:
        outcome = "cut_short"
        log.warning("%s: start %d of row %d took too long", name, attempt + 1, row_id)
        raise
    except Superseded:
        outcome = "superseded"
        log.warning("%s: start %d of row %d is not the latest any more", name, attempt + 1, row_id)
    except loop.AWAY as error:
        outcome = "away"
        log.warning("%s: row %d waits: %s", name, row_id, type(error).__name__)
        await _put_off(tools, row_id, attempt + 1)
    except Exception as error:
        outcome = "failed"
        log.exception("%s: start %d of row %d failed", name, attempt + 1, row_id)
        await _failed(tools, row_id, attempt + 1, error)
    finally:
        metrics.jobs.labels(name, outcome).inc()
        metrics.job_seconds.labels(name).observe(time.monotonic() - started)


async def _leased(
    tools: Tools, row_id: int, starts: int, action: Coroutine[Any, Any, None]
) -> None:
    """Do what may take long, saying meanwhile that it is under way; Superseded, and then it is
    stopped: another process has taken it up.
    """
    work = asyncio.create_task(action)
    try:
        while not (await asyncio.wait([work], timeout=RENEW_S))[0]:
            async with tools.pool.acquire() as db:
                if not await outbox.renew(db, row_id, starts):
                    raise Superseded
    finally:
        work.cancel()
        await asyncio.wait([work])
    await work


async def _failed(tools: Tools, row_id: int, starts: int, error: Exception) -> None:
    if starts < FAILURES_MAX:
        await _put_off(tools, row_id, starts)
    else:
        await _bury(tools, row_id, error)


async def _put_off(tools: Tools, row_id: int, starts: int) -> None:
    wait_s = min(2.0**starts, RETRY_S_MAX) * random.uniform(1, 1.2)
    async with tools.pool.acquire() as db:
        await outbox.put_off(db, row_id, loop.now_ms() + int(wait_s * 1000))


async def _bury(tools: Tools, row_id: int, error: Exception) -> None:
    async with tools.pool.acquire() as db:
        await outbox.bury(db, row_id, f"{type(error).__name__}: {error}"[:500])


@asynccontextmanager
async def _probe(settings: Settings, reached: asyncio.Event) -> AsyncIterator[loop.Step]:
    """Says when PostgreSQL and the queue answer."""
    sender = broker.for_sending(settings)

    async def step(_now_ms: int) -> int:
        await asyncio.to_thread(sender.client.ping)
        await pool.fetchval("SELECT 1 FROM outbox LIMIT 1")
        reached.set()
        return 0

    try:
        async with pg.open_pool(settings) as pool:
            yield step
    finally:
        sender.client.close()
