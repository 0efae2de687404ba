from __future__ import annotations

import email.utils
import json
from typing import Any

import pytest

from core import signing
from core.errors import BadSignature
from core.http import HttpResponse, OutboundFailed, OutboundRefused, OutboundUnknown
from db import dead_letters, deliveries, webhooks
from tests.conftest import RING
from tests.workers.conftest import PROGRAM, Db, event
from tests.workers.receivers import SECRET, Receiver
from workers import jobs, loop
from workers import webhooks as actor
from workers.broker import Tools

NOW_MS = 1_700_000_000_000
DELAYS_S = (0, 5, 60)
NEW_SECRET = signing.new_secret(bytes(32))


async def perform_all(db: Db, tools: Tools) -> None:
    """What the relay and the workers do with all rows, due or not."""
    for row in await db.fetch("SELECT id, attempts FROM outbox ORDER BY id"):
        await jobs.perform(tools, row["id"], row["attempts"])


async def delivery(db: Db) -> dict[str, Any]:
    return dict(await db.fetchrow("SELECT * FROM webhook_delivery") or {})


async def pending(db: Db) -> int:
    return int(await db.fetchval("SELECT count(*) FROM outbox"))


async def test_an_event_arrives_signed_and_is_done(
    db: Db, tools: Tools, endpoint: str, shop: Receiver
) -> None:
    sent = event()
    await webhooks.queue_events(db, [sent])
    await perform_all(db, tools)
    [request] = shop.received
    request.verify(SECRET)
    with pytest.raises(BadSignature):
        request.verify(NEW_SECRET)
    document = json.loads(request.body)
    assert request.event_id == sent.id
    assert request.headers["content-type"] == "application/json"
    assert set(document) == {"type", "timestamp", "data"}
    assert document["type"] == "award.created"
    assert document["data"] == {"amount": 1}
    stored = await delivery(db)
    assert (stored["state"], stored["attempts"], stored["last_status"]) == ("delivered", 1, 204)
    assert await pending(db) == 0


async def test_during_a_rotation_both_secrets_verify(
    db: Db, tools: Tools, endpoint: str, shop: Receiver
) -> None:
    await webhooks.rotate(db, RING, PROGRAM, endpoint, NEW_SECRET, 24)
    await webhooks.queue_events(db, [event()])
    await perform_all(db, tools)
    shop.received[0].verify(SECRET)
    shop.received[0].verify(NEW_SECRET)


async def test_after_the_overlap_only_the_new_secret_verifies(
    db: Db, tools: Tools, endpoint: str, shop: Receiver
) -> None:
    await webhooks.rotate(db, RING, PROGRAM, endpoint, NEW_SECRET, 0)
    await webhooks.queue_events(db, [event()])
    await perform_all(db, tools)
    shop.received[0].verify(NEW_SECRET)
    with pytest.raises(BadSignature):
        shop.received[0].verify(SECRET)


async def test_gone_disables_the_endpoint_and_tells_nobody(
    db: Db, tools: Tools, endpoint: str, shop: Receiver
) -> None:
    shop.answers = [(410, {})]
    await webhooks.queue_events(db, [event(1), event(2)])
    await perform_all(db, tools)
    assert len(shop.received) == 1
    assert (await webhooks.get(db, PROGRAM, endpoint)).state == "disabled"
    states = await db.fetch("SELECT state, last_error FROM webhook_delivery ORDER BY id")
    assert {row["state"] for row in states} == {"failed"}
    assert await pending(db) == 0
    assert await dead_letters.counts(db) == {}
    await webhooks.queue_events(db, [event(3)])
    assert await pending(db) == 0


async def test_a_busy_receiver_is_left_alone_for_as_long_as_it_asks(
    db: Db, tools: Tools, endpoint: str, shop: Receiver
) -> None:
    shop.answers = [(503, {"Retry-After": "600"})]
    await webhooks.queue_events(db, [event()])
    before_ms = loop.now_ms()
    await perform_all(db, tools)
    due_at = await db.fetchval("SELECT due_at FROM outbox")
    wait_s = due_at.timestamp() - before_ms / 1000
    assert 600 <= wait_s < 630
    stored = await delivery(db)
    assert (stored["state"], stored["attempts"]) == ("pending", 1)
    assert stored["next_attempt_at"] == due_at


async def test_an_exhausted_schedule_is_a_dead_letter_whose_replay_begins_anew(
    db: Db, tools: Tools, endpoint: str, shop: Receiver
) -> None:
    shop.answers = [(500, {}), (302, {"Location": "http://127.0.0.1:1/"}), (404, {})]
    await webhooks.queue_events(db, [event()])
    for _ in DELAYS_S:
        await perform_all(db, tools)
    stored = await delivery(db)
    assert (stored["state"], stored["attempts"], stored["last_status"]) == ("failed", 3, 404)
    assert await pending(db) == 0
    [letter] = await dead_letters.page(db, limit=10)
    assert (letter.task, letter.attempts) == ("deliver_webhook", 3)
    assert letter.error == "the endpoint answered 404"

    shop.answers = [(500, {})]
    await dead_letters.replay(db, letter.id)
    await dead_letters.replay(db, letter.id)
    assert await pending(db) == 1
    await perform_all(db, tools)
    stored = await delivery(db)
    assert (stored["state"], stored["attempts"]) == ("pending", 1)
    await perform_all(db, tools)
    assert (await delivery(db))["state"] == "delivered"
    assert {request.event_id for request in shop.received} == {"awd_1"}
    assert await dead_letters.page(db, limit=10) == []


