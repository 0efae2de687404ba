"""What holds for every provider of notifications, whoever it is: one outcome for each ending."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from core.errors import BadSetting
from core.http import HttpRequest, HttpResponse, OutboundRefused
from core.providers.notifications import builtin, wire
from core.providers.protocols import Deferred, Refused, Sent, Unknown
from tests.providers.notifications.conftest import SLUGS, Setup
from tests.providers.notifications.server import SECRET, Fault
from workers.channels import table

#: Those whose yes has something in it.
TALKATIVE = [slug for slug in SLUGS if slug not in {"sendgrid", "apns", "webpush"}]


class Stop(Exception):
    """Somebody else took the message up."""


def fail(notifier: Setup, fault: Fault) -> None:
    notifier.theirs.faults[notifier.theirs.path] = [fault]


def test_every_provider_of_the_table_is_tested_here() -> None:
    assert {slug.partition(" ")[0] for slug in SLUGS} == set(builtin.TABLE)
    assert set(table.MAKERS) == set(builtin.TABLE)


async def test_a_message_is_sent_once_under_our_id(notifier: Setup) -> None:
    outcome = await notifier.deliver()
    assert isinstance(outcome, Sent), outcome
    assert outcome.reference
    assert notifier.theirs.taken == ["ntf_1"]
    assert notifier.begun == ["ntf_1"]


async def test_it_takes_messages_of_its_own_channels_only(notifier: Setup) -> None:
    assert notifier.ours.slug == notifier.theirs.slug
    assert notifier.theirs.channel in notifier.ours.channels
    assert notifier.ours.takes(notifier.message())
    for channel in {"email", "sms", "whatsapp", "push"} - set(notifier.ours.channels):
        assert not notifier.ours.takes(notifier.message(channel=channel))


async def test_nothing_is_sent_when_it_may_not_begin(notifier: Setup) -> None:
    async def begin() -> None:
        raise Stop

    with pytest.raises(Stop):
        await notifier.ours.deliver(notifier.send, notifier.message(), begin)
    assert notifier.theirs.path not in notifier.theirs.asked


async def test_a_wrong_credential_is_our_fault(notifier: Setup) -> None:
    wrong = notifier.with_section(notifier.theirs.wrong())
    outcome = await wrong.deliver()
    assert isinstance(outcome, Deferred), outcome
    assert notifier.theirs.taken == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(500), Unknown),
        (Fault(502), Unknown),
        (Fault(504), Unknown),
        (Fault(503), Deferred),
        (Fault(429), Deferred),
        (Fault(400), Refused),
        (Fault(422), Refused),
        (Fault(418), Refused),
        (Fault(299), Unknown),
        (Fault(302, b"", {"Location": "https://elsewhere.test/"}), Deferred),
        (Fault(is_hanging=True), Unknown),
        (Fault(200, is_cut=True), Unknown),
        (Fault(400, is_cut=True), Unknown),
    ],
    ids=str,
)
async def test_each_ending_has_one_outcome(
    notifier: Setup, fault: Fault, kind: type[object]
) -> None:
    fail(notifier, fault)
    outcome = await notifier.deliver()
    assert type(outcome) is kind, outcome
    assert notifier.theirs.taken == []
    assert notifier.theirs.asked.count(notifier.theirs.path) == 1


async def test_a_yes_that_is_cut_off_leaves_it_open(notifier: Setup) -> None:
    fail(notifier, notifier.theirs.yes()._replace(is_cut=True))
    outcome = await notifier.deliver()
    assert type(outcome) is Unknown, outcome


async def test_a_yes_is_a_yes(notifier: Setup) -> None:
    """So that the one above is about its being cut off."""
    fail(notifier, notifier.theirs.yes())
    outcome = await notifier.deliver()
    assert type(outcome) is Sent, outcome


@pytest.mark.parametrize("notifier", TALKATIVE, indirect=True)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"id": 5', b"\xff\xfe"])
async def test_a_yes_in_other_words_leaves_it_open(notifier: Setup, body: bytes) -> None:
    fail(notifier, notifier.theirs.yes()._replace(body=body))
    outcome = await notifier.deliver()
    assert type(outcome) is Unknown, outcome


@pytest.mark.parametrize("status", [429, 503])
async def test_it_is_left_alone_for_as_long_as_it_asks(notifier: Setup, status: int) -> None:
    fail(notifier, Fault(status, headers={"Retry-After": "700"}))
    outcome = await notifier.deliver()
    assert isinstance(outcome, Deferred)
    assert outcome.retry_after_s == 700


async def test_the_wait_may_be_a_date(notifier: Setup) -> None:
    later = formatdate(time.time() + 600, usegmt=True)
    fail(notifier, Fault(503, headers={"Retry-After": later}))
    outcome = await notifier.deliver()
    assert isinstance(outcome, Deferred)
    assert 590 <= outcome.retry_after_s <= 600


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0), ("soon", 0), ("-5", 0), ("1e9", 0), ("99999999", wire.PATIENCE_S_MAX), ("²", 0)],
)
def test_a_wait_is_bounded_and_never_negative(text: str, seconds: float) -> None:
    answer = HttpResponse(429, {"retry-after": text}, b"")
    assert wire.retry_after_s(answer, 0) == seconds


async def test_a_server_that_is_away_got_nothing(notifier: Setup) -> None:
    if notifier.theirs.slug == "webpush":
        address = notifier.theirs.address.replace(notifier.theirs.host, "127.0.0.1:1")
        away = notifier.with_section({**notifier.theirs.config(), "hosts": ["127.0.0.1:1"]})
        outcome = await away.deliver(notifier.message(address=address))
    else:
        scheme = notifier.theirs.url.split(":")[0]
        section = {**notifier.theirs.config(), "base_url": f"{scheme}://127.0.0.1:1"}
        outcome = await notifier.with_section(section).deliver()
    assert isinstance(outcome, Deferred), outcome


async def test_it_goes_nowhere_that_the_guard_forbids(notifier: Setup) -> None:
    asked: list[HttpRequest] = []

    async def refuse(request: HttpRequest) -> HttpResponse:
        asked.append(request)
        raise OutboundRefused("no")

    async def begin() -> None:
        pass

    outcome = await notifier.ours.deliver(refuse, notifier.message(), begin)
    assert isinstance(outcome, Deferred | Refused)
    assert len(asked) == 1


@pytest.mark.parametrize("status", [400, 401, 410, 429, 500])
async def test_a_reason_repeats_neither_secrets_nor_addresses(notifier: Setup, status: int) -> None:
    address = notifier.theirs.address
    words = f'{{"code": "{address}", "message": "{SECRET}", "reason": "{address} {SECRET}"}}'
    fail(notifier, Fault(status, words.encode()))
    outcome = await notifier.deliver()
    assert not isinstance(outcome, Sent)
    assert address not in outcome.reason
    assert SECRET not in outcome.reason


async def test_secrets_do_not_show(notifier: Setup) -> None:
    [config] = builtin.configs({notifier.theirs.slug: notifier.theirs.config()}).values()
    for shown in (repr(config), repr(notifier.ours), repr(vars(notifier.ours))):
        assert SECRET not in shown
        assert "PRIVATE" not in shown


def wrong_sections(section: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {**section, "nonsense": 1},
        {**section, "rate_per_s": -1},
        {**section, "timeout_s": 0},
        {},
    ]


async def test_a_section_that_is_wrong_is_named(notifier: Setup) -> None:
    slug = notifier.theirs.slug
    for section in wrong_sections(notifier.theirs.config()):
        with pytest.raises(BadSetting, match=f"^notifications.{slug}: ") as caught:
            builtin.configs({slug: section})
        assert SECRET not in str(caught.value)


def test_a_provider_that_there_is_not_is_named() -> None:
    with pytest.raises(BadSetting, match=r"notifications\.pigeon: there is no such"):
        builtin.configs({"pigeon": {}})
