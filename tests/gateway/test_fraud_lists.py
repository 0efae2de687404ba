"""Lists for fraud rules over HTTP: sent or as a file, whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.conftest import Client, Db

PATH = "/v1/admin/fraud/lists"
TOR = {
    "kind": "networks",
    "entries": [{"value": "198.51.100.7"}, {"value": "198.51.100.8", "label": "twice"}],
}


async def load(client: Client, text: str, name: str = "hosting", kind: str = "networks") -> Any:
    path = f"{PATH}/{name}/import?kind={kind}"
    return await client.call("POST", path, text.encode(), Content_Type="text/csv")


async def test_a_list_is_sent_listed_and_forgotten(client: Client, other: Client, db: Db) -> None:
    made = await client.put(f"{PATH}/tor", TOR)
    assert (made.status, made.body["kind"], made.body["entries"]) == (200, "networks", 1)
    stored = await db.fetch("SELECT network::text, label FROM listed_network")
    assert [tuple(row) for row in stored] == [("198.51.100.0/24", "")]
    assert (await client.get(PATH)).body == {"data": [made.body]}
    assert (await other.get(PATH)).body == {"data": []}
    gone = await other.delete(f"{PATH}/tor")
    assert (gone.status, gone.code) == (404, "fraud_list_not_found")
    assert (await client.delete(f"{PATH}/tor")).status == 204
    assert await db.fetchval("SELECT count(*) FROM listed_network") == 0
    done = await db.fetch("SELECT action FROM audit_entry WHERE object_id = 'tor' ORDER BY at")
    assert [row["action"] for row in done] == ["fraud_list.put", "fraud_list.delete"]


async def test_a_file_replaces_a_list(client: Client, db: Db) -> None:
    await client.put(f"{PATH}/hosting", TOR)
    done = await load(client, "value,label\n203.0.113.0/24,AS64500\n\n2001:db8::/32,AS64501\n")
    assert (done.status, done.body["entries"]) == (201, 2)
    rows = await db.fetch("SELECT network::text, label FROM listed_network ORDER BY label")
    assert [tuple(row) for row in rows] == [
        ("203.0.113.0/24", "AS64500"),
        ("2001:db8::/32", "AS64501"),
    ]
    done = await load(client, "value\nmail.example\n", "mails", "mail_domains")
    assert (done.status, done.body["entries"]) == (201, 1)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["1"]),
        ("network\n203.0.113.0/24\n", ["1"]),
        ("value,label\n203.0.113.0/24,x\n203.0.113.1/24,x\nnonsense,y\n", ["3", "4"]),
        ("value,label\n203.0.113.0/24\n", ["2"]),
        ("value\n203.0.113.0/24\n0.0.0.0/0\n", ["3"]),
        ('value\n"203.0.113.0/24\n', ["2"]),
    ],
)
async def test_a_bad_line_refuses_the_whole_file(
    client: Client, db: Db, text: str, lines: list[str]
) -> None:
    await client.put(f"{PATH}/hosting", TOR)
    refused = await load(client, text)
    assert (refused.status, refused.code) == (422, "invalid_request"), refused
    assert [one["line"] for one in refused.body["errors"]] == lines
    rows = await db.fetch("SELECT network::text FROM listed_network")
    assert [row["network"] for row in rows] == ["198.51.100.0/24"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("tor", {**TOR, "entries": []}),
        ("tor", {**TOR, "kind": "phones"}),
        ("tor", {**TOR, "entries": [{"value": "tor"}]}),
        ("Tor", TOR),
        ("built-in", TOR),
    ],
)
async def test_a_list_that_makes_no_sense_is_refused(client: Client, name: str, body: Any) -> None:
    refused = await client.put(f"{PATH}/{name}", body)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert (await client.get(PATH)).body == {"data": []}
