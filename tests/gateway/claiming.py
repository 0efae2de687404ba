"""Purchases that no network has reported: an offer, a click on it, and a claim."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any, Final, NamedTuple

from tests.gateway import cash, people, reporting
from tests.gateway.conftest import Answer, Client, Db
from tests.gateway.reporting import Account

PATH: Final = "/v1/claims"
ADMIN: Final = "/v1/admin/claims"
SHOP: Final = "https://shop.example.com/?c={click_id}"
DAY_S: Final = 86_400
#: The click of a purchase four days ago, ten minutes before the order.
CLICKED_S: Final = 4 * DAY_S + 600
_numbers: Final = itertools.count(1)


class Shop(NamedTuple):
    """A merchant with offers that give 5 percent of the sale, and the network that reports them."""

    client: Client
    db: Db
    merchant: str
    offer: str
    link: str
    network: Account


async def shop(client: Client, db: Db, **offer: Any) -> Shop:
    made = await client.post("/v1/merchants", {"name": f"Tea {next(_numbers)}"})
    assert made.status == 201, made
    network = await reporting.network(client)
    offered = await add_offer(client, made.body["id"], **offer)
    return Shop(client, db, made.body["id"], offered["id"], offered["link_id"], network)


async def add_offer(client: Client, merchant_id: str, **more: Any) -> Any:
    body = {
        "merchant_id": merchant_id,
        "title": "Tea",
        "kind": "cashback",
        "cashback": {"basis": "sale", "rate_bp": 500},
        "destination": SHOP,
        "state": "active",
        **more,
    }
    made = await client.post("/v1/offers", body)
    assert made.status == 201, made
    return made.body


async def click(
    shop: Shop, member_id: str | None, *, age_s: int = CLICKED_S, link: str | None = None
) -> str:
    """A click of a member on the shop's offer, some time ago."""
    program_id, link_id = people.program(shop.client), link or shop.link
    text = reporting.mint(program_id, link_id, age_s)
    await reporting.store(shop.db, program_id, text, link_id, member_id)
    return text


async def file(client: Client, click_id: str | None = None, **more: Any) -> Answer:
    """Claim a purchase of 2000 rupees, four days ago."""
    number = next(_numbers)
    body = {
        "order_id": f"OD-{number}",
        "amount_minor": 2_000 * cash.RUPEES,
        "currency": "INR",
        "ordered_at": days_ago(4),
        **({} if click_id is None else {"click_id": click_id}),
        **more,
    }
    return await client.post(PATH, body, Idempotency_Key=f"c{number}")


async def filed(client: Client, click_id: str | None = None, **more: Any) -> Any:
    answer = await file(client, click_id, **more)
    assert answer.status == 201, answer
    return answer.body


async def decide(client: Client, claim_id: str, decision: str, **more: Any) -> Answer:
    return await client.post(f"{ADMIN}/{claim_id}/decide", {"decision": decision, **more})


async def seen(client: Client, claim: Any) -> Any:
    """A claim as the caller sees it."""
    answer = await client.get(f"{PATH}/{claim['id']}")
    assert answer.status == 200, answer
    return answer.body


async def set_policy(client: Client, **fields: Any) -> None:
    """Replace the program's policy, as its owner."""
    done = await cash.operator(client).put(f"{ADMIN}/policy", fields)
    assert done.status == 200, done


def days_ago(days: float) -> str:
    return (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).isoformat()


async def purse(person: cash.Person) -> tuple[int, int]:
    """What is pending and what is available."""
    answer = await person.client.get("/v1/wallet")
    assert answer.status == 200, answer
    [one] = answer.body["balances"]
    return one["pending_minor"], one["available_minor"]
