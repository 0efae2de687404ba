"""Our providers of notifications, set up for the local ones, and a client that gives up soon."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import pytest

from core import mail
from core.http import HttpRequest, HttpResponse
from core.providers.notifications import builtin
from core.providers.notifications.wire import Around
from core.providers.protocols import NotificationChannel, Outcome
from core.templates import Message
from tests.providers.notifications import apple, server
from tests.providers.notifications.apple import Apns
from tests.providers.notifications.mailers import Sendgrid, Ses
from tests.providers.notifications.pushers import Fcm, Webpush
from tests.providers.notifications.server import Server
from tests.providers.notifications.texters import (
    Kaleyra,
    KaleyraWhatsapp,
    Msg91,
    Twilio,
    TwilioWhatsapp,
)
from web.outbound import Outbound
from workers.channels import table

Theirs: TypeAlias = Server | Apns

PLAIN: dict[str, type[Server]] = {
    **{kind.slug: kind for kind in (Ses, Sendgrid, Msg91, Twilio, Kaleyra, Fcm, Webpush)},
    "twilio whatsapp": TwilioWhatsapp,
    "kaleyra whatsapp": KaleyraWhatsapp,
}
SLUGS = [*PLAIN, "apns"]
PATIENCE_S = 20.0
#: With a server that is known to keep silent.
SILENCE_S = 0.3
WEBHOOKS = "https://gate.example.test/webhooks"


class Clock:
    """The time as tests set it."""

    def __init__(self) -> None:
        self.ahead_s = 0

    def __call__(self) -> int:
        return int(time.time()) + self.ahead_s


class Setup(NamedTuple):
    """A provider of ours, the server that it speaks to, and the client between them."""

    ours: NotificationChannel
    theirs: Any
    outbound: Outbound
    clock: Clock
    begun: list[str]

    async def send(self, request: HttpRequest) -> HttpResponse:
        faults = [fault for faults in self.theirs.faults.values() for fault in faults]
        is_silent = any(fault.is_hanging for fault in faults)
        timeout_s = SILENCE_S if is_silent else PATIENCE_S
        return await self.outbound.send(msgspec.structs.replace(request, timeout_s=timeout_s))

    async def deliver(self, wanted: Message | None = None) -> Outcome:
        message = wanted or self.message()

        async def begin() -> None:
            assert message.id not in self.theirs.taken, "begun too late"
            self.begun.append(message.id)

        return await self.ours.deliver(self.send, message, begin)

    def message(self, **changes: Any) -> Message:
        complete = Message(
            id="ntf_1",
            channel=self.theirs.channel,
            address=self.theirs.address,
            sender="Tee & Co",
            subject="Ihr Code für Tee",
            text="Ihr Code: 482913 ✓",
            html="",
            template="sign_in_code",
            language="en",
            variables={"code": "482913", "minutes": 5, "program": "Tee & Co"},
            created_at_ms=1_700_000_000_000,
        )
        return msgspec.structs.replace(complete, **changes)

    def with_section(self, section: dict[str, Any]) -> Setup:
        """The same with another section in the file."""
        return self._replace(ours=make(self.theirs.slug, section, self.clock))


def make(slug: str, section: dict[str, Any], clock: Clock) -> NotificationChannel:
    around = Around(
        sender=mail.mailbox("no-reply@tea.test", "Stampgate"),
        now_s=clock,
        entropy=os.urandom,
        webhooks_url=WEBHOOKS,
    )
    return builtin.make({slug: section}, around, table.MAKERS)[slug].provider


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return apple.certificate(tmp_path_factory.mktemp("apple"))


@pytest.fixture(params=SLUGS)
async def notifier(request: pytest.FixtureRequest, certificate: Path) -> AsyncIterator[Setup]:
    """Each provider in turn, or the one that the test names."""
    running: AbstractAsyncContextManager[Theirs] = (
        apple.running(apple.speaking(certificate))
        if request.param == "apns"
        else server.running(PLAIN[request.param])
    )
    async with running as theirs:
        clock = Clock()
        trust = ssl.create_default_context(cafile=str(certificate))
        outbound = Outbound(allow="127.0.0.1", http2_tls=trust)
        yield Setup(make(theirs.slug, theirs.config(), clock), theirs, outbound, clock, [])
        await outbound.close()
