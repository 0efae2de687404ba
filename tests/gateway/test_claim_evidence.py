"""How much is said for a claim."""

from __future__ import annotations

import pytest

from db import personal
from gateway import claims
from gateway.app import App
from tests.gateway import cash, claiming, people
from tests.gateway.claiming import PATH
from tests.gateway.conftest import Client, Db


async def test_a_claim_has_so_much_evidence_and_no_more(
    client: Client, app: App, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "EVIDENCE_MAX", 2)
    asha, shop = await cash.person(client, app), await claiming.shop(client, db)
    click = await claiming.click(shop, asha.id)
    path = f"{PATH}/{(await claiming.filed(asha.client, click, text='By card.'))['id']}/evidence"
    assert (await asha.client.post(path, {"text": "On my phone."})).status == 201
    refused = await asha.client.post(path, {"text": "At home."})
    assert (refused.status, refused.code) == (409, "conflict")
    assert await db.fetchval("SELECT count(*) FROM claim_evidence") == 2


async def test_nothing_is_written_about_a_member_who_was_erased(
    client: Client, app: App, db: Db
) -> None:
    asha, shop = await cash.person(client, app), await claiming.shop(client, db)
    click = await claiming.click(shop, asha.id)
    path = f"{PATH}/{(await claiming.filed(asha.client, click))['id']}/evidence"
    await db.execute(personal.ERASE_MEMBER, people.program(client), asha.id)
    refused = await client.post(path, {"text": "She says that it was on her phone."})
    assert (refused.status, refused.code) == (404, "member_not_found")
    assert await db.fetchval("SELECT count(*) FROM claim_evidence") == 0
