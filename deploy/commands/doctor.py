"""`stampgate doctor`: is the installation well, and what to do if it is not."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
from redis import exceptions
from redis.asyncio import Redis

from core import errors, keyring, smtp
from core.settings import Settings
from db import keys, ledger, migrate, reconcile
from db import redis as redis_
from deploy.commands.arguments import Commands

POSTGRES_MIN: Final = 15
REDIS_MIN: Final = (6, 2)
CLOCK_S_MAX: Final = 1.0
DISK_FREE_MIN: Final = 1 << 30
LAG_EVENTS_MAX: Final = 100_000
TIMEOUT_S: Final = 10.0

DEPTHS: Final = """
SELECT (SELECT count(*) FROM quarantine) AS quarantine,
       (SELECT count(*) FROM dead_letter WHERE replayed_at IS NULL) AS dead_letters,
       (SELECT count(*) FROM outbox) AS outbox
"""


class Finding(NamedTuple):
    """One thing looked at; `advice` is empty when it is well."""

    name: str
    seen: str
    advice: str = ""


Check = Callable[[Settings], Awaitable[list[Finding]]]


def add_doctor(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "doctor", help="check servers, versions, clock, disk, lag and the books"
    )
    command.set_defaults(run=run)


async def run(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Print one line a finding; 1 when something needs a hand."""
    failures = 0
    for name, check in CHECKS:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                findings = await check(settings)
        except (OSError, TimeoutError, asyncpg.PostgresError, exceptions.RedisError) as error:
            said = f"{type(error).__name__}: {error}"[:120]
            findings = [Finding(name, said, "is the server running, is its URL right?")]
        except errors.Malformed as error:
            findings = [Finding(name, str(error), "make one with `stampgate keys init`")]
        for finding in findings:
            failures += bool(finding.advice)
            print(f"{'FAIL' if finding.advice else 'ok':4}  {finding.name:24} {finding.seen}")
            if finding.advice:
                print(f"      → {finding.advice}")
    print("all is well" if failures == 0 else f"{failures} findings need a hand")
    return 1 if failures else 0


async def _key_ring(settings: Settings) -> list[Finding]:
    path = Path(settings.keyring_file)
    if not path.exists():
        return [Finding("key ring", f"no {path}", "make one with `stampgate keys init`")]
    keyring.parse(path.read_bytes())
    mode = path.stat().st_mode & 0o077
    advice = f"others can read it: chmod 600 {path}" if mode else ""
    return [Finding("key ring", str(path), advice)]


