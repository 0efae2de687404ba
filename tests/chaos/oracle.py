"""What must be true once everything is quiet again, said in words where it is not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import redis as redis_py

from core import ids
from db import keys, ledger
from redirector import spool
from tests.chaos.hooks import Hooks
from tests.chaos.load import Deed, History
from tests.chaos.stack import Stack, until

QUIET_S = 30.0
DELIVERED_S = 60.0
KINDS: dict[str, ids.Kind] = {
    "award": "award",
    "spend": "spend",
    "hold": "hold",
    "reversal": "reversal",
}

CLICKS = """
SELECT click_id, link_id, class,
       coalesce(parameters ->> 'sub1', substring(referrer FROM '[^/]*$')) AS nonce
  FROM click
"""
DAILY = "SELECT link_id, class, sum(clicks)::bigint AS clicks FROM click_daily GROUP BY 1, 2"
EVENTS = """
SELECT partition, generation, sequence, type, member_id, unit, amount, idempotency_key
  FROM ledger_transaction
"""
ACCOUNTS = """
SELECT partition, program_id, member_id, unit, role, balance FROM account
 WHERE role IN ('available', 'held') AND balance <> 0
"""
HOLDS = "SELECT partition, generation, sequence FROM hold WHERE state = 'open'"
PARTITIONS = "SELECT partition, generation, sequence FROM award_partition"
# What has not been delivered waits in the outbox.
LOST_DELIVERIES = """
SELECT id FROM webhook_delivery d WHERE state = 'pending' AND NOT EXISTS
   (SELECT FROM outbox o WHERE o.payload ->> 'delivery_id' = d.id)
