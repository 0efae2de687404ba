"""What a person or a secret is called stays out of the logs and out of other answers."""

from __future__ import annotations

import logging

import pytest

from tests.gateway.conftest import Client, Db

PLANTED = ("Asha Verma", "asha@example.com", "+919812345678", "sesame-street", "m-4711")


async def test_the_logs_tell_nothing_of_a_person(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    name, mail, phone, password, external_id = PLANTED
    member = {"name": name, "external_id": external_id, "attributes": {"mail": mail, "p": phone}}
    with caplog.at_level(logging.DEBUG):
        assert (await client.post("/v1/members", member)).status == 201
        assert (await client.post("/v1/members", member)).status == 409
        assert (await client.post("/v1/members", {**member, "wrong": phone})).status == 422
        assert (await client.get(f"/v1/members?external_id={external_id}")).status == 200
        link = {"destination": f"https://shop.example.com/?m={mail}", "password": password}
        assert (await client.post("/v1/links", link)).status == 201
        assert (
            await client.post("/v1/links", {**link, "destination": f"ftp://{mail}"})
        ).status == 422
    token = client.headers["Authorization"].removeprefix("Bearer ")
    for planted in (*PLANTED, token):
        assert planted not in caplog.text


async def test_no_table_has_a_person_or_a_secret_in_the_clear(client: Client, db: Db) -> None:
    name, mail, phone, *_ = PLANTED
    member = {"name": name, "attributes": {"mail": mail, "p": phone}}
    made = await client.post("/v1/members", member, Idempotency_Key="k1")
    await client.patch(f"/v1/members/{made.body['id']}", {"attributes": {"mail": mail}})
    hook = {"url": "https://shop.example/hook", "events": ["award.created"]}
    endpoint = await client.post("/v1/webhook-endpoints", hook, Idempotency_Key="k2")
    again = await client.post("/v1/webhook-endpoints", hook, Idempotency_Key="k2")
    assert again.body == endpoint.body
    stored = await everything(db)
    assert made.body["id"] in stored
    for planted in (name, mail, phone, endpoint.body["secret"]):
        assert planted not in stored
        assert planted.encode().hex() not in stored


async def everything(db: Db) -> str:
    """All rows of all tables, as text."""
    tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    texts = [
        await db.fetchval(f"SELECT string_agg(t::text, ' ') FROM {row['tablename']} AS t")
        for row in tables
    ]
    return " ".join(filter(None, texts))
