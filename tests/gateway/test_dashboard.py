"""The dashboard over HTTP: one reading for all who ask within half a minute."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from db import dashboards, keys
from deploy.local.postgres import DatabaseUrls
from tests.gateway.conftest import Client
from tests.gateway.people import program
from tests.gateway.test_awards import award, member
from tests.gateway.test_holds import flushed

PATH = "/dashboard/metrics"


async def test_the_dashboard_is_read_once_in_half_a_minute(
    client: Client, other: Client, database: DatabaseUrls, redis: Redis
) -> None:
    rules = {"settings": {"points": {"budget": 6_400}}}
    assert (await client.patch(f"/v1/programs/{program(client)}", rules)).status == 200
    asha = await member(client)
    await award(client, asha, 10)
    await client.post("/stamps", {"member": asha, "count": 3}, Idempotency_Key="s")
    await flushed(database, redis)
    first = await client.get(PATH)
    assert first.status == 200
    numbers = {name: first.body[name] for name in first.body if name not in {"since", "as_of"}}
    assert numbers == {
        "members": 1,
        "new_members": 1,
        "active_members": 1,
        "at_risk_members": 0,
        "retention_percent": 100,
        "points": {"awards": 1, "awarded": 10, "taken_back": 0, "spent": 0, "budget_left": 6_390},
        "stamps": {"awards": 1, "awarded": 3, "taken_back": 0, "spent": 0, "budget_left": None},
        "clicks": 0,
        "human_clicks": 0,
    }
    await member(client)
    assert (await client.get("/v1" + PATH)).body == first.body
    assert (await client.get(PATH, If_None_Match=first.headers["ETag"])).status == 304
    assert (await other.get(PATH)).body["members"] == 0
    kept = keys.dashboard(program(client))
    assert 0 < await redis.ttl(kept) <= dashboards.FRESH_S
    await redis.delete(kept)
    assert (await client.get(PATH)).body["members"] == 2


async def test_who_asks_at_once_waits_for_one_reading(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, read = [], dashboards.read

    async def counted(*arguments: Any) -> dashboards.Metrics:
        readings.append(arguments)
        return await read(*arguments)

    monkeypatch.setattr(dashboards, "read", counted)
    answers = await asyncio.gather(*(client.get(PATH) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    assert len({str(answer.body) for answer in answers}) == 1
    assert len(readings) == 1


async def test_without_redis_the_numbers_come_without_what_only_it_knows(
    client: Client, redis: Redis
) -> None:
    rules = {"settings": {"points": {"budget": 40}}}
    await client.patch(f"/v1/programs/{program(client)}", rules)
    await redis.flushdb()
    answer = await client.get(PATH)
    assert (answer.status, answer.body["points"]["budget_left"]) == (200, None)
