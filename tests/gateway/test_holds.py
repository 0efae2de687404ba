"""Spends, holds, balances and statements over HTTP."""

from __future__ import annotations

import datetime as dt
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from core.settings import Settings
from db import click_rows, flush, keys
from deploy.local.postgres import DatabaseUrls
from tests.db.accounts import quiet
from tests.gateway.conftest import Answer, Client
from tests.gateway.test_awards import award, balance, member


async def spend(client: Client, member_id: str, amount: int, key: str = "s") -> Answer:
    body = {"member": member_id, "kind": "points", "amount": amount, "reference": "till 7"}
    return await client.post("/v1/spends", body, Idempotency_Key=key)


async def hold(client: Client, member_id: str, amount: int, key: str = "h") -> Answer:
    body = {"member": member_id, "kind": "points", "amount": amount, "expires_in_s": 60}
    return await client.post("/v1/holds", body, Idempotency_Key=key)


async def close(client: Client, hold_id: str, how: str, key: str, body: object = None) -> Answer:
    return await client.call("POST", f"/v1/holds/{hold_id}/{how}", body, Idempotency_Key=key)


async def test_a_spend_takes_what_is_there_and_no_more(client: Client) -> None:
    member_id = await member(client)
    await award(client, member_id, 10)
    spent = await spend(client, member_id, 4)
    assert (spent.status, spent.body["balance"], spent.body["reference"]) == (201, 6, "till 7")
    assert spent.body["id"].startswith("spd_")
    again = await spend(client, member_id, 4)
    assert (again.status, again.body) == (201, spent.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    refused = await spend(client, member_id, 7, "s2")
    assert (refused.status, refused.code) == (409, "insufficient_balance")
    unknown = await spend(client, "mem_nobody", 1, "s3")
    assert (unknown.status, unknown.code) == (404, "member_not_found")
    assert await balance(client, member_id) == (6, 0)


async def test_a_hold_is_captured_in_part_and_then_closed(client: Client) -> None:
    member_id = await member(client)
    await award(client, member_id, 10)
    held = await hold(client, member_id, 8)
    assert (held.status, held.body["state"], held.body["balance"]) == (201, "open", 2)
    life = [dt.datetime.fromisoformat(held.body[name]) for name in ("created_at", "expires_at")]
    assert life[1] - life[0] == dt.timedelta(seconds=60)
    hold_id = held.body["id"]
    found = await client.get(f"/v1/holds/{hold_id}")
    assert (found.status, found.body["is_open"], found.body["amount"]) == (200, True, 8)
    too_much = await close(client, hold_id, "capture", "c0", {"amount": 9})
    assert (too_much.status, too_much.code) == (409, "capture_exceeds_hold")
    taken = await close(client, hold_id, "capture", "c1", {"amount": 5})
    assert taken.status == 200
    assert {name: taken.body[name] for name in ("state", "captured", "released", "balance")} == {
        "state": "captured",
        "captured": 5,
        "released": 3,
        "balance": 5,
    }
    again = await close(client, hold_id, "capture", "c1", {"amount": 5})
    assert (again.body, again.headers["Idempotent-Replayed"]) == (taken.body, "true")
    other = await close(client, hold_id, "capture", "c1", {"amount": 4})
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    for how in ("capture", "release"):
        late = await close(client, hold_id, how, f"late-{how}")
        assert (late.status, late.code) == (409, "hold_not_open")
    assert not (await client.get(f"/v1/holds/{hold_id}")).body["is_open"]


async def test_a_released_hold_gives_all_back(client: Client) -> None:
    member_id = await member(client)
    await award(client, member_id, 10)
    held = await hold(client, member_id, 8)
    released = await close(client, held.body["id"], "release", "r")
    assert (released.status, released.body["state"], released.body["released"]) == (
        *(200, "released", 8),
    )
    assert await balance(client, member_id) == (10, 0)


async def test_another_programs_hold_is_not_found(client: Client, other: Client) -> None:
    member_id = await member(client)
    await award(client, member_id, 10)
    held = (await hold(client, member_id, 8)).body["id"]
    for answer in (
        await other.get(f"/v1/holds/{held}"),
        await close(other, held, "capture", "c"),
        await close(other, held, "release", "r"),
        await close(client, "hld_nothing", "release", "r"),
    ):
        assert (answer.status, answer.code) == (404, "hold_not_found")
    assert await balance(client, member_id) == (2, 8)


@pytest.mark.parametrize("body", [b"[]", b'{"amount":0}', b'{"amount":"1"}', b'{"sum":1}'])
async def test_a_bad_capture_is_refused(client: Client, body: bytes) -> None:
    member_id = await member(client)
    await award(client, member_id, 10)
    held = (await hold(client, member_id, 8)).body["id"]
    refused = await close(client, held, "capture", "c", body)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert await balance(client, member_id) == (2, 8)


@pytest.mark.parametrize("lifetime", [0, -1, 30 * 86_400 + 1, "60"])
async def test_a_hold_lives_for_a_second_to_a_month(client: Client, lifetime: object) -> None:
    body = {"member": "m", "kind": "points", "amount": 1, "expires_in_s": lifetime}
    refused = await client.post("/v1/holds", body, Idempotency_Key="h")
    assert (refused.status, refused.code) == (422, "invalid_request")


async def flushed(database: DatabaseUrls, redis: Redis) -> None:
    """Move all award streams to PostgreSQL."""
    db = await asyncpg.connect(database.flush)
    once = flush.Flush(click_rows.Rows(click_rows.open_resolver("")), quiet)
    await once.prepare(db)
    for number in range(keys.AWARD_PARTITIONS):
        stream = keys.award_stream(number)
        found: Any = await redis.xrange(stream)
        entries = [flush.Entry(entry_id.decode(), fields[b"e"]) for entry_id, fields in found]
        if entries:
            await once.apply(db, [flush.Portion(stream, "0-0", entries)])
            await redis.xtrim(stream, maxlen=0)
    await db.close()


async def test_a_statement_lists_what_happened_newest_first(
    client: Client, database: DatabaseUrls, redis: Redis
) -> None:
    member_id = await member(client)
    made = await award(client, member_id, 10)
    await spend(client, member_id, 4)
    held = await hold(client, member_id, 3)
    await close(client, held.body["id"], "capture", "c", {"amount": 1})
    await client.post(f"/v1/awards/{made.body['id']}/reverse", {}, Idempotency_Key="r")
    path = f"/v1/members/{member_id}/statement"
    empty = await client.get(path)
    assert empty.body == {"data": [], "next_cursor": None, "as_of_sequence": 0}
    await flushed(database, redis)
    whole = await client.get(path)
    assert [(line["type"], line["amount"], line["balance"]) for line in whole.body["data"]] == [
        ("reversal", 10, -5),
        ("capture", 1, 5),
        ("hold", 3, 3),
        ("spend", 4, 6),
        ("award", 10, 10),
    ]
    assert whole.body["as_of_sequence"] == 5
    assert whole.body["data"][-1]["id"] == made.body["id"]
    assert whole.body["data"][2]["id"] == held.body["id"]
    lines, cursor = [], ""
    while True:
        page = await client.get(f"{path}?limit=2&cursor={cursor}")
        lines += page.body["data"]
        cursor = page.body["next_cursor"]
        if cursor is None:
            break
    assert lines == whole.body["data"]
    assert (await client.get(f"{path}?kind=stamps")).body["data"] == []
    # What is found by its id stays the same when it has left the stream.
    assert (await client.get(f"/v1/awards/{made.body['id']}")).status == 200
    assert (await client.get(f"/v1/holds/{held.body['id']}")).body["is_open"] is False


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "kind=miles", "cursor=x", "cursor=1-x", "cursor=-1-5", "q=1"]
)
async def test_a_bad_statement_query_is_refused(client: Client, query: str) -> None:
    refused = await client.get(f"/v1/members/{await member(client)}/statement?{query}")
    assert (refused.status, refused.code) == (422, "invalid_request")


async def test_an_unknown_member_has_no_balances(client: Client, settings: Settings) -> None:
    for path in ("balances", "statement"):
        answer = await client.get(f"/v1/members/mem_nobody/{path}")
        assert (answer.status, answer.code) == (404, "member_not_found")
