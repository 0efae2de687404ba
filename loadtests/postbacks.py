"""Signed postbacks of one network at a steady rate, and the worker that reads them beside it.

A postback is answered once it is stored. The rate is fixed, whatever the answers take; then the
worker has to come to the end of them, and members have to have what is right.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, NamedTuple

import uvloop

from core.providers.affiliate import table
from core.providers.affiliate.report import Report
from loadtests import cores, datasets, generator
from loadtests import shop as shops
from loadtests.effort import Effort
from loadtests.results import Row, Target
from loadtests.results import row as row_of
from loadtests.shop import Sale, Shop
from loadtests.stack import HOST, BenchStack

TARGET: Final = Target(p99_ms_below=50.0)
RATE: Final = 500
CONNECTIONS: Final = 32
# The first ones open connections of the pool, and prepare statements.
WARM_UP_S: Final = 1.0
LAST_S: Final = 10.0
PROVIDER: Final = "generic"
CONFIG: Final = {"signature": {"place": "query", "name": "sig", "algorithm": "sha256"}}
CREDENTIALS: Final = {"secret": "a-key-of-the-network"}
POLL_S: Final = 0.05
TIMEOUT_S: Final = 120.0

UNREAD: Final = "SELECT count(*) FROM postback WHERE program_id = $1 AND verdict IS NULL"
JUDGED: Final = """
SELECT verdict, count(*) AS count FROM postback WHERE program_id = $1 GROUP BY verdict
"""


class Read(NamedTuple):
    """How long the worker took after the last answer, and what is not as it must be."""

    seconds: float
    wrong: list[str]


def measure(stack: BenchStack, effort: Effort, shop: Shop) -> list[Row]:
    """Answers to postbacks, and how far behind them the worker is."""
    seconds = effort.steady_s
    count = int(seconds * RATE)
    made = uvloop.run(_requests(stack, shop, int(WARM_UP_S * RATE) + count))
    target = generator.Target(HOST, stack.settings.gateway_port, iter(made), 200)
    with stack.working() as pid:
        uvloop.run(_start(stack))
        generator.open_loop(target, connections=CONNECTIONS, seconds=WARM_UP_S, rate=RATE)
        gateway, used = stack.workers(stack.gateway), cores.tree_cpu_s(pid)
        answering = sum(map(cores.cpu_s, gateway))
        one = generator.open_loop(target, connections=CONNECTIONS, seconds=seconds, rate=RATE)
        answering = sum(map(cores.cpu_s, gateway)) - answering
        # What did not leave in time, if anything, so that all sales are told.
        generator.closed_loop(target, connections=1, seconds=LAST_S)
        read = uvloop.run(_read(stack, shop, len(made)))
        used = cores.tree_cpu_s(pid) - used
    return [
        row_of(
            "postback",
            [one],
            unit="postbacks/s",
            median=one,
            headers="signed",
            durability="always",
            connections=CONNECTIONS,
            loop=f"open, {RATE}/s",
            stall_ms=one.stall_ms,
            cpu_us=answering / count * 1e6,
            target=TARGET,
        ),
        Row(
            what="postbacks read, after the last",
            durability="always",
            loop="-",
            unit="s",
            value=read.seconds,
            lowest=read.seconds,
            highest=read.seconds,
            rounds=1,
            cpu_us=used / count * 1e6,
            errors=len(read.wrong),
        ),
    ]


async def _start(stack: BenchStack) -> None:
    async with shops.connected(stack) as db:
        await shops.until_at_work(db)


async def _requests(stack: BenchStack, shop: Shop, count: int) -> list[bytes]:
    provider = table.make(PROVIDER, CONFIG, CREDENTIALS)
    async with shops.connected(stack) as db, db.transaction():
        network_id = await shops.open_network(db, shop, PROVIDER, CONFIG, CREDENTIALS)
        sold = await shops.sell(db, shop, count)
    made = []
    for one in sold:
        postback = provider.sample_postback(_report(one))
        assert postback is not None
        path = f"/postback/{network_id}/{shops.TOKEN}?{postback.query}"
        made.append(datasets.get_request(path, datasets.SHORT))
    return made


def _report(one: Sale) -> Report:
    return Report(
        txn_id=one.txn_id,
        click_id=one.click_id,
        status=one.status,
        commission_minor=one.commission_minor,
        currency=one.currency,
        sale_minor=one.sale_minor,
        sale_currency=one.currency,
        event_at_ms=one.at_ms,
    )


async def _read(stack: BenchStack, shop: Shop, count: int) -> Read:
    """Wait for the worker, and look whether each call was stored and taken once."""
    began = time.perf_counter()
    async with shops.connected(stack) as db:
        while await db.fetchval(UNREAD, shop.program_id):
            if time.perf_counter() - began > TIMEOUT_S:
                raise TimeoutError("the postbacks are not read")
            await asyncio.sleep(POLL_S)
        seconds = time.perf_counter() - began
        rows = await db.fetch(JUDGED, shop.program_id)
        found = {row["verdict"]: row["count"] for row in rows}
        wrong = [] if found == {"accepted": count} else [f"of {count} postbacks there are {found}"]
        wrong += await shops.wrong(db, shop)
    shops.tell(wrong)
    return Read(seconds, wrong)
