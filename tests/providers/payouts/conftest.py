"""Each of our providers of payouts beside a local one, with the client of production between."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest

from core.http import HttpRequest, HttpResponse
from core.payout_methods import Bank, Upi
from core.providers.payouts import builtin
from core.providers.payouts.protocol import Event, Found, Paying, Payout, PayoutProvider
from tests.providers.payouts import server
from tests.providers.payouts.__main__ import KINDS
from tests.providers.payouts.server import Server
from web.outbound import Outbound

PATIENCE_S = 14.0
#: With a server that is known to keep silent.
SILENCE_S = 0.5
ID = "wdr_01h455vb4pex5vsknk084sn02q"
UPI = Upi(vpa="asha@okbank", name="Asha Verma")
BANK = Bank(account_number="50100012345678", ifsc="HDFC0001234", name="Asha Verma")
PAYOUT = Payout(id=ID, amount_minor=20_050, currency="INR", destination=UPI)


class Setup(NamedTuple):
    """A provider of ours, the server that it speaks to, and the client between them."""

    ours: PayoutProvider
    theirs: Server
    outbound: Outbound

    async def send(self, request: HttpRequest) -> HttpResponse:
        next_faults = self.theirs.faults if request.method == "POST" else self.theirs.look_faults
        is_silent = any(fault.is_hanging for fault in next_faults[:1])
        timeout_s = SILENCE_S if is_silent else PATIENCE_S
        return await self.outbound.send(msgspec.structs.replace(request, timeout_s=timeout_s))

    async def pay(self, payout: Payout = PAYOUT) -> Paying:
        return await self.ours.pay(self.send, payout)

    async def look_up(self, payout: Payout = PAYOUT) -> Found:
        return await self.ours.look_up(self.send, payout)

    def read(self, headers: dict[str, str], body: bytes, ahead_s: int = 0) -> Event:
        """What our side makes of a call."""
        named = {name.lower(): value for name, value in headers.items()}
        return self.ours.event(named, body, int(time.time()) + ahead_s)

    def with_section(self, section: dict[str, Any]) -> Setup:
        """The same with another section in the file."""
        return self._replace(ours=make(self.theirs.slug, section))


def make(slug: str, section: dict[str, Any]) -> PayoutProvider:
    return builtin.make({slug: section})[slug]


@pytest.fixture(params=KINDS)
async def setup(request: pytest.FixtureRequest) -> AsyncIterator[Setup]:
    """Each provider in turn, or the one that the test names."""
    async with server.running(KINDS[request.param]) as theirs:
        outbound = Outbound(allow="127.0.0.1")
        yield Setup(make(theirs.slug, theirs.config()), theirs, outbound)
        await outbound.close()
