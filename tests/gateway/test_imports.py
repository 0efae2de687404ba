"""Links from a CSV file."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from db import keys
from tests.gateway.conftest import Answer, Client, Db, counts

PATH = "/v1/links/import"
SHOP = "https://shop.example.com/"


async def send(client: Client, text: str | bytes, **headers: str | None) -> Answer:
    body = text.encode() if isinstance(text, str) else text
    return await client.post(PATH, body, Content_Type="text/csv", **headers)


async def test_the_rows_of_a_file_become_links(client: Client, db: Db, redis: Redis) -> None:
    text = (
        "\ufeffslug,destination,external_id,title,cap,append_path,expires_at\r\n"
        f'a,{SHOP},x1,"Tea, green",5,true,2030-01-01T00:00:00Z\r\n'
        "\r\n"
        f"b,{SHOP},,,,,\r\n"
        f",{SHOP}\r\n"
    )
    answer = await send(client, text)
    assert (answer.status, answer.body) == (201, {"imported": 3})
    assert (await counts(db))["link"] == 3
    link = (await client.get("/v1/links?slug=a")).body["data"][0]
    assert (link["title"], link["cap"], link["append_path"]) == ("Tea, green", 5, True)
    assert await redis.hexists(keys.link_snapshot("b"), "b")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"slug,destination\na,{SHOP}\nb,javascript:alert(1)\n", "3"),
        (f"slug,destination\na,{SHOP}\n../b,{SHOP}\n", "3"),
        (f"slug,destination\na,\nb,{SHOP}\n", "2"),
        (f"slug,destination,cap\na,{SHOP},many\n", "2"),
    ],
)
async def test_a_bad_row_refuses_the_file_and_names_its_line(
    client: Client, db: Db, text: str, line: str
) -> None:
    before = await counts(db)
    refused = await send(client, text)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert [problem["line"] for problem in refused.body["errors"]] == [line]
    assert await counts(db) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "slug,destination\n",
        f"slug\n{SHOP}\n",
        f"slug,destination,nonsense\na,{SHOP},1\n",
        f"slug,destination,slug\na,{SHOP},b\n",
        f"destination\n{SHOP},one,too,many\n",
        f'destination\n"{SHOP}\n',
        f"destination\n{SHOP}\x00\n",
        b"destination\nhttps://shop.example.com/\xff\n",
        "destination\n" + f"{SHOP}\n" * 10_001,
    ],
)
async def test_what_is_no_table_is_refused(client: Client, db: Db, text: str | bytes) -> None:
    before = await counts(db)
    refused = await send(client, text)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert await counts(db) == before


async def test_a_clash_refuses_the_file_and_names_its_lines(client: Client, db: Db) -> None:
    await client.post("/v1/links", {"destination": SHOP, "slug": "b", "external_id": "x"})
    before = await counts(db)
    refused = await send(client, f"slug,destination\na,{SHOP}\nb,{SHOP}\nc,{SHOP}\na,{SHOP}\n")
    assert (refused.status, refused.code) == (409, "slug_taken")
    assert len(refused.body["errors"]) == 2
    assert refused.body["errors"][0]["line"] == "3"
    refused = await send(client, f"external_id,destination\nx,{SHOP}\n")
    assert (refused.status, refused.code) == (409, "external_id_taken")
    assert await counts(db) == before


async def test_ten_thousand_rows_are_imported_once(client: Client, db: Db, redis: Redis) -> None:
    text = "slug,destination\n" + "".join(f"s{n},{SHOP}?n={n}\n" for n in range(10_000))
    first = await send(client, text, Idempotency_Key="import-1")
    assert (first.status, first.body) == (201, {"imported": 10_000})
    again = await send(client, text, Idempotency_Key="import-1")
    assert (again.status, again.body) == (201, {"imported": 10_000})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (await counts(db))["link"] == 10_000
    assert await redis.xlen(keys.LINK_CHANGES) == 10_000
