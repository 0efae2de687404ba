"""Awards over HTTP: bodies, statuses, replays, batches, reversals and outages."""

from __future__ import annotations

import asyncio
import datetime as dt

import msgspec
import pytest
from redis.asyncio import Redis

from core.settings import Settings
from db import keys
from tests.gateway.conftest import Answer, Client, bearer, running, token
from tests.lanes import BOTH_LANES

pytestmark = BOTH_LANES


async def member(client: Client) -> str:
    made = await client.post("/v1/members", {})
    assert made.status == 201
    return str(made.body["id"])


async def award(client: Client, member_id: str, amount: int = 10, key: str = "k1") -> Answer:
    body = {"member": member_id, "kind": "points", "amount": amount, "reason": "order"}
    return await client.post("/v1/awards", body, Idempotency_Key=key)


async def balance(client: Client, member_id: str) -> tuple[int, int]:
    found = await client.get(f"/v1/members/{member_id}/balances")
    assert found.status == 200
    return found.body["points"]["available"], found.body["points"]["held"]


async def test_an_award_is_answered_with_the_new_balance(client: Client) -> None:
    member_id = await member(client)
    made = await award(client, member_id)
    assert made.status == 201
    assert "Idempotent-Replayed" not in made.headers
    assert {**made.body, "id": 0, "occurred_at": 0, "created_at": 0} == {
        "id": 0, "member": member_id, "kind": "points", "amount": 10, "balance": 10,
        "reason": "order", "reference": None, "occurred_at": 0, "created_at": 0, "sequence": 1,
    }  # fmt: skip
    assert made.body["id"].startswith("awd_")
    found = await client.get(f"/v1/awards/{made.body['id']}")
    shared = {name: made.body[name] for name in found.body}
    assert (found.status, found.body) == (200, shared)


async def test_an_award_sent_again_gets_the_first_answer(client: Client) -> None:
    member_id = await member(client)
    answers = await asyncio.gather(*(award(client, member_id) for _ in range(5)))
    assert {answer.status for answer in answers} == {201}
    assert len({msgspec.json.encode(answer.body) for answer in answers}) == 1
    marks = [answer.headers.get("Idempotent-Replayed") for answer in answers]
    assert sorted(marks, key=str) == [None, *["true"] * 4]
    reused = await award(client, member_id, 11)
    assert (reused.status, reused.code) == (422, "idempotency_key_reused")
    assert await balance(client, member_id) == (10, 0)


@pytest.mark.parametrize("moment", ["2026-01-02T03:04:05.001Z", "2020-02-29T23:59:59.999+05:30"])
async def test_when_it_was_earned_is_kept_to_the_millisecond(client: Client, moment: str) -> None:
    body = {"member": await member(client), "kind": "stamps", "amount": 1, "occurred_at": moment}
    made = await client.post("/v1/awards", body, Idempotency_Key="k")
    assert made.status == 201
    told = dt.datetime.fromisoformat(made.body["occurred_at"])
    assert told == dt.datetime.fromisoformat(moment)


async def test_a_batch_answers_each_item_in_its_place(client: Client, other: Client) -> None:
    mine, theirs = await member(client), await member(other)
    good = {"member": mine, "kind": "points", "amount": 5, "idempotency_key": "a"}
    items: list[object] = [
        good,
        good,
        {**good, "amount": 6},
        {**good, "idempotency_key": "b", "member": theirs},
        {**good, "idempotency_key": "c", "amount": 0},
        {**good, "idempotency_key": "d", "occurred_at": "1999-01-01T00:00:00Z"},
        {**good, "idempotency_key": ""},
        {**good, "idempotency_key": "e", "kind": "stamps"},
        7,
    ]
    made = await client.post("/v1/awards/batch", {"items": items})
    assert made.status == 200
    data = made.body["data"]
    assert [item["status"] for item in data] == [201, 201, 422, 404, 422, 422, 422, 201, 422]
    assert [item.get("error", {}).get("code") for item in data] == [
        None, None, "idempotency_key_reused", "member_not_found", "invalid_request",
        "invalid_request", "invalid_request", None, "invalid_request",
    ]  # fmt: skip
    assert [item.get("replayed", False) for item in data[:2]] == [False, True]
    assert data[0]["data"] == data[1]["data"]
    assert await balance(client, mine) == (5, 0)


