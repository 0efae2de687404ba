"""What members see of themselves under `/v1/me`, and nobody else does."""

from __future__ import annotations

from redis.asyncio import Redis

from deploy.local.postgres import DatabaseUrls
from gateway.app import App
from tests.gateway import cash
from tests.gateway.conftest import Client
from tests.gateway.test_awards import award
from tests.gateway.test_holds import flushed, hold


async def test_members_see_their_own_points_and_how_they_came_about(
    client: Client, app: App, database: DatabaseUrls, redis: Redis
) -> None:
    asha, bela = [await cash.person(client, app) for _ in range(2)]
    await award(client, asha.id, 12)
    await hold(client, asha.id, 5)
    await flushed(database, redis)
    mine = await asha.client.get("/v1/me/balances")
    assert mine.body["points"] == {"available": 7, "held": 5}
    activity = await asha.client.get("/v1/me/activity?limit=1")
    assert [line["type"] for line in activity.body["data"]] == ["hold"]
    rest = await asha.client.get(f"/v1/me/activity?cursor={activity.body['next_cursor']}")
    assert [line["type"] for line in rest.body["data"]] == ["award"]
    # As operators see it, and by the path of the original design.
    for path, own in (("balances", "/v1/me/balances"), ("statement", "/v1/me/activity")):
        seen = await client.get(f"/v1/members/{asha.id}/{path}")
        assert (await asha.client.get(own)).body == seen.body
        refused = await asha.client.get(f"/v1/members/{asha.id}/{path}")
        assert (refused.status, refused.code) == (403, "insufficient_scope")
    logs = await asha.client.get("/rewardlogs")
    assert logs.body == (await asha.client.get("/v1/me/activity")).body
    for query in ("", f"?member_id={asha.id}"):
        shown = (await bela.client.get(f"/v1/me/balances{query}")).body
        assert shown["points"]["available"] == 0
    assert (await bela.client.get("/v1/me/activity")).body["data"] == []


async def test_what_one_member_has_seen_is_no_other_members_304(client: Client, app: App) -> None:
    """A tag names a content: two members with different ones never share it."""
    asha, bela = [await cash.person(client, app) for _ in range(2)]
    for path in ("/v1/me", "/v1/me/balances", "/v1/sessions", "/v1/wallet", "/v1/withdrawals"):
        first = await asha.client.get(path)
        assert first.headers["Cache-Control"] == "private, no-cache"
        tag = first.headers["ETag"]
        assert (await asha.client.get(path, If_None_Match=tag)).status == 304
        other = await bela.client.get(path, If_None_Match=tag)
        assert (other.status == 304) is (first.body == (await bela.client.get(path)).body), path