async def _postgres(settings: Settings) -> list[Finding]:
    db = await asyncpg.connect(settings.migration_url, timeout=5)
    try:
        before = time.time()
        now = (await db.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")) or 0.0
        skew_s = now - (before + time.time()) / 2
        version = db.get_server_version()
        missing = await migrate.pending(db)
        findings = [
            Finding(
                "PostgreSQL",
                f"{version.major}.{version.minor}",
                "" if version.major >= POSTGRES_MIN else f"needs {POSTGRES_MIN} or newer",
            ),
            Finding(
                "clock",
                f"{skew_s * 1000:+.0f} ms against PostgreSQL",
                "" if abs(skew_s) <= CLOCK_S_MAX else "set the clocks with NTP",
            ),
            Finding(
                "schema",
                f"{len(missing)} migrations missing" if missing else "up to date",
                "run `stampgate migrate`" if missing else "",
            ),
        ]
        return findings if missing else [*findings, *await _books(db)]
    finally:
        await db.close()


async def _books(db: asyncpg.Connection[asyncpg.Record]) -> list[Finding]:
    problems = await ledger.check(db)
    depths = await db.fetchrow(DEPTHS)
    assert depths is not None
    return [
        Finding(
            "ledger",
            problems[0] if problems else "every balance is the sum of its entries",
            "stop awards and look into the accounts named" if problems else "",
        ),
        Finding(
            "quarantine",
            f"{depths['quarantine']} events",
            "see `stampgate replay --list`" if depths["quarantine"] else "",
        ),
        Finding(
            "dead letters",
            f"{depths['dead_letters']}",
            "see `stampgate dead-letters list`" if depths["dead_letters"] else "",
        ),
        Finding("outbox", f"{depths['outbox']} rows waiting"),
    ]


async def _state(settings: Settings) -> list[Finding]:
    async with Redis.from_url(settings.redis_url, socket_timeout=5) as redis:
        server, policy = await redis.info("server"), await _option(redis, "maxmemory-policy")
        wanted, fsync = settings.durability, await _option(redis, "appendfsync")
        is_append = await _option(redis, "appendonly")
        heads = [
            await redis.hmget(keys.award_head(number), "open", "gen")
            for number in range(keys.AWARD_PARTITIONS)
        ]
        waiting = [await redis.xlen(keys.award_stream(n)) for n in range(keys.AWARD_PARTITIONS)]
        waiting += [await redis.xlen(keys.click_stream(n)) for n in range(keys.CLICK_PARTITIONS)]
    closed = [str(number) for number, head in enumerate(heads) if head[0] != b"1"]
    return [
        _version("Redis (state)", server),
        Finding(
            "eviction",
            policy,
            "" if policy in {"noeviction", "?"} else "set maxmemory-policy noeviction",
        ),
        Finding(
            "durability",
            f"appendonly {is_append}, appendfsync {fsync}; promised: {wanted}",
            "" if fsync in {wanted, "always", "?"} and is_append in {"yes", "?"}
            else f"set appendonly yes and appendfsync {wanted} in Redis",
        ),
        Finding(
            "award partitions",
            f"{len(heads) - len(closed)} of {len(heads)} open",
            f"closed: {', '.join(closed)}; is `python -m workers` running?" if closed else "",
        ),
        Finding(
            "streams",
            f"{sum(waiting):,} entries wait for PostgreSQL",
            "" if sum(waiting) < LAG_EVENTS_MAX else "the flusher is behind: see its log",
        ),
    ]  # fmt: skip


async def _balances(settings: Settings) -> list[Finding]:
    connection = await redis_.Connection.open(settings.redis_url)
    db = await asyncpg.connect(settings.migration_url, timeout=5)
    try:
        compared = [
            await reconcile.compare(db, connection, number)
            for number in range(keys.AWARD_PARTITIONS)
        ]
    except errors.StampgateError as error:
        return [Finding("Redis balances", error.code, "see the findings on Redis")]
    finally:
        await db.close()
        await connection.close()
    wrong = [mismatch for found in compared for mismatch in found or ()]
    seen = f"{len(wrong)} differ, in {sum(found is not None for found in compared)} partitions seen"
    advice = f"account {wrong[0].account_id}: run `stampgate rebuild awards`" if wrong else ""
    return [Finding("Redis balances", seen, advice)]


async def _queue(settings: Settings) -> list[Finding]:
    async with Redis.from_url(settings.queue_url, socket_timeout=5) as redis:
        return [_version("Redis (queue)", await redis.info("server"))]


async def _disk(settings: Settings) -> list[Finding]:
    folder = Path(settings.spool_dir)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    advice = "" if free > DISK_FREE_MIN else "the spool needs room for when Redis is away"
    if not os.access(folder, os.W_OK):
        advice = f"{folder} cannot be written: see STAMPGATE_SPOOL_DIR"
    return [Finding("disk", f"{free / (1 << 30):.1f} GiB free for the spool", advice)]


async def _option(redis: Redis, name: str) -> str:
    """A setting of the server; managed services often refuse to tell."""
    try:
        found = await redis.config_get(name)
    except exceptions.ResponseError:
        return "?"
    return found.get(name) or "?"


def _version(name: str, info: dict[str, str]) -> Finding:
    text = info.get("valkey_version") or info["redis_version"]
    version = tuple(int(part) for part in text.split(".")[:2])
    advice = "" if version >= REDIS_MIN else "needs Redis 6.2 or Valkey 7.2, or newer"
    return Finding(name, text, advice)


async def _mail(settings: Settings) -> list[Finding]:
    if not settings.mail_url:
        return [Finding("mail", f"no mail server: it lands in {settings.outbox_dir}")]
    server = smtp.server(settings.mail_url)
    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.close()
    return [Finding("mail", f"{server.host}:{server.port} takes connections")]


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("key ring", _key_ring),
    ("PostgreSQL", _postgres),
    ("Redis (state)", _state),
    ("Redis balances", _balances),
    ("Redis (queue)", _queue),
    ("disk", _disk),
    ("mail", _mail),
)
