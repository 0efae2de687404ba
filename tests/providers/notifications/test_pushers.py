"""FCM and APNs: tokens, devices that are gone, and HTTP/2."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import pytest

from core import pushing
from core.errors import BadSubscription
from core.http import HttpRequest, OutboundFailed, OutboundRefused
from core.providers.notifications import apns as ours_apns
from core.providers.notifications import fcm as ours_fcm
from core.providers.protocols import Deferred, Refused, Sent, Unknown
from tests.providers.notifications import apple
from tests.providers.notifications.apple import DEVICE, TOPIC
from tests.providers.notifications.conftest import Setup
from tests.providers.notifications.pushers import (
    TOKEN,
)
from tests.providers.notifications.server import Fault
from web.outbound import Outbound

fcm = pytest.mark.parametrize("notifier", ["fcm"], indirect=True)
apns = pytest.mark.parametrize("notifier", ["apns"], indirect=True)


@fcm
async def test_one_token_serves_for_an_hour(notifier: Setup) -> None:
    for _ in range(3):
        assert isinstance(await notifier.deliver(), Sent)
        notifier.theirs.taken.clear()
    assert notifier.theirs.asked.count("/token") == 1
    notifier.clock.ahead_s = 3599 - ours_fcm.MARGIN_S
    assert isinstance(await notifier.deliver(), Sent)
    assert notifier.theirs.asked.count("/token") == 2


@fcm
async def test_a_token_that_was_revoked_is_replaced(notifier: Setup) -> None:
    await notifier.deliver()
    notifier.theirs.tokens.clear()
    notifier.theirs.taken.clear()
    assert isinstance(await notifier.deliver(), Deferred)
    assert isinstance(await notifier.deliver(), Sent)


@fcm
@pytest.mark.parametrize(
    "fault",
    [Fault(500), Fault(503), Fault(is_hanging=True), Fault(200, b"{}"), Fault(200, is_cut=True)],
    ids=str,
)
async def test_without_a_token_nothing_was_sent(notifier: Setup, fault: Fault) -> None:
    notifier.theirs.faults["/token"] = [fault]
    assert isinstance(await notifier.deliver(), Deferred)
    assert notifier.theirs.path not in notifier.theirs.asked
    assert notifier.begun == []


@fcm
async def test_a_device_that_is_gone_is_refused(notifier: Setup) -> None:
    notifier.theirs.gone.add(TOKEN)
    outcome = await notifier.deliver()
    assert isinstance(outcome, Refused)
    assert outcome.about == "address"
    assert outcome.reason == "fcm answered 404 UNREGISTERED"


@fcm
async def test_a_project_that_there_is_not_is_our_fault(notifier: Setup) -> None:
    body = json.dumps({"error": {"code": 404, "status": "NOT_FOUND"}}).encode()
    notifier.theirs.faults[notifier.theirs.path] = [Fault(404, body)]
    assert isinstance(await notifier.deliver(), Deferred)


@fcm
async def test_a_quota_is_left_a_minute(notifier: Setup) -> None:
    notifier.theirs.faults[notifier.theirs.path] = [Fault(429, b"{}")]
    outcome = await notifier.deliver()
    assert isinstance(outcome, Deferred)
    assert outcome.retry_after_s == 60


@apns
async def test_a_push_to_apple_says_what_it_is(notifier: Setup) -> None:
    await notifier.deliver()
    [headers] = notifier.theirs.headers
    assert headers["apns-topic"] == TOPIC
    assert headers["apns-collapse-id"] == "ntf_1"
    [body] = notifier.theirs.bodies
    assert body["aps"]["alert"] == {"title": "Ihr Code für Tee", "body": "Ihr Code: 482913 ✓"}


@apns
async def test_the_id_at_apple_is_the_same_at_each_attempt(notifier: Setup) -> None:
    for _ in range(2):
        await notifier.deliver()
        notifier.theirs.taken.clear()
    first, second = notifier.theirs.headers
    assert first["apns-id"] == second["apns-id"]


@apns
async def test_the_token_is_signed_anew_after_half_an_hour(notifier: Setup) -> None:
    for ahead_s in (0, 1, ours_apns.TOKEN_TTL_S - 60, ours_apns.TOKEN_TTL_S + 1):
        notifier.clock.ahead_s = ahead_s
        assert isinstance(await notifier.deliver(), Sent)
        notifier.theirs.taken.clear()
    assert len(notifier.theirs.tokens) == 2
    assert len(notifier.theirs.connections) == 1


@apns
async def test_a_clock_that_is_far_off_is_our_fault(notifier: Setup) -> None:
    notifier.clock.ahead_s = -7200
    outcome = await notifier.deliver()
    assert isinstance(outcome, Deferred)
    assert "ExpiredProviderToken" in outcome.reason


@apns
@pytest.mark.parametrize("word", ["Unregistered", "BadDeviceToken", "DeviceTokenNotForTopic"])
async def test_a_device_that_is_gone_at_apple_is_refused(notifier: Setup, word: str) -> None:
    notifier.theirs.gone[DEVICE] = word
    outcome = await notifier.deliver()
    assert isinstance(outcome, Refused)
    assert outcome.about == "address"


@apns
async def test_a_topic_that_is_not_ours_is_our_fault(notifier: Setup) -> None:
    section = {**notifier.theirs.config(), "topic": "another.app"}
    assert isinstance(await notifier.with_section(section).deliver(), Deferred)


@apns
async def test_what_is_too_long_for_apple_is_refused_here(notifier: Setup) -> None:
    outcome = await notifier.deliver(notifier.message(text="x" * 4096))
    assert isinstance(outcome, Refused)
    assert notifier.theirs.asked == []


@apns
async def test_many_pushes_share_a_connection(notifier: Setup) -> None:
    messages = [notifier.message(id=f"ntf_{number}") for number in range(50)]

    async def begin() -> None:
        pass

    send, ours = notifier.outbound.send, notifier.ours
    outcomes = await asyncio.gather(*(ours.deliver(send, one, begin) for one in messages))
    assert [outcome for outcome in outcomes if not isinstance(outcome, Sent)] == []
    assert sorted(notifier.theirs.taken) == sorted(message.id for message in messages)
    assert len(notifier.theirs.connections) == 1


@apns
async def test_what_apple_did_not_look_at_is_sent_again(notifier: Setup) -> None:
    await notifier.deliver()
    notifier.theirs.taken.clear()
    notifier.theirs.goes_away = True
    assert isinstance(await notifier.deliver(), Deferred)
    assert isinstance(await notifier.deliver(), Sent)
    assert len(notifier.theirs.connections) == 2


@apns
@pytest.mark.parametrize(("flag", "kind"), [("refuses", Deferred), ("breaks", Unknown)])
async def test_a_stream_that_is_reset_says_what_it_says(
    notifier: Setup, flag: str, kind: type[object]
) -> None:
    setattr(notifier.theirs, flag, True)
    assert type(await notifier.deliver()) is kind


@apns
async def test_a_connection_that_was_lost_is_made_anew(notifier: Setup) -> None:
    await notifier.deliver()
    notifier.theirs.connections[0].transport.abort()
    notifier.theirs.taken.clear()
    [kept] = notifier.outbound._http2._kept.values()
    async with asyncio.timeout(20):
        while kept.is_open:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
    assert isinstance(await notifier.deliver(), Sent)


@apns
async def test_who_does_not_answer_is_not_waited_for_again(notifier: Setup) -> None:
    notifier.theirs.faults[notifier.theirs.path] = [Fault(is_hanging=True)]
    assert isinstance(await notifier.deliver(), Unknown)
    assert isinstance(await notifier.deliver(), Sent)
    assert len(notifier.theirs.connections) == 2


def push(url: str) -> HttpRequest:
    return HttpRequest(
        method="POST", url=url, purpose="test", body=b"{}", timeout_s=2, is_http2=True
    )


async def test_a_server_without_http2_gets_nothing(certificate: Path) -> None:
    async with apple.running(apple.speaking(certificate, "http/1.1")) as theirs:
        trust = ssl.create_default_context(cafile=str(certificate))
        outbound = Outbound(allow="127.0.0.1", http2_tls=trust)
        with pytest.raises(OutboundFailed):
            await outbound.send(push(theirs.url + theirs.path))
        await outbound.close()
        assert theirs.asked == []


async def test_http2_is_not_spoken_where_it_may_not_nor_in_the_clear(certificate: Path) -> None:
    async with apple.running(apple.speaking(certificate)) as theirs:
        trust = ssl.create_default_context(cafile=str(certificate))
        guarded = Outbound(http2_tls=trust)
        for url in (theirs.url, theirs.url.replace("127.0.0.1", "localhost")):
            with pytest.raises(OutboundRefused):
                await guarded.send(push(url + theirs.path))
        await guarded.close()
        outbound = Outbound(allow="127.0.0.1", http2_tls=trust)
        with pytest.raises(OutboundRefused):
            await outbound.send(push(theirs.url.replace("https", "http") + theirs.path))
        await outbound.close()
        assert theirs.connections == []


async def test_a_certificate_that_nobody_vouches_for_ends_it(certificate: Path) -> None:
    async with apple.running(apple.speaking(certificate)) as theirs:
        outbound = Outbound(allow="127.0.0.1")
        with pytest.raises(OutboundFailed):
            await outbound.send(push(theirs.url + theirs.path))
        await outbound.close()
        assert theirs.asked == []


def test_addresses_of_devices_are_checked() -> None:
    assert pushing.of_token("apns", DEVICE.upper()) == f"apns:{DEVICE}"
    assert pushing.of_token("fcm", TOKEN) == f"fcm:{TOKEN}"
    for text in ("zz" * 32, "aa", "../x", ""):
        with pytest.raises(BadSubscription):
            pushing.of_token("apns", text)
    for text in ("a b" * 10, "short", ""):
        with pytest.raises(BadSubscription):
            pushing.of_token("fcm", text)
