"""What providers report arrives in its message, forward only, if they have signed it."""

from __future__ import annotations

import json

import pytest

from core import contacts as spelling
from core.settings import Settings
from db import contacts
from gateway.app import App
from tests.gateway.conftest import RING, encode
from tests.gateway.reports.world import (
    MAIL,
    NUMBER,
    PATH_SECRET,
    TOPIC_ARN,
    World,
    a_message,
    by_sendgrid,
    by_ses,
    by_twilio,
    event,
    everything,
    forged,
    sendgrid,
    ses_event,
    twilio,
)
from tests.providers.notifications import server


async def test_a_delivery_is_written_down(world: World) -> None:
    assert (await by_sendgrid(world, event(world, "delivered"))).status == 204
    assert (await by_twilio(world, "delivered")).status == 204
    shown = (await world.client.get(f"/v1/notifications/{world.mail_id}")).body
    assert (shown["state"], shown["delivery"]) == ("sent", "delivered")
    assert shown["reported_at"] is not None
    assert await world.delivery(world.text_id) == "delivered"


async def test_states_move_forward_only(world: World) -> None:
    for kind, expected in [
        ("processed", "accepted"),
        ("delivered", "delivered"),
        ("deferred", "delivered"),
        ("processed", "delivered"),
        ("open", "delivered"),
        ("teleported", "delivered"),
        ("bounce", "bounced"),
        ("delivered", "bounced"),
        ("spamreport", "complained"),
        ("bounce", "complained"),
    ]:
        assert (await by_sendgrid(world, event(world, kind))).status == 204
        assert await world.delivery(world.mail_id) == expected, kind


async def test_one_call_moves_messages_forward_only(world: World) -> None:
    kinds = ("processed", "bounce", "delivered", "processed")
    await by_sendgrid(world, *(event(world, kind, status="5.1.1") for kind in kinds))
    stored = await world.stored(world.mail_id)
    assert (stored["delivery"], stored["delivery_detail"]) == ("bounced", "5.1.1")


async def test_a_replay_changes_nothing(world: World) -> None:
    """Also not what the member has put right meanwhile."""
    await by_sendgrid(world, event(world, "bounce", status="5.1.1"))
    assert await world.unreachable() == {"email"}
    before = await world.stored(world.mail_id)
    assert before["delivery_detail"] == "5.1.1"
    await world.db.execute("UPDATE member_contact SET unreachable_at = NULL")
    assert (await by_sendgrid(world, event(world, "bounce", status="5.1.1"))).status == 204
    assert await world.stored(world.mail_id) == before
    assert await world.unreachable() == set()


async def test_a_hard_bounce_says_that_nothing_arrives_there(world: World) -> None:
    await by_sendgrid(world, event(world, "bounce", type="blocked"))
    assert await world.unreachable() == set()
    await by_sendgrid(world, event(world, "bounce", type="bounce"))
    assert await world.unreachable() == {"email"}


async def test_a_number_that_is_none_is_unreachable(world: World) -> None:
    assert (await by_twilio(world, "undelivered", "30003")).status == 204
    assert await world.unreachable() == {"phone"}
    row = await world.stored(world.text_id)
    assert (row["delivery"], row["delivery_detail"]) == ("undelivered", "30003")


async def test_an_address_that_the_member_has_no_more_is_let_alone(world: World) -> None:
    other = spelling.email("new@example.com")
    await contacts.put(world.db, RING, world.program_id, world.member_id, other)
    await by_sendgrid(world, event(world, "bounce"))
    assert await world.unreachable() == set()


async def test_proving_a_contact_anew_takes_it_back(world: World) -> None:
    await by_sendgrid(world, event(world, "bounce"))
    await contacts.verify(world.db, RING, world.program_id, spelling.email(MAIL))
    assert await world.unreachable() == set()


