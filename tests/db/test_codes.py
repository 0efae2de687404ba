"""One-time codes in PostgreSQL: limits, tries, races, and what is stored."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import asyncpg
import pytest

from core import codes, errors, fields, keyring, tasks
from core.contacts import Contact
from db import codes as stored
from db import outbox, pg
from db.codes import Aim, Limits
from tests.db.conftest import PROGRAM

RING = keyring.generate(1_700_000_000_000, bytes(range(keyring.RING_ENTROPY_BYTES)))
ROTATED = keyring.rotate(RING, "field", 1_800_000_000_000, bytes(keyring.KEY_BYTES))
NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MEMBER = "mem_1"
ASHA = Aim(PROGRAM, "sign_in", Contact("email", "asha@example.com"))
PHONE = Aim(PROGRAM, "sign_in", Contact("phone", "+919876543210"))
NO_LIMITS = Limits(0, 0)


async def ask(
    db: pg.Db,
    aim: Aim,
    now_ms: int,
    *,
    source: str = "",
    limits: Limits = NO_LIMITS,
    ring: keyring.KeyRing = RING,
) -> None:
    async with db.transaction():
        await stored.ask(db, ring, aim, now_ms, language="en", source=source, limits=limits)


async def fill(db: pg.Db) -> str:
    """The code of the wish that waits, as the actor makes it."""
    code_id = await db.fetchval("SELECT id FROM one_time_code WHERE contact IS NOT NULL")
    async with db.transaction():
        wish = await stored.to_send(db, RING, code_id)
        assert wish is not None
        return await stored.fill(db, RING, wish.id, MEMBER)


async def send(db: pg.Db, aim: Aim, now_ms: int) -> str:
    await ask(db, aim, now_ms)
    return await fill(db)


async def redeem(
    db: pg.Db, aim: Aim, code: str, now_ms: int, ring: keyring.KeyRing = RING
) -> str | None:
    async with db.transaction():
        return await stored.redeem(db, ring, aim, code, now_ms)


async def try_wrong(db: pg.Db, aim: Aim, code: str, now_ms: int, times: int) -> None:
    for wrong in wrongs(code, times):
        assert await redeem(db, aim, wrong, now_ms) is None


def wrongs(code: str, count: int) -> list[str]:
    return [f"{(int(code) + 1 + number) % 10**6:06}" for number in range(count)]


async def wait_of(db: pg.Db, aim: Aim, now_ms: int, **options: object) -> int | None:
    with pytest.raises(errors.RateLimited) as refusal:
        await ask(db, aim, now_ms, **options)  # type: ignore[arg-type]  # the test's options
    return refusal.value.retry_after_s


async def test_the_right_code_is_good_once(db: pg.Db) -> None:
    code = await send(db, ASHA, NOW_MS)
    assert await redeem(db, ASHA, code, NOW_MS + 1) == MEMBER
    assert await redeem(db, ASHA, code, NOW_MS + 2) is None


async def test_a_code_is_good_after_the_keys_were_rotated(db: pg.Db) -> None:
    code = await send(db, ASHA, NOW_MS)
    assert await redeem(db, ASHA, code, NOW_MS, ROTATED) == MEMBER


@pytest.mark.parametrize(
    "other",
    [
        ASHA._replace(purpose="reset"),
        ASHA._replace(program_id=None),
        ASHA._replace(contact=Contact("phone", ASHA.contact.address)),
        ASHA._replace(contact=Contact("email", "bela@example.com")),
    ],
)
async def test_a_code_is_for_one_contact_and_purpose(db: pg.Db, other: Aim) -> None:
    code = await send(db, ASHA, NOW_MS)
    assert await redeem(db, other, code, NOW_MS) is None
    assert await redeem(db, ASHA, code, NOW_MS) == MEMBER


async def test_a_code_expires(db: pg.Db) -> None:
    code = await send(db, ASHA, NOW_MS)
    assert await redeem(db, ASHA, code, NOW_MS + codes.TTL_S * 1000) is None
    assert await redeem(db, ASHA, code, NOW_MS + codes.TTL_S * 1000 - 1) == MEMBER


async def test_after_five_wrong_tries_the_right_code_is_dead(db: pg.Db) -> None:
    code = await send(db, ASHA, NOW_MS)
    await try_wrong(db, ASHA, code, NOW_MS, codes.WRONG_MAX)
    assert await redeem(db, ASHA, code, NOW_MS) is None
    assert await db.fetchval("SELECT wrong FROM one_time_code") == codes.WRONG_MAX


async def test_after_four_wrong_tries_the_right_code_is_alive(db: pg.Db) -> None:
    code = await send(db, ASHA, NOW_MS)
    await try_wrong(db, ASHA, code, NOW_MS, codes.WRONG_MAX - 1)
    assert await redeem(db, ASHA, code, NOW_MS) == MEMBER


async def at_once(pool: pg.Pool, tries: Sequence[str]) -> list[str | None]:
    async def one(code: str) -> str | None:
        async with pool.acquire() as db:
            return await redeem(db, ASHA, code, NOW_MS)

    return await asyncio.gather(*map(one, tries))


async def test_parallel_tries_are_not_more_than_five(db: pg.Db, pool: pg.Pool) -> None:
    code = await send(db, ASHA, NOW_MS)
    assert await at_once(pool, wrongs(code, 40)) == [None] * 40
    assert await db.fetchval("SELECT wrong FROM one_time_code") == codes.WRONG_MAX
    assert await redeem(db, ASHA, code, NOW_MS) is None


async def test_of_parallel_right_tries_one_succeeds(db: pg.Db, pool: pg.Pool) -> None:
    code = await send(db, ASHA, NOW_MS)
    found = await at_once(pool, [code] * 20)
    assert sorted(filter(None, found)) == [MEMBER]


async def test_only_the_latest_code_counts(db: pg.Db) -> None:
    first = await send(db, ASHA, NOW_MS)
    second = await send(db, ASHA, NOW_MS + MINUTE_MS)
    assert await redeem(db, ASHA, first, NOW_MS + MINUTE_MS) is None
    assert await redeem(db, ASHA, second, NOW_MS + MINUTE_MS) == MEMBER
    assert await redeem(db, ASHA, first, NOW_MS + MINUTE_MS) is None


async def test_the_next_code_waits_half_a_minute(db: pg.Db) -> None:
    await ask(db, ASHA, NOW_MS)
    assert await wait_of(db, ASHA, NOW_MS + 29_001) == 1
    assert await wait_of(db, ASHA, NOW_MS) == codes.RESEND_AFTER_S
    await ask(db, ASHA, NOW_MS + 30_000)


async def test_of_parallel_wishes_one_is_granted(db: pg.Db, pool: pg.Pool) -> None:
    async def one() -> int:
        async with pool.acquire() as connection:
            try:
                await ask(connection, ASHA, NOW_MS)
            except errors.RateLimited:
                return 0
            return 1

    assert sum(await asyncio.gather(*(one() for _ in range(20)))) == 1
    assert await db.fetchval("SELECT count(*) FROM one_time_code") == 1
    assert await db.fetchval("SELECT count(*) FROM outbox") == 1


async def test_a_contact_has_five_codes_an_hour_whatever_they_are_for(db: pg.Db) -> None:
    for number in range(codes.SENDS_PER_HOUR):
        purpose = ("sign_in", "reset")[number % 2]
        aim = ASHA._replace(purpose=purpose)  # type: ignore[arg-type]  # one of the purposes
        await ask(db, aim, NOW_MS + number * MINUTE_MS)
    assert await wait_of(db, ASHA, NOW_MS + 5 * MINUTE_MS) == 3_300
    await ask(
        db, ASHA._replace(contact=Contact("email", "bela@example.com")), NOW_MS + 5 * MINUTE_MS
    )
    await ask(db, ASHA, NOW_MS + HOUR_MS)


async def test_all_codes_of_a_contact_have_25_wrong_tries_a_day(db: pg.Db) -> None:
    """Asking for a new code after each five tries is of no use for long."""
    tries = 0
    for number in range(30):
        now_ms = NOW_MS + number * HOUR_MS // 4
        try:
            code = await send(db, ASHA, now_ms)
            await try_wrong(db, ASHA, code, now_ms, codes.WRONG_MAX)
            tries += codes.WRONG_MAX
        except errors.RateLimited:
            break
    assert tries == codes.WRONG_PER_DAY
    later = NOW_MS + 12 * HOUR_MS
    assert await wait_of(db, ASHA, later) == 12 * 3600
    with pytest.raises(errors.RateLimited):
        await redeem(db, ASHA, "123456", later)
    with pytest.raises(errors.RateLimited):
        await redeem(db, ASHA._replace(purpose="reset"), "123456", later)
    code = await send(db, ASHA, NOW_MS + DAY_MS)
    assert await redeem(db, ASHA, code, NOW_MS + DAY_MS) == MEMBER


async def test_numbers_of_one_block_have_few_codes_an_hour(db: pg.Db) -> None:
    """Who is paid for messages to own numbers asks for codes to one after another."""
    limits = Limits(block=3, source=0)
    for number in range(3):
        aim = PHONE._replace(contact=Contact("phone", f"+9198765432{number:02}"))
        await ask(db, aim, NOW_MS + number, limits=limits)
    same_block = PHONE._replace(contact=Contact("phone", "+919876540000"))
    assert await wait_of(db, same_block, NOW_MS + 10_000, limits=limits) == 3_590
    await ask(db, PHONE._replace(contact=Contact("phone", "+919876643210")), NOW_MS, limits=limits)
    await ask(db, same_block, NOW_MS + HOUR_MS, limits=limits)
    await ask(db, PHONE._replace(program_id=None), NOW_MS, limits=limits)


async def test_one_source_asks_for_few_codes_an_hour(db: pg.Db) -> None:
    limits = Limits(block=0, source=3)
    for number in range(3):
        aim = ASHA._replace(contact=Contact("email", f"a{number}@example.com"))
        await ask(db, aim, NOW_MS, source="192.0.2.0", limits=limits)
    assert await wait_of(db, ASHA, NOW_MS, source="192.0.2.0", limits=limits) == 3_600
    await ask(db, ASHA, NOW_MS, source="198.51.100.0", limits=limits)


async def test_a_contact_that_nobody_has_is_treated_like_any_other(db: pg.Db) -> None:
    await ask(db, ASHA, NOW_MS)
    code_id = await db.fetchval("SELECT id FROM one_time_code")
    await stored.drop(db, code_id)
    assert await wait_of(db, ASHA, NOW_MS) == codes.RESEND_AFTER_S
    await try_wrong(db, ASHA, "123456", NOW_MS, codes.WRONG_MAX + 1)
    assert await db.fetchval("SELECT wrong FROM one_time_code") == codes.WRONG_MAX
    assert await stored.to_send(db, RING, code_id) is None


async def test_before_it_is_sent_no_code_is_right(db: pg.Db) -> None:
    await ask(db, ASHA, NOW_MS)
    await try_wrong(db, ASHA, "123456", NOW_MS, 1)
    code = await fill(db)
    assert await redeem(db, ASHA, code, NOW_MS) == MEMBER


async def test_a_wish_becomes_a_task_and_says_what_is_to_be_sent(db: pg.Db) -> None:
    await ask(db, PHONE, NOW_MS)
    (ticket,) = await outbox.claim(db, 2 * NOW_MS, ["send_code"], 10)
    task = await outbox.start(db, ticket.id, ticket.attempt)
    assert isinstance(task, tasks.SendCode)
    wish = await stored.to_send(db, RING, task.code_id)
    assert wish == stored.Wish(task.code_id, PHONE, "en", NOW_MS + codes.TTL_S * 1000, None)
    await stored.fill(db, RING, task.code_id, MEMBER)
    assert await stored.to_send(db, RING, task.code_id) is None


async def test_neither_the_code_nor_the_contact_can_be_read_in_the_database(db: pg.Db) -> None:
    await ask(db, ASHA, NOW_MS)
    before = await db.fetchval("SELECT one_time_code::text FROM one_time_code")
    code = await fill(db)
    row = await db.fetchrow("SELECT * FROM one_time_code")
    assert row is not None
    after = await db.fetchval("SELECT one_time_code::text FROM one_time_code")
    assert row["contact"] is None
    for text in (code, ASHA.contact.address):
        for form in (text, text.encode().hex()):
            assert not re.search(re.escape(form), before + after)
    # Nor by trying out all codes without the key.
    other = keyring.generate(1_700_000_000_000, bytes(keyring.RING_ENTROPY_BYTES))
    assert codes.digest(other, row["id"], code) != row["code_hash"]


async def test_the_contact_of_one_wish_does_not_open_in_another(db: pg.Db) -> None:
    await ask(db, ASHA, NOW_MS)
    await ask(db, PHONE, NOW_MS)
    first, second = await db.fetch("SELECT id, contact FROM one_time_code ORDER BY channel")
    await db.execute(
        "UPDATE one_time_code SET contact = $2 WHERE id = $1", second["id"], first["contact"]
    )
    with pytest.raises(errors.BadField):
        await stored.to_send(db, RING, second["id"])
    assert fields.key_name(first["contact"]) == RING.active_field


async def test_there_is_no_code_for_a_program_that_does_not_exist(db: pg.Db) -> None:
    with pytest.raises(errors.ProgramNotFound):
        await ask(db, ASHA._replace(program_id="prg_x"), NOW_MS)


async def test_what_no_limit_counts_is_forgotten(db: pg.Db) -> None:
    await ask(db, ASHA, NOW_MS)
    await stored.delete_old(db, NOW_MS + DAY_MS)
    assert await db.fetchval("SELECT count(*) FROM one_time_code") == 1
    await stored.delete_old(db, NOW_MS + DAY_MS + 1)
    assert await db.fetchval("SELECT count(*) FROM one_time_code") == 0


async def test_the_codes_of_a_member_are_forgotten_with_it(db: pg.Db) -> None:
    await send(db, ASHA, NOW_MS)
    await ask(db, PHONE, NOW_MS)
    await stored.forget(db, MEMBER)
    assert await db.fetchval("SELECT array_agg(channel) FROM one_time_code") == ["phone"]


async def test_the_database_itself_refuses_a_sixth_try(db: pg.Db) -> None:
    await ask(db, ASHA, NOW_MS)
    with pytest.raises(asyncpg.CheckViolationError, match="one_time_code_wrong_is_bounded"):
        await db.execute("UPDATE one_time_code SET wrong = 6")
