"""A notice whose message is reported as lost goes on by the next channel, once; operators see."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db import notices
from tests.gateway.conftest import RING
from tests.gateway.reports.world import World, by_sendgrid, by_twilio, event


async def told(world: World) -> World:
    """The member is told of cashback by mail, which SendGrid has taken."""
    notice = notices.Notice(
        program_id=world.program_id,
        member_id=world.member_id,
        template="cashback_credited",
        variables={"amount": "₹50.00"},
        dedupe_key="cnv_1_credited",
    )
    async with world.db.transaction():
        await notices.tell(world.db, RING, notice)
    return world._replace(mail_id=await sent(world, "email", "sendgrid"))


async def sent(world: World, channel: str, provider: str) -> str:
    """The message of the notice by this channel, once the provider has it."""
    found = await world.db.fetchval(
        "UPDATE notification SET state = 'sent', provider = $2, variables = NULL"
        " WHERE notice_id IS NOT NULL AND channel = $1 RETURNING id",
        *(channel, provider),
    )
    return str(found)


async def seen(world: World) -> Any:
    [one] = (await world.client.get("/v1/notices")).body["data"]
    return (await world.client.get(f"/v1/notices/{one['id']}")).body


async def test_a_hard_bounce_sends_the_notice_on_once_however_often_it_is_reported(
    world: World,
) -> None:
    world = await told(world)
    bounce = event(world, "bounce", type="bounce")
    answers = await asyncio.gather(*(by_sendgrid(world, bounce, bounce) for _ in range(4)))
    assert {one.status for one in answers} == {204}
    shown = await seen(world)
    assert (shown["state"], shown["tried"]) == ("open", ["email", "sms"])
    assert [(one["channel"], one["state"]) for one in shown["notifications"]] == [
        ("email", "sent"),
        ("sms", "queued"),
    ]
    assert await world.unreachable() == {"email"}
    assert await world.db.fetchval("SELECT count(*) FROM outbox WHERE due_at <= now()") == 4


async def test_a_second_word_about_a_channel_that_was_left_changes_nothing(world: World) -> None:
    world = await told(world)
    for kind in ("dropped", "bounce", "spamreport"):
        assert (await by_sendgrid(world, event(world, kind))).status == 204
        shown = await seen(world)
        assert (shown["state"], shown["tried"]) == ("open", ["email", "sms"])
    assert await world.delivery(world.mail_id) == "complained"


async def test_when_the_last_channel_fails_operators_see_that_nobody_was_told(
    world: World,
) -> None:
    world = await told(world)
    assert (await world.client.get("/v1/notices?state=unreachable")).body["data"] == []
    await by_sendgrid(world, event(world, "bounce"))
    world = world._replace(text_id=await sent(world, "sms", "twilio"))
    await by_twilio(world, "undelivered", "30005")
    [listed] = (await world.client.get("/v1/notices?state=unreachable")).body["data"]
    assert (listed["member_id"], listed["template"]) == (world.member_id, "cashback_credited")
    assert "₹50.00" not in str(await seen(world))


@pytest.mark.parametrize("kind", ["delivered", "deferred", "open", "spamreport"])
async def test_a_message_that_has_arrived_or_still_may_is_all_that_is_sent(
    world: World, kind: str
) -> None:
    world = await told(world)
    await by_sendgrid(world, event(world, kind))
    assert (await seen(world))["tried"] == ["email"]


async def test_a_message_that_was_sent_after_all_has_told_the_member(world: World) -> None:
    world = await told(world)
    await world.db.execute("UPDATE notification SET state = 'unknown' WHERE id = $1", world.mail_id)
    await by_sendgrid(world, event(world, "delivered"))
    assert (await seen(world))["state"] == "told"