@pytest.mark.parametrize("kind", ["spamreport", "unsubscribe", "group_unsubscribe"])
async def test_who_complains_or_unsubscribes_gets_no_more(world: World, kind: str) -> None:
    assert (await by_sendgrid(world, event(world, kind))).status == 204
    assert await world.unwanted() == {("all", "email", "provider")}


async def test_an_old_unsubscribe_does_not_undo_a_later_wish(world: World) -> None:
    await world.db.execute(
        "INSERT INTO notification_preference VALUES ($1, $2, 'all', 'email', true, 'member')",
        world.member_id,
        world.program_id,
    )
    await by_sendgrid(world, event(world, "unsubscribe"))
    assert await world.unwanted() == set()


async def test_a_batch_is_taken_as_one(world: World) -> None:
    other = await a_message(
        world.db, world.program_id, world.member_id, "email", MAIL, "sendgrid", "m2"
    )
    answer = await by_sendgrid(
        world,
        event(world, "delivered"),
        event(world, "delivered", notification_id=other),
        event(world, "delivered", notification_id="ntf_nobody"),
        event(world, "delivered", notification_id=""),
        {"event": "delivered", "email": MAIL},
    )
    assert answer.status == 204
    assert await world.delivery(world.mail_id) == await world.delivery(other) == "delivered"


async def test_what_one_provider_sent_another_does_not_report_on(world: World) -> None:
    await by_sendgrid(world, event(world, "delivered", notification_id=world.text_id))
    assert await world.delivery(world.text_id) is None


async def test_a_report_says_that_an_unknown_message_was_sent(world: World) -> None:
    await world.db.execute("UPDATE notification SET state = 'unknown' WHERE id = $1", world.mail_id)
    await by_sendgrid(world, event(world, "processed"))
    row = await world.stored(world.mail_id)
    assert (row["state"], row["delivery"], row["variables"]) == ("sent", "accepted", None)


async def test_what_sendgrid_has_not_signed_changes_nothing(world: World) -> None:
    before = await everything(world)
    await forged(world, await by_sendgrid(world, event(world, "bounce"), key=6), before)
    body, headers = sendgrid([event(world, "bounce")])
    for changed in (body[:-2], body + b" ", body.replace(b"bounce", b"bounc3"), b""):
        await forged(world, await world.post("/webhooks/sendgrid", changed, **headers), before)
    await forged(world, await world.post("/webhooks/sendgrid", body), before)


@pytest.mark.parametrize("body", [{}, "x", [1], [{"event": 5}], [{}]])
async def test_what_is_signed_and_makes_no_sense_is_refused(world: World, body: object) -> None:
    before = await everything(world)
    raw, headers = sendgrid(body)
    answer = await world.post("/webhooks/sendgrid", raw, **headers)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert await everything(world) == before


async def test_what_twilio_has_not_signed_changes_nothing(world: World) -> None:
    before = await everything(world)
    await forged(world, await by_twilio(world, "undelivered", "30003", token="54321"), before)
    path = f"/webhooks/twilio?notification={world.text_id}"
    body, headers = twilio(path, {"MessageSid": "SM1", "MessageStatus": "failed"})
    for other in (path + "x", "/webhooks/twilio", path.replace(world.text_id, world.mail_id)):
        await forged(world, await world.post(other, body, **headers), before)
    await forged(world, await world.post(path, body + b"&ErrorCode=30003", **headers), before)
    await forged(world, await world.post(path, body), before)


async def test_the_host_header_is_not_believed(world: World) -> None:
    path = f"/webhooks/twilio?notification={world.text_id}"
    body, headers = twilio(path, {"MessageSid": "SM1", "MessageStatus": "delivered"})
    answer = await world.post(path, body, **headers, Host="evil.test")
    assert answer.status == 204


