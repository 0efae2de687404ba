"""Another program's ids: the answer is the one for ids that nobody has, on every route."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import pytest
from redis.asyncio import Redis

from core import tokens
from db import push_subscriptions
from gateway import routes
from gateway.app import App
from tests.gateway import cash, claiming, people, reporting
from tests.gateway.conftest import RING, Client, Db, bearer
from web.routing import Route

SHOP: Final = "https://shop.example.com/"
WEEK: Final = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
#: Bodies of routes that refuse an empty one before they look for the id.
BODIES: Final[dict[str, object]] = {
    "replay_webhook_endpoint": WEEK,
    "record_member_consent": {"is_given": True},
    "verify_member_kyc": {"version": 1},
    "reject_member_kyc": {"version": 1, "reason": "x"},
    "reject_withdrawal": {"reason": "x"},
    "reject_conversion": {"reason": "x"},
    "reopen_conversion": {"reason": "x"},
    "put_fraud_rule": {"name": "Large", "condition": {"kind": "amount", "above_minor": 1}},
    "release_fraud_case": {"reason": "x"},
    "reject_fraud_case": {"reason": "x"},
    "ban_fraud_case": {"reason": "x"},
    "ban_member": {"reason": "x"},
    "unban_member": {"reason": "x"},
    "revalue_conversion": {"reason": "x"},
    "simulate_network": {"txn_id": "x"},
    "complete_withdrawal": {"utr": "123456"},
    "add_claim_evidence": {"text": "x"},
    "decide_claim": {"decision": "accept"},
}
#: Names in paths that are no ids of a program's things.
NO_IDS: Final = {"provider", "purpose", "channel", "language", "name", "kind"}
# Of a path of the original designs: the same route under another name.
ALIAS: Final = re.compile(r"_alias_\d+$")
_numbers: Final = itertools.count()


class World(NamedTuple):
    """A program in which things are made."""

    app: App
    client: Client
    db: Db


Make = Callable[[World], Awaitable[str]]


async def post(world: World, path: str, body: object) -> Any:
    made = await world.client.post(path, body, Idempotency_Key=f"w{next(_numbers)}")
    assert made.status in {200, 201, 202}, made
    return made.body


async def a_program(world: World) -> str:
    return people.program(world.client)


async def a_member(world: World) -> str:
    return str((await post(world, "/v1/members", {}))["id"])


async def a_merchant(world: World) -> str:
    return str((await post(world, "/v1/merchants", {"name": "Tea"}))["id"])


async def a_category(world: World) -> str:
    body = {"slug": f"c{next(_numbers)}", "name": "Tea"}
    return str((await post(world, "/v1/categories", body))["id"])


async def an_offer(world: World) -> str:
    body = {"merchant_id": await a_merchant(world), "title": "Tea", "kind": "deal"}
    return str((await post(world, "/v1/offers", {**body, "destination": SHOP}))["id"])


async def a_link(world: World) -> str:
    return str((await post(world, "/v1/links", {"destination": SHOP}))["id"])


async def a_click(world: World) -> str:
    made = await post(world, "/v1/clicks", {"link_id": await a_link(world)})
    return str(made["click_id"])


async def an_award(world: World) -> str:
    body = {"member": await a_member(world), "kind": "points", "amount": 5}
    return str((await post(world, "/v1/awards", body))["id"])


async def a_hold(world: World) -> str:
    body = {"member": await a_member(world), "kind": "points", "amount": 5}
    await post(world, "/v1/awards", body)
    return str((await post(world, "/v1/holds", body))["id"])


async def an_endpoint(world: World) -> str:
    body = {"url": "https://hooks.example.com/", "events": ["award.created"]}
    return str((await post(world, "/v1/webhook-endpoints", body))["id"])


async def a_delivery(world: World) -> str:
    await post(world, f"/v1/webhook-endpoints/{await an_endpoint(world)}/test", {})
    return str(await world.db.fetchval("SELECT max(id) FROM webhook_delivery"))


async def an_operator(world: World) -> str:
    return await people.operator(
        world.app, program_id=people.program(world.client), email=f"o{next(_numbers)}@example.com"
    )


async def a_session(world: World) -> str:
    email = f"s{next(_numbers)}@example.com"
    await people.operator(world.app, program_id=people.program(world.client), email=email)
    grant = (await people.log_in_operator(world.client, email=email)).body
    return str(grant["session_id"])


async def a_key(world: World) -> str:
    body = {"name": "till", "scopes": ["links:read"]}
    return str((await post(world, "/v1/api-keys", body))["id"])


async def a_notification(world: World) -> str:
    await post(
        world,
        "/v1/operators",
        {"email": f"n{next(_numbers)}@example.com", "name": "Nina", "role": "staff"},
    )
    return str(await world.db.fetchval("SELECT max(id) FROM notification"))


async def a_notice(world: World) -> str:
    await a_withdrawal(world)
    return str(await world.db.fetchval("SELECT max(id) FROM notice"))


async def an_export(world: World) -> str:
    return str((await post(world, f"/v1/members/{await a_member(world)}/export", {}))["id"])


async def a_push_subscription(world: World) -> str:
    program_id, member_id = people.program(world.client), await a_member(world)
    made = world.app.new_id("push")
    async with world.app.transaction() as db:
        await push_subscriptions.add(
            db,
            RING,
            program_id,
            member_id,
            subscription_id=made,
            kind="apns",
            address=f"apns:{next(_numbers):064x}",
        )
    return made


async def an_erasure(world: World) -> str:
    return str((await post(world, f"/v1/members/{await a_member(world)}/erase", {}))["id"])


async def a_method(world: World) -> str:
    return await cash.method(await cash.person(world.client, world.app))


async def a_withdrawal(world: World) -> str:
    asha = await cash.payable(world.client, world.app, 10_000)
    return await cash.requested(asha, 10_000)


async def an_adjustment(world: World) -> str:
    asha = await cash.person(world.client, world.app)
    body = {"member": asha.id, "amount_minor": 5, "reason": "sorry"}
    return str((await post(world, "/v1/adjustments", body))["id"])


async def a_network(world: World) -> str:
    return (await reporting.network(world.client)).id


async def a_postback(world: World) -> str:
    account = await reporting.network(world.client)
    return str((await reporting.report(account, txid="t1"))["id"])


async def a_conversion(world: World) -> str:
    account = await reporting.network(world.client)
    return str((await reporting.report(account, txid="t1"))["conversion"])


async def a_rule(world: World) -> str:
    body = {"name": "Large", "condition": {"kind": "amount", "above_minor": 0}}
    return str((await post(world, "/v1/admin/fraud/rules", body))["id"])


async def a_case(world: World) -> str:
    await a_rule(world)
    account = await reporting.network(world.client)
    click = await reporting.click(world.client, world.db, await a_member(world))
    await reporting.report(account, txid="t1", click_id=click, payout="5")
    return str((await world.client.get("/v1/admin/fraud/cases")).body["data"][0]["id"])


async def a_reclassification(world: World) -> str:
    body = {"rule": await a_rule(world), **WEEK}
    return str((await post(world, "/v1/admin/reclassifications", body))["id"])


async def a_claim(world: World) -> str:
    asha = await cash.person(world.client, world.app)
    shop = await claiming.shop(world.client, world.db)
    return str((await claiming.filed(asha.client, await claiming.click(shop, asha.id)))["id"])


#: How to make what a name in a path stands for. A route with another name adds a line here.
MAKE: Final[dict[str, Make]] = {
    "program_id": a_program,
    "member_id": a_member,
    "merchant_id": a_merchant,
    "category_id": a_category,
    "offer_id": an_offer,
    "link_id": a_link,
    "click_id": a_click,
    "award_id": an_award,
    "hold_id": a_hold,
    "endpoint_id": an_endpoint,
    "delivery_id": a_delivery,
    "operator_id": an_operator,
    "session_id": a_session,
    "key_id": a_key,
    "notification_id": a_notification,
    "notice_id": a_notice,
    "export_id": an_export,
    "erasure_id": an_erasure,
    "subscription_id": a_push_subscription,
    "business_id": a_program,
    "method_id": a_method,
    "withdrawal_id": a_withdrawal,
    "adjustment_id": an_adjustment,
    "network_id": a_network,
    "postback_id": a_postback,
    "conversion_id": a_conversion,
    "claim_id": a_claim,
    "trace_id": a_conversion,
    "rule_id": a_rule,
    "case_id": a_case,
    "reclassification_id": a_reclassification,
}


def with_ids() -> list[Route]:
    """The routes of programs and persons with an id in their path."""
    return [
        route
        for route in routes.ROUTES
        if set(route.parameters) - NO_IDS and route.scope not in {None, tokens.PLATFORM}
    ]


def absent(known: str) -> str:
    """An id of the same form that nobody has."""
    return known[:-1] + ("0" if known[-1] != "0" else "1")


def test_every_id_in_a_path_is_one_that_can_be_made_here() -> None:
    names = {name for route in with_ids() for name in route.parameters}
    assert names - NO_IDS - MAKE.keys() == set(), "add to MAKE"


def mighty(base: Client) -> Client:
    """An owner with all scopes in the program of another caller, and a member's as well."""
    text = tokens.issue(
        RING,
        program_id=people.program(base),
        subject="opr_01h455vb4pex5vsknk084sn02q",
        scopes=(set(tokens.SCOPES) - {tokens.PLATFORM}) | set(tokens.OWN),
        now_s=int(time.time()),
        ttl_s=600,
        token_id="tok_test",
        role="owner",
        rate_per_minute=0,
    )
    return Client(base.session, base.url, bearer(text))


