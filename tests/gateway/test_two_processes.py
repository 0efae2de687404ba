"""What is void, and what is allowed less, soon is so in every process, told or not."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import asyncpg
import bcrypt
import pytest

from db import api_keys, revocations, sessions
from deploy.local.postgres import DatabaseUrls
from gateway.revocations import POLL_S, ROWS_S
from tests.gateway import people
from tests.gateway.conftest import Client, bearer, token
from tests.gateway.test_process import Running, gateway_process

__all__ = ["gateway_process"]

LIFETIMES = sessions.Lifetimes(900, 604_800, 7_776_000)
# Of connections of their own, so that it takes a miracle that one worker answers them all.
ASKED = 24
DEADLINE_S = 30


@pytest.fixture
async def client(gateway_process: Running) -> Client:
    platform = gateway_process.client
    made = await platform.post("/v1/programs", {"name": "Tea", "currency": "INR"})
    return Client(platform.session, platform.url, bearer(token(made.body["id"])))


async def key(client: Client, rate: int) -> dict[str, Any]:
    new = {"name": "till", "scopes": ["members:read"], "rate_per_minute": rate}
    made = await client.post("/v1/api-keys", new)
    assert made.status == 201
    body: dict[str, Any] = made.body
    return body


async def session_of(client: Client) -> dict[str, Any]:
    password_hash = bcrypt.hashpw(people.PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    new = {"email": "asha@example.com", "password_hash": password_hash}
    assert (await client.post("/v1/members", new)).status == 201
    grant: dict[str, Any] = (await people.log_in(client, people.program(client))).body
    return grant


async def statuses(caller: Client, path: str) -> Counter[int]:
    answers = [caller.get(path, Connection="close") for _ in range(ASKED)]
    return Counter(answer.status for answer in await asyncio.gather(*answers))


class Held:
    """Two keys and a session, with which both workers have let somebody in."""

    def __init__(self, client: Client, revoked: Any, limited: Any, grant: Any) -> None:
        self.revoked_id, self.limited_id = revoked["id"], limited["id"]
        self.session_id = grant["session_id"]
        self.revoked = Client(client.session, client.url, {"X-API-Key": revoked["key"]})
        self.limited = Client(client.session, client.url, {"X-API-Key": limited["key"]})
        self.member = people.holding(client, grant)

    async def asked(self) -> tuple[Counter[int], Counter[int], Counter[int]]:
        return (
            await statuses(self.revoked, "/v1/members"),
            await statuses(self.member, "/v1/me"),
            await statuses(self.limited, "/v1/members"),
        )

    async def check_open(self) -> None:
        assert await self.asked() == (Counter({200: ASKED}),) * 3

    async def is_void(self) -> bool:
        revoked, member, limited = await self.asked()
        # Of a rate of one a minute one gets through, in both workers together.
        return (revoked, member) == (Counter({401: ASKED}),) * 2 and limited[429] >= ASKED - 1

    async def until_void(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not await self.is_void():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.1)


async def held(client: Client) -> Held:
    made = Held(client, await key(client, 600), await key(client, 600), await session_of(client))
    await made.check_open()
    return made


async def test_what_is_told_is_so_in_both_workers(client: Client) -> None:
    mine = await held(client)
    path = f"/v1/api-keys/{mine.limited_id}"
    assert (await client.patch(path, {"rate_per_minute": 1})).status == 200
    assert (await mine.member.call("POST", "/v1/auth/logout-everywhere")).status == 204
    assert (await client.delete(f"/v1/api-keys/{mine.revoked_id}")).status == 204
    await mine.until_void()


async def test_what_nobody_was_told_of_is_so_in_both_workers(
    client: Client, database: DatabaseUrls
) -> None:
    """As when the process that has committed ends before it tells, or Redis loses it."""
    mine, program_id = await held(client), people.program(client)
    db = await asyncpg.connect(database.app)
    try:
        async with db.transaction():
            await api_keys.revoke(db, program_id, mine.revoked_id)
            await db.execute(
                "UPDATE api_key SET rate_per_minute = 1 WHERE id = $1", mine.limited_id
            )
            until_s = int(time.time()) + 60
            await revocations.add(db, [mine.revoked_id, mine.limited_id], until_s)
            subject_id = await db.fetchval("SELECT subject_id FROM session")
            assert await sessions.revoke(db, subject_id, mine.session_id, LIFETIMES)
    finally:
        await db.close()
    await mine.until_void()


def test_they_look_often_enough_to_know_in_one_second_and_in_five() -> None:
    assert 2 * POLL_S < 1
    assert ROWS_S + 2 * POLL_S < 5