async def test_a_batch_of_a_thousand_is_decided_whole(client: Client) -> None:
    member_id = await member(client)
    items = [
        {"member": member_id, "kind": "points", "amount": 1, "idempotency_key": str(number)}
        for number in range(1_000)
    ]
    made = await client.post("/v1/awards/batch", {"items": items})
    assert {item["status"] for item in made.body["data"]} == {201}
    assert [item["data"]["balance"] for item in made.body["data"]] == list(range(1, 1_001))
    for item in made.body["data"][::100]:
        assert (await client.get(f"/v1/awards/{item['data']['id']}")).status == 200
    too_many = await client.post("/v1/awards/batch", {"items": [*items, items[0]]})
    assert (too_many.status, too_many.code) == (422, "invalid_request")


async def test_an_award_is_taken_back_in_parts(client: Client) -> None:
    member_id = await member(client)
    made = await award(client, member_id)
    path = f"/v1/awards/{made.body['id']}/reverse"
    part = await client.post(path, {"amount": 4, "reason": "return"}, Idempotency_Key="r1")
    assert part.status == 201
    assert (part.body["award"], part.body["amount"], part.body["balance"]) == (
        made.body["id"], 4, 6,
    )  # fmt: skip
    again = await client.post(path, {"amount": 4, "reason": "return"}, Idempotency_Key="r1")
    assert (again.body, again.headers["Idempotent-Replayed"]) == (part.body, "true")
    rest = await client.call("POST", path, None, Idempotency_Key="r2")
    assert (rest.status, rest.body["amount"], rest.body["balance"]) == (201, 6, 0)
    more = await client.post(path, {}, Idempotency_Key="r3")
    assert (more.status, more.code) == (409, "reversal_exceeds_award")


async def test_a_reversal_may_take_a_balance_below_zero_and_awards_repay_it(
    client: Client,
) -> None:
    member_id = await member(client)
    made = await award(client, member_id)
    spend = {"member": member_id, "kind": "points", "amount": 10}
    assert (await client.post("/v1/spends", spend, Idempotency_Key="s")).status == 201
    await client.post(f"/v1/awards/{made.body['id']}/reverse", {}, Idempotency_Key="r")
    assert await balance(client, member_id) == (-10, 0)
    refused = await client.post("/v1/spends", spend, Idempotency_Key="s2")
    assert (refused.status, refused.code) == (409, "balance_negative")
    assert (await award(client, member_id, 12, "k2")).body["balance"] == 2


async def test_another_programs_things_are_not_found(client: Client, other: Client) -> None:
    member_id = await member(client)
    made = await award(client, member_id)
    award_id = made.body["id"]
    for answer, code in (
        (await award(other, member_id), "member_not_found"),
        (await other.get(f"/v1/awards/{award_id}"), "award_not_found"),
        (
            await other.post(f"/v1/awards/{award_id}/reverse", {}, Idempotency_Key="r"),
            "award_not_found",
        ),
        (await other.get(f"/v1/members/{member_id}/balances"), "member_not_found"),
        (await other.get(f"/v1/members/{member_id}/statement"), "member_not_found"),
        (await client.get("/v1/awards/awd_nothing"), "award_not_found"),
        (await client.get(f"/v1/awards/{award_id[:-1]}0"), "award_not_found"),
        (await client.get(f"/v1/holds/{award_id}"), "hold_not_found"),
    ):
        assert (answer.status, answer.code) == (404, code)
    assert await balance(client, member_id) == (10, 0)