@pytest.mark.parametrize("route", with_ids(), ids=lambda route: route.name)
async def test_another_programs_id_is_answered_as_one_that_nobody_has(
    client: Client, other: Client, app: App, db: Db, redis: Redis, route: Route
) -> None:
    world, foreigner = World(app, client, db), mighty(other)
    ids = {name: await MAKE[name](world) for name in route.parameters if name not in NO_IDS}
    before = await rows(db)
    theirs = await ask(foreigner, route, ids)
    nobodys = await ask(foreigner, route, {name: absent(known) for name, known in ids.items()})
    assert (theirs.status, theirs.body) == (nobodys.status, nobodys.body)
    # The original design's path names the program, and refuses any other alike.
    assert theirs.status == (403 if "business_id" in ids else 404), theirs
    assert await rows(db) == before


async def ask(client: Client, route: Route, ids: dict[str, str]) -> Any:
    path = route.path
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", ids.get(name, "x"))
    body = None if route.method == "GET" else BODIES.get(ALIAS.sub("", route.name), {})
    return await client.call(
        route.method, path, body, Idempotency_Key=f"t{next(_numbers)}", Content_Type=route.body_type
    )


async def rows(db: Db) -> list[int]:
    """How many rows each table has that a request could add or take away."""
    tables = [
        *("program", "member", "merchant", "link", "webhook_endpoint", "webhook_delivery"),
        *("outbox", "operator", "session", "api_key", "idempotency", "audit_entry"),
        *("category", "offer", "kyc", "payout_method", "withdrawal", "money_transaction"),
        *("network", "postback", "conversion", "fraud_rule", "fraud_rule_version", "fraud_case"),
        "reclassification",
        *("claim", "claim_evidence"),
    ]
    return [await db.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
