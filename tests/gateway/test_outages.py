"""The API while PostgreSQL or Redis is away: 503, never 500, and nothing is half done."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from core.settings import Settings
from tests.gateway import wires
from tests.gateway.conftest import Client, Db, bearer, counts, running, token
from tests.gateway.wires import Wire

SHOP = "https://shop.example.com/"
# Nothing listens there, and nothing may: port 1 needs rights that tests don't have or use.
NOWHERE = "127.0.0.1:1"


@pytest.fixture
async def wire(settings: Settings) -> AsyncIterator[tuple[Wire, Settings]]:
    async with wires.wired(settings) as made:
        yield made


@pytest.fixture
async def wired(
    wire: tuple[Wire, Settings],
    session: aiohttp.ClientSession,
    open_partitions: None,
    db: Db,
) -> AsyncIterator[Client]:
    """The caller of a program whose gateway reaches PostgreSQL over the wire."""
    async with running(wire[1]) as (_, url):
        staff = Client(session, url, bearer(token(None)))
        made = await staff.post("/v1/programs", {"name": "Tea", "currency": "INR"})
        yield Client(session, url, bearer(token(made.body["id"])))


async def every_read_and_write(client: Client) -> list[tuple[int, str]]:
    """What the routes answer that need PostgreSQL."""
    answers = [
        await client.get("/v1/members"),
        await client.get("/v1/members/mem_x"),
        await client.post("/v1/members", {}),
        await client.put("/v1/members/upsert", {"external_id": "x"}),
        await client.post("/v1/members/bulk", {"items": [{}]}),
        await client.patch("/v1/members/mem_x", {}),
        await client.delete("/v1/members/mem_x"),
        await client.post("/v1/links", {"destination": SHOP}, Idempotency_Key="k"),
        await client.get("/v1/links/lnk_x/stats"),
        await client.post("/v1/clicks", {"slug": "x"}),
        await client.get("/v1/programs", Authorization=bearer(token(None))["Authorization"]),
    ]
    assert all(answer.headers["Retry-After"] == "1" for answer in answers)
    return [(answer.status, answer.code) for answer in answers]


async def test_postgresql_away_at_the_start_is_503_and_degraded(
    settings: Settings, session: aiohttp.ClientSession, open_partitions: None
) -> None:
    away = msgspec.structs.replace(settings, database_url=f"postgresql://u@{NOWHERE}/x")
    async with running(away) as (_, url):
        client = Client(session, url, bearer(token("prg_01h455vb4pex5vsknk084sn02q")))
        assert set(await every_read_and_write(client)) == {(503, "unavailable")}
        ready = await client.get("/health/ready")
        assert (ready.status, ready.body["status"]) == (200, "degraded")
        assert ready.body["postgresql"] == "away"
        assert (await client.get("/health/live")).status == 200


async def test_postgresql_dying_later_is_503_until_it_is_back(
    wire: tuple[Wire, Settings], wired: Client, db: Db
) -> None:
    assert (await wired.post("/v1/members", {})).status == 201
    before = await counts(db)
    wire[0].cut()
    assert set(await every_read_and_write(wired)) == {(503, "unavailable")}
    wire[0].is_cut = False
    assert await counts(db) == before
    assert (await wired.post("/v1/members", {})).status == 201


async def test_a_commit_without_an_answer_is_unknown_and_safe_to_repeat(
    wire: tuple[Wire, Settings], wired: Client, db: Db
) -> None:
    wire[0].cuts_at_commit = True
    unknown = await wired.post("/v1/members", {"external_id": "x"}, Idempotency_Key="k1")
    assert (unknown.status, unknown.code) == (503, "outcome_unknown")
    wire[0].is_cut = False
    again = await wired.post("/v1/members", {"external_id": "x"}, Idempotency_Key="k1")
    assert again.status == 201
    assert (await counts(db))["member"] == 1


async def test_without_redis_reads_go_on_and_links_are_left_to_the_outbox(
    settings: Settings, session: aiohttp.ClientSession, db: Db
) -> None:
    away = msgspec.structs.replace(settings, redis_url=f"redis://{NOWHERE}/0")
    async with running(away) as (_, url):
        staff = Client(session, url, bearer(token(None)))
        program = await staff.post("/v1/programs", {"name": "Tea", "currency": "INR"})
        client = Client(session, url, bearer(token(program.body["id"])))
        link = await client.post("/v1/links", {"destination": SHOP})
        assert link.status == 201
        assert (await counts(db))["outbox"] == 1
        stats = await client.get(f"/v1/links/{link.body['id']}/stats")
        assert (stats.status, stats.body["live"]) == (200, None)
        for refused in (
            await client.post("/v1/members", {}),
            await client.post("/v1/clicks", {"link_id": link.body["id"]}),
        ):
            assert (refused.status, refused.code) == (503, "unavailable")
            assert refused.headers["Retry-After"] == "1"
        assert (await counts(db))["member"] == 0
        assert (await client.get("/v1/members")).status == 200
        assert (await client.get("/health/ready")).status == 503
