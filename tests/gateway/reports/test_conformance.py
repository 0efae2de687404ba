"""What each provider that reports is answered, whatever is wrong: what the page says, and nothing
changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import aiohttp
import msgspec
import pytest

from core.settings import Settings
from core.templates import Channel
from tests.gateway import faults, wires
from tests.gateway.conftest import Answer, Client, encode, running
from tests.gateway.faults import told
from tests.gateway.reports.world import (
    MAIL,
    NUMBER,
    PATH_SECRET,
    World,
    a_message,
    event,
    everything,
    sendgrid,
    ses_event,
    twilio,
)
from tests.providers.notifications import server


class Call(NamedTuple):
    """One request of a provider's."""

    path: str
    body: bytes
    headers: dict[str, str]

    def cut_off(self) -> Call:
        return self._replace(body=self.body[: len(self.body) // 2])


def by_sendgrid(world: World, message_id: str, word: str) -> Call:
    return Call("/webhooks/sendgrid", *sendgrid([event(world, word, notification_id=message_id)]))


def by_ses(world: World, message_id: str, word: str) -> Call:
    said = world.sns.signed(Message=json.dumps(ses_event(message_id, word)))
    return Call("/webhooks/ses", encode(said), {})


def by_twilio(world: World, message_id: str, word: str) -> Call:
    path = f"/webhooks/twilio?notification={message_id}"
    return Call(path, *twilio(path, {"MessageSid": "SM1", "MessageStatus": word}))


def written(world: World, message_id: str, word: str) -> Call:
    path = "/webhooks/twilio/inbound"
    return Call(path, *twilio(path, {"From": NUMBER, "Body": word, "MessageSid": "SM9"}))


def by_msg91(world: World, message_id: str, word: str) -> Call:
    said = {"requestId": "msg91", "status": word, "number": "91"}
    return Call(f"/webhooks/msg91/{PATH_SECRET}", encode(said), {})


def by_kaleyra(world: World, message_id: str, word: str) -> Call:
    path = f"/webhooks/kaleyra/{PATH_SECRET}?notification={message_id}"
    return Call(path, encode({"id": "k1", "status": word}), {})


class Reporter(NamedTuple):
    """A provider, how it says a word of a message, one that counts and one that nobody knows."""

    provider: str
    address: str
    say: Callable[[World, str, str], Call]
    word: str
    unknown: str


REPORTERS = {
    "sendgrid": Reporter("sendgrid", MAIL, by_sendgrid, "bounce", "teleported"),
    "ses": Reporter("ses", MAIL, by_ses, "Complaint", "Teleported"),
    "twilio": Reporter("twilio", NUMBER, by_twilio, "delivered", "teleported"),
    "twilio/inbound": Reporter("twilio", NUMBER, written, "STOP", "hello"),
    "msg91": Reporter("msg91", NUMBER, by_msg91, "1", "77"),
    "kaleyra": Reporter("kaleyra", NUMBER, by_kaleyra, "delivered", "teleported"),
}


def forged(call: Call) -> Call:
    """The same with another signature, or another secret in its path."""
    if "/ses" in call.path:
        said = msgspec.json.decode(call.body)
        return call._replace(body=encode({**said, "Signature": said["Signature"].swapcase()}))
    headers = {
        name: value.swapcase() if name.endswith("Signature") else value
        for name, value in call.headers.items()
    }
    path = call.path.replace(PATH_SECRET, PATH_SECRET.swapcase())
    return call._replace(path=path, headers=headers)


async def send(world: World, call: Call) -> Answer:
    return await world.post(call.path, call.body, **call.headers)


async def say(world: World, name: str) -> tuple[Call, Call]:
    """What the provider says of a message: a word that counts, and one that nobody knows."""
    one = REPORTERS[name]
    channel: Channel = "email" if one.address == MAIL else "sms"
    whom = world.program_id, world.member_id
    message_id = await a_message(world.db, *whom, channel, one.address, one.provider, name)
    return one.say(world, message_id, one.word), one.say(world, message_id, one.unknown)


@pytest.mark.parametrize("name", REPORTERS)
async def test_each_fault_has_one_answer(world: World, name: str) -> None:
    good, unknown = await say(world, name)
    said, before = faults.ANSWERS[name], await everything(world)
    assert told(await send(world, forged(good))) == said.forged
    assert told(await send(world, good.cut_off())) == said.cut_off
    assert told(await send(world, unknown)) == said.unknown_word
    assert await everything(world) == before
    assert (await send(world, good)).status == 204
    after = await everything(world)
    assert after != before
    assert told(await send(world, good)) == said.again
    assert await everything(world) == after


async def test_what_cannot_be_stored_now_is_good_when_it_comes_again(
    world: World, settings: Settings, session: aiohttp.ClientSession
) -> None:
    async with wires.wired(settings) as (wire, led), running(led) as (_, url):
        far = world._replace(client=Client(session, url, {}))
        for name in REPORTERS:
            call, _ = await say(world, name)
            before = await everything(world)
            wire.cut()
            assert told(await send(far, call)) == faults.ANSWERS[name].away
            assert await everything(world) == before
            wire.is_cut = False
            assert (await send(far, call)).status == 204
            assert await everything(world) != before


NO_CERTIFICATES = {
    "5xx": server.Fault(503),
    "cut off": server.Fault(200, is_cut=True),
    "another page": server.Fault(200, b"<h1>Sign in to this network</h1>"),
}


@pytest.mark.parametrize("fault", NO_CERTIFICATES.values(), ids=NO_CERTIFICATES)
async def test_a_certificate_that_cannot_be_had_has_sns_try_again(
    world: World, fault: server.Fault
) -> None:
    call, _ = await say(world, "ses")
    world.sns.faults["/key.pem"] = [fault]
    before = await everything(world)
    assert told(await send(world, call)) == "502 `provider_unavailable`"
    assert await everything(world) == before
    assert (await send(world, call)).status == 204
