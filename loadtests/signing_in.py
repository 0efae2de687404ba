"""People who sign in with a password while apps award points, and what a warm token costs.

The gateway has a process for each core here, and so a thread for passwords on each. Everybody signs
in from one address, which is therefore not limited.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import asyncpg
import uvloop
from multidict import CIMultiDict

from core import contacts, keyring, passwords, tokens
from core.roles import SCOPES_OF
from core.settings import Settings
from db import contacts as stored
from db import credentials, pg, revocations
from db.redis import Connection
from gateway import auth
from gateway.bearers import Bearers
from gateway.credentials import Credentials
from gateway.rates import Rates
from gateway.revocations import Revocations
from loadtests import cores, datasets, generator, measured, results, seed
from loadtests.effort import Effort
from loadtests.measured import Measured
from loadtests.results import Row, Target
from loadtests.stack import HOST, BenchStack
from web.keyfile import KeyFile

SIGN_IN_TARGET: Final = Target(at_least=60)
AWARD_TARGET: Final = Target(p99_ms_below=30.0)
CHECK_TARGET: Final = Target(below=5)
PROCESSES: Final = len(cores.CORES)
PEOPLE_AT_ONCE: Final = 8
AWARDS_A_SECOND: Final = 200
AWARD_CONNECTIONS: Final = 16
SECONDS_MIN: Final = 5.0
PASSWORD: Final = "a fine day for tea"
CHECKS: Final = 200_000
VOID: Final = 1_000


def measure(stack: BenchStack, effort: Effort) -> list[Row]:
    """Sign-ins beside awards, and token checks."""
    uvloop.run(_give_passwords(stack))
    stack.restart(stack.gateway, PROCESSES)
    seconds = max(SECONDS_MIN, effort.closed_s)
    pairs = [_together(stack, number, seconds) for number in range(effort.rounds)]
    stack.restart(stack.gateway)
    people, awards = [one for one, _ in pairs], [one for _, one in pairs]
    beside = f"beside {AWARDS_A_SECOND} awards/s"
    return [
        results.row(
            f"sign-in {beside}",
            people,
            unit="sign-ins/s",
            median=measured.median(people),
            durability="always",
            connections=PEOPLE_AT_ONCE,
            processes=PROCESSES,
            target=SIGN_IN_TARGET,
        ),
        results.row(
            "award beside sign-ins",
            awards,
            unit="awards/s",
            median=measured.median(awards),
            durability="always",
            connections=AWARD_CONNECTIONS,
            processes=PROCESSES,
            loop=f"open, {AWARDS_A_SECOND:,}/s",
            stall_ms=max(one.stall_ms for one in awards),
            target=AWARD_TARGET,
        ),
        uvloop.run(_check_tokens(stack.settings, effort)),
    ]


def _together(stack: BenchStack, number: int, seconds: float) -> tuple[Measured, Measured]:
    """Both loads at once, each from a thread: neither needs much of a core."""
    port, seeded = stack.settings.gateway_port, stack.seed
    people = generator.Target(HOST, port, _sign_ins(seeded), 200)
    requests = datasets.award_requests(seeded.members, seeded.token, f"beside{number}")
    awards = generator.Target(HOST, port, requests, 201)
    with ThreadPoolExecutor(1) as beside:
        signing = beside.submit(
            generator.closed_loop, people, connections=PEOPLE_AT_ONCE, seconds=seconds
        )
        awarding = generator.open_loop(
            awards, connections=AWARD_CONNECTIONS, seconds=seconds, rate=AWARDS_A_SECOND
        )
        return signing.result(), awarding


def _sign_ins(seeded: seed.Seed) -> Iterator[bytes]:
    headers = {"Stampgate-Program": seeded.program_id, "Content-Type": "application/json"}
    for number in itertools.cycle(range(len(seeded.members))):
        body = {"email": _address(number), "password": PASSWORD}
        yield datasets.request("POST", "/v1/auth/login", headers, body)


def _address(number: int) -> str:
    return f"bench-{number}@example.com"


async def _give_passwords(stack: BenchStack) -> None:
    """Contacts for the members of the seed, and one password for all of them."""
    settings, seeded = stack.settings, stack.seed
    ring = keyring.parse(Path(settings.keyring_file).read_bytes())
    password_hash = passwords.hashed(PASSWORD, os.urandom(passwords.SALT_BYTES))
    db = await asyncpg.connect(settings.migration_url)
    try:
        async with db.transaction():
            people = [
                (member_id, contacts.email(_address(number)))
                for number, member_id in enumerate(seeded.members)
            ]
            await stored.add_many(db, ring, seeded.program_id, people)
            hashes = [(member_id, password_hash) for member_id in seeded.members]
            await credentials.add_many(db, seeded.program_id, hashes)
    finally:
        await db.close()


async def _check_tokens(settings: Settings, effort: Effort) -> Row:
    """What each request with a known token costs: expiry, key set and revocations included."""
    connection = await Connection.open(settings.redis_url)
    pool = await pg.open_pool(settings)
    ring = KeyFile(Path(settings.keyring_file))
    void = Revocations(connection, pool)
    try:
        await void.open()
        now_s = int(time.time())
        revoked = [revocations.Revoked(seed.new_id("session"), now_s + 900) for _ in range(VOID)]
        await void.announce([one.id for one in revoked], now_s + 900)
        rates = Rates(connection, ring.current, settings)
        known = Credentials(Bearers(ring, void), pool.acquire, rates.admit_key)
        headers = CIMultiDict({"Authorization": f"Bearer {_staff_token(ring, now_s)}"})
        rounds = [_check_round(known, headers, now_s) for _ in range(effort.rounds)]
    finally:
        await void.close()
        await pool.close()
        await connection.close()
    return Row(
        what="check a warm token",
        unit="µs",
        durability="-",
        value=sorted(rounds)[len(rounds) // 2],
        lowest=min(rounds),
        highest=max(rounds),
        rounds=len(rounds),
        target=CHECK_TARGET,
    )


def _check_round(known: Credentials, headers: CIMultiDict[str], now_s: int) -> float:
    """Microseconds for a check."""
    started = time.perf_counter()
    for _ in range(CHECKS):
        principal = known.known(headers, now_s)
        assert principal is not None
        auth.allow(principal, headers, "awards:write")
    return (time.perf_counter() - started) / CHECKS * 1e6


def _staff_token(ring: KeyFile, now_s: int) -> str:
    return tokens.issue(
        ring.current,
        program_id=seed.new_id("program"),
        subject=seed.new_id("operator"),
        scopes=SCOPES_OF["staff"],
        now_s=now_s,
        ttl_s=900,
        token_id=seed.new_id("token"),
        role="staff",
        session_id=seed.new_id("session"),
    )
