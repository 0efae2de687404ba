"""Providers one after the other: who is asked when, how fast, and who is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import pytest

from core.errors import BadSetting
from core.http import HttpRequest, HttpResponse, OutboundRefused, Send
from core.providers.protocols import Begin, Deferred, Outcome, Refused, Sent, Unknown
from core.settings import Settings
from core.templates import Channel, Message
from workers.channels import chain, table
from workers.channels.chain import Chain, Ended, Link

MESSAGE: Final = Message(
    id="ntf_1",
    channel="email",
    address="asha@example.test",
    sender="Tea",
    subject="s",
    text="t",
    html="",
    template="password_changed",
    language="en",
    variables={},
    created_at_ms=0,
)
LATER: Final = Deferred("later")
SENDGRID = '[notifications.sendgrid]\napi_key = "SG.x"\n'
TWILIO = f"""\
[notifications.twilio]
account_sid = "AC{"0" * 32}"
secret = "x"
sms_from = "+15005550006"
"""


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Scripted:
    """A provider that answers as it is told, the last answer for ever."""

    channels: tuple[Channel, ...] = ("email",)

    def __init__(self, slug: str, *answers: Outcome, is_picky: bool = False) -> None:
        self.slug = slug
        self.answers = list(answers)
        self.asked = 0
        self.is_picky = is_picky
        self.takes_s = 0.0
        self.clock: Clock | None = None

    def takes(self, message: Message) -> bool:
        return not self.is_picky

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        await begin()
        self.asked += 1
        if self.clock is not None:
            self.clock.now_s += self.takes_s
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def nowhere(_: HttpRequest) -> HttpResponse:
    raise OutboundRefused("nothing is sent")


async def deliver(wanted: Chain, begun: list[int] | None = None) -> Ended:
    async def begin() -> None:
        if begun is not None:
            begun.append(1)

    return await wanted.deliver(nowhere, MESSAGE, begin)


async def test_the_next_is_asked_when_one_certainly_did_not_send_it() -> None:
    first, second = Scripted("first", LATER), Scripted("second", Sent("x"))
    begun: list[int] = []
    ended = await deliver(Chain([Link(first), Link(second)]), begun)
    assert ended == Ended("second", Sent("x"))
    assert begun == [1], "it begins once"


@pytest.mark.parametrize("outcome", [Sent("x"), Refused("no"), Unknown("?")])
async def test_whatever_else_one_says_is_the_end(outcome: Outcome) -> None:
    first, second = Scripted("first", outcome), Scripted("second", Sent("y"))
    assert await deliver(Chain([Link(first), Link(second)])) == Ended("first", outcome)
    assert second.asked == 0


async def test_who_cannot_send_it_is_not_asked() -> None:
    first, second = Scripted("first", Sent("x"), is_picky=True), Scripted("second", Sent("y"))
    assert (await deliver(Chain([Link(first), Link(second)]))).provider == "second"
    nobody = await deliver(Chain([Link(first)]))
    assert nobody == Ended("none", Deferred(chain.NOBODY))


async def test_when_nobody_takes_it_the_first_to_be_free_says_when() -> None:
    first, second = Scripted("first", Deferred("a", 90)), Scripted("second", Deferred("b", 30))
    ended = await deliver(Chain([Link(first), Link(second)], Clock()))
    assert ended == Ended("first", Deferred("a", 30))


async def test_who_fails_again_and_again_is_left_alone_for_a_while() -> None:
    clock, first = Clock(), Scripted("first", LATER)
    second = Scripted("second", Sent("x"))
    both = Chain([Link(first), Link(second)], clock)
    for _ in range(chain.FAILURES_MAX + 3):
        assert (await deliver(both)).provider == "second"
    assert first.asked == chain.FAILURES_MAX
    clock.now_s += chain.REST_S - 1
    await deliver(both)
    assert first.asked == chain.FAILURES_MAX
    clock.now_s += 1
    await deliver(both)
    await deliver(both)
    assert first.asked == chain.FAILURES_MAX + 1, "one tries"
    clock.now_s += chain.REST_S
    first.answers = [Sent("y")]
    for _ in range(3):
        assert (await deliver(both)).provider == "first"


async def test_one_that_is_alone_and_rests_says_for_how_long() -> None:
    clock = Clock()
    alone = Chain([Link(Scripted("first", Unknown("?")))], clock)
    for _ in range(chain.FAILURES_MAX):
        await deliver(alone)
    clock.now_s += 10
    ended = await deliver(alone)
    assert isinstance(ended.outcome, Deferred)
    assert ended.outcome.retry_after_s == chain.REST_S - 10
    assert ended.is_counted


async def test_a_no_is_an_answer() -> None:
    first = Scripted("first", LATER, LATER, LATER, LATER, Refused("no"), LATER)
    one = Chain([Link(first)], Clock())
    for _ in range(9):
        await deliver(one)
    assert first.asked == 9


async def test_who_asks_for_patience_gets_it_at_once() -> None:
    clock, first = Clock(), Scripted("first", Deferred("429", 120), Sent("x"))
    second = Scripted("second", Sent("y"))
    both = Chain([Link(first), Link(second)], clock)
    assert (await deliver(both)).provider == "second"
    clock.now_s += 119
    assert (await deliver(both)).provider == "second"
    assert first.asked == 1
    clock.now_s += 1
    assert (await deliver(both)).provider == "first"


async def test_a_rate_spreads_messages_and_then_puts_them_off() -> None:
    """Of 20 at once at 1,000 a second all are sent; at one in ten seconds the second waits."""
    quick = Chain([Link(Scripted("first", Sent("x")), 1_000)])
    for _ in range(20):
        assert isinstance((await deliver(quick)).outcome, Sent)
    clock = Clock()
    slow = Chain([Link(Scripted("first", Sent("x")), 0.1)], clock)
    assert isinstance((await deliver(slow)).outcome, Sent)
    ended = await deliver(slow)
    assert ended == Ended("first", Deferred("first has had its share", 10.0), is_counted=False)
    clock.now_s += 10
    assert isinstance((await deliver(slow)).outcome, Sent)


def test_turns_are_as_far_apart_as_the_rate_says() -> None:
    link = Link(Scripted("first", Sent("x")), 2)
    assert [link.turn_s(0.0) for _ in range(4)] == [0, 0.5, 1.0, 1.5]
    assert link.turn_s(10.0) == 0


async def test_an_attempt_ends_in_time() -> None:
    clock, first = Clock(), Scripted("first", LATER)
    first.clock, first.takes_s = clock, chain.LATEST_START_S + 1
    second = Scripted("second", Sent("x"))
    assert (await deliver(Chain([Link(first), Link(second)], clock))).provider == "first"
    assert second.asked == 0


def with_file(settings: Settings, tmp_path: Path, text: str, **changes: str) -> Settings:
    path = tmp_path / "providers.toml"
    path.write_text(text)
    return msgspec.structs.replace(settings, providers_file=str(path), **changes)


def test_without_providers_all_lands_in_the_folder(settings: Settings) -> None:
    channels = table.chosen(settings)
    assert {channel: one.slugs for channel, one in channels.items()} == {
        "email": ("folder",),
        "sms": ("folder",),
        "whatsapp": ("folder",),
        "push": ("folder",),
    }


def test_the_file_says_who_sends_and_in_which_order(settings: Settings, tmp_path: Path) -> None:
    mailing = msgspec.structs.replace(settings, mail_url="smtp://mail.test")
    channels = table.chosen(with_file(mailing, tmp_path, SENDGRID + TWILIO))
    assert channels["email"].slugs == ("sendgrid", "smtp")
    assert channels["sms"].slugs == ("twilio",)
    assert channels["push"].slugs == ("folder",)


def test_a_setting_says_the_order_of_a_channel(settings: Settings, tmp_path: Path) -> None:
    mailing = msgspec.structs.replace(settings, mail_url="smtp://mail.test")
    wanted = with_file(
        mailing, tmp_path, SENDGRID, email_providers="smtp,sendgrid", sms_providers="folder"
    )
    channels = table.chosen(wanted)
    assert channels["email"].slugs == ("smtp", "sendgrid")
    assert channels["sms"].slugs == ("folder",)


@pytest.mark.parametrize("slug", ["twilio", "pigeon", "smtp"])
def test_an_order_with_somebody_who_cannot_is_named(
    settings: Settings, tmp_path: Path, slug: str
) -> None:
    wanted = with_file(settings, tmp_path, SENDGRID + TWILIO, email_providers=f"sendgrid,{slug}")
    with pytest.raises(BadSetting, match=f"^STAMPGATE_EMAIL_PROVIDERS: {slug} is not set up"):
        table.chosen(wanted)


def test_a_section_that_is_wrong_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    wanted = with_file(settings, tmp_path, "[notifications.sendgrid]\n")
    with pytest.raises(BadSetting, match=r"^STAMPGATE_PROVIDERS_FILE: notifications\.sendgrid: "):
        table.chosen(wanted)


def test_one_provider_of_two_channels_has_one_share(settings: Settings, tmp_path: Path) -> None:
    text = TWILIO + 'whatsapp_from = "+14155238886"\nrate_per_s = 5\n'
    channels = table.chosen(with_file(settings, tmp_path, text))
    assert channels["sms"].links[0] is channels["whatsapp"].links[0]