async def test_rules_of_the_program_limit_awards(staff: Client) -> None:
    rules = {"points": {"per_member_day": 15, "budget": 40}, "stamps": {"interval_s": 3_600}}
    made = await staff.post("/v1/programs", {"name": "Tea", "currency": "INR", "settings": rules})
    client = Client(staff.session, staff.url, bearer(token(made.body["id"])))
    first, second, third = [await member(client) for _ in range(3)]
    assert (await award(client, first, 15)).status == 201
    limited = await award(client, first, 1, "k2")
    assert limited.code == "limit_reached"
    assert (await award(client, second, 15)).status == 201
    assert (await award(client, third, 11)).code == "budget_exhausted"
    stamp = {"member": first, "kind": "stamps", "amount": 1}
    assert (await client.post("/v1/awards", stamp, Idempotency_Key="s1")).status == 201
    assert (await client.post("/v1/awards", stamp, Idempotency_Key="s2")).code == "limit_reached"


GOOD = b'"kind":"points","amount":1'
BAD: list[tuple[bytes, int, str]] = [
    (b"", 400, "invalid_json"),
    (b"{" + b'"member":"m",' + GOOD, 400, "invalid_json"),
    (b'{"member":"m","member":"n",' + GOOD + b"}", 400, "invalid_json"),
    (b'{"member":"m\xff",' + GOOD + b"}", 400, "invalid_json"),
    (b'{"member":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "invalid_json"),
    (b'{"member":"m\\u0000",' + GOOD + b"}", 422, "invalid_request"),
    (b'{"member":"",' + GOOD + b"}", 422, "invalid_request"),
    (b'{"member":7,' + GOOD + b"}", 422, "invalid_request"),
    (b'{"member":"m","kind":"miles","amount":1}', 422, "invalid_request"),
    (b'{"member":"m","kind":"points","amount":0}', 422, "invalid_request"),
    (b'{"member":"m","kind":"points","amount":-1}', 422, "invalid_request"),
    (b'{"member":"m","kind":"points","amount":1.5}', 422, "invalid_request"),
    (b'{"member":"m","kind":"points","amount":"1"}', 422, "invalid_request"),
    (b'{"member":"m","kind":"points","amount":true}', 422, "invalid_request"),
    (b'{"member":"m","kind":"points","amount":9007199254740992}', 422, "invalid_request"),
    (b'{"member":"m","kind":"points","amount":1180591620717411303424}', 422, "invalid_request"),
    (b'{"member":"m","program_id":"prg_x",' + GOOD + b"}", 422, "invalid_request"),
    (b'{"member":"m",' + GOOD + b"}", 404, "member_not_found"),
    (b'{"member":"a:b:c",' + GOOD + b"}", 404, "member_not_found"),
    (b"[]", 422, "invalid_request"),
    (b" " * (1 << 20) + b"{}", 413, "body_too_large"),
]


@pytest.mark.parametrize("path", ["/v1/awards", "/v1/spends", "/v1/holds"])
async def test_a_bad_body_is_refused_and_decides_nothing(
    client: Client, redis: Redis, path: str
) -> None:
    for body, status, code in BAD:
        refused = await client.post(path, body, Idempotency_Key="k")
        assert (refused.status, refused.code) == (status, code), body[:80]
    assert [await redis.xlen(keys.award_stream(n)) for n in range(keys.AWARD_PARTITIONS)] == [
        0
    ] * 16


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 400, "idempotency_key_missing"),
        ("", 400, "idempotency_key_invalid"),
        ("k" * 256, 400, "idempotency_key_invalid"),
        ("k\tk", 400, "idempotency_key_invalid"),
        ("\xe9", 400, "idempotency_key_invalid"),
    ],
)
async def test_a_key_must_be_printable_and_short(
    client: Client, key: str | None, status: int, code: str
) -> None:
    body = {"member": await member(client), "kind": "points", "amount": 1}
    refused = await client.post("/v1/awards", body, Idempotency_Key=key)
    assert (refused.status, refused.code) == (status, code)