"""


class Stored(NamedTuple):
    """What PostgreSQL and Redis hold."""

    clicks: list[asyncpg.Record]
    daily: Counter[str]
    live: Counter[str]
    events: list[asyncpg.Record]
    accounts: Counter[str]
    balances: Counter[str]
    holds: set[tuple[int, str]]
    open_holds: set[tuple[int, str]]
    problems: list[str]


def verify(
    stack: Stack,
    history: History,
    *,
    has_live: bool = True,
    hooks: Hooks | None = None,
    quiet_s: float = QUIET_S,
) -> list[str]:
    """Wait until all is quiet, and say what is wrong; empty when nothing is.

    `has_live`: also compare live numbers. With `hooks`, all webhooks must have been delivered.
    """
    try:
        quiesce(stack, timeout_s=quiet_s)
        if hooks is not None:
            until(lambda: not asyncio.run(undelivered(stack)), DELIVERED_S, "all hooks are told")
    except TimeoutError as error:
        return [str(error)]
    stored = asyncio.run(read(stack))
    return [
        *history.surprises,
        *stored.problems,
        *_clicks(stored, history),
        *_counts(stored, has_live=has_live),
        *_deeds(stored, history),
        *_dense(stored),
        *_same("balance", stored.accounts, stored.balances),
        *(f"holds differ: {hold}" for hold in stored.holds ^ stored.open_holds),
        *([] if hooks is None else _told(history, hooks)),
    ]


def quiesce(stack: Stack, *, with_spool: bool = True, timeout_s: float = QUIET_S) -> None:
    """Wait until the spool is sent and the streams are applied; TimeoutError."""
    folder = Path(stack.settings.spool_dir)
    if with_spool:
        until(
            lambda: not any(map(spool.size, spool.segments(folder))),
            timeout_s,
            "the spool is empty",
        )
    with stack.redis() as client:
        until(lambda: not asyncio.run(behind(stack, client)), timeout_s, "the streams are applied")


async def undelivered(stack: Stack) -> int:
    """Webhooks that wait to be delivered."""
    db = await asyncpg.connect(stack.servers.migrate_url)
    try:
        count: int = await db.fetchval(
            "SELECT count(*) FROM webhook_delivery WHERE state <> 'delivered'"
        )
    finally:
        await db.close()
    return count


async def behind(stack: Stack, client: redis_py.Redis) -> list[str]:
    """Streams that hold more than PostgreSQL has, and partitions that are closed."""
    db = await asyncpg.connect(stack.servers.migrate_url)
    try:
        rows = await db.fetch("SELECT stream, last_id FROM stream_checkpoint")
    finally:
        await db.close()
    late = [
        row["stream"]
        for row in rows
        if client.xrange(row["stream"], f"({row['last_id']}", "+", count=1)
    ]
    run_id = client.info("server")["run_id"].encode()
    for number in range(keys.AWARD_PARTITIONS):
        head = client.hmget(keys.award_head(number), "open", "run")
        if head != [b"1", run_id]:
            late.append(f"partition {number}")
    return late


async def read(stack: Stack) -> Stored:
    """Everything, as it is now."""
    db = await asyncpg.connect(stack.servers.migrate_url)
    try:
        with stack.redis() as client:
            return await _read(db, client)
    finally:
        await db.close()


async def _read(db: asyncpg.Connection[asyncpg.Record], client: Any) -> Stored:
    accounts: Counter[str] = Counter()
    for row in await db.fetch(ACCOUNTS):
        letter = row["unit"][0] + ("h" if row["role"] == "held" else "")
        name = f"{row['partition']} {row['program_id']}:{row['member_id']}:{letter}"
        accounts[name] = row["balance"]
    balances: Counter[str] = Counter()
    open_holds = set()
    for row in await db.fetch(PARTITIONS):
        number, generation = row["partition"], row["generation"]
        for field, value in client.hgetall(keys.award_balances(number, generation)).items():
            balances[f"{number} {field.decode()}"] = int(value)
        held = client.hkeys(keys.award_holds(number, generation))
        open_holds |= {(number, key.decode()) for key in held}
    problems = await ledger.check(db)
    problems += [f"set aside: {row['error']}" for row in await db.fetch("TABLE quarantine")]
    problems += [f"lost delivery {row['id']}" for row in await db.fetch(LOST_DELIVERIES)]
    daily = {f"{row['link_id']}:{row['class']}": row["clicks"] for row in await db.fetch(DAILY)}
    return Stored(
        clicks=await db.fetch(CLICKS),
        daily=Counter(daily),
        live=_live(client),
        events=await db.fetch(EVENTS),
        accounts=accounts,
        balances=balances,
        holds={
            (row["partition"], f"{row['generation']}-{row['sequence']}")
            for row in await db.fetch(HOLDS)
        },
        open_holds=open_holds,
        problems=problems,
    )


def _live(client: Any) -> Counter[str]:
    live: Counter[str] = Counter()
    for number in range(keys.CLICK_PARTITIONS + 1):
        for field, value in client.hgetall(keys.click_counts(number)).items():
            live[field.decode()] += int(value)
    return live


def _clicks(stored: Stored, history: History) -> list[str]:
    """Every answered GET has one row with the id that its visitor was sent on with."""
    problems = []
    by_nonce: dict[str, list[str]] = {}
    for row in stored.clicks:
        by_nonce.setdefault(row["nonce"], []).append(row["click_id"])
    for nonce, click in history.clicks.items():
        found = by_nonce.pop(nonce, [])
        if len(found) > 1:
            problems.append(f"click {nonce} is stored {len(found)} times")
        if click.status == 302 and not found:
            problems.append(f"click {nonce} was answered and is lost")
        if click.click_id is not None and found and found != [click.click_id]:
            problems.append(f"click {nonce} got another id than is stored")
    problems += [f"nobody made click {nonce}" for nonce in by_nonce]
    return problems


def _counts(stored: Stored, *, has_live: bool) -> list[str]:
    rows = Counter(f"{row['link_id']}:{row['class']}" for row in stored.clicks)
    problems = _same("daily clicks", rows, stored.daily)
    return problems + (_same("live clicks", rows, stored.live) if has_live else [])


def _same(what: str, one: Counter[str], other: Counter[str]) -> list[str]:
    return [
        f"{what} of {name}: stored {one[name]}, kept {other[name]}"
        for name in one.keys() | other.keys()
        if one[name] != other[name]
    ]


def _deeds(stored: Stored, history: History) -> list[str]:
    by_key: dict[str, list[asyncpg.Record]] = {}
    for row in stored.events:
        by_key.setdefault(row["idempotency_key"], []).append(row)
    problems = []
    for key, deed in history.deeds.items():
        rows = by_key.pop(key, [])
        problems += [f"{deed.kind} {key}: {problem}" for problem in _deed(deed, rows)]
    return problems + [f"nobody asked for {key}" for key in by_key]


def _deed(deed: Deed, rows: list[asyncpg.Record]) -> list[str]:
    if len(rows) > 1:
        return [f"stored {len(rows)} times"]
    if deed.success is None:
        is_refused = bool(deed.replies)
        return ["was refused and is stored"] if is_refused and rows else []
    if not rows:
        return ["was done and is lost"]
    successes = [reply for reply in deed.replies if reply.status < 300]
    problems = []
    if len({(reply.status, reply.body) for reply in successes}) != 1:
        problems.append(f"answered differently: {successes}")
    if sum(reply.headers.get("idempotent-replayed") != "true" for reply in successes) > 1:
        problems.append("done again")
    return problems + _facts(deed, rows[0])


def _facts(deed: Deed, row: asyncpg.Record) -> list[str]:
    said = json.loads(deed.success.body) if deed.success else {}
    problems = []
    if (row["type"], row["member_id"]) != (deed.kind, deed.member):
        problems.append(f"stored as {row['type']} of {row['member_id']}")
    if row["amount"] != deed.amount:
        problems.append(f"stored with {row['amount']}, asked for {deed.amount}")
    if row["sequence"] != said["sequence"]:
        problems.append(f"stored at {row['sequence']}, answered {said['sequence']}")
    if deed.kind in KINDS:
        ref = ids.parse_event_id(said["id"], KINDS[deed.kind])
        if ref[:3] != (row["partition"], row["generation"], row["sequence"]):
            problems.append(f"its id says {ref}")
    return problems


def _dense(stored: Stored) -> list[str]:
    """A partition numbers its events 1, 2, 3 … over all generations."""
    numbers: dict[int, list[int]] = {}
    for row in stored.events:
        numbers.setdefault(row["partition"], []).append(row["sequence"])
    return [
        f"partition {partition} has gaps or repeats"
        for partition, found in numbers.items()
        if sorted(found) != list(range(1, len(found) + 1))
    ]


def _told(history: History, hooks: Hooks) -> list[str]:
    """Of each reversal the receiver heard at least once, and of nothing else."""
    done = {
        deed.document["id"]
        for deed in history.deeds.values()
        if deed.kind == "reversal" and deed.success
    }
    unknown = any(deed.kind == "reversal" and not deed.replies for deed in history.deeds.values())
    problems = [f"nobody was told of {event_id}" for event_id in done - hooks.told.keys()]
    if not unknown:
        problems += [f"told of {event_id}" for event_id in hooks.told.keys() - done]
    return problems