async def test_a_private_address_is_never_called(db: Db, tools: Tools, endpoint: str) -> None:
    await webhooks.change(db, PROGRAM, endpoint, {"url": "http://169.254.169.254/latest"})
    await webhooks.queue_events(db, [event()])
    await perform_all(db, tools)
    stored = await delivery(db)
    assert (stored["state"], stored["last_status"]) == ("failed", None)
    assert "public" in stored["last_error"]
    assert await dead_letters.counts(db) == {"deliver_webhook": 1}


async def test_a_closed_port_is_tried_again_later(db: Db, tools: Tools, endpoint: str) -> None:
    await webhooks.change(db, PROGRAM, endpoint, {"url": "http://127.0.0.1:1/hook"})
    await webhooks.queue_events(db, [event()])
    await perform_all(db, tools)
    assert (await delivery(db))["state"] == "pending"
    assert await pending(db) == 1


async def test_a_deleted_endpoint_hears_nothing(
    db: Db, tools: Tools, endpoint: str, shop: Receiver
) -> None:
    await webhooks.queue_events(db, [event()])
    await webhooks.delete(db, PROGRAM, endpoint)
    await perform_all(db, tools)
    assert shop.received == []
    assert await pending(db) == 0


async def test_a_delivered_event_is_replayed_under_the_same_id(
    db: Db, tools: Tools, endpoint: str, shop: Receiver
) -> None:
    await webhooks.queue_events(db, [event()])
    await perform_all(db, tools)
    await deliveries.replay(db, PROGRAM, (await delivery(db))["id"])
    await perform_all(db, tools)
    assert [request.event_id for request in shop.received] == ["awd_1", "awd_1"]


async def test_the_first_delay_of_the_schedule_is_kept(
    db: Db, tools: Tools, endpoint: str, shop: Receiver, settings: Any
) -> None:
    from msgspec.structs import replace

    patient = tools._replace(settings=replace(settings, webhook_schedule_s="3600,1"))
    await webhooks.queue_events(db, [event()])
    await perform_all(db, patient)
    assert shop.received == []
    stored = await delivery(db)
    assert (stored["state"], stored["attempts"]) == ("pending", 0)


def answer(status: int, **headers: str) -> HttpResponse:
    return HttpResponse(
        status, {name.replace("_", "-"): text for name, text in headers.items()}, b""
    )


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    assert actor.judge(answer(status), 1, DELAYS_S, NOW_MS, 0).state == "delivered"


@pytest.mark.parametrize("status", [100, 302, 400, 401, 404, 429, 500, 503])
def test_anything_else_is_tried_again_after_the_next_delay(status: int) -> None:
    outcome = actor.judge(answer(status), 1, DELAYS_S, NOW_MS, 0)
    assert (outcome.state, outcome.next_attempt_at_ms) == ("pending", NOW_MS + 5_000)


@pytest.mark.parametrize("error", [OutboundFailed("down"), OutboundUnknown("timeout")])
def test_no_answer_is_tried_again(error: Exception) -> None:
    assert isinstance(error, OutboundFailed | OutboundUnknown)
    outcome = actor.judge(error, 2, DELAYS_S, NOW_MS, 0)
    assert (outcome.state, outcome.next_attempt_at_ms) == ("pending", NOW_MS + 60_000)


def test_the_last_attempt_ends_it() -> None:
    assert actor.judge(answer(500), 3, DELAYS_S, NOW_MS, 0).state == "failed"


def test_a_refused_address_ends_it() -> None:
    assert actor.judge(OutboundRefused("no"), 1, DELAYS_S, NOW_MS, 0).state == "failed"


def test_delays_are_spread() -> None:
    outcome = actor.judge(answer(500), 2, DELAYS_S, NOW_MS, 0.5)
    assert outcome.next_attempt_at_ms == NOW_MS + 66_000


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("120", 120),
        ("1", 5),
        ("-5", 5),
        ("soon", 5),
        ("9" * 30, actor.RETRY_AFTER_S_MAX),
        (email.utils.formatdate(NOW_MS / 1000 + 90, usegmt=True), 90),
        (email.utils.formatdate(NOW_MS / 1000 - 90, usegmt=True), 5),
    ],
)
def test_retry_after_lengthens_the_delay_and_never_shortens_it(text: str, wait_s: int) -> None:
    outcome = actor.judge(answer(503, retry_after=text), 1, DELAYS_S, NOW_MS, 0)
    assert outcome.next_attempt_at_ms == NOW_MS + wait_s * 1000


def test_retry_after_of_an_ordinary_error_is_ignored() -> None:
    outcome = actor.judge(answer(404, retry_after="120"), 1, DELAYS_S, NOW_MS, 0)
    assert outcome.next_attempt_at_ms == NOW_MS + 5_000
