"""Networks that report what happened to clicks, as their servers do."""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

from core import clickid, ids
from tests.conftest import RING
from tests.gateway import people
from tests.gateway.conftest import Client, Db

JSON: Final = {"Accept": "application/json", "Authorization": None}


class Account(NamedTuple):
    """A generic network, and the path that it calls."""

    id: str
    path: str
    client: Client


async def network(client: Client, **fields: Any) -> Account:
    """A network whose amounts are rupees; members get half of its commissions."""
    body = {"provider": "generic", "name": "Shops", "config": {"currency": "INR"}, **fields}
    made = await client.post("/v1/networks", body)
    assert made.status == 201, made
    own = str(made.body["id"])
    return Account(own, f"/postback/{own}/{made.body['postback_token']}", client)


async def call(account: Account, method: str = "GET", **fields: object) -> Any:
    """The network calls, and is answered as networks are."""
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    return await account.client.call(
        method, f"{account.path}?{query}", Authorization=None, Accept=None
    )


async def report(account: Account, **fields: object) -> Any:
    """The same, answered with the verdict."""
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    answer = await account.client.call("GET", f"{account.path}?{query}", **JSON)
    assert answer.status == 200, answer
    return answer.body


async def click(client: Client, db: Db, member_id: str | None, *, age_s: int = 60) -> str:
    """A click of a member on a link, as redirector and flusher leave it."""
    made = await client.post("/v1/links", {"destination": "https://shop.example.com/"})
    assert made.status == 201, made
    link_id, program_id = str(made.body["id"]), people.program(client)
    text = mint(program_id, link_id, age_s)
    await store(db, program_id, text, link_id, member_id)
    return text


def mint(program_id: str, link_id: str, age_s: int = 60) -> str:
    """What the redirector mints for a click some time ago."""
    key = RING.active_click
    minter = clickid.Minter(key, RING.click[key], 7)
    minter.sequence = time.time_ns() % 1_000_000
    now_ms = time.time_ns() // 1_000_000 - age_s * 1000
    return minter.mint(now_ms, program_id, ids.link_bits(link_id))


async def store(db: Db, program_id: str, text: str, link_id: str, member_id: str | None) -> None:
    """The row of a click, as the flusher writes it."""
    await db.execute(ROW, text, program_id, link_id, member_id, clickid.decode(text).ms)


ROW: Final = """
INSERT INTO click (day, click_id, program_id, link_id, clicked_at, class, reasons, device, system,
                   browser, privacy_signal, member_id)
SELECT (to_timestamp($5::bigint / 1000.0) AT TIME ZONE 'UTC')::date, $1, $2, $3,
       to_timestamp($5::bigint / 1000.0), 0, '{}', 'desktop', 'Linux', 'Firefox', false, $4
"""
