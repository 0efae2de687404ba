"""How the network of a claim was asked, as operators see it."""

from __future__ import annotations

import datetime as dt

from db import inquiries
from gateway.app import App
from tests.gateway import cash, claiming, people
from tests.gateway.claiming import ADMIN, filed
from tests.gateway.conftest import Client, Db


async def test_an_inquiry_is_wanted_when_a_claim_is_sent_and_shown_once_it_was_made(
    client: Client, app: App, db: Db, other: Client
) -> None:
    shop, asha = await claiming.shop(client, db), await cash.person(client, app)
    claim = await filed(asha.client, await claiming.click(shop, asha.id))
    path = f"{ADMIN}/{claim['id']}/inquiry"
    assert set((await client.get(path)).body.values()) == {None}
    sent = await claiming.decide(cash.operator(client), claim["id"], "send_to_network")
    assert (sent.status, sent.body["state"]) == (200, "sent")
    waiting = (await client.get(path)).body
    assert (waiting["way"], waiting["wanted_at"] is None) == (None, False)
    tasks = await db.fetch("SELECT payload FROM outbox WHERE task = 'ask_network'")
    assert len(tasks) == 1
    program_id = people.program(client)
    async with app.transaction() as own:
        at = dt.datetime.now(dt.UTC)
        await inquiries.note(own, program_id, claim["id"], "api", at, reference="15652378")
    asked = (await client.get(path)).body
    assert (asked["way"], asked["reference"], asked["problem"]) == ("api", "15652378", None)
    assert asked["asked_at"] is not None
    assert (await other.get(path)).status == 404
    assert (await asha.client.get(path)).status == 403
