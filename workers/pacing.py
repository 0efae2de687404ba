"""Calls of an account at an affiliate network: no more in a minute than it takes, whichever process
makes them.
"""

from __future__ import annotations

import asyncio
from typing import Final

from core import limits as limits_
from core.http import HttpRequest, HttpResponse, Send
from core.providers.affiliate.protocol import Terms
from db import limits
from db.networks import Network
from workers import loop
from workers.broker import Tools

#: What is waited for while a thread stands by; anything longer waits in the outbox.
SLEEP_MAX_S: Final = 2.0


class Spent(Exception):
    """The account has made its calls. After `wait_s` it can make two: one for a token, and one that
    brings something.
    """

    def __init__(self, wait_s: float) -> None:
        super().__init__("the account has made its calls")
        self.wait_s = wait_s


def paced(tools: Tools, network: Network, terms: Terms) -> Send:
    """`tools.send` for this account's calls alone, each counted before it is made; Spent."""
    pace = limits_.pace(network.config.get("calls_per_minute") or terms.calls_per_minute)

    async def send(request: HttpRequest) -> HttpResponse:
        while wait_us := await limits.call(
            tools.redis, pace, f"network:{network.id}", loop.now_ms() * 1000
        ):
            wait_s = wait_us / limits_.SECOND_US
            if wait_s > SLEEP_MAX_S:
                raise Spent(wait_s + pace.each_us / limits_.SECOND_US)
            await asyncio.sleep(wait_s)
        return await tools.send(request)

    return send
