"""The second factor in PostgreSQL: enrolling, replays, races, recovery codes, challenges."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pyotp
import pytest

from core import errors, keyring, totp
from db import mfa, pg
from tests.db.conftest import PROGRAM

RING = keyring.generate(1_700_000_000_000, bytes(range(keyring.RING_ENTROPY_BYTES)))
ROTATED = keyring.rotate(RING, "field", 1_800_000_000_000, bytes(keyring.KEY_BYTES))
NOW_MS = 1_800_000_000_000
STEP_MS = totp.STEP_S * 1000
HOUR_MS = 3_600_000
MEMBER = "mem_1"


def code_at(secret: str, now_ms: int) -> str:
    return pyotp.TOTP(secret).at(now_ms // 1000)


def wrong_at(secret: str, now_ms: int) -> str:
    """A code that is good at none of the steps around."""
    good = {code_at(secret, now_ms + number * STEP_MS) for number in range(-2, 3)}
    return next(text for text in map("{:06}".format, range(10)) if text not in good)


async def enabled(db: pg.Db, now_ms: int = NOW_MS - STEP_MS) -> tuple[str, list[str]]:
    """The secret and the recovery codes of a member with an app."""
    secret = await mfa.enroll(db, RING, PROGRAM, MEMBER)
    made = await mfa.enable(db, RING, MEMBER, code_at(secret, now_ms), now_ms)
    assert made is not None
    return secret, made


async def check(db: pg.Db, text: str, now_ms: int = NOW_MS) -> bool:
    async with db.transaction():
        return await mfa.check(db, RING, MEMBER, text, now_ms)


async def challenge(db: pg.Db) -> str:
    token = await mfa.challenge(db, MEMBER, NOW_MS)
    assert token is not None
    return token


async def at_once(pool: pg.Pool, count: int, work: Callable[[pg.Db], Awaitable[bool]]) -> int:
    async def one() -> bool:
        async with pool.acquire() as db:
            return await work(db)

    return sum(await asyncio.gather(*(one() for _ in range(count))))


async def test_an_app_counts_once_it_is_confirmed(db: pg.Db) -> None:
    assert await mfa.status(db, MEMBER) == mfa.Status()
    secret = await mfa.enroll(db, RING, PROGRAM, MEMBER)
    assert await mfa.challenge(db, MEMBER, NOW_MS) is None
    wrong = wrong_at(secret, NOW_MS)
    assert await mfa.enable(db, RING, MEMBER, wrong, NOW_MS) is None
    assert await mfa.challenge(db, MEMBER, NOW_MS) is None
    made = await mfa.enable(db, RING, MEMBER, code_at(secret, NOW_MS), NOW_MS)
    assert made is not None
    assert await mfa.challenge(db, MEMBER, NOW_MS)
    status = await mfa.status(db, MEMBER)
    assert status.totp_enabled_at is not None
    assert (len(set(made)), status.recovery_codes_left) == (10, 10)


async def test_an_enrollment_that_was_not_confirmed_gives_way(db: pg.Db) -> None:
    first = await mfa.enroll(db, RING, PROGRAM, MEMBER)
    second = await mfa.enroll(db, RING, PROGRAM, MEMBER)
    assert await mfa.enable(db, RING, MEMBER, code_at(first, NOW_MS), NOW_MS) is None
    assert await mfa.enable(db, RING, MEMBER, code_at(second, NOW_MS), NOW_MS)
    for attempt in (
        mfa.enroll(db, RING, PROGRAM, MEMBER),
        mfa.enable(db, RING, MEMBER, code_at(second, NOW_MS + STEP_MS), NOW_MS + STEP_MS),
    ):
        with pytest.raises(errors.TotpEnabled):
            await attempt


async def test_without_an_app_there_is_nothing_to_check(db: pg.Db) -> None:
    for attempt in (
        mfa.enable(db, RING, MEMBER, "123456", NOW_MS),
        mfa.check(db, RING, MEMBER, "123456", NOW_MS),
    ):
        with pytest.raises(errors.TotpNotEnrolled):
            await attempt
    await mfa.enroll(db, RING, PROGRAM, MEMBER)
    with pytest.raises(errors.TotpNotEnrolled):
        await mfa.check(db, RING, MEMBER, "123456", NOW_MS)


async def test_a_code_is_accepted_once_and_none_of_an_earlier_step_after_it(db: pg.Db) -> None:
    secret, _ = await enabled(db)
    assert await check(db, code_at(secret, NOW_MS))
    assert not await check(db, code_at(secret, NOW_MS))
    assert not await check(db, code_at(secret, NOW_MS - STEP_MS))
    assert await check(db, code_at(secret, NOW_MS + STEP_MS))
    assert not await check(db, code_at(secret, NOW_MS + 2 * STEP_MS))


async def test_the_code_that_confirmed_the_app_is_used(db: pg.Db) -> None:
    secret, _ = await enabled(db, NOW_MS)
    assert not await check(db, code_at(secret, NOW_MS))


async def test_of_parallel_uses_of_one_code_one_succeeds(db: pg.Db, pool: pg.Pool) -> None:
    secret, _ = await enabled(db)
    code = code_at(secret, NOW_MS)
    assert await at_once(pool, 8, lambda connection: check(connection, code)) == 1


async def test_of_parallel_uses_of_a_recovery_code_one_succeeds(db: pg.Db, pool: pg.Pool) -> None:
    _, (recovery, *_others) = await enabled(db)
    assert await at_once(pool, 20, lambda connection: check(connection, recovery)) == 1
    assert (await mfa.status(db, MEMBER)).recovery_codes_left == totp.RECOVERY_CODES - 1


async def test_each_recovery_code_is_good_once(db: pg.Db) -> None:
    _, made = await enabled(db)
    for code in made:
        assert await check(db, code.upper().replace("-", " "))
    for code in made:
        assert not await check(db, code)


async def test_new_recovery_codes_replace_the_old_ones(db: pg.Db) -> None:
    _, old = await enabled(db)
    new = await mfa.renew_recovery_codes(db, MEMBER)
    assert not set(old) & set(new)
    assert not await check(db, old[0])
    assert await check(db, new[0])


async def test_recovery_codes_outlive_a_rotation_and_are_not_another_members(db: pg.Db) -> None:
    _, made = await enabled(db)
    other = "mem_2"
    secret = await mfa.enroll(db, RING, PROGRAM, other)
    assert await mfa.enable(db, RING, other, code_at(secret, NOW_MS), NOW_MS)
    assert not await mfa.check(db, RING, other, made[0], NOW_MS)
    assert await mfa.check(db, ROTATED, MEMBER, made[0], NOW_MS)


async def test_after_ten_wrong_codes_an_hour_only_a_recovery_code_helps(db: pg.Db) -> None:
    secret, made = await enabled(db)
    wrong = wrong_at(secret, NOW_MS)
    for number in range(totp.WRONG_PER_HOUR):
        assert not await check(db, wrong, NOW_MS + number)
    with pytest.raises(errors.RateLimited) as refusal:
        await check(db, code_at(secret, NOW_MS), NOW_MS + 600_000)
    assert refusal.value.retry_after_s == 3_000
    assert await check(db, made[0], NOW_MS + 600_000)
    later_ms = NOW_MS + HOUR_MS
    assert await check(db, code_at(secret, later_ms), later_ms)


async def test_parallel_wrong_codes_are_not_more_than_ten(db: pg.Db, pool: pg.Pool) -> None:
    secret, _ = await enabled(db)
    wrong = wrong_at(secret, NOW_MS)
    refused = 0

    async def one(connection: pg.Db) -> bool:
        nonlocal refused
        try:
            return await check(connection, wrong)
        except errors.RateLimited:
            refused += 1
            return False

    assert await at_once(pool, 30, one) == 0
    assert refused == 30 - totp.WRONG_PER_HOUR


async def test_without_the_app_no_second_factor_is_asked_for(db: pg.Db) -> None:
    secret, _ = await enabled(db)
    token = await challenge(db)
    await mfa.disable(db, MEMBER)
    assert await mfa.status(db, MEMBER) == mfa.Status()
    assert await db.fetchval("SELECT count(*) FROM recovery_code") == 0
    with pytest.raises(errors.MfaTokenInvalid):
        await mfa.answer(db, RING, token, code_at(secret, NOW_MS), NOW_MS)


async def answer(db: pg.Db, token: str, text: str, now_ms: int = NOW_MS) -> bool:
    async with db.transaction():
        found = await mfa.answer(db, RING, token, text, now_ms)
    assert found in {None, MEMBER}
    return found is not None


async def test_a_sign_in_is_completed_once(db: pg.Db) -> None:
    secret, made = await enabled(db)
    token = await challenge(db)
    assert not await answer(db, token, wrong_at(secret, NOW_MS))
    assert await answer(db, token, code_at(secret, NOW_MS))
    with pytest.raises(errors.MfaTokenInvalid):
        await answer(db, token, made[0])


async def test_one_code_completes_one_of_two_sign_ins(db: pg.Db, pool: pg.Pool) -> None:
    secret, _ = await enabled(db)
    tokens = [await challenge(db) for _ in range(8)]
    code, left = code_at(secret, NOW_MS), iter(tokens)
    assert await at_once(pool, 8, lambda connection: answer(connection, next(left), code)) == 1


async def test_after_five_wrong_codes_a_sign_in_begins_anew(db: pg.Db) -> None:
    secret, made = await enabled(db)
    token = await challenge(db)
    for _ in range(mfa.CHALLENGE_WRONG_MAX):
        assert not await answer(db, token, wrong_at(secret, NOW_MS))
    for text in (code_at(secret, NOW_MS), made[0]):
        with pytest.raises(errors.MfaTokenInvalid):
            await answer(db, token, text)


async def test_a_sign_in_waits_five_minutes_for_its_second_factor(db: pg.Db) -> None:
    _, made = await enabled(db)
    token = await challenge(db)
    end_ms = NOW_MS + mfa.CHALLENGE_TTL_S * 1000
    with pytest.raises(errors.MfaTokenInvalid):
        await answer(db, token, made[0], end_ms)
    assert await answer(db, token, made[0], end_ms - 1)


async def test_a_forged_token_waits_for_nothing(db: pg.Db) -> None:
    _, made = await enabled(db)
    with pytest.raises(errors.MfaTokenInvalid):
        await answer(db, "forged", made[0])


async def test_what_lets_somebody_in_cannot_be_read_in_the_database(db: pg.Db) -> None:
    secret, made = await enabled(db)
    token = await challenge(db)
    rows = [
        str(dict(row))
        for table in ("totp", "recovery_code", "mfa_challenge")
        for row in await db.fetch(f"SELECT * FROM {table}")
    ]
    texts = "\n".join(rows)
    assert len(rows) == 1 + totp.RECOVERY_CODES + 1
    for text in (secret, token, *made, *(code.replace("-", "") for code in made)):
        assert text not in texts


async def test_old_sign_ins_are_forgotten(db: pg.Db) -> None:
    await enabled(db)
    await challenge(db)
    await mfa.delete_old(db, NOW_MS + 24 * HOUR_MS)
    assert await db.fetchval("SELECT count(*) FROM mfa_challenge") == 1
    await mfa.delete_old(db, NOW_MS + 24 * HOUR_MS + 1)
    assert await db.fetchval("SELECT count(*) FROM mfa_challenge") == 0
