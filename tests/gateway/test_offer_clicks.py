"""A click on an offer, made beforehand for a member."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from core import clicks
from core.settings import Settings
from db import keys, offers
from gateway.app import App
from tests.gateway import cash, people
from tests.gateway.conftest import Client, Db, running
from tests.gateway.test_offers import PATH, SHOP, add, body, count, merchant, refused, snapshot


async def test_a_member_gets_click_address_and_code(
    client: Client, app: App, redis: Redis, db: Db
) -> None:
    shop = await merchant(client)
    offer = await add(client, shop, kind="coupon", coupon_code="SAVE20")
    asha = await cash.person(client, app)
    made = await asha.client.post(f"{PATH}/{offer['id']}/click", {"parameters": {"sub1": "app"}})
    assert made.status == 201
    click_id = made.body["click_id"]
    assert made.body["redirect_url"] == f"https://go.example.test/c/{click_id}"
    assert made.body["coupon_code"] == "SAVE20"
    left = dt.datetime.fromisoformat(made.body["expires_at"]) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=29) < left <= dt.timedelta(days=30)
    packed: Any = await redis.hget(keys.premint(click_id), "e")
    premint = clicks.decode_premint(packed)
    assert (premint.member_id, premint.parameters) == (asha.id, {"sub1": "app"})
    program_id = people.program(client)
    assert await offers.of_link(db, program_id, premint.link_id) == offer["id"]
    assert await offers.of_link(db, "prg_other", premint.link_id) is None
    compiled = await snapshot(redis, db, offer)
    assert compiled.slug == premint.slug
    assert compiled.template.macros == {"click_id"}
    assert (await client.get(f"/v1/clicks/{click_id}")).body["link_id"] == premint.link_id


async def test_an_app_clicks_on_behalf_of_a_member(client: Client, other: Client) -> None:
    offer = await add(client, await merchant(client))
    path = f"{PATH}/{offer['id']}/click"
    member = (await client.post("/v1/members", {})).body["id"]
    theirs = (await other.post("/v1/members", {})).body["id"]
    made = await client.post(path, {"member": member})
    assert made.status == 201
    seen = (await client.get(f"/v1/clicks/{made.body['click_id']}")).body
    assert (seen["state"], seen["member_id"]) == ("minted", member)
    refused(await client.post(path, {}), 422, "invalid_request")
    refused(await client.post(path, {"member": theirs}), 404, "member_not_found")
    refused(await other.post(path, {"member": theirs}), 404, "offer_not_found")
    wrong = {"member": member, "parameters": {"offer_id": "off_x"}}
    refused(await client.post(path, wrong), 422, "invalid_request")


async def test_a_member_clicks_for_nobody_else(client: Client, app: App) -> None:
    offer = await add(client, await merchant(client))
    asha, ravi = await cash.person(client, app), await cash.person(client, app)
    path = f"{PATH}/{offer['id']}/click"
    refused(await asha.client.post(path, {"member": ravi.id}), 403, "forbidden")
    assert (await asha.client.post(path, {"member": asha.id})).status == 201


@pytest.mark.parametrize(
    "more",
    [
        {"state": "draft"},
        {"state": "paused"},
        {"state": "ended"},
        {"starts_at": "2099-01-01T00:00:00Z"},
        {"ends_at": "2020-01-01T00:00:00Z"},
    ],
)
async def test_an_offer_that_is_not_active_is_not_clicked(
    client: Client, app: App, redis: Redis, more: dict[str, str]
) -> None:
    offer = await add(client, await merchant(client), **more)
    asha = await cash.person(client, app)
    refused(await asha.client.post(f"{PATH}/{offer['id']}/click", {}), 409, "offer_not_active")
    assert [key async for key in redis.scan_iter("{p:*")] == []


async def test_no_offer_of_a_paused_merchant_is_clicked(client: Client, app: App) -> None:
    shop = await merchant(client)
    offer = await add(client, shop)
    await client.patch(f"/v1/merchants/{shop}", {"state": "paused"})
    asha = await cash.person(client, app)
    refused(await asha.client.post(f"{PATH}/{offer['id']}/click", {}), 409, "offer_not_active")


async def test_the_networks_parameter_carries_the_click_id(
    client: Client, redis: Redis, db: Db
) -> None:
    shop = await merchant(client)
    plain = SHOP.partition("?")[0]
    offer = await add(client, shop, destination=plain, network_id="admitad")
    template = (await snapshot(redis, db, offer)).template
    assert template.parts[0] == f"{plain}?subid="
    assert template.macros == {"click_id"}


async def account(client: Client, **config: str) -> str:
    made = await client.post(
        "/v1/networks", {"provider": "generic", "name": "Net", "config": config}
    )
    assert made.status == 201, made.body
    return str(made.body["id"])


TRACKER = "https://track.example/go?o={campaign}&s={click_id}&url={destination}"


async def test_the_link_is_made_through_the_account_at_a_network(
    client: Client, redis: Redis, db: Db
) -> None:
    shop, network = await merchant(client), await account(client, link=TRACKER)
    page = "https://shop.example.com/tea?a=1"
    offer = await add(
        client,
        shop,
        kind="cashback",
        cashback={"basis": "commission", "rate_bp": 7_000},
        destination=page,
        network_id=network,
        network_campaign="77",
    )
    assert offer["destination"] == page
    template = (await snapshot(redis, db, offer)).template
    assert template.parts[0] == "https://track.example/go?o=77&s="
    assert template.parts[2] == "&url=https%3A%2F%2Fshop.example.com%2Ftea%3Fa%3D1"
    assert template.macros == {"click_id"}
    path = f"{PATH}/{offer['id']}"
    assert (await client.patch(path, {"network_campaign": "78"})).status == 200
    template = (await snapshot(redis, db, offer)).template
    assert template.parts[0] == "https://track.example/go?o=78&s="


async def test_an_account_that_makes_no_such_link_refuses_the_offer(
    client: Client, other: Client, db: Db
) -> None:
    shop = await merchant(client)
    mute, linking = await account(client), await account(client, link=TRACKER)
    theirs = await account(other)
    before = await count(db)
    for network, destination in ((mute, "https://shop.example.com/"), (linking, SHOP)):
        wrong = body(shop, network_id=network, destination=destination)
        answer = await client.post(PATH, wrong)
        refused(answer, 422, "invalid_destination")
        assert answer.body["errors"][0]["pointer"] == "/destination"
    assert await count(db) == before
    # Another program's account is none of ours, and there is no other that is not known by name.
    for network in (theirs, "net_01h455vb4pex5vsknk084sn02q", "nobody"):
        answer = await client.post(PATH, body(shop, network_id=network))
        refused(answer, 404, "network_not_found")
        assert answer.body["errors"][0]["pointer"] == "/network_id"
    known = await add(client, shop)
    refused(
        await client.patch(f"{PATH}/{known['id']}", {"network_id": theirs}),
        404,
        "network_not_found",
    )


async def test_links_follow_the_account_that_they_are_made_through(
    client: Client, other: Client, redis: Redis, db: Db
) -> None:
    shop, network = await merchant(client), await account(client, link=TRACKER)
    plain = SHOP.partition("?")[0]
    through = await add(client, shop, destination=plain, network_id=network, network_campaign="77")
    beside = await add(client, shop)
    before = (await snapshot(redis, db, beside)).version
    path = f"/v1/networks/{network}"
    moved = {"config": {"link": TRACKER.replace("track.example", "new.example")}}
    assert (await other.patch(path, moved)).status == 404
    assert (await client.patch(path, moved)).status == 200
    template = (await snapshot(redis, db, through)).template
    assert template.parts[0] == "https://new.example/go?o=77&s="
    assert (await snapshot(redis, db, beside)).version == before
    # With a config that makes no links the offer would lead nowhere.
    answer = await client.patch(path, {"config": {}})
    refused(answer, 422, "invalid_destination")
    assert answer.body["errors"][0]["offer"] == through["id"]
    assert (await client.get(path)).body["config"] == moved["config"]


async def test_a_network_at_a_private_host_is_linked_through_where_that_is_allowed(
    client: Client, settings: Settings, redis: Redis, db: Db
) -> None:
    shop, plain = await merchant(client), SHOP.partition("?")[0]
    network = await account(client, link="http://127.0.0.1:9/go?s={click_id}")
    wanted = body(shop, destination=plain, network_id=network)
    refused(await client.post(PATH, wanted), 422, "invalid_destination")
    allowing = msgspec.structs.replace(settings, outbound_allow="127.0.0.1")
    async with running(allowing) as (_, url):
        caller = Client(client.session, url, client.headers)
        offer = await add(caller, shop, destination=plain, network_id=network)
        assert (await snapshot(redis, db, offer)).template.parts[0] == "http://127.0.0.1:9/go?s="
        named = {**wanted, "external_id": "tea"}
        assert (await caller.put(f"{PATH}/upsert", named)).status == 200
        assert (await caller.patch(f"{PATH}/{offer['id']}", {"rank": 5})).status == 200
        moved = {"config": {"link": "http://127.0.0.1:10/go?s={click_id}"}}
        assert (await caller.patch(f"/v1/networks/{network}", moved)).status == 200
    assert (await snapshot(redis, db, offer)).template.parts[0] == "http://127.0.0.1:10/go?s="


async def test_the_paths_of_the_design_answer_alike(client: Client) -> None:
    offer = await add(client, await merchant(client))
    member = (await client.post("/v1/members", {})).body["id"]
    assert (await client.get("/offers")).body == (await client.get(PATH)).body
    assert (await client.get(f"/offers/{offer['id']}")).body == offer
    made = await client.post(f"/offers/{offer['id']}/click", {"member": member})
    assert made.status == 201
