"""Merchants and offers from CSV files, over HTTP and by the command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from core import errors
from core.settings import Settings
from db import keys
from deploy import cli
from deploy.commands import programs
from tests.gateway import people
from tests.gateway.conftest import Answer, Client, Db

SHOP = "https://shop.example.com/?c={click_id}"
HEAD = "external_id,merchant,title,kind,destination"
ROW = f"tea,Green tea,deal,{SHOP}"
MERCHANTS = (
    "external_id,name,hosts,categories,approval_days,description_en,description_hi,state\n"
    'tea,"Tea, fine",shop.example tea.example,food,45,Leaves,चाय,\n'
    "books,Books,,,,,,paused\n"
)


async def send(client: Client, what: str, text: str | bytes, **headers: str | None) -> Answer:
    body = text.encode() if isinstance(text, str) else text
    return await client.post(f"/v1/{what}/import", body, Content_Type="text/csv", **headers)


@pytest.fixture
async def filled(client: Client) -> Client:
    """A program with a category and the merchants of a file."""
    await client.post("/v1/categories", {"slug": "food", "name": "Food"})
    made = await send(client, "merchants", MERCHANTS)
    assert (made.status, made.body) == (200, {"created": 2, "changed": 0, "unchanged": 0})
    return client


async def state(db: Db) -> tuple[Any, ...]:
    tables = ("merchant", "offer", "link", "outbox", "audit_entry")
    counts = [await db.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
    return (*counts, *await db.fetch("SELECT id, title, updated_at FROM offer ORDER BY id"))


async def test_merchants_of_a_file_are_stored_and_replaced(filled: Client) -> None:
    tea = (await filled.get("/v1/merchants?external_id=tea")).body["data"][0]
    assert (tea["name"], tea["hosts"]) == ("Tea, fine", ["shop.example", "tea.example"])
    assert tea["descriptions"] == {"en": "Leaves", "hi": "चाय"}
    assert (tea["approval_days"], len(tea["category_ids"])) == (45, 1)
    again = await send(filled, "merchants", MERCHANTS.replace("Books", "Novels"))
    assert again.body == {"created": 0, "changed": 1, "unchanged": 1}
    assert (await filled.get(f"/v1/merchants/{tea['id']}")).body == tea


async def test_offers_of_a_file_are_stored_once_and_replaced(
    filled: Client, db: Db, redis: Redis
) -> None:
    columns = ",state,cashback_basis,cashback_rate_bp,cap_period,cap_count,categories,is_hot"
    text = (
        f"\ufeff{HEAD}{columns}\r\n"
        f"a,tea,Green tea,cashback,{SHOP},active,sale,500,month,3,food,true\r\n"
        "\r\n"
        f"b,{ROW}\r\n"
    )
    first = await send(filled, "offers", text, Idempotency_Key="k")
    assert (first.status, first.body) == (200, {"created": 2, "changed": 0, "unchanged": 0})
    again = await send(filled, "offers", text, Idempotency_Key="k")
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    one, two = (await filled.get("/v1/offers")).body["data"]
    assert one["cashback"] == {"basis": "sale", "rate_bp": 500}
    assert one["member_cap"] == {"period": "month", "amount_minor": None, "count": 3}
    assert (one["is_hot"], two["state"], len(one["category_ids"])) == (True, "draft", 1)
    assert await redis.xlen(keys.LINK_CHANGES) == 2
    before = await state(db)
    third = await send(filled, "offers", text)
    assert third.body == {"created": 0, "changed": 0, "unchanged": 2}
    after = await state(db)
    assert (after[:4], after[5:]) == (before[:4], before[5:])
    fourth = await send(filled, "offers", text.replace("500", "600"))
    assert fourth.body == {"created": 0, "changed": 1, "unchanged": 1}
    assert (await filled.get(f"/v1/offers/{one['id']}")).body["cashback"]["rate_bp"] == 600


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"{HEAD}\na,{ROW}\nb,tea,Tea,gift,{SHOP}\n", ["3"]),
        (f"{HEAD}\na,{ROW}\nb,tea,Tea,deal,javascript:alert(1)\n", ["3"]),
        (f"{HEAD}\na,{ROW}\nb,{ROW}\na,{ROW}\n", ["4"]),
        (f"{HEAD}\na,{ROW}\n,{ROW}\n", ["3"]),
        (f"{HEAD}\na,{ROW}\nb,nobody,Tea,deal,{SHOP}\n", ["3"]),
        (f"{HEAD},categories\na,{ROW},food nowhere\nb,{ROW},none\n", ["2", "3"]),
        (f"{HEAD},cashback_rate_bp\na,{ROW},500\n", ["2"]),
        (f"{HEAD},rank\na,{ROW},first\n", ["2"]),
        (f"{HEAD},starts_at\na,{ROW},yesterday\n", ["2"]),
        (f"{HEAD}\na,tea,Tea,coupon,{SHOP}\nb,tea,Tea,cashback,{SHOP}\n", ["2", "3"]),
    ],
)
async def test_bad_rows_refuse_the_file_and_are_named(
    filled: Client, db: Db, text: str, lines: list[str]
) -> None:
    before = await state(db)
    refused = await send(filled, "offers", text)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert [problem["line"] for problem in refused.body["errors"]] == lines
    assert await state(db) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{HEAD}\n",
        "external_id,title\na,Tea\n",
        f"{HEAD},nonsense\na,{ROW},1\n",
        f"{HEAD},title\na,{ROW},b\n",
        f"{HEAD}\na,{ROW},too,many\n",
        f'{HEAD}\na,tea,"Green tea,deal,{SHOP}\n',
        f"{HEAD}\na,{ROW}\x00\n",
    ],
)
async def test_what_is_no_table_is_refused(filled: Client, db: Db, text: str) -> None:
    before = await state(db)
    refused = await send(filled, "offers", text)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert await state(db) == before


async def test_a_broken_encoding_is_refused_with_its_line(filled: Client, db: Db) -> None:
    before = await state(db)
    text = f"{HEAD}\na,{ROW}\nb,tea,".encode() + b"Gr\xfcn,deal," + SHOP.encode()
    refused = await send(filled, "offers", text)
    assert (refused.status, refused.body["detail"]) == (422, "Line 3 is not UTF-8.")
    assert await state(db) == before


async def test_no_file_makes_drafts_of_what_was_published(filled: Client, db: Db) -> None:
    await send(filled, "offers", f"{HEAD},state\na,{ROW},active\nb,{ROW},draft\n")
    before = await state(db)
    refused = await send(filled, "offers", f"{HEAD},state\nb,{ROW},active\na,{ROW},draft\n")
    assert [problem["line"] for problem in refused.body["errors"]] == ["3"]
    assert await state(db) == before


async def test_another_programs_merchants_and_offers_are_not_there(
    filled: Client, other: Client
) -> None:
    refused = await send(other, "offers", f"{HEAD}\na,{ROW}\n")
    assert (refused.status, refused.body["errors"][0]["line"]) == (422, "2")
    assert (await send(other, "merchants", "external_id,name\ntea,Mine\n")).status == 200
    assert (await send(other, "offers", f"{HEAD}\na,{ROW}\n")).body["created"] == 1
    assert (await filled.get("/v1/offers")).body["data"] == []
    named = (await filled.get("/v1/merchants?external_id=tea")).body["data"][0]["name"]
    assert named == "Tea, fine"


async def test_many_offers_are_imported(filled: Client, db: Db) -> None:
    text = f"{HEAD}\n" + "".join(f"x{n},{ROW}?n={n}\n" for n in range(2_000))
    assert (await send(filled, "offers", text)).body["created"] == 2_000
    changed = text.replace("Green", "Black")
    assert (await send(filled, "offers", changed)).body["changed"] == 2_000
    assert len((await filled.get("/v1/offers?q=black&limit=5")).body["data"]) == 5


async def test_the_command_imports_a_file_whole(
    filled: Client,
    settings: Settings,
    db: Db,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "offers.csv"
    base = ["--program", people.program(filled), "--url", filled.url]
    chosen: argparse.Namespace = cli.parser().parse_args(["import", "offers", str(file), *base])
    file.write_text(f"{HEAD}\na,{ROW}\nb,tea,Tea,gift,{SHOP}\n")
    before = await state(db)
    with pytest.raises(errors.InvalidRequest) as refused:
        await programs.import_file(settings, chosen)
    assert refused.value.errors is not None
    assert refused.value.errors[0]["line"] == "3"
    assert await state(db) == before
    file.write_bytes(f"{HEAD}\na,".encode() + b"\xff")
    with pytest.raises(errors.InvalidRequest, match="line 2 is not UTF-8"):
        await programs.import_file(settings, chosen)
    assert await state(db) == before
    file.write_text(f"{HEAD}\na,{ROW}\nb,{ROW}\n")
    assert await programs.import_file(settings, chosen) == 0
    assert "offers: 2 of 2" in capsys.readouterr().err
    assert len((await filled.get("/v1/offers")).body["data"]) == 2