async def test_without_postgresql_known_members_are_awarded(
    settings: Settings, client: Client, redis: Redis
) -> None:
    known, unknown = await member(client), await member(client)
    for number in range(keys.AWARD_PARTITIONS):
        names = await redis.hkeys(keys.award_balances(number, 0))
        gone = [name for name in names if unknown.encode() in name]
        if gone:
            await redis.hdel(keys.award_balances(number, 0), *gone)
    assert (await award(client, known)).status == 201
    away = msgspec.structs.replace(settings, database_url="postgresql://u@127.0.0.1:1/x")
    async with running(settings) as (app, url):
        there = Client(client.session, url, client.headers)
        assert (await award(there, known, 1, "warm")).status == 201
        async with running(away) as (other, _):
            app.pool, other.pool = other.pool, app.pool  # type: ignore[misc]  # PostgreSQL goes away
            assert (await award(there, known, 2, "k2")).body["balance"] == 13
            refused = await award(there, unknown, 2, "k3")
            assert (refused.status, refused.code) == (503, "unavailable")
            assert refused.headers["Retry-After"]
            app.pool, other.pool = other.pool, app.pool  # type: ignore[misc]  # and comes back
        assert (await award(there, unknown, 2, "k3")).status == 201


async def test_without_redis_nothing_is_awarded(settings: Settings, client: Client) -> None:
    member_id = await member(client)
    away = msgspec.structs.replace(settings, redis_url="unix:///nowhere.sock")
    async with running(away) as (_, url):
        there = Client(client.session, url, client.headers)
        for path in ("/v1/awards", "/v1/spends", "/v1/holds"):
            body = {"member": member_id, "kind": "points", "amount": 1}
            refused = await there.post(path, body, Idempotency_Key="k")
            assert (refused.status, refused.code) == (503, "unavailable")
            assert refused.headers["Retry-After"]


async def test_a_closed_partition_answers_503(client: Client, redis: Redis) -> None:
    member_id = await member(client)
    for number in range(keys.AWARD_PARTITIONS):
        await redis.hset(keys.award_head(number), "open", 0)
    refused = await award(client, member_id)
    assert (refused.status, refused.code) == (503, "not_open")
    assert refused.headers["Retry-After"]


@pytest.mark.parametrize(
    "item",
    [
        '{"member":"%s","kind":"points","amount":1,"amount":2,"idempotency_key":"a"}',
        '{"member":"%s","kind":"points","amount":1,"reason":null,"reason":"b","idempotency_key":"a"}',
        '{"member":"%s","kind":"points","amount":1,"idempotency_key":"a","idempotency_key":"b"}',
    ],
)
async def test_a_key_that_stands_twice_in_an_item_spoils_the_batch(
    client: Client, item: str
) -> None:
    member_id = await member(client)
    body = b'{"items":[%b]}' % (item % member_id).encode()
    answer = await client.call("POST", "/v1/awards/batch", body)
    assert (answer.status, answer.code) == (400, "invalid_json")
    assert await balance(client, member_id) == (0, 0)


async def test_a_batch_gives_the_same_answers_however_it_is_spelled(client: Client) -> None:
    """Well-formed batches are decoded at once, all others item by item."""
    member_id = await member(client)
    plain = {"member": member_id, "kind": "points", "amount": 3, "idempotency_key": "one"}
    full = {**plain, "idempotency_key": "two", "reason": "r", "reference": "s"}
    dated = {**plain, "idempotency_key": "three", "occurred_at": "2026-01-02T03:04:05Z"}
    first = await client.post("/v1/awards/batch", {"items": [plain, full, dated]})
    assert [one["status"] for one in first.body["data"]] == [201, 201, 201]
    spelled = {"items": [{**plain, "reason": None}, {**full, "amount": "3"}, dated]}
    second = await client.post("/v1/awards/batch", spelled)
    assert [one["status"] for one in second.body["data"]] == [201, 422, 201]
    for place in (0, 2):
        repeated = second.body["data"][place]
        assert repeated["replayed"]
        assert repeated["data"] == first.body["data"][place]["data"]
