"""States and codes are good once, for a while, and Redis does not know them."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from core import errors, keyring
from core.providers.social import flow
from core.providers.social.flow import Profile
from db import redis as redis_
from db import sign_ins
from db.sign_ins import Begun, Proof

RING = keyring.generate(1_700_000_000_000, bytes(range(keyring.RING_ENTROPY_BYTES)))
STATE, CODE = flow.secret(b"s" * 32), flow.secret(b"c" * 32)
BEGUN = Begun(
    provider="google",
    program_id="prg_1",
    browser=b"b" * 32,
    verifier="v",
    nonce="n",
    redirect_uri="https://app.test/back",
    challenge="c",
    app_state="é",
)
PROOF = Proof(
    provider="google",
    program_id="prg_1",
    challenge="c",
    profile=Profile(subject="1076", mail="asha@example.test", name="Asha"),
    refresh_token="refresh-me",
)


async def test_a_state_is_good_once(connection: redis_.Connection) -> None:
    await sign_ins.begin(connection, STATE, BEGUN)
    assert await sign_ins.take(connection, STATE) == BEGUN
    with pytest.raises(errors.SignInStateInvalid):
        await sign_ins.take(connection, STATE)


async def test_a_code_is_good_once(connection: redis_.Connection) -> None:
    await sign_ins.keep(connection, RING, CODE, PROOF)
    assert await sign_ins.redeem(connection, RING, CODE) == PROOF
    with pytest.raises(errors.SignInCodeInvalid):
        await sign_ins.redeem(connection, RING, CODE)


async def test_of_many_who_bring_a_code_at_once_one_gets_it(connection: redis_.Connection) -> None:
    await sign_ins.keep(connection, RING, CODE, PROOF)
    tries = [sign_ins.redeem(connection, RING, CODE) for _ in range(20)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, Proof) for one in done) == 1


async def test_both_are_forgotten_in_time(connection: redis_.Connection, redis: Redis) -> None:
    await sign_ins.begin(connection, STATE, BEGUN)
    await sign_ins.keep(connection, RING, CODE, PROOF)
    left = sorted([await redis.ttl(key) for key in await redis.keys("*")])
    assert 55 <= left[0] <= 60
    assert 595 <= left[1] <= 600


async def test_redis_knows_neither_the_secrets_nor_the_person(
    connection: redis_.Connection, redis: Redis
) -> None:
    await sign_ins.begin(connection, STATE, BEGUN)
    await sign_ins.keep(connection, RING, CODE, PROOF)
    keys = await redis.keys("*")
    stored = str([(key, await redis.get(key)) for key in keys])
    planted = (STATE, CODE, "1076", "asha@example.test", "Asha", "refresh-me")
    assert not [text for text in planted if text in stored]
    assert "refresh-me" not in repr(PROOF)