async def test_the_path_of_the_original_design_takes_the_same_reports(world: World) -> None:
    """Signed for the address that Twilio was told, without our id: the message's own finds it."""
    path = "/webhooks/twilio/status"
    fields = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": NUMBER}
    before = await everything(world)
    for body, headers in (twilio("/webhooks/twilio", fields), twilio(path, fields, token="54321")):
        await forged(world, await world.post(path, body, **headers), before)
    body, headers = twilio(path, fields)
    await forged(world, await world.post("/webhooks/twilio", body, **headers), before)
    assert (await world.post(path, body, **headers)).status == 204
    assert await world.delivery(world.text_id) == "delivered"


async def test_stop_ends_a_channel_in_all_programs_and_start_begins_it(world: World) -> None:
    path = "/webhooks/twilio/inbound"
    for sender, word, expected in [
        (NUMBER, "hello", set()),
        ("+4915112345679", "STOP", set()),
        ("nobody", "STOP", set()),
        (NUMBER, "STOP", {("all", "sms", "provider")}),
        (NUMBER, "stop", {("all", "sms", "provider")}),
        (NUMBER, "START", set()),
        (f"whatsapp:{NUMBER}", "Stop", {("all", "whatsapp", "provider")}),
    ]:
        body, headers = twilio(path, {"From": sender, "Body": word, "MessageSid": "SM9"})
        assert (await world.post(path, body, **headers)).status == 204
        assert await world.unwanted() == expected, word
    before = await everything(world)
    body, _ = twilio(path, {"From": NUMBER, "Body": "STOP"})
    _, headers = twilio(path, {"From": NUMBER, "Body": "hello"})
    await forged(world, await world.post(path, body, **headers), before)


@pytest.mark.parametrize("version", ["1", "2"])
async def test_ses_reports_through_sns(world: World, version: str) -> None:
    mail_id = await a_message(
        world.db, world.program_id, world.member_id, "email", MAIL, "ses", "0100"
    )
    said = ses_event(mail_id, "Bounce", bounce={"bounceType": "Permanent"})
    answer = await by_ses(world, said, SignatureVersion=version, Subject="Amazon SES")
    assert answer.status == 204
    assert await world.delivery(mail_id) == "bounced"
    assert await world.unreachable() == {"email"}
    for _ in range(3):
        assert (await by_ses(world, said)).status == 204
    assert world.sns.asked == ["/key.pem"]


async def test_without_a_tag_the_providers_id_finds_it(world: World) -> None:
    mail_id = await a_message(
        world.db, world.program_id, world.member_id, "email", MAIL, "ses", "0100"
    )
    assert (
        await by_ses(world, {"eventType": "Delivery", "mail": {"messageId": "0100"}})
    ).status == 204
    assert await world.delivery(mail_id) == "delivered"


async def test_a_subscription_is_confirmed(world: World) -> None:
    url = f"{world.sns.url}/confirm?Token=t1"
    wish = {"Type": "SubscriptionConfirmation", "SubscribeURL": url, "Token": "t1"}
    assert (await by_ses(world, "You have chosen …", **wish)).status == 204
    assert world.sns.taken == ["t1"]


@pytest.mark.parametrize(
    "url",
    ["https://evil.test/?Token=t1", "http://169.254.169.254/latest", "file:///etc/passwd", ""],
)
async def test_a_subscription_is_confirmed_with_amazon_only(world: World, url: str) -> None:
    wish = {"Type": "SubscriptionConfirmation", "SubscribeURL": url, "Token": "t1"}
    before = await everything(world)
    await forged(world, await by_ses(world, "You have chosen …", **wish), before)
    assert world.sns.taken == []


