from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from core import tasks
from db import outbox, webhooks
from gateway.app import App
from tests.gateway.conftest import RING, Client, Db, bearer, counts, token

NEW = {"url": "https://shop.example/hook", "events": ["award.created"]}
PATH = "/v1/webhook-endpoints"


async def create(client: Client, **fields: object) -> dict[str, Any]:
    made = await client.post(PATH, {**NEW, **fields})
    assert made.status == 201
    body: dict[str, Any] = made.body
    return body


async def queue(app: App, client: Client, count: int) -> str:
    """Queue events for the client's program; the program's id."""
    [program_id] = {
        row["program_id"] for row in await app.pool.fetch("SELECT program_id FROM webhook_endpoint")
    }
    now_ms = app.now_ms()
    async with app.transaction() as db:
        await webhooks.queue_events(
            db,
            [
                webhooks.Event(program_id, "award.created", f"awd_{n}", now_ms + n, {"amount": n})
                for n in range(count)
            ],
        )
    return str(program_id)


async def test_the_secret_is_shown_when_it_is_made_and_never_again(client: Client) -> None:
    made = await create(client, description="The shop")
    assert made["secret"].startswith("whsec_")
    assert made["state"] == "enabled"
    shown = (await client.get(f"{PATH}/{made['id']}")).body
    listed = (await client.get(PATH)).body
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert listed == {"data": [shown], "next_cursor": None}


async def test_a_repeated_creation_makes_one_endpoint(client: Client) -> None:
    first = await client.post(PATH, NEW, Idempotency_Key="k1")
    again = await client.post(PATH, NEW, Idempotency_Key="k1")
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len((await client.get(PATH)).body["data"]) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ftp://shop.example/hook"},
        {"url": "shop.example"},
        {"url": ""},
        {"url": "https://user:pass@shop.example/"},
        {"url": "http://127.0.0.1/hook"},
        {"url": "http://169.254.169.254/latest/meta-data"},
        {"url": "http://[::1]/hook"},
        {"url": "http://[::ffff:10.0.0.1]/hook"},
        {"url": "https://shop.example/" + "x" * 2048},
        {"events": []},
        {"events": ["award.invented"]},
        {"events": "award.created"},
        {"secret": "whsec_mine"},
    ],
    ids=str,
)
async def test_a_bad_endpoint_is_refused_and_changes_nothing(
    client: Client, db: Db, fields: dict[str, object]
) -> None:
    made = await create(client)
    before = await counts(db)
    for answer in (
        await client.post(PATH, {**NEW, **fields}),
        await client.patch(f"{PATH}/{made['id']}", fields),
    ):
        assert (answer.status, answer.code) == (422, "invalid_request")
    assert await counts(db) == before
    assert (await client.get(f"{PATH}/{made['id']}")).body["updated_at"] == made["updated_at"]


async def test_fields_are_changed_one_by_one(client: Client) -> None:
    made = await create(client)
    path = f"{PATH}/{made['id']}"
    changed = await client.patch(path, {"events": ["click.recorded", "award.created"]})
    assert changed.body["events"] == ["award.created", "click.recorded"]
    assert changed.body["url"] == NEW["url"]
    assert (await client.patch(path, {"state": "disabled"})).body["state"] == "disabled"
    assert (await client.call("POST", f"{path}/enable")).body["state"] == "enabled"


async def test_a_deleted_endpoint_is_gone(client: Client) -> None:
    made = await create(client)
    assert (await client.delete(f"{PATH}/{made['id']}")).status == 204
    again = await client.delete(f"{PATH}/{made['id']}")
    assert (again.status, again.code) == (404, "webhook_endpoint_not_found")


async def test_a_rotation_shows_the_new_secret_and_keeps_the_old_for_a_while(
    client: Client, db: Db
) -> None:
    made = await create(client)
    rotated = await client.post(f"{PATH}/{made['id']}/rotate-secret", {"overlap_hours": 2})
    assert rotated.body["secret"] != made["secret"]
    until = dt.datetime.fromisoformat(rotated.body["previous_secret_until"])
    left = until - dt.datetime.now(dt.UTC)
    assert dt.timedelta(hours=1) < left <= dt.timedelta(hours=2)
    row = await db.fetchrow("SELECT *, id AS endpoint_id FROM webhook_endpoint")
    assert row is not None
    assert (row["secret"], row["previous_secret"]) == (None, None)
    stored = [webhooks.stored_secret(RING, row, name) for name in ("secret", "previous_secret")]
    assert stored == [rotated.body["secret"], made["secret"]]
    assert (await client.call("POST", f"{PATH}/{made['id']}/rotate-secret")).status == 200


async def test_a_test_event_is_queued_whatever_the_endpoint_listens_to(client: Client) -> None:
    made = await create(client)
    tested = await client.call("POST", f"{PATH}/{made['id']}/test")
    assert tested.status == 202
    [delivery] = (await client.get("/v1/webhook-deliveries")).body["data"]
    assert delivery["event_id"] == tested.body["event_id"]
    assert (delivery["type"], delivery["state"]) == ("webhook.test", "pending")