async def test_what_sns_has_not_signed_for_our_topic_changes_nothing(world: World) -> None:
    mail_id = await a_message(
        world.db, world.program_id, world.member_id, "email", MAIL, "ses", "0100"
    )
    before = await everything(world)
    said = json.dumps(ses_event(mail_id, "Complaint"))
    good = world.sns.signed(Message=said)
    for bad in (
        world.sns.signed(key=1, Message=said),
        world.sns.signed(Message=said, TopicArn=TOPIC_ARN + "x"),
        {**good, "Message": said.replace("Complaint", "Delivery")},
        {**good, "Subject": "added"},
        {**good, "Timestamp": "2026-11-25T00:00:00.000Z"},
        {**good, "SignatureVersion": "1"},
        {**good, "Signature": ""},
        {**good, "Signature": "AAAA"},
        {**good, "SigningCertURL": "https://evil.test/key.pem"},
        {**good, "SigningCertURL": f"{world.sns.url}/key.txt"},
        {**good, "Type": "UnsubscribeConfirmation"},
    ):
        await forged(world, await world.post("/webhooks/ses", encode(bad)), before)
    senseless: list[object] = [{}, {**good, "Type": "Else"}, {**good, "SignatureVersion": "3"}, []]
    for bad_form in senseless:
        answer = await world.post("/webhooks/ses", encode(bad_form))
        assert (answer.status, answer.code) == (422, "invalid_request")
    assert await everything(world) == before
    assert (await world.post("/webhooks/ses", encode(good))).status == 204
    assert await world.unwanted() == {("all", "email", "provider")}


async def test_without_a_certificate_sns_tries_again_later(world: World) -> None:
    world.sns.faults["/key.pem"] = [server.Fault(500)]
    assert (await by_ses(world, ses_event(world.mail_id, "Delivery"))).status == 502
    assert (await by_ses(world, ses_event(world.mail_id, "Delivery"))).status == 204


async def test_unsigned_reports_move_a_message_and_nothing_else(world: World) -> None:
    text_id = await a_message(
        world.db, world.program_id, world.member_id, "sms", NUMBER, "msg91", "r1"
    )
    path = f"/webhooks/msg91/{PATH_SECRET}"
    report = encode({"requestId": "r1", "status": "9", "number": "91"})
    assert (await world.post(path, report)).status == 204
    assert await world.delivery(text_id) == "undelivered"
    other = await a_message(
        world.db, world.program_id, world.member_id, "sms", NUMBER, "kaleyra", "k1"
    )
    path = f"/webhooks/kaleyra/{PATH_SECRET}?notification={other}"
    assert (await world.post(path, encode({"status": "delivered"}))).status == 204
    assert await world.delivery(other) == "delivered"
    assert (await world.unreachable(), await world.unwanted()) == (set(), set())


@pytest.mark.parametrize("slug", ["msg91", "kaleyra"])
async def test_another_secret_in_the_path_changes_nothing(world: World, slug: str) -> None:
    await a_message(world.db, world.program_id, world.member_id, "sms", NUMBER, slug, "r1")
    before = await everything(world)
    report = encode({"requestId": "r1", "id": "r1", "status": "1"})
    for secret in ("x", PATH_SECRET[:-1], PATH_SECRET + "x"):
        await forged(world, await world.post(f"/webhooks/{slug}/{secret}", report), before)
    answer = await world.post(f"/webhooks/{slug}/{PATH_SECRET}", b"{")
    assert answer.status == 422
    assert await everything(world) == before


async def test_a_provider_that_is_not_set_up_reports_nothing(
    settings: Settings, world: World, app: App
) -> None:
    app.notifiers.clear()
    for path in ("sendgrid", "ses", "twilio", "twilio/inbound", "msg91/x", "kaleyra/x"):
        answer = await world.post(f"/webhooks/{path}", encode(world.sns.signed()))
        assert (answer.status, answer.code) == (404, "provider_not_found"), path


async def test_a_body_that_is_too_large_is_not_read(world: World) -> None:
    body, headers = sendgrid([event(world, "delivered")] * 8_000)
    assert len(body) > 1 << 20
    answer = await world.post("/webhooks/sendgrid", body, **headers)
    assert answer.status == 413
    assert await world.delivery(world.mail_id) is None