async def test_deliveries_are_paged_filtered_and_shown_with_their_body(
    client: Client, app: App
) -> None:
    made = await create(client)
    await queue(app, client, 5)
    seen, cursor = [], ""
    while cursor is not None:
        page = (await client.get(f"/v1/webhook-deliveries?limit=2&cursor={cursor}")).body
        seen += [one["event_id"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert seen == ["awd_4", "awd_3", "awd_2", "awd_1", "awd_0"]
    query = f"event_id=awd_3&state=pending&type=award.created&endpoint_id={made['id']}"
    [found] = (await client.get(f"/v1/webhook-deliveries?{query}")).body["data"]
    shown = (await client.get(f"/v1/webhook-deliveries/{found['id']}")).body
    assert shown["body"]["data"] == {"amount": 3}
    assert {name: value for name, value in shown.items() if name != "body"} == found
    for bad in ("state=lost", "limit=0", "cursor=awd_1", "colour=red"):
        assert (await client.get(f"/v1/webhook-deliveries?{bad}")).status == 422


async def test_replays_queue_settled_deliveries_again(client: Client, app: App, db: Db) -> None:
    made = await create(client)
    await queue(app, client, 3)
    await db.execute("DELETE FROM outbox")
    await db.execute("UPDATE webhook_delivery SET state = 'failed' WHERE event_id <> 'awd_0'")
    failed = (await client.get("/v1/webhook-deliveries?state=failed")).body["data"]
    replayed = await client.call("POST", f"/v1/webhook-deliveries/{failed[0]['id']}/replay")
    assert (replayed.status, replayed.body["state"]) == (202, "pending")
    window = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
    answer = await client.post(f"{PATH}/{made['id']}/replay", window)
    assert (answer.status, answer.body) == (202, {"replayed": 1})
    assert await db.fetchval("SELECT count(*) FROM outbox") == 2
    naive = {"from": "2020-01-01T00:00:00", "to": "2100-01-01T00:00:00Z"}
    assert (await client.post(f"{PATH}/{made['id']}/replay", naive)).status == 422


async def test_another_program_reaches_nothing(client: Client, other: Client, app: App) -> None:
    made = await create(client)
    await queue(app, client, 1)
    [delivery] = (await client.get("/v1/webhook-deliveries")).body["data"]
    endpoint, one = f"{PATH}/{made['id']}", f"/v1/webhook-deliveries/{delivery['id']}"
    window = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
    for method, path, body in (
        ("GET", endpoint, None),
        ("PATCH", endpoint, {"state": "disabled"}),
        ("DELETE", endpoint, None),
        ("POST", f"{endpoint}/enable", None),
        ("POST", f"{endpoint}/rotate-secret", None),
        ("POST", f"{endpoint}/test", None),
        ("POST", f"{endpoint}/replay", window),
        ("GET", one, None),
        ("POST", f"{one}/replay", None),
    ):
        assert (await other.call(method, path, body)).status == 404
    assert (await other.get("/v1/webhook-deliveries")).body["data"] == []
    assert (await other.get(PATH)).body["data"] == []


async def test_reading_and_writing_need_their_scopes(client: Client) -> None:
    reader = {**client.headers, **bearer(token("prg_01h455vb4pex5vsknk084sn02q", ["links:read"]))}
    for method, path in (("GET", PATH), ("POST", PATH), ("GET", "/v1/webhook-deliveries")):
        answer = await Client(client.session, client.url, reader).call(method, path, {})
        assert (answer.status, answer.code) == (403, "insufficient_scope")


async def test_dead_letters_are_for_platform_staff_and_replayed_once(
    client: Client, staff: Client, app: App, db: Db
) -> None:
    async with app.transaction() as own:
        for number in range(3):
            row_id = await outbox.add(own, tasks.DeliverWebhook(f"whd_{number}"))
            await outbox.bury(own, row_id, "no use")
    assert (await client.get("/v1/dead-letters")).status == 403
    page = (await staff.get("/v1/dead-letters?limit=2")).body
    assert len(page["data"]) == 2
    rest = (await staff.get(f"/v1/dead-letters?cursor={page['next_cursor']}")).body
    assert [one["payload"] for one in rest["data"]] == [{"delivery_id": "whd_0"}]
    path = f"/v1/dead-letters/{rest['data'][0]['id']}"
    for _ in range(2):
        assert (await staff.call("POST", f"{path}/replay")).status == 202
    assert (await staff.get(path)).body["replayed_at"] is not None
    assert await db.fetchval("SELECT count(*) FROM outbox") == 1
    assert len((await staff.get("/v1/dead-letters")).body["data"]) == 2
    assert len((await staff.get("/v1/dead-letters?with_replayed=true")).body["data"]) == 3
    for unknown in ("9999", "x", "9" * 30):
        answer = await staff.get(f"/v1/dead-letters/{unknown}")
        assert (answer.status, answer.code) == (404, "dead_letter_not_found")
